#include "command_line.h"

#include <charconv>
#include <iostream>

namespace pit::program {

namespace {

template <class Number>
Number parsed(const std::string &option, const std::string &text, Number least) {
  Number value{};
  const char *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least) {
    throw UsageError(option + " needs a whole number from " + std::to_string(least) + " on, not '" +
                     text + "'");
  }
  return value;
}

}  // namespace

bool CommandLine::next() {
  if (at_ == words_.size()) return false;
  name_ = words_[at_++];
  attached_.reset();
  if (const std::size_t equals = name_.find('='); name_.starts_with("--") && equals != name_.npos) {
    attached_ = name_.substr(equals + 1);
    name_.resize(equals);
  }
  return true;
}

void CommandLine::refuse() const { throw UsageError("unknown option " + words_[at_ - 1]); }

std::string CommandLine::value() {
  if (attached_) return *attached_;
  if (at_ == words_.size()) throw UsageError(name_ + " needs a value");
  return words_[at_++];
}

std::string CommandLine::path(const std::string &what) {
  std::string result = value();
  if (result.empty()) throw UsageError(name_ + " needs " + what);
  return result;
}

int CommandLine::number(int least) { return parsed(name_, value(), least); }
unsigned CommandLine::number(unsigned least) { return parsed(name_, value(), least); }

double CommandLine::amount() {
  const std::string text = value();
  double value = 0;
  const char *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !(value >= 0))
    throw UsageError(name_ + " needs a number from 0 on, not '" + text + "'");
  return value;
}

bool matches(const std::string &pattern, const std::string &text) {
  // Where the last * was met: on a mismatch it takes one more character.
  std::size_t p = 0, t = 0, star = std::string::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != std::string::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

int exit_status(const std::string &name, const std::function<int()> &work) {
  try {
    return work();
  } catch (const UsageError &error) {
    std::cerr << name << ": " << error.what() << "\nTry --help.\n";
    return 2;
  } catch (const std::exception &error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace pit::program
