// Random matrices and their products in float64.
#pragma once

#include <pit/pit.h>

#include <vector>

#include "case.h"
#include "random.h"

namespace pit::bench {

/// A matrix in an element type and, with the same values, in float32.
struct Matrix {
  AnyBuffer typed;
  Buffer<float, 2> wide;
};

/// Which blocks of a matrix are zero.
struct Pattern {
  std::int64_t rows = 1, columns = 1;  ///< of a block
  double zeros = 0;                    ///< share of the blocks that are zero
};

/// Rows x columns elements, floats in [-1, 1), integers in [-64, 63]; none is zero outside the zero
/// blocks. The share of zero blocks is exact, to one block.
Matrix random_matrix(Type type, std::int64_t rows, std::int64_t columns, Random &random,
                     const Pattern &pattern = {});

/// All columns of some rows of a b. An element may be off by what rounding float32 sums of this
/// length, and then the output to `output`, makes probable; exact if that is an integer type.
std::vector<Expected> expected_product(const Buffer<float, 2> &a, const Buffer<float, 2> &b,
                                       Type output, Random &random);

/// The type of the product of matrices of `type`.
Type product_type(Type type);

}  // namespace pit::bench
