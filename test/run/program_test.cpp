// pit-run as its users run it.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "apps/program/json.h"
#include "apps/run/files.h"
#include "apps/run/library.h"
#include "test/command.h"

using namespace pit::run;   // NOLINT: what is tested
using namespace pit::test;  // NOLINT: with what

namespace {

constexpr DLDataType kFloat{kDLFloat, 32, 1};

/// Runs pit-run with these words, which a shell reads.
Ended run(const std::string &words) { return run_command(PIT_RUN " " + words); }

const std::string kShapes = "--shape A=40x30 --shape B=30x20 --shape bias=20 --shape Out=40x20 ";
const std::string kSpmm = std::string(PIT_SPMM) + " ";

TEST_CASE("run: usage") {
  const Ended help = run("--help");
  CHECK(help.status == 0);
  CHECK(has(help.text, "usage: pit-run LIBRARY... [options]"));
  struct Row {
    const char *words, *message;
    int status;
  };
  const Row rows[] = {
      {"", "name a library", 2},
      {"--fast", "unknown option --fast", 2},
      {"x.so --shape A", "--shape needs ARGUMENT=EXTENTxEXTENT..., not 'A'", 2},
      {"x.so --shape A=2xy", "--shape: 'y' is no number", 2},
      {"x.so --shape A=-2", "--shape: -2 is negative", 2},
      {"x.so --range A=1", "--range needs ARGUMENT=LOW:HIGH", 2},
      {"x.so --range A=2:1", "--range: 2:1 is empty", 2},
      {"x.so --sparsity A=2", "--sparsity: 2 is no share from 0 to 1", 2},
      {"x.so --sparsity A=0.5:0x1", "--sparsity: a block of 0.5:0x1 is empty", 2},
      {"x.so --device tpu", "--device needs host, cuda or cuda:NUMBER, not 'tpu'", 2},
      {"x.so --tolerance -1", "--tolerance needs a number from 0 on, not '-1'", 2},
      {"x.so --threads 0", "--threads needs a whole number from 1 on", 2},
      {"x.so --json r.json", "--json is of --benchmark", 2},
      {"/no/such.so", "/no/such.so: it cannot be read", 1},
  };
  for (const Row &row : rows) {
    const Ended result = run(row.words);
    CAPTURE(row.words);
    CAPTURE(result.text);
    CHECK(result.status == row.status);
    CHECK(has(result.text, std::string("pit-run: ") + row.message));
  }
}

TEST_CASE("run: operators are described") {
  const Ended result = run(kSpmm + PIT_ATTENTION " --describe");
  CHECK(result.status == 0);
  CHECK(has(result.text, "spmm\n  input   A  bfloat16 of rank 2\n"));
  CHECK(has(result.text, "  input   bias  float32 of rank 1\n  output  Out  bfloat16 of rank 2\n"));
  CHECK(has(result.text, "  scalar  scale  float32\n"));
  CHECK(has(result.text, "  target  x86-64-linux-avx512\n"));
  const Ended one = run(kSpmm + PIT_ATTENTION " --describe --operator spmm");
  CHECK(has(one.text, "spmm"));
  CHECK(!has(one.text, "attention"));
}

TEST_CASE("run: arguments that do not fit the operator") {
  struct Row {
    std::string words;
    const char *message;
    int status;
  };
  const Row rows[] = {
      {kSpmm, "argument A has no extents: give --shape A=64x64, or a file by --input", 2},
      {kSpmm + kShapes + "--shape C=3",
       "--shape C: operator spmm has no such tensor; it has A, B, "
       "bias, Out",
       2},
      {kSpmm + kShapes + "--scalar x=3", "--scalar x: operator spmm has no such scalar", 2},
      {kSpmm + kShapes + "--shape A=40",
       "operator spmm: argument 1 'A': wrong rank; expected 2; got 1", 1},
      {kSpmm + kShapes + "--shape A=39x30", "operator spmm: Out reads input 'A'", 1},
      {kSpmm + PIT_ATTENTION,
       "there are several operators; choose one by --operator: spmm, "
       "block_attention",
       1},
      {kSpmm + "--operator moe", "there is no operator moe; there are spmm", 1},
      {kSpmm + kShapes + "--device cuda", "operator spmm: it has no code for CUDA", 1},
      {PIT_OTHER_VERSION,
       "its operators are of version 2 of pit's binary interface, and this "
       "program is of version 1; use the pit-run of that release",
       1},
  };
  for (const Row &row : rows) {
    const Ended result = run(row.words);
    CAPTURE(row.words);
    CAPTURE(result.text);
    CHECK(result.status == row.status);
    CHECK(has(result.text, row.message));
  }
}

TEST_CASE("run: without a C compiler an archive cannot be loaded, and it says so") {
  ::setenv("CC", "/no/compiler", 1);
  const Ended result = run(kSpmm + "--describe");
  ::unsetenv("CC");
  CHECK(result.status == 1);
  CHECK(has(result.text,
            "/no/compiler: No such file or directory; a C compiler makes a shared "
            "object of an archive"));
}

TEST_CASE("run: inputs from files are computed with, and outputs compared") {
  const Folder folder;
  Array a(kFloat, {40, 30}), b(kFloat, {30, 20}), bias(kFloat, {20}), out(kFloat, {40, 20});
  for (std::int64_t i = 0; i < a.size(); ++i)
    a.set(i, i % 7 == 0 ? static_cast<double>(i % 5) - 2 : 0);
  for (std::int64_t i = 0; i < b.size(); ++i) b.set(i, static_cast<double>(i % 4) - 1);
  for (std::int64_t i = 0; i < bias.size(); ++i) bias.set(i, static_cast<double>(i % 3));
  for (std::int64_t m = 0; m < 40; ++m) {
    for (std::int64_t n = 0; n < 20; ++n) {
      double sum = bias[n];
      for (std::int64_t k = 0; k < 30; ++k) sum += a[m * 30 + k] * b[k * 20 + n];
      out.set(m * 20 + n, std::max(sum, 0.));
    }
  }
  write_npy(folder / "a.npy", a);
  write_npy(folder / "b.npy", b.converted(kFloat, {1, 0}));
  write_npy(folder / "bias.npy", bias);
  write_npy(folder / "out.npy", out);
  const std::string inputs = "--input A=" + (folder / "a.npy") +
                             " --input B=" + (folder / "b.npy") +
                             " --input bias=" + (folder / "bias.npy") + " ";
  const std::string expect = "--expect Out=" + (folder / "out.npy") + " ";
  for (const char *more : {"", "--threads 1 ", "--threads 3 --workspace"}) {
    const Ended good = run(kSpmm + inputs + expect + "--tolerance 0 " + more +
                           " --output Out=" + (folder / "got.npy"));
    CAPTURE(good.text);
    CHECK(good.status == 0);
    CHECK(has(good.text, "Out agrees with "));
    const Array got = read_array(folder / "got.npy");
    CHECK(got.shape() == Shape{40, 20});
    for (std::int64_t i = 0; i < got.size(); ++i) CHECK(got[i] == out[i]);
  }
  out.set(25, out[25] + 3);
  write_npy(folder / "out.npy", out);
  const Ended bad = run(kSpmm + inputs + expect);
  CAPTURE(bad.text);
  CHECK(bad.status == 3);
  CHECK(has(bad.text, "Out(1, 5) is "));
  CHECK(has(bad.text, "; 1 of 800 elements differ by more than 0.02 (1 + |expected|)"));
  CHECK(run(kSpmm + inputs + expect + "--tolerance 9").status == 0);
}

TEST_CASE("run: made-up inputs depend on the seed, and outputs on them alone") {
  const Folder folder;
  const auto output = [&](const std::string &more) {
    const Ended result = run(kSpmm + kShapes + "--sparsity A=0.8:32x1 " + more +
                             " --output Out=" + (folder / "o.npy"));
    CAPTURE(result.text);
    REQUIRE(result.status == 0);
    std::ifstream file(folder / "o.npy", std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  const std::string first = output("--seed 5");
  CHECK(first == output("--seed 5 --threads 1"));
  CHECK(first == output("--seed 5 --workspace"));
  CHECK(first != output("--seed 6"));
}

TEST_CASE("run: a benchmark is a line, and a line of JSON") {
  const Folder folder;
  const Ended result =
      run(kSpmm + kShapes + "--benchmark --seconds 0.05 --threads 1 --json " + (folder / "r.json"));
  CAPTURE(result.text);
  CHECK(result.status == 0);
  CHECK(has(result.text, "spmm: median "));
  std::ifstream file(folder / "r.json");
  const pit::program::Json row =
      pit::program::parse_json(std::string{std::istreambuf_iterator<char>(file), {}});
  CHECK(row["operator"].text == "spmm");
  CHECK(row["shapes"].text == "A=40x30 B=30x20 bias=20 Out=40x20");
  CHECK(row["threads"].number == 1);
  CHECK(row["calls"].number > 1);
  CHECK(row["median_us"].number >= row["least_us"].number);
  CHECK(row["least_us"].number > 0);
  CHECK(row["workspace_bytes"].number > 0);
  const Ended standard = run(kSpmm + kShapes + "--benchmark --seconds 0 --json -");
  CHECK(has(standard.text, "{\"operator\": \"spmm\""));
}

TEST_CASE("run: an operator for devices alone tells what is missing") {
  // A driver that is not there stands for a machine without one.
  ::setenv("PIT_CUDA_DRIVER", "libnone.so", 1);
  const Ended device = run(PIT_CUDA_SPMM " --device cuda " + kShapes);
  ::unsetenv("PIT_CUDA_DRIVER");
  CHECK(device.status == 1);
  CHECK(has(device.text, "operator spmm_cuda: "));
  CHECK(has(device.text, "driver"));
  const Ended host = run(PIT_CUDA_SPMM " " + kShapes);
  CHECK(host.status == 1);
  CHECK(has(host.text, "operator spmm_cuda: it has no code for the host"));
}

TEST_CASE("run: shared objects are loaded as they are") {
  const Folder folder;
  const std::string make = "cc -shared -o " + (folder / "spmm.so") +
                           " -Wl,--whole-archive " PIT_SPMM " -Wl,--no-whole-archive -lm";
  REQUIRE(std::system(make.c_str()) == 0);  // NOLINT: as users do
  CHECK(run((folder / "spmm.so") + " " + kShapes).status == 0);
  CHECK(exported_data(folder / "spmm.so", "pit_operator_") ==
        std::vector<std::string>{"pit_operator_spmm"});
  const std::string none = folder / "none.so";
  REQUIRE(std::system(("cc -shared -x c /dev/null -o " + none).c_str()) == 0);  // NOLINT: likewise
  CHECK(run(none).text == "pit-run: " + none + ": there is no operator of pit in it\n");
  CHECK(run(folder / "..").status == 1);
}

}  // namespace
