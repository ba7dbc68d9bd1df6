// What is measured: one row for a system in a case with a number of threads, for each system that
// it is compared with.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pit::bench {

/// Times are in microseconds, of one operation.
struct Row {
  std::string case_name{}, type{}, micro{}, system{};
  int threads = 1;                   ///< of the host; 0: it runs on a device
  std::string device{};              ///< "NVIDIA H100 80GB HBM3"; empty: the host
  std::optional<double> sparsity{};  ///< share of the micro-tiles that are zero
  std::optional<double> density{};   ///< 1 - sparsity
  std::optional<double> fill{};      ///< share of non-zeros in micro-tiles that are kept
  /// "not found" when there is nothing more; how the ratio came about when it is another one.
  std::string note{};

  std::optional<double> index_us{};  ///< median: sparse indices, format conversions
  std::optional<double> run_us{};    ///< median: everything else
  std::optional<double> total_us{};  ///< median of the whole
  std::optional<double> best_us{};   ///< least time of the whole
  std::string versus{};              ///< empty: compared with nothing
  /// Time of `versus` / time of this system: the median over rounds in which one followed the
  /// other.
  std::optional<double> ratio{};
  std::optional<double> best_ratio{};  ///< of the least times
  std::optional<double> workspace_bytes{};
  std::optional<double> kernels{};  ///< launches of one operation on a device
  /// Largest difference from float64 arithmetic / its largest magnitude, over sampled elements.
  std::optional<double> rel_err{};
  int rounds = 0;
};

/// Everything that one run of the program found out.
struct Results {
  std::vector<std::pair<std::string, std::string>> machine;  ///< what, value
  std::vector<Row> rows;
};

/// One row a line.
std::string to_json(const Results &results);
/// Inverse of to_json; std::runtime_error when `text` is something else.
Results from_json(const std::string &text);

/// "2.46 ms".
std::string duration(double microseconds);
/// `value` in three significant digits.
std::string three_digits(double value);

}  // namespace pit::bench
