// pit-run: runs operators that were compiled ahead of time, without knowing them.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>

#include "apps/program/command_line.h"
#include "apps/program/json.h"
#include "apps/program/median.h"
#include "call.h"
#include "files.h"
#include "library.h"
#include "options.h"

namespace pit::run {

namespace {

constexpr int kDiffers = 3;  // exit status

void describe(const pit_operator &op, std::ostream &out) {
  static constexpr const char *kKinds[] = {"input", "scalar", "output", "index"};
  out << op.name << '\n';
  for (int i = 0; i < op.argument_count; ++i) {
    const pit_argument &a = op.arguments[i];
    out << "  " << std::left << std::setw(8) << kKinds[a.kind] << a.name << "  "
        << type_name(a.type);
    if (a.kind != PIT_SCALAR) out << " of rank " << a.rank;
    if (a.alignment > 1) out << ", at a multiple of " << a.alignment << " bytes";
    for (int d = 0; a.extents != nullptr && d < a.rank; ++d) {
      if (a.extents[d] != PIT_ANY_EXTENT)
        out << ", extent " << a.extents[d] << " in dimension " << d;
    }
    for (int d = 0; a.strides != nullptr && d < a.rank; ++d) {
      if (a.strides[d] != PIT_ANY_STRIDE)
        out << ", stride " << a.strides[d] << " in dimension " << d;
    }
    out << '\n';
  }
  for (int i = 0; i < op.code_count; ++i) out << "  target  " << op.codes[i].target << '\n';
}

double default_tolerance(DLDataType type) {
  if (type.code != kDLFloat && type.code != kDLBfloat) return 0;
  return type.bits == 64 ? 1e-9 : type.bits == 32 ? 1e-4 : 2e-2;
}

/// Whether the output is as the file says; tells about it.
bool agrees(const std::string &name, const Array &output, const std::string &path,
            const Options &options, std::ostream &out) {
  const Array expected = read_array(path);
  if (expected.shape() != output.shape()) {
    out << name << " is " << to_string(output.shape()) << ", and " << path << " has "
        << to_string(expected.shape()) << '\n';
    return false;
  }
  const double tolerance = options.tolerance.value_or(default_tolerance(output.type()));
  std::int64_t wrong = 0, first = 0;
  double largest = 0;
  for (std::int64_t i = 0; i < output.size(); ++i) {
    const double got = output[i], wanted = expected[i];
    if (got == wanted || (std::isnan(got) && std::isnan(wanted))) continue;
    const double error = std::abs(got - wanted) / (1 + std::abs(wanted));
    if (std::isfinite(error)) largest = std::max(largest, error);
    if (error <= tolerance) continue;
    if (wrong++ == 0) first = i;
  }
  if (wrong == 0) {
    out << name << " agrees with " << path << ", the largest error is " << largest << '\n';
    return true;
  }
  std::string place;
  for (const std::int64_t c : output.coordinates(first))
    place += (place.empty() ? "" : ", ") + std::to_string(c);
  out << name << '(' << place << ") is " << output[first] << ", and " << path << " has "
      << expected[first] << "; " << wrong << " of " << output.size()
      << " elements differ by more than " << tolerance << " (1 + |expected|)\n";
  return false;
}

/// What calls took, in microseconds.
struct Times {
  double median, least;
  std::int64_t calls;
  double index, compute;  // medians, of calls that are measured
  std::int64_t workspace_bytes;
};

Times measure(Call *call, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto microseconds = [](Clock::duration d) {
    return std::chrono::duration<double, std::micro>(d).count();
  };
  const auto time_of = [&](std::int64_t calls) {
    const auto start = Clock::now();
    for (std::int64_t i = 0; i < calls; ++i) call->run();
    call->finish();
    return microseconds(Clock::now() - start) / static_cast<double>(calls);
  };
  // So many calls at a time that reading the clock, and waiting for a device, cost little.
  constexpr double kSample = 200;  // microseconds
  constexpr std::int64_t kMostAtOnce = 10'000;
  time_of(1);
  const double one = std::max(time_of(1), 0.01);
  const auto at_once =
      std::clamp(static_cast<std::int64_t>(kSample / one), std::int64_t{1}, kMostAtOnce);
  std::vector<double> times;
  const auto start = Clock::now();
  do {
    times.push_back(time_of(at_once));
  } while (microseconds(Clock::now() - start) < seconds * 1e6);
  constexpr int kMeasured = 9;
  std::vector<double> index, compute;
  pit_statistics statistics;
  for (int i = 0; i < kMeasured; ++i) {
    call->run(&statistics);
    index.push_back(static_cast<double>(statistics.index) / 1000);
    compute.push_back(static_cast<double>(statistics.compute) / 1000);
  }
  return {program::median(times),
          *std::ranges::min_element(times),
          static_cast<std::int64_t>(times.size()) * at_once,
          program::median(index),
          program::median(compute),
          statistics.peak_workspace_bytes};
}

void write_json(const std::string &path, const std::string &text) {
  if (path == "-") {
    std::cout << text << '\n';
    return;
  }
  std::ofstream file(path);
  file << text << '\n';
  file.close();
  if (!file) throw std::runtime_error(path + ": cannot be written");
}

void benchmark(Call *call, const Options &options, std::ostream &out) {
  const Times t = measure(call, options.seconds);
  out << call->op().name << ": median " << t.median << " us, least " << t.least << " us of "
      << t.calls << " calls (index " << t.index << ", compute " << t.compute << "), workspaces "
      << t.workspace_bytes << " bytes, code for " << call->code().target << ", " << call->shapes()
      << '\n';
  if (options.json.empty()) return;
  program::JsonObject row;
  row.add("operator", call->op().name)
      .add("target", call->code().target)
      .add("shapes", call->shapes())
      .add("threads", pit_threads())
      .add("calls", static_cast<double>(t.calls))
      .add("median_us", t.median)
      .add("least_us", t.least)
      .add("index_us", t.index)
      .add("compute_us", t.compute)
      .add("workspace_bytes", static_cast<double>(t.workspace_bytes));
  write_json(options.json, row.text());
}

int run(const Options &options) {
  std::ostream &out = options.json == "-" ? std::cerr : std::cout;
  const Library library(options.libraries);
  if (options.describe) {
    if (options.op.empty()) {
      for (const pit_operator *op : library.operators()) describe(*op, out);
    } else {
      describe(library.find(options.op), out);
    }
    return 0;
  }
  if (options.threads > 0) pit_set_threads(options.threads);
  Call call(library.find(options.op), options);
  call.run();
  call.fetch();
  bool good = true;
  for (const auto &[name, path] : options.expected)
    good = agrees(name, call.output(name), path, options, out) && good;
  for (const auto &[name, path] : options.outputs) write_npy(path, call.output(name));
  if (!good) return kDiffers;
  if (options.benchmark) {
    benchmark(&call, options, out);
  } else if (options.expected.empty() && options.outputs.empty()) {
    out << call.op().name << " ran the code for " << call.code().target << ", " << call.shapes()
        << '\n';
  }
  return 0;
}

}  // namespace

}  // namespace pit::run

int main(int count, char **arguments) {
  return pit::program::exit_status("pit-run", [&] {
    const pit::run::Options options = pit::run::parse_options(count, arguments);
    if (!options.help) return pit::run::run(options);
    std::cout << pit::run::help_text();
    return 0;
  });
}
