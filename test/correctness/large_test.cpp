// Tensors of more than 2^31 elements: nothing counts them with 32 bits.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <vector>

#include "test/harness.h"

namespace pit::test {
namespace {

constexpr std::int64_t kColumns = 4096, kRows = (std::int64_t{1} << 31) / kColumns + 40;

/// A matrix of kRows x kColumns zeros: memory that the system has only where it is written.
class LargeMatrix {
 public:
  explicit LargeMatrix(Type type)
      : bytes_(static_cast<std::size_t>(kRows * kColumns * type.bytes())),
        memory_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
        buffer_(memory_, type, {kRows, kColumns}, {kColumns, 1}) {
    REQUIRE(memory_ != MAP_FAILED);
  }
  ~LargeMatrix() { ::munmap(memory_, bytes_); }
  LargeMatrix(const LargeMatrix &) = delete;
  LargeMatrix &operator=(const LargeMatrix &) = delete;
  const AnyBuffer &buffer() const { return buffer_; }

 private:
  std::size_t bytes_;
  void *memory_;
  AnyBuffer buffer_;
};

struct Element {
  std::int64_t row, column, value;
};

/// On both sides of element 2^31, and where the lower 32 bits of their places are equal.
const std::vector<Element> kElements = {{0, 5, 1},          {3, 5, 2},
                                        {kRows - 40, 5, 3},  // 2^31 + 5
                                        {kRows - 37, 5, 2}, {kRows / 2, 4000, 3},
                                        {kRows - 1, 0, 1},  {kRows - 1, kColumns - 1, 2}};

void set_elements(const AnyBuffer &matrix) {
  for (const Element &e : kElements)
    matrix.set_number(Shape{e.row, e.column}, static_cast<double>(e.value));
}

}  // namespace

TEST_CASE("large tensors: rows behind element 2^31 are gathered") {
  const LargeMatrix matrix(uint8);
  set_elements(matrix.buffer());
  Var i("i");
  TensorParam A(uint8, 2, "A"), rows(int32, 1, "rows");
  RDom k(0, A.extent(1), "k");
  Func Y("Y");
  Y(i) += i32(A(rows(i), k)) * (i32(k) + 1);
  Buffer<std::int32_t> list({static_cast<std::int64_t>(kElements.size()) + 1});
  std::vector<std::int64_t> expected;
  for (std::size_t n = 0; n <= kElements.size(); ++n) {
    const std::int64_t row = n < kElements.size() ? kElements[n].row : 7;
    list(static_cast<std::int64_t>(n)) = static_cast<std::int32_t>(row);
    std::int64_t sum = 0;
    for (const Element &e : kElements) sum += e.row == row ? e.value * (e.column + 1) : 0;
    expected.push_back(sum);
  }
  const Pipeline pipeline({Y}, {}, "rows");
  const Problem problem{{{"A", matrix.buffer()}, {"rows", list}}, {}, {{"Y", {list.extents()[0]}}}};
  const auto out = poisoned_outputs(pipeline, problem);
  Runner(pipeline, Engine::Compiled)(problem, out);
  for (std::size_t n = 0; n < expected.size(); ++n) {
    CAPTURE(n);
    CHECK(out.at("Y").number(Shape{static_cast<std::int64_t>(n)}) ==
          static_cast<double>(expected[n]));
  }
}

TEST_CASE("large tensors: an index of what is not zero finds what lies behind element 2^31") {
  const Type type = target_under_test().is_cuda() ? bfloat16 : int8;
  const LargeMatrix matrix(type);
  set_elements(matrix.buffer());
  Var i("i"), j("j"), t("t");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(i, k) != 0);
  Func C("C");
  C(i, j) += f32(A(i, k)) * f32(B(k, j));
  constexpr std::int64_t kWidth = 16;
  const AnyBuffer b(type, {kColumns, kWidth});
  for_each_coordinate(b.extents(), [&](const Shape &at) {
    b.set_number(at, static_cast<double>((at[0] * 3 + at[1]) % 7 - 3));
  });
  const Problem problem{{{"A", matrix.buffer()}, {"B", b}}, {}, {{"C", {kRows, kWidth}}}};
  const AnyBuffer expected(float32, {kRows, kWidth});
  for (const Element &e : kElements) {
    for (std::int64_t n = 0; n < kWidth; ++n) {
      const Shape at{e.row, n};
      expected.set_number(
          at, expected.number(at) + static_cast<double>(e.value) * b.number(Shape{e.column, n}));
    }
  }
  const auto run = [&](const char *schedule, const std::map<std::string, AnyBuffer> &out) {
    Pipeline pipeline({C}, {}, "product");
    pipeline = pipeline.with(Schedule::parse(pipeline, schedule));
    Runner(pipeline, Engine::Compiled)(problem, out);
  };
  for (const char *schedule :
       {"C.update(0).pit_tile(kt, axis=k, micro={i:40, k:1}, dense={k:16})\n",
        "C.update(0).pit_tile(kt, axis=k, micro={i:8, k:64}, dense={k:64})\n"}) {
    CAPTURE(std::string(schedule));
    const auto out = poisoned_outputs(Pipeline({C}, {}, "product"), problem);
    run(schedule, out);
    CHECK(compare(out, {{"C", expected}}, {}, true, 0).different == 0);
  }
  // More micro-tiles than an index can count are refused, and nothing is written.
  const auto out = poisoned_outputs(Pipeline({C}, {}, "product"), problem);
  std::string message = "no error";
  try {
    run("C.update(0).pit_tile(kt, axis=k, dense={k:16})\n", out);
  } catch (const RuntimeError &error) {
    message = error.what();
  }
  CHECK_MESSAGE(
      message.find("index C.index has " + std::to_string(kRows * kColumns) +
                   " candidate micro-tiles, more than 2^31 - 1: declare how many it may "
                   "keep with capacity(n), or use larger micro-tiles") != std::string::npos,
      message);
  CHECK(out.at("C").number(Shape{0, 0}) != 0);
}

}  // namespace pit::test
