// The atoms of the host: the inner kernels that an Mma can be made of.
//
// An atom multiplies a column of `rows` numbers by a row of `vectors` vectors, once for each k, and
// keeps the rows x columns sums in registers. A new instruction is a new row of the table.
#pragma once

#include <string>
#include <vector>

#include "dsl/type.h"
#include "machine.h"

namespace pit::host {

struct Atom {
  std::string name;      ///< "avx512.float32.8x32"
  Type type;             ///< of products and sums; operands are widened to it
  int rows = 0;          ///< accumulator rows, broadcast from operand a
  int columns = 0;       ///< accumulator columns: whole vectors of operand b
  int vector_bytes = 0;  ///< of one vector register
  std::string feature;   ///< the Target feature it needs
  double cost = 0;       ///< cycles for each k, from throughput of the multiply-adds
  int lanes() const { return vector_bytes / type.bytes(); }
};

/// Every row, best first among those of one type.
const std::vector<Atom> &atoms();

/// The type that products and sums of an accumulator of `type` are computed in: float32 for 16-bit
/// floats.
Type compute_type(Type type);

/// The names of the atoms for an accumulator of type `type` on `machine`, best first.
std::vector<std::string> atom_names(Type type, const Machine &machine);

/// The atom for an accumulator of type `type` on `machine`. `name` forces a row; a CompileError
/// lists the names that would do when there is no such row, or it does not fit the type or the
/// machine.
const Atom &select_atom(Type type, const Machine &machine, const std::string &name = "");

}  // namespace pit::host
