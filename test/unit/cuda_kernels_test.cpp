// What becomes of pipelines for CUDA, as far as it shows without a device.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "dsl/error.h"
#include "test/programs.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

std::string ptx_of(const Pipeline &pipeline, const std::string &target) {
  const cuda::Device device = cuda::device_of(Target(target));
  const ir::Module module = lower::lower(pipeline, Target(target));
  const emit::Ptx ptx = emit::ptx_of(module, device);
  for (const std::string &kernel : ptx.kernels)
    CHECK_MESSAGE(ptx.text.find(".entry " + kernel + "(") != std::string::npos, kernel);
  CHECK(!ptx.kernels.empty());
  return ptx.text;
}

TEST_CASE("cuda kernels - the eight programs, with and without schedules, are PTX that assembles") {
  for (const Program &program : programs()) {
    for (const bool scheduled : {false, true}) {
      const std::string target = scheduled ? "sm_90a" : "sm_80";
      CAPTURE(program.name);
      CAPTURE(target);
      const std::string ptx = ptx_of(program.build(scheduled), "x86-64-linux-cuda-" + target);
      CHECK(ptx.find(".target " + target) != std::string::npos);
      // What is scheduled is assembled in test/ptxas.
      const auto cubin = scheduled ? std::nullopt : assembled(ptx, target);
      if (!cubin) continue;
      CHECK_MESSAGE(cubin->status == 0, cubin->said);
      CHECK_MESSAGE(cubin->said.find("warning") == std::string::npos, cubin->said);
    }
  }
}

TEST_CASE(
    "cuda kernels - places are taken by one atomic operation, of a block's own in its memory") {
  Var p("p"), c("c"), tile("tile");
  TensorParam X(float32, 2, "X"), W(float32, 2, "W"), key(int32, 1, "key");
  RDom k(0, X.extent(1), "k");
  Func Listed("Listed"), Routed("Routed");
  k.where(X(p, k) != 0);
  Listed(p) += X(p, k);
  Listed.update().pit_tile(
      tile, {.dense = {{k, 64}},
             .index = Listed.update().index({.axis = k, .micro = {{p, 1}, {k, 1}}}).unordered()});
  Routed(p, c) = X(p, c) * W(key(p), c);
  Routed.pit_tile(
      tile, {.dense = {{p, 16}}, .index = Routed.index({.axis = p, .group = key(p)}).unordered()});
  const auto ptx = [](const Func &output) {
    return ptx_of(Pipeline({output}, {}, "places"), "x86-64-linux-cuda-sm_90a");
  };
  // The word of a group, once a block.
  const std::string listed = ptx(Listed);
  const std::size_t first = listed.find("atom.global.add.u64");
  CHECK(first != std::string::npos);
  CHECK(listed.find("atom.global.add", first + 1) == std::string::npos);
  CHECK(listed.find("atom.shared") == std::string::npos);
  // Threads number keys in the block's memory, and the block takes as many of each group.
  const std::string routed = ptx(Routed);
  CHECK(routed.find("atom.shared.add.u32") != std::string::npos);
  CHECK(routed.find("atom.global.add.u32") != std::string::npos);
}

