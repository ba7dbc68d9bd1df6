// The middle one of some times.
#pragma once

#include <vector>

namespace pit::program {

/// The middle one of `values` in order, of two the larger; there is at least one.
double median(std::vector<double> values);

}  // namespace pit::program
