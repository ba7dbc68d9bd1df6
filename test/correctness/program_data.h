// Data for the programs that fix the language by example.
#pragma once

#include <vector>

#include "test/correctness/agreement.h"
#include "test/programs.h"

namespace pit::test {

/// A program and how its data is made.
struct ProgramCase {
  Program program;
  /// Numbers of `type` for both builds of the program. `zeros`: the share of zeros, or of what the
  /// program leaves out. Extents follow from the size alone.
  Problem (*make)(Type type, const Size &size, double zeros, bool exact, std::mt19937 &generator);
  bool rounded;             ///< results of small integers are rounded, too
  std::vector<Size> sizes;  ///< ascending; none is a multiple of the tiles
  Size wide;  ///< rows of multiples of 16 bytes, which tensor cores and bulk copies need, and tiles
              ///< that are not whole

  /// Sums are made in one order, so that reals too give the same bytes in every run.
  bool repeatable() const;
  /// Small integers give the same bytes in any order of summation.
  bool exact(bool integers) const { return integers && !rounded; }
};

const std::vector<ProgramCase> &program_cases();
const ProgramCase &program_case(const std::string &name);

}  // namespace pit::test