TEST_CASE("cuda kernels - keys in order are numbered by warps that take turns") {
  Var p("p"), c("c"), tile("tile");
  TensorParam X(float32, 2, "X"), W(float32, 2, "W"), key(int32, 1, "key");
  Func Routed("Routed");
  Routed(p, c) = X(p, c) * W(key(p), c);
  Routed.pit_tile(tile, {.dense = {{p, 16}}, .index = Routed.index({.axis = p, .group = key(p)})});
  for (const std::string target : {"sm_80", "sm_90a"}) {
    CAPTURE(target);
    const std::string ptx = ptx_of(Pipeline({Routed}, {}, "turns"), "x86-64-linux-cuda-" + target);
    // Of 1024 keys that 256 threads take at a time a lane has four.
    for (const char *once : {"match.any.sync.b32", "atom.shared.add.u32"}) {
      CAPTURE(once);
      int found = 0;
      for (std::size_t at = ptx.find(once); at != std::string::npos; at = ptx.find(once, at + 1))
        ++found;
      CHECK(found == 4);
    }
    // What other blocks reach needs none.
    for (const char *update : {"atom.global.add", "red.global"})
      CHECK(ptx.find(update) == std::string::npos);
    // The four keys of a thread are loaded before one of them is stored.
    const std::size_t start = ptx.rfind(".entry ", ptx.find("match.any.sync"));
    std::istringstream kernel(ptx.substr(start, ptx.find("\n}\n", start) - start));
    int together = 0, most = 0;
    for (std::string line; std::getline(kernel, line);) {
      if (line.find("ld.global.b64") != std::string::npos) most = std::max(most, ++together);
      if (line.find("st.shared") != std::string::npos || line.find("bra") != std::string::npos)
        together = 0;
    }
    CHECK(most == 4);
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

TEST_CASE("cuda kernels - the operand of an index is read by 16 bytes, several rows at a time") {
  for (const auto &[rows, columns] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {128, 1}, {32, 1}, {64, 64}, {1, 64}, {1, 1}}) {
    CAPTURE(rows);
    CAPTURE(columns);
    Var m("m"), n("n"), kt("kt");
    TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
    RDom k(0, A.extent(1), "k");
    k.where(A(m, k) != 0);
    Func C("C");
    C(m, n) += f32(A(m, k)) * f32(B(k, n));
    SparseIndex live =
        C.update().index({.axis = k, .micro = {{m, rows}, {k, columns}}}).named("live");
    C.update().pit_tile(kt, {.dense = {{k, columns * 8}}, .index = live});
    const std::string ptx = ptx_of(Pipeline({C}, {}, "read"), "x86-64-linux-cuda-sm_90a");
    // The kernel that clears is live_1, the one that reads live_1_1.
    const std::string kernel = ptx.substr(ptx.find(".entry pit_read_live_1_1("));
    const std::string text = kernel.substr(0, kernel.find("\n}\n"));
    int wide = 0;
    for (std::size_t at = text.find("ld.global.nc.v4.b32"); at != std::string::npos;
         at = text.find("ld.global.nc.v4.b32", at + 1)) {
      ++wide;
    }
    CHECK(wide >= (rows == 1 ? 2 : 8));
    CHECK(text.find("ld.relaxed.gpu") != std::string::npos);
    CHECK(text.find("st.relaxed.gpu") != std::string::npos);
  }
}

std::vector<std::string> kernels_of(const ir::Module &module) {
  std::vector<std::string> names;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    if (const auto *launch = s.as<ir::Launch>()) names.push_back(launch->name);
    return true;
  });
  return names;
}

TEST_CASE("cuda kernels - two kernels test a list that is given, the first one clears the status") {
  Var i("i"), n("n"), tile("tile");
  TensorParam X(float32, 2, "X"), keep(uint8, 1, "keep"), offsets(int32, 1, "offsets"),
      rows(int32, 1, "rows");
  Func Y("Y");
  Y(i, n) = X(i, n) * 2.f;
  Y.where(keep(i) != 0);
  SparseIndex kept = Y.index({.axis = i}).named("kept").given(offsets, rows);
  Y.pit_tile(tile, {.dense = {{i, 16}}, .index = kept});
  const Pipeline pipeline({Y}, {}, "listed");
  const ir::Module module = lower::lower(pipeline, Target("x86-64-linux-cuda-sm_90a"));
  CHECK(kernels_of(module) == std::vector<std::string>{"kept_1", "kept_1.1", "Y"});
  const std::string ptx = ptx_of(pipeline, "x86-64-linux-cuda-sm_90a");
  const std::string first = ptx.substr(ptx.find(".entry pit_listed_kept_1("));
  const std::string text = first.substr(0, first.find("\n}\n"));
  CHECK(text.find("atom") == std::string::npos);
  CHECK(text.find("st.global.b32") != std::string::npos);
}

/// Listed rows of X, or rows that are listed elsewhere, times W.
Pipeline listed_product(bool routed) {
  Var i("i"), n("n"), tile("tile");
  RVar ko("ko"), ki("ki");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep"), to(int32, 1, "to"),
      offsets(int32, 1, "offsets"), rows(int32, 1, "rows");
  RDom k(0, X.extent(1), "k");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(routed ? to(i) : Expr(i), k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.where(keep(i) != 0);
  SparseIndex kept = Y.index({.axis = i}).named("kept").given(offsets, rows);
  Y.pit_tile(tile, {.dense = {{i, 128}, {n, 128}}, .index = kept}).persistent();
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, 64).warp_specialize({});
  return Pipeline({Y}, {}, "listed");
}

