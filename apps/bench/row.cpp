#include "row.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "apps/program/json.h"

namespace pit::bench {

namespace {

using program::Json;
using program::JsonObject;

// Calls visit(name, member) for every member of a row, in the order of the file.
template <class SomeRow, class Visit>
void for_each_member(SomeRow &row, const Visit &visit) {
  visit("case", row.case_name);
  visit("type", row.type);
  visit("micro", row.micro);
  visit("system", row.system);
  visit("threads", row.threads);
  visit("device", row.device);
  visit("sparsity", row.sparsity);
  visit("density", row.density);
  visit("fill", row.fill);
  visit("note", row.note);
  visit("index_us", row.index_us);
  visit("run_us", row.run_us);
  visit("total_us", row.total_us);
  visit("best_us", row.best_us);
  visit("vs", row.versus);
  visit("ratio", row.ratio);
  visit("best_ratio", row.best_ratio);
  visit("workspace_bytes", row.workspace_bytes);
  visit("kernels", row.kernels);
  visit("rel_err", row.rel_err);
  visit("rounds", row.rounds);
}

struct Writer {
  JsonObject &object;
  void operator()(const char *name, const std::string &text) const {
    if (text.empty()) {
      object.add_null(name);
    } else {
      object.add(name, text);
    }
  }
  void operator()(const char *name, int number) const { object.add(name, number); }
  void operator()(const char *name, const std::optional<double> &number) const {
    object.add(name, number);
  }
};

struct Reader {
  const Json &object;
  void operator()(const char *name, std::string &text) const { text = object[name].text; }
  void operator()(const char *name, int &number) const {
    number = static_cast<int>(object[name].number);
  }
  void operator()(const char *name, std::optional<double> &number) const {
    if (object[name].kind == Json::Kind::Number) number = object[name].number;
  }
};

}  // namespace

std::string to_json(const Results &results) {
  // The members of an object have no order: the machine is a list.
  std::string text = "{\"machine\": [";
  const char *separator = "\n";
  for (const auto &[what, value] : results.machine) {
    text += separator + JsonObject().add("what", what).add("value", value).text();
    separator = ",\n";
  }
  text += "\n],\n\"rows\": [";
  separator = "\n";
  for (const Row &row : results.rows) {
    JsonObject object;
    for_each_member(row, Writer{object});
    text += separator + object.text();
    separator = ",\n";
  }
  return text + "\n]}\n";
}

Results from_json(const std::string &text) {
  const Json json = program::parse_json(text);
  if (json["machine"].kind != Json::Kind::Array || json["rows"].kind != Json::Kind::Array) {
    throw std::runtime_error("this JSON is not what --json writes");
  }
  Results results;
  for (const Json &line : json["machine"].items) {
    results.machine.emplace_back(line["what"].text, line["value"].text);
  }
  for (const Json &object : json["rows"].items) {
    for_each_member(results.rows.emplace_back(), Reader{object});
  }
  return results;
}

std::string three_digits(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::fabs(value);
  const int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.0995 || size == 0 ? 2 : 3;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string duration(double microseconds) {
  if (microseconds < 1000) return three_digits(microseconds) + " us";
  if (microseconds < 1e6) return three_digits(microseconds / 1e3) + " ms";
  return three_digits(microseconds / 1e6) + " s";
}

}  // namespace pit::bench
