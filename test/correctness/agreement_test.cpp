// The checks themselves notice what they are there for.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

Pipeline matmul() {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  return Pipeline({C}, {}, "matmul");
}

}  // namespace

TEST_CASE("one lost micro-tile is noticed, with integers and with reals") {
  const Pipeline pipeline = matmul();
  for (const bool exact : {true, false}) {
    CAPTURE(exact);
    std::mt19937 generator = test_generator(5);
    const AnyBuffer A = random_values(float32, {64, 300}, generator, exact, 0.5),
                    B = random_values(float32, {300, 32}, generator, exact);
    const Problem problem{{{"A", A}, {"B", B}}, {}, {{"C", {64, 32}}}};
    const auto expected = poisoned_outputs(pipeline, problem),
               got = poisoned_outputs(pipeline, problem);
    std::map<std::string, AnyBuffer> bounds;
    Reference(pipeline, problem.inputs).run(expected, &bounds);
    const Runner compiled(pipeline, Engine::Compiled);
    compiled(problem, got);
    CHECK(compare(got, expected, bounds, exact, 16).different == 0);

    Problem lossy = problem;
    lossy.inputs["A"] = A.copy();
    for (std::int64_t row = 32; row < 64; ++row)
      lossy.inputs["A"].set_number(Shape{row, 17}, 0);  // a micro-tile of 32 x 1
    compiled(lossy, got);
    CHECK(compare(got, expected, bounds, exact, 16).different > 0);
  }
}

TEST_CASE("a write beside an output is noticed") {
  const Pipeline pipeline = matmul();
  const Problem problem{{}, {}, {{"C", {3, 4}}}};
  const GuardedOutputs outputs(pipeline, problem);
  const AnyBuffer &C = outputs.views().at("C");
  C.fill_bytes(0);
  CHECK(outputs.intact());
  static_cast<float *>(C.data())[4] = 1;
  CHECK_FALSE(outputs.intact());
}

TEST_CASE("a seed gives other data, and the same data again") {
  const auto first = [](const char *setting, unsigned number) {
    return generator_of(setting, number)();
  };
  CHECK(first(nullptr, 3) == std::mt19937(3)());
  CHECK(first("5", 3) == first("5", 3));
  CHECK(first("5", 3) != first("5", 4));
  CHECK(first("5", 3) != first("6", 3));
  CHECK(first("5", 3) != first(nullptr, 3));
  for (const char *wrong : {"", "x", "5x"})
    CHECK_THROWS_WITH_AS(generator_of(wrong, 3), doctest::Contains("PIT_TEST_SEED is '"),
                         RuntimeError);
}

TEST_CASE("a write beside an output on a device is noticed, in a gap and around it") {
  if (!target_under_test().is_cuda()) return;
  const Pipeline pipeline = matmul();
  const Problem problem{{}, {}, {{"C", {3, 4}}}};
  const GuardedOutputs outputs(pipeline, problem);
  const AnyBuffer &C = outputs.views().at("C");
  const DeviceTensor there("C", C);
  there.download(C);
  CHECK(outputs.intact());
  const auto set_byte = [&](std::int64_t at) {
    char *data = static_cast<char *>(there.buffer().data());
    REQUIRE(pit_cuda_fill(0, nullptr, data + at, 0, 1) == PIT_OK);
  };
  set_byte(4 * 4);  // behind the first row
  there.download(C);
  CHECK_FALSE(outputs.intact());
  set_byte(-1);
  CHECK_THROWS_WITH_AS(there.download(C), doctest::Contains("the first at byte -1"), WroteBeside);
}
