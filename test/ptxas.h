// The assembler of the CUDA Toolkit, where there is one.
#pragma once

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <unistd.h>

namespace pit::test {

/// What ptxas made of a text.
struct Assembled {
  int status = 1;
  /// Everything that it said with -v.
  std::string said;

  /// Most bytes that a kernel spills.
  int spilled() const {
    const std::string mark = " bytes spill stores";
    int most = 0;
    for (std::size_t at = said.find(mark); at != std::string::npos; at = said.find(mark, at + 1)) {
      most = std::max(most, std::stoi(said.substr(said.rfind(' ', at - 1) + 1)));
    }
    return most;
  }
};

/// For an architecture such as "sm_90a"; nothing where there is no ptxas in the Toolkit's usual
/// places.
inline std::optional<Assembled> assembled(const std::string &ptx, const std::string &architecture) {
  std::string assembler;
  for (const char *place : {"/usr/local/cuda/bin/ptxas", "/usr/bin/ptxas"}) {
    if (assembler.empty() && std::filesystem::exists(place)) assembler = place;
  }
  if (assembler.empty()) return {};
  const std::string file = std::filesystem::temp_directory_path() /
                           ("pit-kernels-" + std::to_string(::getpid()) + ".ptx");
  std::ofstream(file) << ptx;
  const std::string command =
      assembler + " -arch=" + architecture + " -v -o /dev/null " + file + " 2>&1";
  Assembled result;
  if (FILE *pipe = ::popen(command.c_str(), "r")) {
    std::array<char, 256> part{};
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) result.said += part.data();
    result.status = ::pclose(pipe);
  }
  std::filesystem::remove(file);
  return result;
}

}  // namespace pit::test
