#include "atoms.h"

namespace pit::ir {

const std::vector<Atom> &atoms() {
  using enum AtomKind;
  static const std::vector<Atom> table = {
      {"sm_90a.float32.bfloat16.64x256x16", WarpgroupMatrix, float32, bfloat16, 64, 256, 16,
       "sm_90a", false},
      {"sm_90a.float32.float16.64x256x16", WarpgroupMatrix, float32, float16, 64, 256, 16, "sm_90a",
       false},
      {"sm_80.float32.bfloat16.16x8x16", WarpMatrix, float32, bfloat16, 16, 8, 16, "sm_80", false},
      {"sm_80.float32.float16.16x8x16", WarpMatrix, float32, float16, 16, 8, 16, "sm_80", false},
      {"sm_80.float32.tf32.16x8x8", WarpMatrix, float32, float32, 16, 8, 8, "sm_80", true},
      {"sm_80.float32.fma", MultiplyAdd, float32, float32, 1, 1, 1, "sm_80", false},
      {"sm_80.float64.fma", MultiplyAdd, float64, float64, 1, 1, 1, "sm_80", false},
  };
  return table;
}

const Atom *find_atom(const std::string &name) {
  for (const Atom &atom : atoms())
    if (atom.name == name) return &atom;
  return nullptr;
}

const Atom *select_atom(Type sum, Type a, Type b, bool warpgroups, const std::string &name,
                        std::string *reason) {
  for (const Atom &atom : atoms()) {
    const bool named = atom.name == name;
    if (name.empty() ? atom.rounds : !named) continue;
    if (atom.sum == sum && atom.operand == a && atom.operand == b &&
        (atom.kind == AtomKind::WarpgroupMatrix) == warpgroups)
      return &atom;
  }
  *reason = (name.empty() ? "no atom" : "the atom " + name + " does not") +
            std::string(name.empty() ? " multiplies " : " multiply ") + to_string(a) + " by " +
            to_string(b) + " into " + to_string(sum) +
            (warpgroups ? " by warpgroups" : " without warpgroups");
  return nullptr;
}

std::vector<std::string> atom_names(Type sum, bool newest) {
  std::vector<std::string> names;
  for (const Atom &atom : atoms())
    if (atom.sum == sum && (newest || atom.target == "sm_80")) names.push_back(atom.name);
  return names;
}

}  // namespace pit::ir
