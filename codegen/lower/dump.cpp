#include "dump.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "dsl/error.h"

namespace pit::lower {

namespace {

std::string environment(const char *name) {
  const char *value =
      std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here changes the environment
  return value ? value : "";
}

}  // namespace

bool dump_wanted(const std::string &what) {
  std::istringstream words(environment("PIT_DUMP"));
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "all" || word == what) return true;
  }
  return false;
}

void write_dump(const std::string &file_name, const std::string &text) {
  std::string directory = environment("PIT_DUMP_DIR");
  if (directory.empty()) directory = ".";
  std::ofstream file(directory + "/" + file_name);
  file << text;
  file.close();
  if (!file) throw RuntimeError("PIT_DUMP: cannot write " + directory + "/" + file_name);
}

StepTimer::StepTimer(std::string name)
    : name_(std::move(name)),
      on_(environment("PIT_TIME") == "1"),
      last_(std::chrono::steady_clock::now()) {}

void StepTimer::step_ends(const char *step) {
  const auto now = std::chrono::steady_clock::now();
  if (on_) {
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    std::fprintf(stderr, "pit: %s: %s %.2f ms\n", name_.c_str(), step, ms);
  }
  last_ = std::chrono::steady_clock::now();
}

}  // namespace pit::lower
