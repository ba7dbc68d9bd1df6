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
    {"avx512", 64, 14, 2, 2}, {"avx512", 64, 12, 2, 2}, {"avx512", 64, 8, 2, 2},
    {"avx2", 32, 6, 2, 2},    {"avx2", 32, 4, 2, 2},    {"sse41", 16, 4, 2, 1},
};

constexpr Type kTypes[] = {float32, float64, int32,  int64, uint32,
                           uint64,  int16,   uint16, int8,  uint8};

// Instructions that add products of neighbours. Without VNNI pairs of int16 take an addition more,
// and a register for what is added; unsigned by signed takes two vectors of sums more when the
// unsigned operand stands for a signed one.
struct Dot {
  AtomKind kind;
  Type left, right;
  int group;
  Level level;
};

constexpr Dot kFloatDots[] = {
    {AtomKind::DotBfloat16, bfloat16, bfloat16, 2, {"avx512_bf16", 64, 14, 2, 2}},
};
constexpr Dot kIntegerDots[] = {
    {AtomKind::DotInt8, uint8, int8, 4, {"avx512_vnni", 64, 12, 2, 2}},
    {AtomKind::DotInt16, int16, int16, 2, {"avx512_vnni", 64, 14, 2, 2}},
    {AtomKind::DotInt16, int16, int16, 2, {"avx512", 64, 12, 2, 1}},
    {AtomKind::DotInt16, int16, int16, 2, {"avx2", 32, 6, 2, 1}},
    {AtomKind::DotInt16, int16, int16, 2, {"sse41", 16, 4, 2, 0.5}},
};

Atom make_atom(Type type, AtomKind kind, Type left, Type right, int group, const Level &level) {
  const int columns = level.vectors * level.vector_bytes / type.bytes();
  std::string name = std::string(level.feature) + "." + to_string(type) + ".";
  if (group > 1) name += to_string(right) + "x" + std::to_string(group) + ".";
  name += std::to_string(level.rows) + "x" + std::to_string(columns);
  return {name,
          type,
          kind,
          left,
          right,
          group,
          level.rows,
          columns,
          level.vector_bytes,
          level.feature,
          level.rows * level.vectors / level.issue};
}

std::vector<Atom> make_table() {
  std::vector<Atom> table;
  const auto add_dots = [&](Type type, const auto &dots) {
    for (const Dot &dot : dots)
      table.push_back(make_atom(type, dot.kind, dot.left, dot.right, dot.group, dot.level));
  };
  for (const Type type : kTypes) {
    if (type == float32) add_dots(type, kFloatDots);
    if (type == int32 || type == uint32) add_dots(type, kIntegerDots);
    for (const Level &level : kLevels)
      table.push_back(make_atom(type, AtomKind::MultiplyAdd, type, type, 1, level));
  }
  return table;
}

bool fits(const Atom &atom, Type sum, const Machine &machine) {
  if (atom.feature == "avx512_bf16" && !machine.bf16) return false;
  if (atom.feature == "avx512_vnni" && !machine.vnni) return false;
  return atom.type == compute_type(sum) && atom.vector_bytes <= machine.vector_bytes;
}

bool holds_int16(Type type) { return type == int8 || type == uint8 || type == int16; }

bool fits(const Atom &atom, const MmaTypes &types, const Machine &machine) {
  if (!fits(atom, types.sum, machine)) return false;
  switch (atom.kind) {
    case AtomKind::MultiplyAdd:
      return true;
    case AtomKind::DotBfloat16:
      return types.left == bfloat16 && types.right == bfloat16;
    case AtomKind::DotInt16:
      return holds_int16(types.left) && holds_int16(types.right);
    case AtomKind::DotInt8:
      return (types.left == uint8 || types.left == int8) && types.right == int8;
  }
  return false;
}

}  // namespace

const std::vector<Atom> &atoms() {
  static const std::vector<Atom> table = make_table();
  return table;
}

Type compute_type(Type type) { return type.is_float() && type.bits == 16 ? float32 : type; }

std::vector<std::string> atom_names(Type sum, const Machine &machine) {
  std::vector<std::string> names;
  for (const Atom &atom : atoms()) {
    if (fits(atom, sum, machine)) names.push_back(atom.name);
  }
  return names;
}

const Atom &select_atom(const MmaTypes &types, const Machine &machine, const std::string &name) {
  std::string names;
  for (const Atom &atom : atoms()) {
    if (!fits(atom, types, machine)) continue;
    if (name.empty() || atom.name == name) return atom;
    names += (names.empty() ? "" : ", ") + atom.name;
  }
  internal_check(!name.empty(), "no atom multiplies " + to_string(types.sum));
  throw CompileError("atom '" + name + "': the target has no such atom for sums of " +
                         to_string(types.sum) + " over products of " + to_string(types.left) +
                         " and " + to_string(types.right) + "; it has " + names,
                     std::source_location{});
}

}  // namespace pit::host
