// Repeated runs give the same bits, also while other threads call the same and other operators. On
// a device every thread has a stream of its own, so that calls run at the same time.
#include <atomic>
#include <future>
#include <thread>

#include "test/correctness/program_data.h"
#include "test/correctness/top_experts.h"
#include "test/device_call.h"
#include "test/unit/attention.h"

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
    const Pipeline pipeline({C}, {}, "load");
    const Runner runner(pipeline, Engine::Compiled);
    for (int t = 0; t < 2; ++t) {
      threads_.push_back(std::async(std::launch::async, [this, pipeline, runner, t] {
        const bool on_device = runner.callable().compiled().info().on_cuda;
        const std::int64_t size = on_device ? 500 : 40;  // a device has to be filled
        std::mt19937 generator = test_generator(static_cast<unsigned>(t));
        const Problem problem{{{"A", random_values(float32, {size, size}, generator, false, 0.5)}},
                              {},
                              {{"C", {size, size}}}};
        if (on_device) return call_on_device(pipeline, runner.callable(), problem);
        const auto outputs = poisoned_outputs(pipeline, problem);
        while (!stop_) runner(problem, outputs);
      }));
    }
  }
  ~Load() { stop_ = true; }
  Load(const Load &) = delete;
  Load &operator=(const Load &) = delete;

  /// Ends the threads; what failed in them is thrown.
  void end() {
    stop_ = true;
    for (std::future<void> &thread : threads_) thread.get();
  }

 private:
  void call_on_device(const Pipeline &pipeline, const Callable &callable,
                      const Problem &problem) const {
    constexpr int kBehindEachOther = 8;
    const Driver driver;
    const Driver::Pointer stream = driver.stream();
    const Callable here = callable.on(stream);
    const DeviceCall call(pipeline, problem, stream);
    while (!stop_) {
      for (int i = 0; i < kBehindEachOther; ++i) here.call(call.arguments());
      driver.wait(stream);
    }
    pit::check(stream);
  }

  std::atomic<bool> stop_ = false;
  std::vector<std::future<void>> threads_;  // waited for before stop_ goes
};

/// What `count` calls behind each other give, each with outputs of its own: on the host, or on a
/// new stream of a device.
std::vector<std::map<std::string, AnyBuffer>> results_of(const Runner &runner,
                                                         const Pipeline &pipeline,
                                                         const Problem &problem, int count) {
  if (runner.callable().compiled().info().on_cuda)
    return results_of_calls(pipeline, runner.callable(), problem, count);
  std::vector<std::map<std::string, AnyBuffer>> results;
  for (int i = 0; i < count; ++i) {
    results.push_back(poisoned_outputs(pipeline, problem));
    runner(problem, results.back());
  }
  return results;
}

/// Calls from several threads at once, each into outputs of its own: all bits are those of the
/// first run.
void check_repeatable(const Pipeline &pipeline, const Problem &problem) {
  const Runner runner(pipeline, Engine::Compiled);
  const auto first = results_of(runner, pipeline, problem, 1).front();
  REQUIRE_FALSE(same_bytes(first, poisoned_outputs(pipeline, problem)));
  Load load;
  std::vector<std::future<int>> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.push_back(std::async(std::launch::async, [&] {
      int different = 0;
      for (const auto &results : results_of(runner, pipeline, problem, kRuns / kThreads))
        different += !same_bytes(first, results);
      return different;
    }));
  }
  for (std::future<int> &caller : callers) CHECK(caller.get() == 0);
  load.end();
}

/// Y = X W in half precision, by blocks in clusters that each make several tiles.
Pipeline clustered_product() {
  Var i("i"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam X(float16, 2, "X"), W(float16, 2, "W");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = cast(float16, C(i, n));
  Y.tile(i, n, mo, no, mi, ni, 128, 256).gpu_blocks(mo, no).persistent().cluster({{mo, 2}});
  C.compute_at(Y, no);
  C.update().split(k, ko, ki, 64).software_pipeline(ko, 3).warp_specialize({});
  return Pipeline({Y}, {}, "clustered");
}

}  // namespace

