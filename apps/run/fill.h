// Made-up values.
#pragma once

#include <random>

#include "options.h"

namespace pit::run {

/// Values of `range`, evenly spread, whole ones in an array of integers. Then blocks of zeros, with
/// the given probability each.
void fill(Array *array, const Range &range, const Sparsity &sparsity, std::mt19937_64 *generator);

}  // namespace pit::run
