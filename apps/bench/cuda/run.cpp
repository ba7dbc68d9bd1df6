#include "run.h"

#include <algorithm>
#include <random>

#include "apps/bench/machine.h"
#include "apps/bench/table.h"
#include "apps/program/progress.h"
#include "case.h"
#include "libraries.h"
#include "measure.h"

namespace pit::bench::cuda {

Results measure_all(const Device &device, const std::vector<std::string> &chosen,
                    const Options &options, std::ostream &out, std::vector<std::string> &wrong) {
  const Settings settings{.target = options.target,
                          .seed = options.seed ? *options.seed : std::random_device()(),
                          .small = options.small};
  Results results{.machine = {{"command", options.command},
                              {"device", device.name()},
                              {"L2 cache", std::to_string(device.cache_bytes() >> 20) + " MB"},
                              {"driver", "CUDA " + device.driver_version()}},
                  .rows = {}};
  for (const auto &library : library_versions(device)) results.machine.push_back(library);
  for (const auto &part : describe_host()) results.machine.push_back(part);
  results.machine.emplace_back("target", settings.target.to_string());
  results.machine.emplace_back("seed", std::to_string(settings.seed));
  if (settings.small) results.machine.emplace_back("sizes", "tiny: no measure of speed");
  for (const auto &[what, value] : results.machine) out << what << ": " << value << '\n';
  out << '\n';

  Table table(out, chosen);
  table.header();
  program::Progress progress("pit_bench");
  std::size_t number = 0;
  for (const Case &c : all_cases()) {
    if (std::find(chosen.begin(), chosen.end(), c.name) == chosen.end()) continue;
    progress.start(std::to_string(++number) + "/" + std::to_string(chosen.size()) + " " + c.name);
    progress.step("making data");
    std::vector<Row> rows;
    try {
      const Problem problem = c.make(device, settings);
      rows = measure(
          device, c.name, problem, options.budget,
          [&](const std::string &what) { progress.step(what); }, wrong);
    } catch (const std::exception &error) {
      // Of this case's data or code; the others may still be measured.
      wrong.push_back(c.name + ": " + error.what());
      rows = {{.case_name = c.name,
               .system = "pit",
               .threads = 0,
               .device = device.name(),
               .note = error.what()}};
    }
    progress.clear();
    table.rows(rows);
    results.rows.insert(results.rows.end(), rows.begin(), rows.end());
  }
  return results;
}

}  // namespace pit::bench::cuda
