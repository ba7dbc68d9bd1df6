#include "report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>

#include "apps/program/command_line.h"

namespace pit::bench {

namespace {

// What rows of the system `system` in some cases should reach: as a ratio to `versus`, or as a
// time.
struct Goal {
  const char *what;
  const char *cases;
  const char *system;
  const char *versus;  // empty: a time
  double bound;        // least ratio, or most microseconds
};

constexpr Goal kHostGoals[] = {
    {"dense float32 product, beside OpenBLAS", "dense/f32", "pit", "OpenBLAS", 0.85},
    {"dense bfloat16 product, beside oneDNN", "dense/bf16", "pit", "oneDNN", 0.8},
    {"64x1 micro-tiles, 95% zero, beside OpenBLAS on all elements", "spmm/64x1/f32/95%", "pit",
     "OpenBLAS", 6},
    {"64x1 micro-tiles, 95% zero, beside Eigen's CSR product alone", "spmm/64x1/f32/95%", "pit",
     "Eigen CSR", 2},
    {"mixture of experts, beside OpenBLAS on gathered rows", "moe/*", "pit",
     "OpenBLAS, gathered rows", 1 / 1.2},
    {"index, beside reading the operand", "index/*", "pit index", "memory read", 0.6},
    {"nothing zero, beside the dense schedule and the index", "spmm/64x1/f32/0%", "pit",
     "pit dense + index", 1 / 1.1},
    {"compiling the sparse product again", "compile/spmm", "pit", "", 60000},
    {"calling an operator", "call/one-element", "pit", "", 0.5},
};

constexpr const char *kPacked = "cuBLAS, packed rows";
constexpr const char *kTested = "pit, rows given";
constexpr const char *kBelieved = "pit, rows given, no asserts";
constexpr Goal kDeviceGoals[] = {
    {"gathered rows, list tested, beside cuBLAS on packed rows", "gather/4096of16384-*", kTested,
     kPacked, 0.97},
    {"gathered rows, list tested, beside cuBLAS on packed rows", "gather/16384of65536-*", kTested,
     kPacked, 0.98},
    {"gathered rows, list tested, beside cuBLAS on packed rows", "gather/8192of8192-*", kTested,
     kPacked, 1},
    {"gathered rows, list tested, beside cuBLAS on packed rows", "gather/3000of10000-*", kTested,
     kPacked, 0.95},
    {"gathered rows, list tested, beside cuBLAS on packed rows", "gather/4096of32768-*", kTested,
     kPacked, 0.95},
    {"gathered rows, list believed, beside cuBLAS on packed rows", "gather/4096of16384-*",
     kBelieved, kPacked, 0.97},
    {"gathered rows, list believed, beside cuBLAS on packed rows", "gather/16384of65536-*",
     kBelieved, kPacked, 0.98},
    {"gathered rows, list believed, beside cuBLAS on packed rows", "gather/8192of8192-*", kBelieved,
     kPacked, 1},
    {"gathered rows, list believed, beside cuBLAS on packed rows", "gather/3000of10000-*",
     kBelieved, kPacked, 0.95},
    {"gathered rows, list believed, beside cuBLAS on packed rows", "gather/4096of32768-*",
     kBelieved, kPacked, 0.95},
    {"product with zeros, index included", "spmm/128x1/bf16/90%", "pit", "", 58},
    {"product with zeros, index included", "spmm/128x1/bf16/95%", "pit", "", 48},
    {"product with zeros, index included", "spmm/128x1/bf16/99%", "pit", "", 38},
    {"product with zeros, beside cuBLAS on all elements", "spmm/128x1/bf16/50%", "pit", "cuBLAS",
     1},
    {"product with zeros, index included", "spmm/128x128/bf16/90%", "pit", "", 55},
    {"product with zeros, index included", "spmm/128x128/bf16/99%", "pit", "", 38},
    {"product with zeros, index included", "spmm/64x64/bf16/90%", "pit", "", 80},
    {"product with zeros, index included", "spmm/64x1/bf16/90%", "pit", "", 80},
    {"product with zeros, index included", "spmm/32x1/bf16/95%", "pit", "", 70},
    {"product with zeros, beside cuBLAS on all elements", "spmm/1x64/bf16/99%", "pit", "cuBLAS", 1},
    {"product with zeros, beside cuBLAS on all elements", "spmm/32x1/f32/95%", "pit", "cuBLAS", 8},
    {"layer of experts", "moe/switch-base-128", "pit", "", 560},
    {"layer of experts", "moe/mixtral-8x7b", "pit", "", 9200},
    {"layer of experts", "moe/qwen3-30b-a3b", "pit", "", 5000},
    {"layer of experts", "moe/deepseek-v3", "pit", "", 20500},
    {"index alone", "index/64x64/*", "pit index", "", 240},
    {"index alone", "index/32x1/*", "pit index", "", 240},
    {"index alone", "index/1x64/*", "pit index", "", 240},
    {"index in order, beside one without", "index/*", "pit index", "pit index, unordered", 1 / 1.1},
    {"all rows gathered, beside the dense schedule and the index", "gather/8192of8192-*", "pit",
     "pit dense + index", 1 / 1.05},
    {"nothing zero, beside the dense schedule and the index", "spmm-8192/128x1/bf16/0%", "pit",
     "pit dense + index", 1 / 1.25},
    {"dense product, beside cuBLAS", "dense/bf16/8192", "pit", "cuBLAS", 0.95},
    {"compiling the sparse product again", "compile/spmm", "pit", "", 150000},
    {"the host's time for a kernel", "launch/spmm", "pit, a kernel of a call", "", 5},
    {"the host's time for a replay", "launch/spmm", "pit, a replay of a graph", "", 6},
};

std::span<const Goal> goals(bool device) {
  if (device) return kDeviceGoals;
  return kHostGoals;
}

bool is_device(const Results &results) {
  return std::any_of(results.rows.begin(), results.rows.end(),
                     [](const Row &row) { return !row.device.empty(); });
}

struct Verdict {
  std::string what, wanted, got;
  const Row *row;
  bool met;
  bool of_ratio;  ///< else of a time
};

std::vector<Verdict> verdicts(const Results &results) {
  std::vector<Verdict> list;
  for (const Goal &goal : goals(is_device(results))) {
    const std::string versus = goal.versus;
    std::string seen;
    for (const Row &row : results.rows) {
      if (!program::matches(goal.cases, row.case_name) || row.system != goal.system) continue;
      if (!versus.empty() && row.versus == versus && row.ratio) {
        list.push_back({goal.what, "at least " + three_digits(goal.bound) + "x",
                        three_digits(*row.ratio) + "x", &row, *row.ratio >= goal.bound, true});
      } else if (versus.empty() && row.total_us &&
                 seen != row.case_name + std::to_string(row.threads)) {
        // The same time stands in a row for each system that it is compared with.
        seen = row.case_name + std::to_string(row.threads);
        list.push_back({goal.what, "at most " + duration(goal.bound), duration(*row.total_us), &row,
                        *row.total_us <= goal.bound, false});
      }
    }
  }
  return list;
}

std::string threads_text(int threads) {
  if (threads == 0) return "on the device";
  return std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

std::string threads_cell(int threads) { return threads > 0 ? std::to_string(threads) : ""; }

std::string met_cell(bool met) { return met ? "met" : "**not met**"; }

std::string cell(const std::optional<double> &value) { return value ? duration(*value) : ""; }

std::string error_cell(const Row &row) {
  if (!row.rel_err) return "";
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.1e", *row.rel_err);
  return text.data();
}

std::string memory_cell(const Row &row) {
  return row.workspace_bytes ? three_digits(*row.workspace_bytes / 1e6) + " MB" : "";
}

// All rows of one system in one case are one line.
std::string rows_table(const std::vector<Row> &rows) {
  std::string text =
      "| case | threads | system | best | median | index | workspace | error | speed-up over |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row &row = rows[i];
    text += "| " + row.case_name + " | " + threads_cell(row.threads) + " | " + row.system + " | ";
    if (!row.total_us) {
      text += row.note + " | | | | | |\n";
      continue;
    }
    const bool index = row.index_us && *row.index_us > 0;
    text += cell(row.best_us) + " | " + cell(row.total_us) + " | " +
            (index ? cell(row.index_us) : "") + " | " + memory_cell(row) + " | " + error_cell(row) +
            " | ";
    const auto same = [&](const Row &other) {
      return other.case_name == row.case_name && other.threads == row.threads &&
             other.system == row.system;
    };
    const char *separator = "";
    for (std::size_t j = i; j < rows.size() && same(rows[j]); i = j++) {
      if (rows[j].versus.empty() || !rows[j].ratio) continue;
      text += separator + rows[j].versus + " " + three_digits(*rows[j].ratio) + "x";
      separator = ", ";
    }
    text += " |\n";
  }
  return text;
}

// Every speed-up, with the target that is about it.
std::string ratios_table(const std::vector<Row> &rows, const std::vector<Verdict> &verdicts) {
  std::string text =
      "| case | threads | system | beside | speed-up | wanted | |\n|---|---|---|---|---|---|---|\n";
  for (const Row &row : rows) {
    if (row.versus.empty() || !row.ratio) continue;
    text += "| " + row.case_name + " | " + threads_cell(row.threads) + " | " + row.system + " | " +
            row.versus + " | " + three_digits(*row.ratio) + "x" +
            (row.note.empty() ? "" : ", " + row.note) + " | ";
    const auto verdict = std::find_if(verdicts.begin(), verdicts.end(), [&](const Verdict &v) {
      return v.of_ratio && v.row == &row;
    });
    text += verdict == verdicts.end() ? "| |\n"
                                      : verdict->wanted + " | " + met_cell(verdict->met) + " |\n";
  }
  return text;
}

constexpr const char *kHostHow = R"(# The host beside libraries

Written by `./dev bench --json FILE --svg FILE --markdown FILE` from what it measured; do not edit. The same figures are in the
JSON file, and `--from FILE` makes this page from it again.

How rows are measured:

- All systems of a case run in one process on the same random data, which is drawn anew in each run of the program from the
  seed below. There are several data sets, and each round takes the next one, so that caches do not hold the data.
- In a round every system runs once, one after the other, in an order that changes from round to round. A *speed-up* is the
  median over the rounds of the other system's time in a round / this system's time in it: what else the machine does slows both.
- *best* and *median* are times of one operation with everything that it does; *index* is the part of it that finds the
  sparsity or converts the format. "Eigen CSR" multiplies a matrix that was converted before.
- With two threads, every run waits until threads that a library keeps spinning after its call are at rest.
- Every system first computes into memory filled with NaN. Sampled rows are compared with float64 arithmetic, again after the
  last round; *error* is the largest difference / the largest magnitude.
- Libraries run as they do by themselves: variables such as `OPENBLAS_CORETYPE` or `OMP_NUM_THREADS` are ignored. All matrices
  are row-major, none is packed or converted beforehand, unless the name of the system says so.
)";

constexpr const char *kDeviceHow = R"(# A CUDA device beside libraries

Measured by the commands that are named under *Machine*: `./dev bench` runs `pit_bench`, and `apps/bench/peers.py` adds
PyTorch's rows to its JSON file. From that file `./dev bench --from FILE --svg FILE --markdown FILE` writes this page; do not edit.

How rows are measured:

- All systems of a case run in one process on the same random data, which is drawn anew in each run of the program from the
  seed below. There are so many data sets that together they use four times as much as the L2 cache holds, at most 64 or 16 GB.
- A system's work on all data sets, one after the other, is recorded as a CUDA graph. In a round every system's graph is
  replayed once between two events, one after the other, in an order that changes from round to round, while the host is ahead.
  *best* and *median* are the times of a graph / the number of data sets, with everything that the operation does. A *speed-up*
  is the median over the rounds of the other system's time in a round / this system's time in it.
- *index* is the part of an operation that finds the sparsity: the median of its stages' times in calls that are not recorded.
  In the cases `index/` and `routing/` the graph that is timed has only the kernels that build the index. "cuSPARSE" multiplies
  matrices that were converted beforehand; "cuSPARSE conversion" is what that takes.
- Every system first computes into memory filled with NaN, and again by a replay in the end. Sampled elements are compared with
  float64 arithmetic, elements that nothing may be written to among them; *error* is the largest difference / the largest magnitude.
- *workspace* is the most memory that an operation had beside its inputs and outputs: of cuBLAS what it was given.
- "cuBLAS" is `cublasGemmEx`; on *packed rows* it has only the rows that count, which nobody gathers or scatters. In the cases
  `moe/` it multiplies packed rows expert by expert, with neither activation nor sum: less than the layer. It may round sums of
  parts to bfloat16 before it adds them, which is allowed for.
- "copy of half of the matrix" moves as many bytes as reading all of it.
- "tf32": the factors are float32 and rounded to tf32 where they are multiplied.
- PyTorch's systems are timed after all others, on other data of the same distribution, by graphs of as many data sets, or by
  calls where a system waits for the host. What the two sides' speed-ups say is then the ratio of two medians, and they are marked
  so. Sampled elements of the results are compared with float64 arithmetic, too.
- All matrices are row-major. `gather/`: *pit* finds the rows that a mask marks, *pit, rows given* is given their list and tests it
  by two small kernels. With *no asserts* (the target feature `no_asserts`) it believes the list, as cuBLAS believes that rows are
  packed. The targets are for both.
)";

}  // namespace

