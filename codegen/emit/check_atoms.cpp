#include "check_atoms.h"

#include <algorithm>

#include "codegen/host/atoms.h"
#include "codegen/ir/atoms.h"
#include "dsl/error.h"
#include "dsl/loop_names.h"

namespace pit::emit {

void check_atoms(const Schedule &schedule, const Target &target) {
  const auto names_for = [&](Type type) {
    return target.is_cuda() ? ir::atom_names(type, target.has("sm_90a"))
                            : host::atom_names(type, host::machine_of(target));
  };
  for (const Directive &directive : schedule.directives) {
    const FuncPtr func = directive.func.lock();
    if (directive.kind != DirectiveKind::Atom || !func) continue;
    std::string names;
    bool found = false;
    for (const Type type : func->types) {
      for (const std::string &name : names_for(type)) {
        found = found || name == directive.text;
        if (names.find(name) == std::string::npos) names += (names.empty() ? "" : ", ") + name;
      }
    }
    if (found) continue;
    throw CompileError(definition_name(*func, directive.definition) + ".atom(\"" + directive.text +
                           "\"): target " + target.to_string() + " has no such atom for sums of " +
                           to_string(func->types.front()) +
                           (names.empty() ? "; none multiplies this type"
                                          : "; name one of " + names + ", or none to get the best"),
                       directive.where);
  }
}

}  // namespace pit::emit
