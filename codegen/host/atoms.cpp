#include "atoms.h"

#include "dsl/error.h"

namespace pit::host {

namespace {

struct Level {
  const char *feature;
  int vector_bytes;
  int rows, vectors;  // of the best register block
  double issue;       // multiply-adds of whole vectors in a cycle
};

// Blocks leave registers for one row of b and a broadcast: 32 registers with AVX-512, else 16.
constexpr Level kLevels[] = {
    {"avx512", 64, 8, 2, 2}, {"avx512", 64, 12, 2, 2}, {"avx512", 64, 14, 2, 2},
    {"avx2", 32, 6, 2, 2},   {"avx2", 32, 4, 2, 2},    {"sse41", 16, 4, 2, 1},
};

constexpr Type kTypes[] = {float32, float64, int32,  int64, uint32,
                           uint64,  int16,   uint16, int8,  uint8};

std::vector<Atom> make_table() {
  std::vector<Atom> table;
  for (const Type type : kTypes) {
    for (const Level &level : kLevels) {
      const int columns = level.vectors * level.vector_bytes / type.bytes();
      table.push_back({std::string(level.feature) + "." + to_string(type) + "." +
                           std::to_string(level.rows) + "x" + std::to_string(columns),
                       type, level.rows, columns, level.vector_bytes, level.feature,
                       level.rows * level.vectors / level.issue});
    }
  }
  return table;
}

bool fits(const Atom &atom, Type type, const Machine &machine) {
  return atom.type == type && atom.vector_bytes <= machine.vector_bytes;
}

}  // namespace

const std::vector<Atom> &atoms() {
  static const std::vector<Atom> table = make_table();
  return table;
}

Type compute_type(Type type) { return type.is_float() && type.bits == 16 ? float32 : type; }

std::vector<std::string> atom_names(Type type, const Machine &machine) {
  std::vector<std::string> names;
  for (const Atom &atom : atoms()) {
    if (fits(atom, compute_type(type), machine)) names.push_back(atom.name);
  }
  return names;
}

const Atom &select_atom(Type type, const Machine &machine, const std::string &name) {
  for (const Atom &atom : atoms()) {
    if (fits(atom, compute_type(type), machine) && (name.empty() || atom.name == name)) return atom;
  }
  internal_check(!name.empty(), "no atom multiplies " + to_string(type));
  std::string names;
  for (const std::string &known : atom_names(type, machine))
    names += (names.empty() ? "" : ", ") + known;
  throw CompileError("atom '" + name + "': the target has no such atom for sums of " +
                         to_string(type) + "; it has " + names,
                     std::source_location{});
}

}  // namespace pit::host
