// Operators whose data can be wrong or unusual, with good data for each.
#pragma once

#include <doctest/doctest.h>
#include <pit/pit.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "../harness.h"

namespace pit::test {

/// The arguments of a call in the order of the signature.
std::vector<CallArgument> arguments(const Pipeline &p, const Problem &problem,
                                    const std::map<std::string, AnyBuffer> &outputs);

/// Whether every byte is what poisoned_outputs wrote.
bool is_poison(const AnyBuffer &b);

template <class T>
Buffer<T> values(const std::vector<T> &list) {
  Buffer<T> b({static_cast<std::int64_t>(list.size())});
  for (std::size_t i = 0; i < list.size(); ++i) b(static_cast<std::int64_t>(i)) = list[i];
  return b;
}

/// Small integers in float32, a share `zeros` of them 0.
AnyBuffer numbers(const Shape &extents, int seed, double zeros = 0);

/// An operator with good data.
struct Operator {
  std::function<Pipeline(bool scheduled)> build;
  std::function<Problem()> data;
};

/// Y(t, f) = sum over c of X(t, c) W(expert(t), c, f): tokens sorted by expert when scheduled.
Operator route(Type key, bool drop_negative);

/// Z(p, co) = sum over o, ci of X(nbr(p, o), ci) W(o, ci, co) where nbr(p, o) >= 0.
Operator convolution();

/// Y(m, n) = sum over the row m of a CSR matrix of val(p) X(colidx(p), n).
Operator csr_product();

/// C = A B with the zeros of A skipped. `settings` says more of the index, or nothing.
Operator multiply(const std::function<void(SparseIndex &)> &settings = {}, bool strict = false);

/// The product over lists that the caller gives: columns 0, 2 of row 0 and 1 of row 1.
Operator given(std::int64_t micro = 1, bool ragged = false);

/// Some rows of a matrix times another on matrix units; the rows are listed by the caller.
Operator given_rows();

/// Tokens sorted by expert, by the caller.
Operator given_by_key();

/// Tokens sorted by expert, of which a mask says which elements there are.
Operator masked_route();

/// A Func over what the index of a later one lists.
Operator asked();

/// The blocks of A B^T that a mask selects, in the order of an index that is an output.
Operator blocks();

/// What sets one element of an input.
std::function<void(Problem &)> set(const std::string &tensor, const Shape &at, double value);
/// What replaces an input.
std::function<void(Problem &)> put(const std::string &tensor, const AnyBuffer &b);

}  // namespace pit::test
