#include "peers.h"

#include <tbb/global_control.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <thread>

namespace pit::bench {

namespace {

double process_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

void ignore_environment() {
  std::vector<std::string> names;
  for (char **entry = environ; *entry != nullptr; ++entry) {
    const std::string name = std::string(*entry).substr(0, std::string(*entry).find('='));
    for (const char *prefix : {"OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "DNNL_", "ONEDNN_"}) {
      if (name.starts_with(prefix)) names.push_back(name);
    }
  }
  for (const std::string &name : names) unsetenv(name.c_str());
}

std::vector<std::pair<std::string, std::string>> peer_versions() {
  std::vector<std::pair<std::string, std::string>> versions;
  const OpenBlas *openblas = OpenBlas::instance();
  const OneDnn *onednn = OneDnn::instance();
  const EigenSparse *eigen = EigenSparse::instance();
  return {{"OpenBLAS", openblas != nullptr
                           ? openblas->version() + ", kernels for " + openblas->kernels()
                           : "not found"},
          {"oneDNN", onednn != nullptr ? onednn->version() : "not found"},
          {"Eigen", eigen != nullptr ? eigen->version() : "not found"}};
}

void set_threads(int threads) {
  // pit's operators run on oneTBB.
  static std::unique_ptr<tbb::global_control> limit;
  limit.reset();
  limit = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism,
                                                static_cast<std::size_t>(threads));
  if (const OpenBlas *library = OpenBlas::instance()) library->set_threads(threads);
  if (const OneDnn *library = OneDnn::instance()) library->set_threads(threads);
  if (const EigenSparse *library = EigenSparse::instance()) library->set_threads(threads);
}

void wait_for_quiet() {
  constexpr std::chrono::microseconds kNap(300);
  constexpr double kQuiet = 50e-6;
  constexpr int kMost = 300;
  for (int i = 0; i < kMost; ++i) {
    const double before = process_seconds();
    std::this_thread::sleep_for(kNap);
    if (process_seconds() - before < kQuiet) return;
  }
}

}  // namespace pit::bench
