// The atoms of NVIDIA GPUs: the instructions that the staged level multiplies tiles with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dsl/type.h"

namespace pit::ir {

/// How an atom is used. WarpgroupMatrix (PTX: wgmma): asynchronous, by four warps, operands in
/// shared memory, accumulators in an Accumulator layout `together` 4. WarpMatrix (PTX: ldmatrix and
/// mma.sync): by each warp, an Accumulator layout `together` 1. Of both the left operand may be in
/// registers, an OperandA layout of the accumulators' numbers. MultiplyAdd (PTX: fma): outer
/// products by each thread, a Blocked layout.
enum class AtomKind : std::uint8_t { WarpgroupMatrix, WarpMatrix, MultiplyAdd };

/// A row of the table. A new instruction is a new row and its emitter.
struct Atom {
  std::string name;  ///< that a schedule may say: "sm_80.float32.bfloat16.16x8x16"
  AtomKind kind;
  Type sum;            ///< of accumulators, and what is added in
  Type operand;        ///< of both operands
  int m, n, k;         ///< of one instruction; n: the most, where it has several
  std::string target;  ///< feature that the target needs, or a newer one
  /// Operands are rounded to fewer bits than they have: only a schedule that names the atom gets
  /// it.
  bool rounds;
};

/// Every row; among those of one kind and the same types, the one to prefer first.
const std::vector<Atom> &atoms();

/// The row called `name`; null: none.
const Atom *find_atom(const std::string &name);

/// The row for these types, of a kind that roles with warpgroups use (`warpgroups`) or that all
/// warps of a block do. `name` forces a row. Null when there is none; *reason then says why, in
/// words that follow the name of a kernel's product.
const Atom *select_atom(Type sum, Type a, Type b, bool warpgroups, const std::string &name,
                        std::string *reason);

/// The names for sums of a type on a target that has sm_90a (`newest`) or only sm_80.
std::vector<std::string> atom_names(Type sum, bool newest);

}  // namespace pit::ir
