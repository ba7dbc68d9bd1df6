// Repeated runs give the same bits, also while other threads call the same and other operators.
#include <atomic>
#include <thread>

#include "test/correctness/top_experts.h"
#include "test/programs.h"

using namespace pit;
using namespace pit::test;

namespace {

constexpr int kRuns = 100, kThreads = 4;

/// Threads that call another operator until this object goes away.
class Load {
 public:
  Load() {
    Var i("i"), j("j");
    TensorParam A(float32, 2, "A");
    RDom k(0, A.extent(1), "k");
    k.where(A(i, k) != 0);
    Func C("C");
    C(i, j) += A(i, k) * A(k, j);
    C.update().parallel(i);
    const Runner runner(Pipeline({C}, {}, "load"), Engine::Compiled);
    for (int t = 0; t < 2; ++t) {
      threads_.emplace_back([this, runner, t] {
        std::mt19937 generator(static_cast<unsigned>(t));
        const Problem problem{{{"A", random_values(float32, {40, 40}, generator, false, 0.5)}},
                              {},
                              {{"C", {40, 40}}}};
        const std::map<std::string, AnyBuffer> outputs = {{"C", AnyBuffer(float32, {40, 40})}};
        while (!stop_) runner(problem, outputs);
      });
    }
  }
  ~Load() {
    stop_ = true;
    for (std::thread &t : threads_) t.join();
  }
  Load(const Load &) = delete;
  Load &operator=(const Load &) = delete;

 private:
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

/// Calls from several threads at once, each into outputs of its own: all bits are those of the
/// first run.
void check_repeatable(const Pipeline &pipeline, const Problem &problem) {
  const Runner runner(pipeline, Engine::Compiled);
  const auto first = poisoned_outputs(pipeline, problem);
  runner(problem, first);
  const Load load;
  std::atomic<int> different = 0;
  std::vector<std::thread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&] {
      for (int run = 0; run < kRuns / kThreads; ++run) {
        const auto outputs = poisoned_outputs(pipeline, problem);
        runner(problem, outputs);
        if (!same_bytes(first, outputs)) ++different;
      }
    });
  }
  for (std::thread &caller : callers) caller.join();
  CHECK(different == 0);
}

}  // namespace

TEST_CASE("100 runs under load are bit-identical: the combine of 8 experts") {
  std::mt19937 generator(6);
  const Problem problem = expert_data({200, 16, 24, 40}, 0, false, generator);
  const Pipeline algorithm = top_experts(8, true);
  for (const char *text : {"", kExpertOrder, kExpertTiles}) {
    CAPTURE(text);
    check_repeatable(algorithm.with(Schedule::parse(algorithm, text)), problem);
  }
}

TEST_CASE("100 runs under load are bit-identical: rows that several groups add to") {
  Var t("t"), d("d");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), key(int32, 1, "key"),
      token(int32, 1, "token");
  RDom p(0, key.extent(0), "p"), c(0, X.extent(1), "c");
  Func Y("Y");
  Y(t, d) = 0.f;
  Y(token(p), d) += X(token(p), c) * W(key(p), c, d);
  const Pipeline algorithm({Y}, {}, "scatter_add");
  std::mt19937 generator(7);
  const Problem problem{{{"X", random_values(float32, {30, 16}, generator, false)},
                         {"W", random_values(float32, {8, 16, 40}, generator, false)},
                         {"key", random_integers(int32, {400}, generator, 0, 8)},
                         {"token", random_integers(int32, {400}, generator, 0, 30)}},
                        {},
                        {{"Y", {30, 40}}}};
  for (const char *text :
       {"", "Y.update(0).pit_tile(gt, axis=p, group=key(p), dense={p:16, d:8})\n",
        "Y.update(0).pit_tile(gt, axis=p, group=key(p), dense={p:16, d:64})\n"}) {
    CAPTURE(text);
    check_repeatable(algorithm.with(Schedule::parse(algorithm, text)), problem);
  }
}

TEST_CASE("100 runs under load are bit-identical: the index of a sparse matmul, ordered or not") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  const Pipeline algorithm({C}, {}, "matmul");
  std::mt19937 generator(8);
  const Problem problem{{{"A", random_values(float32, {160, 200}, generator, false, 0.9)},
                         {"B", random_values(float32, {200, 70}, generator, false)}},
                        {},
                        {{"C", {160, 70}}}};
  for (const std::string settings : {"", ".unordered()", ".store_values(A)"}) {
    CAPTURE(settings);
    const std::string text = "live = C.update(0).index(axis=k, micro={m:32, k:1})" + settings +
                             "\nC.update(0).pit_tile(kt, dense={k:16}, index=live)\n";
    check_repeatable(algorithm.with(Schedule::parse(algorithm, text)), problem);
  }
}

TEST_CASE("100 runs under load are bit-identical: softmax over blocks") {
  const Pipeline pipeline = build_block_attention(true);
  std::mt19937 generator(9);
  Problem problem{{}, {{"scale", 0.25}}, {{"O", {4, 200, 16}}, {"L", {4, 200}}}};
  problem.inputs["Q"] = random_values(bfloat16, {4, 200, 16}, generator, false);
  problem.inputs["K"] = random_values(bfloat16, {1, 200, 16}, generator, false);
  problem.inputs["V"] = random_values(bfloat16, {1, 200, 16}, generator, false);
  problem.inputs["mask"] = random_mask(uint8, {4, 4, 4}, generator, 0.5);
  check_repeatable(pipeline, problem);
}
