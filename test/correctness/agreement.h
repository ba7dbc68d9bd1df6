// Every schedule of an operator, on every engine and target, gives what the reference gives.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "test/harness.h"

namespace pit::test {

/// One set of data for an operator.
struct Data {
  std::string name;
  Problem problem;
  bool exact = true;      ///< small integers: every order of summation gives the same bytes
  bool interpret = true;  ///< small enough for the tile interpreter
};

/// An operator, its schedules as text (an empty text is the plain loop nest) and its data.
struct Agreement {
  Pipeline algorithm;
  std::vector<std::string> schedules;
  std::vector<Data> data;
  std::vector<Target> targets = {target_under_test()};  ///< of the compiled code
  double c = 16;  ///< factor of the reference's bound, for data that is not exact
  std::vector<Target> interpreted_for = {"x86-64-linux-cuda-sm_90a"};  ///< GPUs, by the interpreter
};

/// Extents that a data set is made of, in the order that its maker knows.
using Size = std::vector<std::int64_t>;

/// Shares of zeros, or of iterations that a mask leaves out.
inline constexpr double kZeros[] = {0, 0.5, 0.9, 0.99, 1};

/// Data sets of all shares of zeros for small sizes, of two for large ones; with exact numbers, and
/// once with reals. make(size, zeros, exact, generator) gives the Problem. `exact_only`: there are
/// no reals to try.
template <class Make>
std::vector<Data> sweep(const std::vector<Size> &sizes, const Make &make, bool exact_only = false) {
  std::vector<Data> data;
  std::mt19937 generator = test_generator(1);
  for (const Size &size : sizes) {
    std::int64_t work = 1;
    for (const std::int64_t extent : size) work *= extent;
    const bool large = work > 100000;
    for (const double zeros : kZeros) {
      if (large && zeros != 0.5 && zeros != 0.99) continue;
      for (const bool exact : {true, false}) {
        if (!exact && (exact_only || zeros != 0.5)) continue;
        data.push_back(
            {to_string(size) + " zeros " + std::to_string(zeros) + (exact ? " integers" : " reals"),
             make(size, zeros, exact, generator), exact, !large});
      }
    }
  }
  return data;
}

/// The same data sets as reals in the reference's bound: for operators whose results are rounded.
inline std::vector<Data> inexact(std::vector<Data> data) {
  for (Data &d : data) d.exact = false;
  return data;
}

/// 0 and 1 of `type`, a share `zeros` of them 0.
inline AnyBuffer random_mask(Type type, const Shape &extents, std::mt19937 &generator,
                             double zeros) {
  const AnyBuffer mask(type, extents);
  std::uniform_real_distribution<double> unit(0, 1);
  for_each_coordinate(
      extents, [&](const Shape &at) { mask.set_number(at, unit(generator) < zeros ? 0 : 1); });
  return mask;
}

/// Integers in [low, high).
inline AnyBuffer random_integers(Type type, const Shape &extents, std::mt19937 &generator,
                                 std::int64_t low, std::int64_t high) {
  const AnyBuffer b(type, extents);
  std::uniform_int_distribution<std::int64_t> uniform(low, high - 1);
  for_each_coordinate(
      extents, [&](const Shape &at) { b.set_number(at, static_cast<double>(uniform(generator))); });
  return b;
}

/// The same elements inside a larger buffer whose other bytes are `byte` (0xFF: NaN as a float of
/// any width). Rows no longer follow each other and data is aligned for the element alone.
AnyBuffer guarded(const AnyBuffer &buffer, int byte);
/// The buffer around a guarded one still has its bytes: nothing was written beside it.
class GuardedOutputs {
 public:
  GuardedOutputs(const Pipeline &pipeline, const Problem &problem);
  const std::map<std::string, AnyBuffer> &views() const { return views_; }
  bool intact() const;  ///< the bytes around the outputs are what they were

 private:
  std::map<std::string, AnyBuffer> around_, views_;
};

/// The problem with every input guarded.
Problem guarded(const Problem &problem);

/// Runs it all with doctest assertions that name schedule, data, engine and target.
void check_agreement(const Agreement &agreement);

/// GPUs whose kernels have another form: wgmma and bulk copies, mma.sync and copies by lines.
inline std::vector<Target> every_cuda() {
  return {"x86-64-linux-cuda-sm_90a", "x86-64-linux-cuda-sm_80"};
}

/// This machine's CPU with everything it has, with AVX2 only, with SSE4.1 only.
inline std::vector<Target> every_host() { return {Target(), "x86-64-linux-avx2", "x86-64-linux"}; }

}  // namespace pit::test
