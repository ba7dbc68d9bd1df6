#include "report.h"

#include <algorithm>
#include <array>
#include <cstdio>

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

constexpr Goal kGoals[] = {
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

struct Verdict {
  std::string what, wanted, got;
  const Row *row;
  bool met;
};

std::vector<Verdict> verdicts(const Results &results) {
  std::vector<Verdict> list;
  for (const Goal &goal : kGoals) {
    const std::string versus = goal.versus;
    for (const Row &row : results.rows) {
      if (!program::matches(goal.cases, row.case_name) || row.system != goal.system) continue;
      if (!versus.empty() && row.versus == versus && row.ratio) {
        list.push_back({goal.what, "at least " + three_digits(goal.bound) + "x",
                        three_digits(*row.ratio) + "x", &row, *row.ratio >= goal.bound});
      } else if (versus.empty() && row.total_us) {
        list.push_back({goal.what, "at most " + duration(goal.bound), duration(*row.total_us), &row,
                        *row.total_us <= goal.bound});
      }
    }
  }
  return list;
}

std::string threads_text(int threads) {
  return std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

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
    text += "| " + row.case_name + " | " + std::to_string(row.threads) + " | " + row.system + " | ";
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

constexpr const char *kHow = R"(# The host beside libraries

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

}  // namespace

std::string targets_text(const Results &results) {
  std::string text;
  for (const auto &[what, wanted, got, row, met] : verdicts(results)) {
    text += std::string(met ? "met      " : "not met  ") + what + " (" + row->case_name + ", " +
            threads_text(row->threads) + "): " + got + ", wanted " + wanted + "\n";
  }
  return text;
}

std::string report(const Results &results, const std::string &picture) {
  std::string text = kHow;
  text += "\n## Machine\n\n| | |\n|---|---|\n";
  for (const auto &[what, value] : results.machine) text += "| " + what + " | " + value + " |\n";
  text += "\n## Targets\n\n| | case | threads | wanted | measured | |\n|---|---|---|---|---|---|\n";
  for (const auto &[what, wanted, got, row, met] : verdicts(results)) {
    text += "| " + what + " | " + row->case_name + " | " + std::to_string(row->threads) + " | " +
            wanted + " | " + got + " | " + (met ? "met" : "**not met**") + " |\n";
  }
  if (!picture.empty()) {
    text +=
        "\n## Time over sparsity\n\n![Time of sparse products over sparsity](" + picture + ")\n";
  }
  text += "\n## All rows\n\n" + rows_table(results.rows);
  return text;
}

}  // namespace pit::bench
