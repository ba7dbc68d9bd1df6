// The operators that are measured, scheduled for speed.
#pragma once

#include <pit/pit.h>

namespace pit::bench {

/// Out = A B of A[m, k] and B[k, n] of `type`; sums and, of integers, Out are 32 bits wide.
Pipeline dense_product(Type type);

/// The same in float32, without the products in which A is zero, in blocks of micro_rows x
/// micro_columns.
Pipeline sparse_product(std::int64_t micro_rows, std::int64_t micro_columns,
                        const std::string &name = "sparse_product");

/// Out = relu(X W1[e]) W2[e] with e = id(t) for every token t: X[token, channel], id[token],
/// W1[expert, channel, hidden], W2[expert, hidden, channel], float32.
Pipeline routed_feed_forward();

/// Out(i) = A(i).
Pipeline copy_elements();

}  // namespace pit::bench
