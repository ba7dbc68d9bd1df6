#include "run_statistics.h"

#include <algorithm>
#include <cstdio>

namespace pit {

namespace {

std::optional<double> value_of(const RunStatistics &statistics, const std::string &name) {
  const auto &all = statistics.statistics;
  const auto found =
      std::ranges::find_if(all, [&](const auto &each) { return each.first == name; });
  return found == all.end() ? std::nullopt : std::optional(found->second);
}

std::string number(std::optional<double> value, const char *format) {
  if (!value) return "-";
  char text[64];
  std::snprintf(text, sizeof text, format, *value);
  return text;
}

/// A line of a table: a name, and columns of numbers aligned to the right.
std::string line(const std::string &name, std::size_t width,
                 const std::vector<std::string> &cells) {
  constexpr std::size_t kCell = 12;
  std::string text = name + std::string(width - name.size(), ' ');
  for (const std::string &cell : cells)
    text += std::string(cell.size() < kCell ? kCell - cell.size() : 1, ' ') + cell;
  return text + "\n";
}

}  // namespace

std::vector<StageWork> RunStatistics::work() const {
  std::vector<StageWork> all;
  for (const auto &[stage, us] : stages) {
    const std::optional<double> cycles = value_of(*this, stage + ".cycles");
    if (!cycles || *cycles <= 0) continue;
    const auto part = [&, us = us, stage = stage](const char *what) {
      return us * value_of(*this, stage + what).value_or(0) / *cycles;
    };
    all.push_back({stage, us, part(".gather"), part(".compute"), part(".scatter")});
  }
  return all;
}

std::vector<IndexFill> RunStatistics::fills() const {
  constexpr const char *kKept = ".kept";
  std::vector<IndexFill> all;
  for (const auto &[name, kept] : statistics) {
    if (!name.ends_with(kKept)) continue;
    const std::string index = name.substr(0, name.size() - std::string(kKept).size());
    const double candidates = value_of(*this, index + ".candidates").value_or(0);
    IndexFill fill{index, candidates > 0 ? kept / candidates : 0, {}};
    const auto passing = value_of(*this, index + ".passing"),
               iterations = value_of(*this, index + ".iterations");
    if (passing && iterations && kept > 0 && *iterations > 0)
      fill.fill = std::min(1.0, *passing / (kept / candidates * *iterations));
    all.push_back(std::move(fill));
  }
  return all;
}

std::string to_string(const RunStatistics &statistics) {
  std::size_t width = std::string("workspace at its peak").size();
  for (const auto &[stage, us] : statistics.stages) width = std::max(width, stage.size());
  for (const IndexFill &each : statistics.fills()) width = std::max(width, each.index.size());
  const auto us = [](std::optional<double> value) { return number(value, "%.1f us"); };
  std::string text = line("stage", width, {"time", "gather", "compute", "scatter"});
  const std::vector<StageWork> work = statistics.work();
  for (const auto &[stage, time] : statistics.stages) {
    const auto found = std::ranges::find_if(
        work, [&, name = stage](const StageWork &each) { return each.stage == name; });
    const bool known = found != work.end();
    text += line(stage, width,
                 {us(time), us(known ? std::optional(found->gather_us) : std::nullopt),
                  us(known ? std::optional(found->compute_us) : std::nullopt),
                  us(known ? std::optional(found->scatter_us) : std::nullopt)});
  }
  text += line("checks", width, {us(statistics.check_us)});
  text += line("indices", width, {us(statistics.index_us)});
  text += line("the rest", width, {us(statistics.compute_us)});
  text += line("the call", width, {us(statistics.total_us)});
  text += line("workspace at its peak", width,
               {number(static_cast<double>(statistics.peak_workspace_bytes) / 1e6, "%.3f MB")});
  if (statistics.fills().empty()) return text;
  text += line("index", width, {"density", "fill"});
  for (const IndexFill &each : statistics.fills()) {
    const auto percent = [](std::optional<double> value) {
      return number(value ? std::optional(100 * *value) : value, "%.2f%%");
    };
    text += line(each.index, width, {percent(each.density), percent(each.fill)});
  }
  return text;
}

}  // namespace pit
