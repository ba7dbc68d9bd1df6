#include "progress.h"

#include <unistd.h>

#include <iostream>

namespace pit::program {

namespace {

bool on_terminal() {
  static const bool result = isatty(STDERR_FILENO) == 1;
  return result;
}

}  // namespace

void Progress::start(const std::string &name) {
  clear();
  name_ = name;
  if (!on_terminal()) std::cerr << program_ << ": " << name << '\n';
}

void Progress::step(const std::string &what) {
  if (!on_terminal()) return;
  std::cerr << "\r\033[K" << name_ << ": " << what << " ..." << std::flush;
  shown_ = true;
}

void Progress::clear() {
  if (shown_) std::cerr << "\r\033[K" << std::flush;
  shown_ = false;
}

}  // namespace pit::program
