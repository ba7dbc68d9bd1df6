#include "toolkit.h"

#include <llvm/Support/FileSystem.h>
#include <llvm/Support/FileUtilities.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Program.h>

#include <cstdlib>
#include <fstream>

#include "dsl/error.h"

namespace pit::cuda {

namespace {

/// A file that goes with it, for a program to read or to write.
class Temporary {
 public:
  explicit Temporary(const char *suffix) {
    const std::error_code error = llvm::sys::fs::createTemporaryFile("pit", suffix, path_);
    if (error) throw RuntimeError("no temporary file can be made: " + error.message());
    remover_.setFile(path_);
  }
  std::string path() const { return path_.str().str(); }
  std::string bytes() const {
    const auto file = llvm::MemoryBuffer::getFile(path_);
    return file ? (*file)->getBuffer().str() : "";
  }
  void write(const std::string &bytes) const {
    std::ofstream file(path(), std::ios::binary);
    file << bytes;
    file.close();
    if (!file) throw RuntimeError("cannot write " + path());
  }

 private:
  llvm::SmallString<128> path_;
  llvm::FileRemover remover_;
};

struct Run {
  int status = 0;    ///< of the program; below 0: it did not run to its end
  std::string said;  ///< on both streams
};

Run run(const std::string &program, const std::vector<std::string> &options) {
  const Temporary output("log");
  std::vector<llvm::StringRef> words{program};
  words.insert(words.end(), options.begin(), options.end());
  const std::string to = output.path();
  const std::optional<llvm::StringRef> streams[] = {"", to, to};
  std::string problem;
  const int status =
      llvm::sys::ExecuteAndWait(program, words, std::nullopt, streams, 0, 0, &problem);
  std::string said = output.bytes() + problem;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return {status, said};
}

}  // namespace

std::vector<std::string> toolkit_places(const std::string &file) {
  std::vector<std::string> places;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"}) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
    if (const char *root = std::getenv(variable)) places.push_back(std::string(root) + "/" + file);
  }
  for (const char *root : {"/usr/local/cuda", "/usr/lib/cuda", "/usr/lib/nvidia-cuda-toolkit"})
    places.push_back(std::string(root) + "/" + file);
  return places;
}

std::string assembler() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  if (const char *named = std::getenv("PIT_PTXAS")) return named;
  for (const std::string &place : toolkit_places("bin/ptxas")) {
    if (llvm::sys::fs::can_execute(place)) return place;
  }
  const auto in_path = llvm::sys::findProgramByName("ptxas");
  return in_path ? *in_path : "";
}

std::string assembler_version() {
  const std::string program = assembler();
  if (program.empty()) return "";
  const Run version = run(program, {"--version"});
  if (version.status != 0) {
    throw CompileError("the assembler for CUDA does not run: " + program + ": " + version.said +
                           "; name the CUDA Toolkit's ptxas in PIT_PTXAS, or nothing for PTX alone",
                       {});
  }
  return version.said;
}

std::string assembled(const std::string &ptx, const Device &device, const std::string &who) {
  const std::string program = assembler();
  if (program.empty()) return "";
  const Temporary text("ptx"), cubin("cubin");
  text.write(ptx);
  const Run made = run(program, {"-arch=" + device.cpu, "-o", cubin.path(), text.path()});
  if (made.status != 0) {
    throw CompileError(who + ": " + program + " refuses the PTX: " + made.said +
                           "; name a newer ptxas in PIT_PTXAS, or nothing for PTX alone",
                       {});
  }
  return cubin.bytes();
}

}  // namespace pit::cuda
