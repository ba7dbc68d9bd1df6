#include "atoms_text.h"

#include "codegen/host/atoms.h"
#include "codegen/host/layout.h"
#include "codegen/ir/mutator.h"

namespace pit::emit {

std::string atoms_text(const ir::Module &module, const Target &target) {
  const host::Machine machine = host::machine_of(target);
  const auto layouts = host::choose_layouts(module.body, machine);
  std::string text;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    if (const auto *mma = s.as<ir::Mma>()) {
      const host::Atom &atom = host::select_atom(mma->accumulator.tile->type, machine, mma->atom);
      const host::MmaRoles roles = host::roles_of(*mma);
      const auto layout = layouts.find(roles.right.tile.get());
      const bool packed = layout != layouts.end() && layout->second.panel_columns > 0;
      text += mma->accumulator.tile->name + " += " + mma->a.tile->name + " * " + mma->b.tile->name +
              "\n  atom: " + atom.name +
              (packed ? "; " + roles.right.tile->name + " is packed as it is read" : "") + "\n";
    }
    return true;
  });
  return text;
}

}  // namespace pit::emit
