#include "atoms_text.h"

#include "codegen/host/atoms.h"
#include "codegen/host/operands.h"
#include "codegen/ir/mutator.h"

namespace pit::emit {

std::string atoms_text(const ir::Module &module, const Target &target) {
  const host::Machine machine = host::machine_of(target);
  const auto packed = host::find_packed_operands(module.body);
  std::string text;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    if (const auto *mma = s.as<ir::Mma>()) {
      const host::Atom &atom = host::select_atom(host::types_of(*mma), machine, mma->atom);
      const host::MmaRoles roles = host::roles_of(*mma);
      text += mma->accumulator.tile->name + " += " + mma->a.tile->name + " * " + mma->b.tile->name +
              "\n  atom: " + atom.name;
      for (const StoragePtr &tile : {roles.left.tile, roles.right.tile}) {
        if (packed.contains(tile.get())) text += "; " + tile->name + " is packed as it is read";
      }
      text += "\n";
    }
    return true;
  });
  return text;
}

}  // namespace pit::emit
