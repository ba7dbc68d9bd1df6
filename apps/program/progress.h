// What a long run is doing.
#pragma once

#include <string>

namespace pit::program {

/// A line on standard error: on a terminal one that changes, else one for each start.
class Progress {
 public:
  explicit Progress(std::string program) : program_(std::move(program)) {}
  ~Progress() { clear(); }
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  /// Begins the work `name`.
  void start(const std::string &name);
  /// What of it comes next.
  void step(const std::string &what);
  /// Takes the line away, so that something else can be printed.
  void clear();

 private:
  std::string program_, name_;
  bool shown_ = false;
};

}  // namespace pit::program