std::vector<std::string> target_cases(bool device) {
  std::vector<std::string> patterns;
  for (const Goal &goal : goals(device)) patterns.emplace_back(goal.cases);
  return patterns;
}

bool has_target(const std::string &case_name, bool device) {
  const std::span<const Goal> all = goals(device);
  return std::any_of(all.begin(), all.end(),
                     [&](const Goal &goal) { return program::matches(goal.cases, case_name); });
}

std::string targets_text(const Results &results) {
  std::string text;
  for (const auto &[what, wanted, got, row, met, of_ratio] : verdicts(results)) {
    text += std::string(met ? "met      " : "not met  ") + what + " (" + row->case_name + ", " +
            threads_text(row->threads) + "): " + got + ", wanted " + wanted + "\n";
  }
  return text;
}

std::string report(const Results &results, const std::string &picture) {
  const bool device = is_device(results);
  std::string text = device ? kDeviceHow : kHostHow;
  text += "\n## Machine\n\n| | |\n|---|---|\n";
  for (const auto &[what, value] : results.machine) text += "| " + what + " | " + value + " |\n";
  text += "\n## Targets\n\n| | case | threads | wanted | measured | |\n|---|---|---|---|---|---|\n";
  const std::vector<Verdict> judged = verdicts(results);
  for (const auto &[what, wanted, got, row, met, of_ratio] : judged) {
    text += "| " + what + " | " + row->case_name + " | " + threads_cell(row->threads) + " | " +
            wanted + " | " + got + " | " + met_cell(met) + " |\n";
  }
  text += "\n## Speed-ups\n\n" + ratios_table(results.rows, judged);
  if (!picture.empty()) {
    text +=
        "\n## Time over sparsity\n\n![Time of sparse products over sparsity](" + picture + ")\n";
  }
  text += "\n## All rows\n\n" + rows_table(results.rows);
  return text;
}

}  // namespace pit::bench
