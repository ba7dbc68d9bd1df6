// Programs of generators as their users run them: pit_operators.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "test/command.h"

namespace pit::test {
namespace {

namespace fs = std::filesystem;

/// Runs pit_operators without what was compiled before. `more`: of its environment.
Ended emit(const std::string &words, const std::string &cache = "", const std::string &more = "") {
  return run_command("PIT_CACHE_DIR=" + cache + " " + more + " " PIT_OPERATORS " " + words);
}

TEST_CASE("generators: they are listed and described") {
  CHECK(emit("--list").text == "block_attention\nmoe\nspmm\n");
  const Ended help = emit("--help");
  CHECK(help.status == 0);
  CHECK(has(help.text, "usage: pit_operators -g NAME -o DIR"));
  const Ended spmm = emit("--describe spmm");
  CHECK(spmm.status == 0);
  CHECK(spmm.text ==
        "spmm\n"
        "  input      A  bfloat16 of rank 2\n"
        "  input      B  bfloat16 of rank 2\n"
        "  input      bias  float32 of rank 1\n"
        "  parameter  rows = 128  integer from 1 to 256: rows of a tile of Out and of a micro-tile "
        "of A\n"
        "  parameter  columns = 256  integer from 16 to 512: columns of a tile of Out\n"
        "  output     Out  bfloat16 of rank 2\n");
  const Ended attention = emit("--describe block_attention");
  CHECK(has(attention.text, "  scalar     scale  float32\n"));
  CHECK(has(attention.text, "parameter  block = 64  one of 16, 32, 64, 128: "));
  CHECK(has(attention.text, "parameter  causal = true  bool: "));
}

TEST_CASE("generators: a wrong command line is said, and what the operator refuses") {
  struct Row {
    const char *words, *message;
    int status;
  };
  const Row rows[] = {
      {"", "there is nothing to do", 2},
      {"-g spmm", "-o names no folder", 2},
      {"-o /tmp", "-g names no generator", 2},
      {"-g", "-g needs a value", 2},
      {"--describe", "--describe takes the name of a generator", 2},
      {"-g gemm -o /tmp/none",
       "there is no generator 'gemm'; this program has block_attention, moe, "
       "spmm",
       2},
      {"-g spmm -o /tmp/none --fast", "'--fast' is no option and no PARAMETER=VALUE", 2},
      {"-g spmm -o /tmp/none -e cubin,exe", "-e knows no 'exe'; it knows static_library, c_header",
       2},
      {"-g spmm -o /tmp/none schedule=/no/such", "cannot read the schedule /no/such", 2},
      {"-g spmm -o /tmp/none rows=300", "'300' is more than 256", 1},
      {"-g spmm -o /tmp/none rows=many", "'many' is no integer", 1},
      {"-g block_attention -o /tmp/none block=48", "'48' is not one of 16, 32, 64, 128", 1},
      {"-g spmm -o /tmp/none depth=3", "depth", 1},
      {"-g spmm -o /tmp/none target=x86-64-linux-avx9", "avx9", 1},
      {"-g spmm -o /tmp/none target=x86-64-linux,x86-64-linux",
       "target x86-64-linux is named twice", 1},
      {"-g spmm -o /tmp/none -f 2fast", "Pipeline has the name '2fast'", 1},
      {"-g spmm -o /dev/null/none", "/dev/null/none", 1},
  };
  for (const Row &row : rows) {
    const Ended result = emit(row.words);
    CAPTURE(std::string(row.words));
    CAPTURE(result.text);
    CHECK(result.status == row.status);
    CHECK(has(result.text, "pit_operators: "));
    CHECK(has(result.text, row.message));
  }
  CHECK(!fs::exists("/tmp/none"));
}

TEST_CASE("generators: every kind of file is written and named") {
  const Folder folder;
  const Ended result =
      emit("-g spmm -o " + folder.path() +
           " -f op target=x86-64-linux-cuda-sm_90a,x86-64-linux rows=64 -e "
           "static_library,c_header,object,ptx,cubin,llvm_ir,tile_ir,html,schedule,explanation");
  CAPTURE(result.text);
  REQUIRE(result.status == 0);
  std::size_t lines = 0, files = 0;
  for (const char c : result.text) lines += c == '\n' ? 1 : 0;
  for (const auto &file : fs::directory_iterator(folder.path())) {
    ++files;
    CHECK(has(result.text, file.path().string() + "\n"));
    CHECK(fs::file_size(file.path()) > 0);
  }
  CHECK(lines == files);
  CHECK(bytes_of_file(folder / "op.a").starts_with("!<arch>\n"));
  CHECK(has(bytes_of_file(folder / "op.h"), "int32_t op_workspace_size(const DLTensor *A,"));
  CHECK(bytes_of_file(folder / "op.o").starts_with("\177ELF"));
  CHECK(bytes_of_file(folder / "op.x86-64.any.o").starts_with("\177ELF"));
  CHECK(has(bytes_of_file(folder / "op.cuda-sm_90a.ptx"), ".target sm_90a"));
  CHECK(has(bytes_of_file(folder / "op.cuda-sm_90a.ll"), "nvptx64-nvidia-cuda"));
  CHECK(has(bytes_of_file(folder / "op.x86-64.ll"), "define i32 @"));
  CHECK(has(bytes_of_file(folder / "op.x86-64.pit"), "module op("));
  CHECK(has(bytes_of_file(folder / "op.cuda-sm_90a.pit"), "launch"));
  CHECK(has(bytes_of_file(folder / "op.x86-64.txt"), "live"));
  CHECK(has(bytes_of_file(folder / "op.schedule"), ".pit_tile(kt, "));

  const std::string html = bytes_of_file(folder / "op.html");
  CHECK(html.starts_with("<!DOCTYPE html>"));
  CHECK(html.ends_with("</body></html>\n"));
  for (const char *part :
       {"<h1>op</h1>", "<h2>x86-64-linux</h2>", "<h2>x86-64-linux-cuda-sm_90a</h2>",
        "<summary>C header</summary>", "<summary>Schedule</summary>",
        "<summary>What was decided</summary>", "<summary>Tile IR</summary>",
        "<summary>LLVM IR</summary>", "<summary>PTX</summary>", "#include &lt;pit_runtime.h&gt;"}) {
    CAPTURE(std::string(part));
    CHECK(has(html, part));
  }
  CHECK(!has(html, "#include <pit_runtime.h>"));
  const auto count = [&](const std::string &part) {
    std::size_t n = 0;
    for (std::size_t at = 0; (at = html.find(part, at)) != std::string::npos; at += part.size())
      ++n;
    return n;
  };
  CHECK(count("<details") == count("</details>"));
  CHECK(count("<pre>") == count("</pre>"));
}

TEST_CASE("generators: a saved schedule is replayed") {
  const Folder folder;
  const auto archive = [&](const std::string &more) {
    const Ended result = emit("-g spmm -o " + folder.path() + " target=x86-64-linux-avx2 " + more);
    CAPTURE(result.text);
    REQUIRE(result.status == 0);
    return bytes_of_file(folder / "spmm.a");
  };
  const std::string usual = archive("rows=64"), other = archive("rows=32");
  CHECK(usual != other);
  archive("rows=32 -e static_library,schedule");
  // What a schedule says wins over what the generator's parameters would make of it.
  CHECK(archive("rows=64 schedule=" + (folder / "spmm.schedule")) == other);
  // An edited one.
  std::string text = bytes_of_file(folder / "spmm.schedule");
  const std::size_t at = text.find("dense={k:64}");
  CAPTURE(text);
  REQUIRE(at != std::string::npos);
  text.replace(at, 12, "dense={k:32}");
  std::ofstream(folder / "edited.schedule") << text;
  const std::string edited = archive("rows=32 schedule=" + (folder / "edited.schedule"));
  CHECK(edited != other);
  std::ofstream(folder / "wrong.schedule") << "Out.tile(m, q, mo, no, mi, ni, 8, 8)\n";
  const Ended wrong =
      emit("-g spmm -o " + folder.path() + " schedule=" + (folder / "wrong.schedule"));
  CAPTURE(wrong.text);
  CHECK(wrong.status == 1);
  CHECK(has(wrong.text, "q"));
}

TEST_CASE("generators: attention of a known number of channels is made by tensor cores") {
  const Folder folder;
  const Ended result = emit(
      "-g block_attention channels=64 rounded=true target=x86-64-linux-cuda-sm_90a -e ptx -o " +
      folder.path());
  CAPTURE(result.text);
  REQUIRE(result.status == 0);
  std::string ptx;
  for (const auto &file : fs::directory_iterator(folder.path()))
    if (file.path().extension() == ".ptx") ptx = bytes_of_file(file.path().string());
  CHECK(has(ptx, "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16"));
}

TEST_CASE("generators: the same input gives the same bytes, from a cache, too") {
  const Folder folder;
  const std::string words =
      "-g block_attention target=x86-64-linux,x86-64-linux-cuda-sm_80 "
      "-e static_library,c_header,llvm_ir,ptx -o ";
  const std::string cache = folder / "cache";
  for (const char *name : {"plain", "making", "found"}) {
    const std::string used = std::string(name) == "plain" ? "" : cache;
    const Ended result = emit(words + (folder / name), used);
    CAPTURE(result.text);
    REQUIRE(result.status == 0);
  }
  for (const char *name : {"making", "found"}) {
    for (const auto &file : fs::directory_iterator(folder / "plain")) {
      CAPTURE(file.path().string());
      const bool same = bytes_of_file(file.path().string()) ==
                        bytes_of_file((fs::path(folder / name) / file.path().filename()).string());
      CHECK(same);
    }
  }
  // One file for each target.
  CHECK(std::distance(fs::directory_iterator(cache), fs::directory_iterator()) == 2);
  // Another function, parameter or target is another input.
  emit(words + (folder / "other") + " causal=false", cache);
  CHECK(std::distance(fs::directory_iterator(cache), fs::directory_iterator()) == 4);
  emit(words + (folder / "other") + " -f attend", cache);
  CHECK(std::distance(fs::directory_iterator(cache), fs::directory_iterator()) == 6);
}

TEST_CASE("generators: machine code for devices is made by ptxas, where there is one") {
  const Folder folder;
  const std::string words =
      "-g spmm target=x86-64-linux-cuda-sm_90a -e static_library,cubin,ptx -o ";
  const auto assembler = [&](const std::string &version, const std::string &does) {
    const std::string path = folder / "ptxas";
    std::ofstream(path) << "#!/bin/sh\nif [ \"$*\" = --version ]; then echo " << version
                        << "; exit; fi\n[ \"$1 $2\" = \"-arch=sm_90a -o\" ] || exit 3\n"
                        << does << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return "PIT_PTXAS=" + path;
  };
  const std::string cache = folder / "cache";
  const auto cubin = [&](const std::string &more) {
    const std::string out = folder / "out";
    fs::remove_all(out);
    const Ended result = emit(words + out, cache, more);
    CAPTURE(result.text);
    REQUIRE(result.status == 0);
    CHECK(has(bytes_of_file(out + "/spmm.cuda-sm_90a.ptx"), ".target sm_90a"));
    if (!fs::exists(out + "/spmm.cuda-sm_90a.cubin")) return std::string();
    const std::string made = bytes_of_file(out + "/spmm.cuda-sm_90a.cubin");
    CHECK(has(bytes_of_file(out + "/spmm.a"), made));
    return made;
  };
  CHECK(cubin(assembler("1", "grep '^.target' \"$4\" >\"$3\"")) == ".target sm_90a\n");
  CHECK(cubin("PIT_PTXAS=").empty());
  // Another version is another assembler, also for the cache.
  CHECK(cubin(assembler("2", "echo machine code >\"$3\"")) == "machine code\n");

  const auto refused = [&](const std::string &more, const std::string &message) {
    const Ended result = emit(words + (folder / "none"), cache, more);
    CAPTURE(result.text);
    CHECK(result.status == 1);
    CHECK(has(result.text, message));
    CHECK(has(result.text, "ptxas in PIT_PTXAS, or nothing for PTX alone"));
    CHECK(!fs::exists(folder / "none"));
  };
  refused(assembler("3", "echo 'ptxas fatal   : Unsupported .version 9.9' >&2; exit 255"),
          "pipeline spmm: target x86-64-linux-cuda-sm_90a: " + (folder / "ptxas") +
              " refuses the PTX: ptxas fatal   : Unsupported .version 9.9;");
  refused("PIT_PTXAS=/no/such", "the assembler for CUDA does not run: /no/such: ");
}

#ifndef PIT_SANITIZED
TEST_CASE("generators: an operator for the host is small, and so is a program with it") {
  constexpr std::uintmax_t kMost = 120 * 1024;
  const Folder folder;
  std::ofstream(folder / "none.c") << "int main(void) { return 0; }\n";
  std::ofstream(folder / "call.c")
      << "#include <op.h>\nint main(int n, char **v) {\n"
         "  const DLTensor *t = (const DLTensor *)(void *)v[n - 1];\n  return CALL;\n}\n";
  struct Row {
    const char *generator, *call;
  };
  const Row rows[] = {{"spmm", "op(t, t, t, t, 0)"},
                      {"moe", "op(t, t, t, t, t, t, t, 0)"},
                      {"block_attention", "op(t, t, t, t, 1, t, 0)"}};
  for (const Row &row : rows) {
    CAPTURE(std::string(row.generator));
    REQUIRE(emit(std::string("-g ") + row.generator + " -f op -o " + folder.path() +
                 " target=x86-64-linux-avx2")
                .status == 0);
    const std::uintmax_t archive = fs::file_size(folder / "op.a");
    const auto linked = [&](const std::string &name, const std::string &words) {
      const Ended result = run_command(std::string("cc -O2 -s -Wl,--gc-sections ")
                                           .append(folder / (name + ".c"))
                                           .append(" -o ")
                                           .append(folder / name)
                                           .append(" ")
                                           .append(words));
      CAPTURE(result.text);
      REQUIRE(result.status == 0);
      return fs::file_size(folder / name);
    };
    const std::uintmax_t growth =
        linked("call", std::string("-DCALL='") + row.call + "' -I" + folder.path() +
                           " -I" PIT_SOURCE_DIR "/runtime " + (folder / "op.a") +
                           " " PIT_RUNTIME " -lm -lpthread -ldl") -
        linked("none", "");
    MESSAGE(std::string(row.generator), ": archive ", archive, " bytes, a program grows by ",
            growth);
    CHECK(archive < kMost);
    CHECK(growth < kMost);
  }
}
#endif

}  // namespace
}  // namespace pit::test