TEST_CASE("cuda kernels - without asserts nothing tests a list that is given") {
  const ir::Module module =
      lower::lower(listed_product(false), Target("x86-64-linux-cuda-sm_90a-no_asserts"));
  CHECK(kernels_of(module) == std::vector<std::string>{"Y"});
  const std::string text = ir::print(module);
  CHECK(text.find("kept.found") == std::string::npos);
  CHECK(text.find("kept.seen") == std::string::npos);
  CHECK(text.find("must have one element more than the") != std::string::npos);
  CHECK(text.find("Y reads input 'X'") != std::string::npos);
}

TEST_CASE("cuda kernels - what rows are stored by is read while the last products are made") {
  const ir::Module module = lower::lower(listed_product(false), Target("x86-64-linux-cuda-sm_90a"));
  const std::string text = ir::print(module);
  const std::size_t read = text.find("%i.kept[i.5] = 1 where keep("),
                    drain = text.find("drain matrix pending 0"), store = text.find("swrite");
  CHECK(read < drain);
  CHECK(drain < store);
  CHECK(text.find("where %i.kept[i.5] != 0", store) != std::string::npos);
}

TEST_CASE("cuda kernels - products load rows while the list of them is tested, and store none") {
  const auto kernel = [](bool routed) {
    const std::string ptx = ptx_of(listed_product(routed), "x86-64-linux-cuda-sm_90a");
    const std::string text = ptx.substr(ptx.find(".entry pit_listed_Y("));
    return text.substr(0, text.find("\n}\n"));
  };
  const std::string ahead = kernel(false);
  const std::size_t wait = ahead.find("griddepcontrol.wait"),
                    status = ahead.find("ld.volatile.global"),
                    product = ahead.find("wgmma.mma_async"), store = ahead.find("st.global");
  CHECK(ahead.find("cp.async.cg") < wait);
  CHECK(product < wait);
  CHECK(wait < status);
  CHECK(status < store);
  CHECK(store != std::string::npos);
  // Where other data say what is loaded, they have been tested before.
  const std::string behind = kernel(true);
  CHECK(behind.find("ld.volatile.global") < behind.find("mbarrier.init"));
}

TEST_CASE("cuda kernels - an index packs values from shared memory, by 16 bytes") {
  const auto kernel_of = [](const std::string &ptx) {
    const std::string kernel = ptx.substr(ptx.find(".entry pit_pack_live_1_1("));
    return kernel.substr(0, kernel.find("\n}\n"));
  };
  const auto count = [](const std::string &text, const std::string &what) {
    int n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      ++n;
    return n;
  };
  for (const bool transposed : {false, true}) {
    CAPTURE(transposed);
    Var m("m"), n("n"), kt("kt");
    TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
    RDom k(0, A.extent(transposed ? 0 : 1), "k");
    const Expr a = transposed ? A(k, m) : A(m, k);
    k.where(a != 0);
    Func C("C");
    C(m, n) += f32(a) * f32(B(k, n));
    SparseIndex live = C.update().index({.axis = k, .micro = {{m, 128}}}).named("live");
    live.store_values(A);
    C.update().pit_tile(kt, {.dense = {{k, 16}}, .index = live});
    const std::string text =
        kernel_of(ptx_of(Pipeline({C}, {}, "pack"), "x86-64-linux-cuda-sm_90a"));
    if (transposed)
      CHECK(count(text, "ld.global.nc.v4.b32") >= 8);  // rows of values, as they are
    else
      CHECK(count(text, "cp.async.cg.shared.global") == 16);
    CHECK(count(text, "st.global.v4.b32") >= 1);
    // Nothing before it can have failed.
    CHECK(text.find("ld.volatile.global") == std::string::npos);
  }
}

TEST_CASE("cuda kernels - exponentials and what divides by them are units' work, not branches") {
  Var i("i");
  TensorParam X(float32, 1, "X");
  Func Y("Y");
  Y(i) = silu(X(i));
  const std::string ptx = ptx_of(Pipeline({Y}, {}, "smooth"), "x86-64-linux-cuda-sm_80");
  CHECK(ptx.find("ex2.approx.ftz.f32") != std::string::npos);
  CHECK(ptx.find("rcp.approx.ftz.f32") != std::string::npos);
  CHECK(ptx.find("rcp.rn") == std::string::npos);
  CHECK(ptx.find("div.rn") == std::string::npos);
  // Of anything else a quotient is rounded as arithmetic says.
  Func Z("Z");
  Z(i) = 1.f / (1.f + X(i));
  CHECK(ptx_of(Pipeline({Z}, {}, "quotient"), "x86-64-linux-cuda-sm_80").find("rcp.approx") ==
        std::string::npos);
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
