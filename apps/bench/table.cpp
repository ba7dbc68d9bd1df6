#include "table.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace pit::bench {

namespace {

struct Column {
  const char *title;
  int width;
};
constexpr std::array kColumns{Column{"best", 10}, Column{"median", 10}, Column{"index", 10},
                              Column{"memory", 10}, Column{"error", 10}};
constexpr std::size_t kSystemWidth = 34;

std::string left(const std::string &text, std::size_t width) {
  return text + std::string(width - std::min(width, text.size()), ' ');
}
std::string right(const std::string &text, int width) {
  const auto missing =
      std::max<std::ptrdiff_t>(width - static_cast<std::ptrdiff_t>(text.size()), 0);
  return std::string(static_cast<std::size_t>(missing), ' ') + text;
}

std::string time_cell(const std::optional<double> &microseconds) {
  return microseconds ? duration(*microseconds) : "";
}

std::string memory_cell(const std::optional<double> &bytes) {
  if (!bytes) return "";
  return *bytes < 1e5 ? three_digits(*bytes / 1e3) + " kB" : three_digits(*bytes / 1e6) + " MB";
}

std::string error_cell(const std::optional<double> &error) {
  if (!error) return "";
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.1e", *error);
  return text.data();
}

}  // namespace

Table::Table(std::ostream &out, const std::vector<std::string> &names) : out_(out), name_width_(4) {
  for (const std::string &name : names) name_width_ = std::max(name_width_, name.size());
}

void Table::header() {
  out_ << left("case", name_width_) << "  threads  " << left("system", kSystemWidth);
  for (const auto &[title, width] : kColumns) out_ << right(title, width);
  out_ << "  speed-up\n";
}

void Table::rows(const std::vector<Row> &rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row &row = rows[i];
    out_ << left(row.case_name, name_width_)
         << right(row.threads > 0 ? std::to_string(row.threads) : "", 9) << "  "
         << left(row.system, kSystemWidth);
    if (!row.total_us) {
      out_ << "  " << row.note << '\n';
      continue;
    }
    const std::array cells{time_cell(row.best_us), time_cell(row.total_us),
                           *row.index_us > 0 ? time_cell(row.index_us) : "",
                           memory_cell(row.workspace_bytes), error_cell(row.rel_err)};
    static_assert(std::tuple_size_v<decltype(cells)> == kColumns.size());
    for (std::size_t c = 0; c < cells.size(); ++c) out_ << right(cells[c], kColumns[c].width);
    const char *separator = "  ";
    for (std::size_t j = i; j < rows.size() && rows[j].system == row.system; i = j++) {
      if (rows[j].versus.empty()) continue;
      out_ << separator << three_digits(*rows[j].ratio) << "x " << rows[j].versus;
      separator = ", ";
    }
    out_ << '\n';
  }
  out_ << std::flush;
}

}  // namespace pit::bench
