#include "table.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "apps/program/json.h"

namespace pit::demo {

namespace {

template <class... Values>
std::string format(const char *pattern, Values... values) {
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

struct Column {
  const char *title;
  int width;
};
constexpr std::array kColumns{Column{"density", 8},  Column{"fill", 7},      Column{"index us", 10},
                              Column{"run us", 9},   Column{"total us", 10}, Column{"dense us", 10},
                              Column{"speed-up", 9}, Column{"error", 9}};

std::string padded(const std::string &text, int width) {
  const auto missing =
      std::max<std::ptrdiff_t>(width - static_cast<std::ptrdiff_t>(text.size()), 0);
  return std::string(static_cast<std::size_t>(missing), ' ') + text;
}

void write_row(std::ostream &out, const Measurement &m, int threads, bool pit) {
  const Times &times = pit ? m.sparse : m.dense;
  program::JsonObject row;
  row.add("case", m.name).add("system", pit ? "pit" : "dense").add("target", m.target);
  row.add("threads", threads);
  row.add("density", pit ? m.density : 1).add("fill", pit ? m.fill : m.dense_fill);
  row.add("index_us", times.index).add("run_us", times.run).add("total_us", times.total);
  if (pit) {
    row.add("vs", "dense").add("ratio", m.speed_up());
  } else {
    row.add_null("vs").add_null("ratio");
  }
  row.add("rel_err", pit ? m.sparse_error.relative : m.dense_error.relative);
  out << row.text();
}

}  // namespace

Table::Table(std::ostream &out, const std::vector<std::string> &names,
             const std::vector<std::string> &targets)
    : out_(out), name_width_(4) {
  for (const std::string &name : names) name_width_ = std::max(name_width_, name.size());
  if (targets.size() < 2) return;
  target_width_ = 8;
  for (const std::string &target : targets)
    target_width_ = std::max(target_width_, target.size() + 2);
}

void Table::header() {
  out_ << "case" << std::string(name_width_ - 4, ' ');
  if (target_width_ > 0) out_ << padded("target", static_cast<int>(target_width_));
  for (const auto &[title, width] : kColumns) out_ << padded(title, width);
  out_ << '\n';
}

void Table::row(const Measurement &m) {
  const std::array cells{
      format("%.2f%%", 100 * m.density), format("%.1f%%", 100 * m.fill),
      format("%.0f", m.sparse.index),    format("%.0f", m.sparse.run),
      format("%.0f", m.sparse.total),    format("%.0f", m.dense.total),
      format("%.2fx", m.speed_up()),     format("%.1e", m.sparse_error.relative)};
  static_assert(std::tuple_size_v<decltype(cells)> == kColumns.size());
  out_ << m.name << std::string(name_width_ - std::min(name_width_, m.name.size()), ' ');
  if (target_width_ > 0) out_ << padded(m.target, static_cast<int>(target_width_));
  for (std::size_t i = 0; i < cells.size(); ++i) out_ << padded(cells[i], kColumns[i].width);
  out_ << '\n' << std::flush;
}

void write_json(std::ostream &out, const std::vector<Measurement> &measurements, int threads) {
  out << '[';
  const char *separator = "\n";
  for (const Measurement &measurement : measurements) {
    for (const bool pit : {true, false}) {
      out << separator;
      write_row(out, measurement, threads, pit);
      separator = ",\n";
    }
  }
  out << "\n]\n";
}

}  // namespace pit::demo
