// The eight programs: their schedules as values and as text, and their signatures.
#include <doctest/doctest.h>

#include <algorithm>

#include "test/programs.h"

using namespace pit;

TEST_CASE("the schedule of every program survives printing and parsing") {
  for (const test::Program &program : test::programs()) {
    CAPTURE(program.name);
    const Pipeline pipeline = program.build(true);
    const Schedule schedule = pipeline.schedule();
    CHECK(!schedule.directives.empty());
    CHECK_NOTHROW(check_schedule(schedule));
    const Schedule parsed = Schedule::parse(pipeline, schedule.to_string());
    CHECK(parsed == schedule);
    CHECK(parsed.to_string() == schedule.to_string());
    CHECK(pipeline.with(parsed).schedule() == schedule);
  }
}

TEST_CASE("an unscheduled program has an empty schedule and takes the scheduled one") {
  for (const test::Program &program : test::programs()) {
    CAPTURE(program.name);
    const Pipeline plain = program.build(false);
    CHECK(plain.schedule().to_string().empty());
    const Schedule schedule = Schedule::parse(plain, program.build(true).schedule().to_string());
    CHECK(plain.with(schedule).schedule() == program.build(true).schedule());
    CHECK(plain.schedule().to_string().empty());
  }
}

TEST_CASE("producers come before consumers in every program") {
  for (const test::Program &program : test::programs()) {
    CAPTURE(program.name);
    const std::vector<FuncPtr> funcs = program.build(true).funcs();
    for (auto func = funcs.begin(); func != funcs.end(); ++func) {
      for (const DefinitionData &definition : (*func)->definitions) {
        for (const Expr &value : definition.values) {
          walk(value, [&](const Expr &e) {
            if (const Call *call = e.as<Call>(); call && call->owner) {
              CHECK(std::find(funcs.begin(), func, call->owner) != func);
            }
            return true;
          });
        }
      }
    }
  }
}

TEST_CASE("the schedule of the sparse matmul, line by line") {
  CHECK(test::build_spmm(true).schedule().to_string() ==
        "Out.tile(m, n, mo, no, mi, ni, 128, 256)\n"
        "Out.gpu_blocks(mo, no)\n"
        "Out.persistent()\n"
        "live = C.update(0).index(axis=k, micro={m:128, k:1}).store_values(A)\n"
        "C.compute_at(Out, no)\n"
        "C.update(0).pit_tile(kt, dense={k:64}, index=live)\n"
        "C.update(0).software_pipeline(kt, 3)\n"
        "C.update(0).warp_specialize(producer_warps=4, consumer_warpgroups=2)\n");
}

TEST_CASE("an index comes before the Funcs that share it, and rules given inline stay inline") {
  CHECK(test::build_encoder(true).schedule().to_string() ==
        "Out.fuse(b, t, bt)\n"
        "tokens = Out.index(axis=bt)\n"
        "Out.pit_tile(two, dense={bt:128, d:256}, index=tokens)\n"
        "A2.compute_at(Out, two)\n"
        "H.fuse(b, t, bt)\n"
        "H.pit_tile(one, dense={bt:128, f:256}, index=tokens)\n"
        "H.store_compact(tokens)\n"
        "A1.compute_at(H, one)\n");
  const std::string moe = test::build_moe(true).schedule().to_string();
  CHECK(moe.find("by_expert = H.index(axis=ts, group=route(t, s)[1])") < moe.find("Dn.pit_tile("));
  CHECK(moe.find("H.fuse(t, s, ts)") < moe.find("by_expert = "));
  const std::string attention = test::build_block_attention(true).schedule().to_string();
  CHECK(attention.find("P.update(0).pit_tile(jt, axis=j, micro={i:128, j:64}, dense={j:128})\n") !=
        std::string::npos);
}

TEST_CASE("signatures list inputs in order of first use, then outputs, then output indices") {
  const auto names = [](const Pipeline &pipeline) {
    std::string text;
    for (const Argument &a : pipeline.signature()) {
      text += (text.empty() ? "" : " ") + a.name + ":" + to_string(a.type) + "/" +
              std::to_string(a.rank);
    }
    return text;
  };
  CHECK(names(test::build_spmm(true)) == "A:bfloat16/2 B:bfloat16/2 bias:float32/1 Out:bfloat16/2");
  CHECK(names(test::build_block_attention(false)) ==
        "Q:bfloat16/3 K:bfloat16/3 scale:float32/0 mask:uint8/3 V:bfloat16/3 O:bfloat16/3 "
        "L:float32/2");
  CHECK(names(test::build_sddmm(false)) == "A:bfloat16/2 B:bfloat16/2 mask:uint8/2 S:bfloat16/2");
  // Block CSR: [position][32][32].
  CHECK(names(test::build_sddmm(true)) ==
        "A:bfloat16/2 B:bfloat16/2 mask:uint8/2 S:bfloat16/3 blocks.offsets:int32/1 "
        "blocks.coordinates:int32/1 "
        "blocks.count:int32/1");
}
