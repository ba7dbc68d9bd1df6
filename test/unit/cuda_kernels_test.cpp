// What becomes of pipelines for CUDA, as far as it shows without a device.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include <llvm/IR/Module.h>

#include "codegen/cuda/generate.h"
#include "codegen/cuda/ptx.h"
#include "codegen/lower/lower.h"
#include "dsl/error.h"
#include "test/programs.h"

namespace pit::test {
namespace {

std::string ptx_of(const Pipeline &pipeline, const std::string &target) {
  const cuda::Device device = cuda::device_of(Target(target));
  const ir::Module module = lower::lower(pipeline, Target(target));
  cuda::GeneratedModules generated =
      cuda::generate(module, device, code::row_major_variant(module));
  std::string ptx = cuda::make_ptx(*generated.device, device);
  for (const std::string &kernel : generated.kernels)
    CHECK_MESSAGE(ptx.find(".entry " + kernel + "(") != std::string::npos, kernel);
  CHECK(!generated.kernels.empty());
  return ptx;
}

/// The assembler of the CUDA Toolkit, "" where there is none.
std::string assembler() {
  for (const char *place : {"/usr/local/cuda/bin/ptxas", "/usr/bin/ptxas"}) {
    if (std::filesystem::exists(place)) return place;
  }
  return "";
}

/// What ptxas says of the text; `*status` its exit status.
std::string assembled(const std::string &ptx, const std::string &architecture, int *status) {
  const std::string file = std::filesystem::temp_directory_path() /
                           ("pit-kernels-" + std::to_string(::getpid()) + ".ptx");
  std::ofstream(file) << ptx;
  const std::string command =
      assembler() + " -arch=" + architecture + " -v -o /dev/null " + file + " 2>&1";
  std::string said;
  FILE *pipe = ::popen(command.c_str(), "r");
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) said += part.data();
  *status = ::pclose(pipe);
  std::filesystem::remove(file);
  return said;
}

TEST_CASE("cuda kernels - the eight programs, with and without schedules, are PTX that assembles") {
  for (const Program &program : programs()) {
    for (const bool scheduled : {false, true}) {
      const std::string target = scheduled ? "sm_90a" : "sm_80";
      CAPTURE(program.name);
      CAPTURE(target);
      const std::string ptx = ptx_of(program.build(scheduled), "x86-64-linux-cuda-" + target);
      CHECK(ptx.find(".target " + target) != std::string::npos);
      if (assembler().empty()) continue;
      int status = 1;
      const std::string said = assembled(ptx, target, &status);
      CHECK_MESSAGE(status == 0, said);
      CHECK_MESSAGE(said.find("warning") == std::string::npos, said);
    }
  }
}

TEST_CASE(
    "cuda kernels - what may meet in one element is one thread's, what may not is shared out") {
  Var p("p"), c("c");
  TensorParam X(float32, 2, "X"), key(int32, 1, "key");
  RDom r(0, X.extent(0), "r");
  Func Y("Y");
  Y(p, c) = 0.f;
  Y(key(r), c) += X(r, c);
  // Rows of X meet in rows of Y: a serial loop over r, threads over c.
  const std::string ptx = ptx_of(Pipeline({Y}, {}, "meet"), "x86-64-linux-cuda-sm_80");
  for (const char *update : {"atom.global.add", "red.global", "atom.add", "red.add"})
    CHECK(ptx.find(update) == std::string::npos);
  CHECK(ptx.find("tid.x") != std::string::npos);
}

TEST_CASE("cuda kernels - float64 functions come from libdevice, where it is") {
  Var i("i");
  TensorParam X(float64, 1, "X");
  Func Y("Y");
  Y(i) = exp(X(i));
  const Pipeline pipeline({Y}, {}, "exponential");
  const bool there = std::filesystem::exists("/usr/local/cuda/nvvm/libdevice/libdevice.10.bc");
  std::string message;
  try {
    const std::string ptx = ptx_of(pipeline, "x86-64-linux-cuda-sm_80");
    CHECK(ptx.find("__nv_exp") == std::string::npos);  // inlined
  } catch (const CompileError &error) {
    message = error.what();
  }
  if (there)
    CHECK(message.empty());
  else
    CHECK(message.find("PIT_LIBDEVICE") != std::string::npos);
}

}  // namespace
}  // namespace pit::test