TEST_CASE("100 runs under load are bit-identical: the combine of 8 experts") {
  std::mt19937 generator = test_generator(6);
  const Problem problem = expert_data({200, 16, 24, 40}, 0, false, generator);
  const Pipeline algorithm = top_experts(8, true);
  for (const char *text : {"", kExpertOrder, kExpertTiles}) {
    CAPTURE(std::string(text));
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
  std::mt19937 generator = test_generator(7);
  const Problem problem{{{"X", random_values(float32, {30, 16}, generator, false)},
                         {"W", random_values(float32, {8, 16, 40}, generator, false)},
                         {"key", random_integers(int32, {400}, generator, 0, 8)},
                         {"token", random_integers(int32, {400}, generator, 0, 30)}},
                        {},
                        {{"Y", {30, 40}}}};
  for (const char *text :
       {"", "Y.update(0).pit_tile(gt, axis=p, group=key(p), dense={p:16, d:8})\n",
        "Y.update(0).pit_tile(gt, axis=p, group=key(p), dense={p:16, d:64})\n"}) {
    CAPTURE(std::string(text));
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
  std::mt19937 generator = test_generator(8);
  for (const std::string settings : {"", ".unordered()", ".store_values(A)"}) {
    CAPTURE(settings);
    // Sums in another order have the same bits only if nothing is rounded.
    const bool integers = settings == ".unordered()";
    const Problem problem{{{"A", random_values(float32, {160, 200}, generator, integers, 0.9)},
                           {"B", random_values(float32, {200, 70}, generator, integers)}},
                          {},
                          {{"C", {160, 70}}}};
    const std::string text = "live = C.update(0).index(axis=k, micro={m:32, k:1})" + settings +
                             "\nC.update(0).pit_tile(kt, dense={k:16}, index=live)\n";
    check_repeatable(algorithm.with(Schedule::parse(algorithm, text)), problem);
  }
}

// On a device these are made by tensor cores, of real numbers (of integers where a sum has no
// order); sizes have several tiles each way.
void check_program(const char *name) {
  const ProgramCase &c = program_case(name);
  std::mt19937 generator = test_generator(9);
  const Size &size = target_under_test().is_cuda() ? c.wide : c.sizes[1];
  check_repeatable(c.program.build(true),
                   c.make(c.program.type, size, 0.5, !c.repeatable(), generator));
}

// A case each, so that they can run at the same time.
#define PIT_REPEAT(name) \
  TEST_CASE("100 runs under load are bit-identical: the program " name) { check_program(name); }
PIT_REPEAT("spmm")
PIT_REPEAT("moe")
PIT_REPEAT("encoder")
PIT_REPEAT("block_attention")
PIT_REPEAT("vertical_slash_attention")
PIT_REPEAT("sddmm")
PIT_REPEAT("convolution")
PIT_REPEAT("scatter_convolution")
PIT_REPEAT("opt")
#undef PIT_REPEAT

TEST_CASE("100 runs under load are bit-identical: stored values of several strips of columns") {
  const bool on_device = target_under_test().is_cuda();
  const ProgramCase &c = program_case("spmm");
  std::mt19937 generator = test_generator(10);
  const Size size = on_device ? Size{300, 520, 4 * 256 + 200} : Size{40, 30, 4 * 256 + 20};
  check_repeatable(c.program.build(true), c.make(c.program.type, size, 0.98, false, generator));
}

TEST_CASE("100 runs under load are bit-identical: attention whose weights are rounded") {
  const std::int64_t positions = target_under_test().is_cuda() ? 400 : 70;
  std::mt19937 generator = test_generator(12);
  const Shape tensor{2, positions, 128}, keys{1, positions, 128};
  const std::int64_t blocks = (positions + 63) / 64;
  check_repeatable(attention({}, ""),
                   {{{"Q", random_values(bfloat16, tensor, generator, false)},
                     {"K", random_values(bfloat16, keys, generator, false)},
                     {"V", random_values(bfloat16, keys, generator, false)},
                     {"mask", random_mask(uint8, {2, blocks, blocks}, generator, 0.5)}},
                    {},
                    {{"O", tensor}, {"L", {2, positions}}}});
}

TEST_CASE("100 runs under load are bit-identical: a persistent product of half precision") {
  const bool on_device = target_under_test().is_cuda();
  std::mt19937 generator = test_generator(11);
  const std::int64_t m = on_device ? 5000 : 40, n = on_device ? 1032 : 50, k = on_device ? 520 : 60;
  check_repeatable(clustered_product(), {{{"X", random_values(float16, {m, k}, generator, false)},
                                          {"W", random_values(float16, {k, n}, generator, false)}},
                                         {},
                                         {{"Y", {m, n}}}});
}
