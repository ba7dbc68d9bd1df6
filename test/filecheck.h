// Checking text, mostly printed IR, against the directives of LLVM's FileCheck.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "command.h"

namespace pit::test {

/// What FileCheck says about `text`: empty when it satisfies `checks`, the CHECK lines of a test.
/// FileCheck treats blanks of any number as one. Without FileCheck on the machine nothing is
/// checked, and a message says so.
inline std::string filecheck(const std::string &text, const std::string &checks) {
  const std::string program = PIT_FILECHECK;
  if (!std::filesystem::exists(program)) {
    MESSAGE("FileCheck was not found: the text is not checked");
    return "";
  }
  const Folder folder;
  std::ofstream(folder / "text") << text;
  std::ofstream(folder / "checks") << checks;
  const auto [status, output] =
      run_command(program + " --dump-input=never --input-file=" + (folder / "text") + " " +
                  (folder / "checks"));
  if (status == 0) return "";
  return output.empty() ? "FileCheck failed" : output;
}

}  // namespace pit::test

/// The text satisfies the FileCheck directives.
#define CHECK_TEXT(text, checks)                                              \
  do {                                                                        \
    const std::string checked_text = (text);                                  \
    const std::string complaint = pit::test::filecheck(checked_text, checks); \
    INFO(checked_text);                                                       \
    CHECK(complaint == "");                                                   \
  } while (false)
