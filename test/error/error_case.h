// Rows of tables of errors, and what every row is checked for.
#pragma once

#include <doctest/doctest.h>
#include <pit/pit.h>

#include <algorithm>
#include <functional>
#include <source_location>
#include <string>
#include <vector>

#include "dsl/error.h"

namespace pit::test {

/// One row: the code, run on a fresh Scene, throws an error whose message has all the parts.
template <class Scene>
class ErrorCase {
 public:
  ErrorCase(std::string row_name, std::vector<std::string> message_parts,
            std::function<void(Scene &)> row_code,
            std::source_location row_end = std::source_location::current())
      : name(std::move(row_name)),
        parts(std::move(message_parts)),
        code(std::move(row_code)),
        end(row_end) {}

  std::string name;
  std::vector<std::string> parts;
  std::function<void(Scene &)> code;
  std::source_location end;  ///< the last line of the row
};

/// Checks that every row is a CompileError at a line of the row itself.
template <class Scene>
void check_compile_errors(const std::vector<ErrorCase<Scene>> &cases) {
  constexpr unsigned kMostLines = 20;  // of one row
  unsigned before = 0;                 // the last line of the row above
  for (const ErrorCase<Scene> &c : cases) {
    std::string message = "no error";
    unsigned line = 0;
    try {
      Scene scene;
      c.code(scene);
    } catch (const CompileError &error) {
      message = error.what();
      line = error.where().line();
    } catch (const std::exception &error) {
      message = std::string("not a CompileError: ") + error.what();
    }
    INFO(c.name << ": " << message);
    for (const std::string &part : c.parts) {
      INFO("expected: " << part);
      CHECK(message.find(part) != std::string::npos);
    }
    CHECK(message.starts_with(c.end.file_name() + (":" + std::to_string(line) + ": ")));
    before = std::max(before, c.end.line() - kMostLines);
    INFO("the row is of lines " << before + 1 << " to " << c.end.line());
    CHECK(line > before);
    CHECK(line <= c.end.line());
    before = c.end.line();
  }
}

}  // namespace pit::test
