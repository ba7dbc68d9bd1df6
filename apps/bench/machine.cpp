#include "machine.h"

#include <sched.h>
#include <unistd.h>

#include <fstream>

#include "peers.h"

namespace pit::bench {

namespace {

std::string first_line(const std::string &path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The value of the first line "name : value" of /proc/cpuinfo.
std::string processor(const std::string &name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (line.starts_with(name) && colon != line.npos && colon + 2 <= line.size()) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::string caches() {
  std::string text;
  for (int i = 0; i < 8; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i);
    const std::string level = first_line(folder + "/level"), type = first_line(folder + "/type");
    if (level.empty() || type == "Instruction") continue;
    text += (text.empty() ? "L" : ", L") + level + " " + first_line(folder + "/size") + "B";
  }
  return text.empty() ? "unknown" : text;
}

std::string memory() {
  const double bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  return std::to_string(static_cast<int>(bytes / 0x1p30 + 0.5)) + " GB";
}

}  // namespace

int available_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return CPU_COUNT(&cores);
}

std::vector<std::pair<std::string, std::string>> describe_host() {
  return {{"processor", processor("model name") + ", family " + processor("cpu family") +
                            ", model " + processor("model\t")},
          {"features", Target().to_string()},
          {"cores", std::to_string(available_cores())},
          {"caches", caches()},
          {"memory", memory()},
          {"compiler", "GCC " __VERSION__},
          {"LLVM", PIT_BENCH_LLVM_VERSION}};
}

std::vector<std::pair<std::string, std::string>> describe_machine() {
  std::vector<std::pair<std::string, std::string>> machine = describe_host();
  for (const auto &peer : peer_versions()) machine.push_back(peer);
  return machine;
}

}  // namespace pit::bench
