// What generated code is made of: instructions that the target has, and nothing printed on the way.
#include <fcntl.h>
#include <pit/pit.h>
#include <unistd.h>

#include <iterator>
#include <map>
#include <regex>
#include <sstream>

#include "codegen/emit/listing.h"
#include "codegen/host/micro_kernel.h"
#include "codegen/lower/lower.h"
#include "host_run.h"
#include "test/programs.h"

namespace pit::host {
namespace {

std::string assembly(const Pipeline &pipeline, const std::string &target) {
  return emit::assembly_of(lower::lower(pipeline, Target(target)), machine_of(Target(target)));
}

// The first line that matches, or "".
std::string line_with(const std::string &text, const std::regex &wanted) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, wanted)) return line;
  }
  return "";
}

TEST_CASE("code has only instructions of its target") {
  // All names of AVX instructions, and of no others, begin with v; FMA and F16C are among them.
  const std::regex beyond_sse41("^\\t(v[a-z]|pcmpgtq|popcnt|crc32)"), ymm("%ymm");
  const std::regex beyond_avx2("%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])");
  for (const test::Program &program : test::programs()) {
    CAPTURE(program.name);
    const Pipeline p = program.build(true);
    CHECK(line_with(assembly(p, "x86-64-linux"), beyond_sse41) == "");
    const std::string avx2 = assembly(p, "x86-64-linux-avx2");
    CHECK(line_with(avx2, beyond_avx2) == "");
    CHECK(line_with(avx2, ymm) != "");
  }
}

// Instructions that match, in the whole text.
std::ptrdiff_t count(const std::string &text, const std::regex &wanted) {
  return std::distance(std::sregex_iterator(text.begin(), text.end(), wanted), {});
}

TEST_CASE("sums of an atom stay in registers") {
  const Machine machine = machine_of(Target("x86-64-linux-avx512_bf16-avx512_vnni"));
  const std::map<AtomKind, std::string> instructions{{AtomKind::MultiplyAdd, "vfmadd"},
                                                     {AtomKind::DotBfloat16, "vdpbf16ps"},
                                                     {AtomKind::DotInt16, "vpdpwssd"},
                                                     {AtomKind::DotInt8, "vpdpbusd"}};
  for (const Atom &atom : atoms()) {
    if (atom.vector_bytes != 64 || atom.type == float64 || !atom.type.is_float()) {
      if (atom.feature != "avx512_vnni") continue;
    }
    CAPTURE(atom.name);
    const bool offset = atom.kind == AtomKind::DotInt8;
    const std::string text =
        emit::assembly_of(rows_kernel(machine, atom, offset, atom.type), machine);
    const std::string &name = instructions.at(atom.kind);
    // One for each vector of sums, in blocks of all rows and of 8, 4, 2 and 1.
    int rows = atom.rows;
    for (int h = 8; h > 0; h /= 2) rows += h < atom.rows ? h : 0;
    const int blocks = atom.rows > 8 ? 5 : 4;
    const int expected = (rows + (offset ? blocks : 0)) * atom.vectors();
    CHECK(count(text, std::regex("\\t" + name)) == expected);
    CHECK(line_with(text, std::regex("^\\tv[a-z0-9]+\\t.*%rsp")) == "");
  }
}

// What is written to standard error meanwhile.
std::string printed_by(const std::function<void()> &run) {
  std::fflush(stderr);
  char path[] = "/tmp/pit_stderr_XXXXXX";
  const int file = mkstemp(path);
  const int before = dup(STDERR_FILENO);
  dup2(file, STDERR_FILENO);
  run();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::string text(1 << 12, '\0');
  const auto length = pread(file, text.data(), text.size(), 0);
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  close(file);
  unlink(path);
  return text;
}

TEST_CASE("a wish that LLVM cannot fulfil is not spoken of") {
  Var m("m"), n("n"), no("no"), ni("ni");
  TensorParam a(float32, 2, "A"), b(float32, 2, "B");
  RDom k(0, a.extent(1), "k");
  Func c("C"), out("Out");
  c(m, n) += a(m, k) * b(k, n);
  out(m, n) = c(m, n);
  out.unroll(n);
  CHECK(printed_by([&] { Pipeline({out}).compile(); }) == "");
  CHECK(printed_by([&] { Pipeline({out}).compile(Target("x86-64-linux")); }) == "");
}

}  // namespace
}  // namespace pit::host
