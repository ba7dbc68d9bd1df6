// Checking text, mostly printed IR, against the directives of LLVM's FileCheck.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

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
  std::string folder = (std::filesystem::temp_directory_path() / "pit_filecheck_XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  const std::string text_file = folder + "/text", check_file = folder + "/checks";
  std::ofstream(text_file) << text;
  std::ofstream(check_file) << checks;
  const std::string command =
      program + " --dump-input=never --input-file=" + text_file + " " + check_file + " 2>&1";
  std::string output;
  FILE *pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, pipe))
    output.append(buffer, size);
  const int status = pclose(pipe);
  std::filesystem::remove_all(folder);
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
