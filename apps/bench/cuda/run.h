// The benchmark on a CUDA device.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "apps/bench/options.h"
#include "apps/bench/row.h"
#include "driver.h"

namespace pit::bench::cuda {

/// Measures the cases named in `chosen`; the table goes to `out` as it grows. Appends to `wrong` as
/// measure does.
Results measure_all(const Device &device, const std::vector<std::string> &chosen,
                    const Options &options, std::ostream &out, std::vector<std::string> &wrong);

}  // namespace pit::bench::cuda
