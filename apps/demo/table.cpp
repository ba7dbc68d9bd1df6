#include "table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

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

// JSON has no infinities and no NaN.
std::string json_number(double value) {
  return std::isfinite(value) ? format("%.6g", value) : "null";
}

void write_row(std::ostream &out, const Measurement &m, int threads, bool pit) {
  const Times &times = pit ? m.sparse : m.dense;
  out << "{\"case\": " << json_string(m.name) << ", \"system\": " << (pit ? "\"pit\"" : "\"dense\"")
      << ", \"threads\": " << threads << ", \"density\": " << json_number(pit ? m.density : 1)
      << ", \"fill\": " << json_number(pit ? m.fill : m.dense_fill)
      << ", \"index_us\": " << json_number(times.index)
      << ", \"run_us\": " << json_number(times.run)
      << ", \"total_us\": " << json_number(times.total)
      << ", \"vs\": " << (pit ? "\"dense\"" : "null")
      << ", \"ratio\": " << (pit ? json_number(m.speed_up()) : "null")
      << ", \"rel_err\": " << json_number(pit ? m.sparse_error.relative : m.dense_error.relative)
      << "}";
}

}  // namespace

Table::Table(std::ostream &out, const std::vector<std::string> &names) : out_(out), name_width_(4) {
  for (const std::string &name : names) name_width_ = std::max(name_width_, name.size());
}

void Table::header() {
  out_ << "case" << std::string(name_width_ - 4, ' ');
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
  for (std::size_t i = 0; i < cells.size(); ++i) out_ << padded(cells[i], kColumns[i].width);
  out_ << '\n' << std::flush;
}

std::string json_string(const std::string &text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += format("\\u%04x", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
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
