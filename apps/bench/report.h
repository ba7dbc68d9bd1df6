// What the measurements say: which targets are met, and a page for the documentation.
#pragma once

#include <string>
#include <vector>

#include "row.h"

namespace pit::bench {

/// Whether there is a target about the case, of those for a CUDA device or for the host.
bool has_target(const std::string &case_name, bool device);

/// The patterns of the cases that these targets are about.
std::vector<std::string> target_cases(bool device);

/// A line for every target that the rows say something about: met or not, and the figure.
std::string targets_text(const Results &results);

/// A page in Markdown: how it was measured, the machine, the targets, the picture and all rows.
/// `picture`: a path relative to the page, or empty.
std::string report(const Results &results, const std::string &picture);

}  // namespace pit::bench
