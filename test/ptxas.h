// The assembler of the CUDA Toolkit, where there is one.
#pragma once

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/cuda/toolkit.h"
#include "command.h"

namespace pit::test {

/// What ptxas says of a kernel.
struct KernelFigures {
  std::string name;
  int registers = 0;     ///< of a thread
  int spilled = 0;       ///< bytes that a thread stores to local memory for lack of registers
  int shared_bytes = 0;  ///< of variables of constant size

  bool operator==(const KernelFigures &) const = default;
};

/// What ptxas made of a text.
struct Assembled {
  int status = 1;
  /// Everything that it said with -v.
  std::string said;

  std::vector<KernelFigures> kernels() const {
    std::vector<KernelFigures> found;
    std::istringstream lines(said);
    const auto number_before = [](const std::string &line, const std::string &unit) {
      const std::size_t end = line.find(unit);
      if (end == std::string::npos || end == 0) return 0;
      const std::size_t start = line.rfind(' ', end - 1);
      return std::stoi(line.substr(start == std::string::npos ? 0 : start + 1));
    };
    for (std::string line; std::getline(lines, line);) {
      const std::string entry = "Compiling entry function '";
      if (const std::size_t at = line.find(entry); at != std::string::npos) {
        const std::size_t start = at + entry.size();
        found.push_back({.name = line.substr(start, line.find('\'', start) - start)});
      }
      if (found.empty()) continue;
      if (const int n = number_before(line, " bytes spill stores")) found.back().spilled = n;
      if (const int n = number_before(line, " registers")) found.back().registers = n;
      if (const int n = number_before(line, " bytes smem")) found.back().shared_bytes = n;
    }
    return found;
  }

  /// Most bytes that a kernel spills.
  int spilled() const {
    int most = 0;
    for (const KernelFigures &kernel : kernels()) most = std::max(most, kernel.spilled);
    return most;
  }

  /// It says that matrix instructions are put one after the other, or that roles do not get the
  /// registers they ask for.
  bool warns() const { return said.find("(C75") != std::string::npos; }
};

/// For an architecture such as "sm_90a"; nothing where there is no ptxas.
inline std::optional<Assembled> assembled(const std::string &ptx, const std::string &architecture) {
  const std::string assembler = cuda::assembler();
  if (assembler.empty()) return {};
  const Folder folder;
  std::ofstream(folder / "kernels.ptx") << ptx;
  const Ended ended = run_command(assembler + " -arch=" + architecture + " -v -o /dev/null " +
                                  (folder / "kernels.ptx"));
  return Assembled{ended.status, ended.text};
}

}  // namespace pit::test
