// The cases of the benchmark: a computation, data for it, and the systems that compute it.
#pragma once

#include <pit/pit.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pit::bench {

/// With what a system is compared.
struct Versus {
  std::string system;
  bool plus_index = false;  ///< its time and our time for the index together
};

/// A system that computes a problem. Its functions are called from one thread.
struct Subject {
  std::string system{};
  std::string missing{};  ///< why it cannot compute this: "not found"; then nothing else is set
  /// Computes data set number `set`: what is timed.
  std::function<void(int set)> run{};
  int calls = 1;  ///< how many operations one `run` makes
  /// Of the last run. Microseconds to build sparse indices or convert formats; none: 0.
  std::function<double()> index_us{};
  /// Of the last run, where not the wall-clock time counts.
  std::function<double()> measured_us{};
  /// Of the last run: bytes of workspace; none: unknown.
  std::function<double()> workspace_bytes{};
  std::vector<AnyBuffer> outputs{};  ///< of every data set; empty: nothing to check
  /// Where in its output of a data set an element is; none: where Expected says.
  std::function<Shape(int set, const Shape &at)> locate{};
  std::vector<Versus> versus{};
};

/// An element of an output as float64 arithmetic gives it.
struct Expected {
  Shape at;
  double value;
  double allowed;  ///< how far a right result may be off
};

/// A case with its data, which is random. Every run takes the next data set.
struct Problem {
  Type type{};
  std::string micro{};               ///< micro-tile: "64x1", or empty
  std::optional<double> sparsity{};  ///< share of the micro-tiles that are zero
  std::optional<double> fill{};      ///< share of non-zeros in the other micro-tiles
  int sets = 1;
  std::vector<Subject> subjects{};
  /// Sampled elements of the output of a data set.
  std::function<std::vector<Expected>(int set)> expected{};
};

/// What data and code depend on.
struct Settings {
  Target target;
  std::uint64_t seed = 0;
  bool small = false;  ///< sizes of a test
};

struct Case {
  std::string name;
  bool threaded = true;  ///< false: it uses one thread whatever there are
  std::function<Problem(const Settings &)> make;
};

/// All cases, in the order in which they are shown.
std::vector<Case> all_cases();

// The groups that all_cases consists of.
void add_dense_cases(std::vector<Case> &cases);
void add_spmm_cases(std::vector<Case> &cases);
void add_moe_cases(std::vector<Case> &cases);
void add_part_cases(std::vector<Case> &cases);

}  // namespace pit::bench
