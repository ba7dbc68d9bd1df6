#include "error.h"

namespace pit {

namespace {

/// "file:line: message"; a location that is not known says nothing.
std::string located(const std::string &message, std::source_location where) {
  if (where.line() == 0) return message;
  return std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " + message;
}

}  // namespace

CompileError::CompileError(const std::string &message, std::source_location where)
    : std::runtime_error(located(message, where)), where_(where) {}

InternalError::InternalError(const std::string &message, std::source_location where)
    : std::logic_error(located("internal error of pit: " + message, where)) {}

void internal_check(bool condition, const std::string &message, std::source_location where) {
  if (!condition) throw InternalError(message, where);
}

}  // namespace pit
