// The atoms of the host: the inner kernels that an Mma can be made of.
//
// An atom multiplies a column of `rows` units by a row of `columns` units, once for each step of k,
// and keeps the rows x columns sums in registers. A unit is what one lane multiplies in one
// instruction: one number, or `group` consecutive numbers of k side by side, whose products are
// added. A new instruction is a new row of the table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dsl/type.h"
#include "machine.h"

namespace pit::host {

enum class AtomKind : std::uint8_t {
  MultiplyAdd,  ///< of any type; group 1
  DotBfloat16,  ///< pairs; subnormal operands count as zero, subnormal sums become zero
  DotInt16,     ///< pairs; exact modulo 2^32
  DotInt8,      ///< fours, unsigned by signed; exact modulo 2^32
};

struct Atom {
  std::string name;  ///< "avx512.float32.8x32", "avx512_bf16.float32.bfloat16x2.14x32"
  Type type;         ///< of sums
  AtomKind kind = AtomKind::MultiplyAdd;
  Type left, right;      ///< of the numbers in a unit; operands are widened to it
  int group = 1;         ///< numbers in a unit, which takes as many bytes as a sum
  int rows = 0;          ///< accumulator rows, broadcast from operand a
  int columns = 0;       ///< accumulator columns: whole vectors of operand b
  int vector_bytes = 0;  ///< of one vector register
  std::string feature;   ///< the Target feature it needs
  double cost = 0;       ///< cycles for each step of k, from throughput of the multiply-adds
  int lanes() const { return vector_bytes / type.bytes(); }
  int vectors() const { return columns / lanes(); }
};

/// The types that meet in an Mma. 16-bit floats that no atom multiplies as they are get widened.
struct MmaTypes {
  Type sum, left, right;
};

/// Every row, best first among those of one type.
const std::vector<Atom> &atoms();

/// The type that sums of an accumulator of `type` are computed in: float32 for 16-bit floats.
Type compute_type(Type type);

/// The names of the atoms for an accumulator of type `sum` on `machine`, best first.
std::vector<std::string> atom_names(Type sum, const Machine &machine);

/// The atom for operands and accumulator of these types on `machine`. `name` forces a row; a
/// CompileError lists the names that would do when there is no such row, or it does not fit the
/// types or the machine.
const Atom &select_atom(const MmaTypes &types, const Machine &machine,
                        const std::string &name = "");

}  // namespace pit::host
