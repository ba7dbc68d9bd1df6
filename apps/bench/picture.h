// The picture of the sparse products.
#pragma once

#include <string>

#include "row.h"

namespace pit::bench {

/// An SVG picture: for each micro-tile a diagram of the median time over the sparsity, on a
/// logarithmic axis, with one line a system; of the rows with the fewest threads.
std::string picture(const Results &results);

}  // namespace pit::bench
