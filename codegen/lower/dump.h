// What a compilation shows of itself, as the environment asks.
#pragma once

#include <chrono>
#include <string>

namespace pit::lower {

/// True when PIT_DUMP is "all" or names `what` among words separated by commas.
bool dump_wanted(const std::string &what);
/// Writes PIT_DUMP_DIR/file_name (default ".").
void write_dump(const std::string &file_name, const std::string &text);

/// With PIT_TIME=1, prints how long each step of compiling `name` took.
class StepTimer {
 public:
  explicit StepTimer(std::string name);
  void step_ends(const char *step);

 private:
  std::string name_;
  bool on_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace pit::lower
