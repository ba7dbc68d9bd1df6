// Tensors of more than 2^31 elements: nothing counts them with 32 bits.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codegen/ir/block_memory.h"
#include "codegen/lower/lower.h"
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

namespace {

/// Y = X W of the rows that `keep` marks: rows of X are gathered into the stages of a product, and
/// results are scattered to rows of Y.
Pipeline product_of_kept_rows() {
  Var i("i"), n("n"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = cast(bfloat16, C(i, n));
  Y.where(keep(i) != 0);
  Y.pit_tile(tile, {.axis = i, .dense = {{i, 128}, {n, 128}}});
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, 64);
  return Pipeline({Y}, {}, "kept_rows");
}

/// A matrix on the first device of which the host has some rows. The others are NaN.
class MatrixOnDevice {
 public:
  explicit MatrixOnDevice(const Shape &extents)
      : row_bytes_(static_cast<std::size_t>(extents[1] * bfloat16.bytes())) {
    const std::size_t bytes = static_cast<std::size_t>(extents[0]) * row_bytes_;
    const std::shared_ptr<void> memory(pit_cuda_allocate(0, bytes),
                                       [](void *p) { pit_cuda_free(0, p); });
    if (memory == nullptr) throw RuntimeError(pit_last_error());
    REQUIRE(pit_cuda_fill(0, nullptr, memory.get(), 0xFF, bytes) == PIT_OK);
    there_ = AnyBuffer(memory.get(), bfloat16, extents, {kDLCUDA, 0}, memory);
  }
  const AnyBuffer &there() const { return there_; }

  void set_row(std::int64_t row, const AnyBuffer &values) const {
    REQUIRE(pit_cuda_copy(0, nullptr, address(row), values.data(), row_bytes_) == PIT_OK);
  }
  AnyBuffer row(std::int64_t row) const {
    const AnyBuffer values(bfloat16, {there_.extent(1)});
    REQUIRE(pit_cuda_copy(0, nullptr, values.data(), address(row), row_bytes_) == PIT_OK);
    REQUIRE(pit_cuda_synchronise(0, nullptr) == PIT_OK);
    return values;
  }

 private:
  std::size_t row_bytes_;
  AnyBuffer there_;

  void *address(std::int64_t row) const {
    return static_cast<char *>(there_.data()) + static_cast<std::size_t>(row) * row_bytes_;
  }
};

/// Some rows of a product with `channels` channels and `columns` columns, one of them so many that
/// a matrix has more than 2^31 elements.
void check_kept_rows(std::int64_t channels, std::int64_t columns) {
  std::vector<std::int64_t> kept = {0, 3, 39, kRows / 2, kRows - 40, kRows - 37, kRows - 1};
  for (std::int64_t row = kRows - 400; row < kRows - 200; ++row) kept.push_back(row);
  std::mt19937 generator = test_generator(1);
  const MatrixOnDevice x({kRows, channels}), y({kRows, columns});
  const AnyBuffer keep(uint8, {kRows});
  std::map<std::int64_t, AnyBuffer> rows;
  for (const std::int64_t row : kept) {
    keep.set_number(Shape{row}, 1);
    rows.emplace(row, random_values(bfloat16, {channels}, generator, true));
    x.set_row(row, rows.at(row));
  }
  const AnyBuffer w = random_values(bfloat16, {channels, columns}, generator, true);
  const Callable product = product_of_kept_rows().compile(target_under_test());
  product(x.there(), w.to_cuda(), keep.to_cuda(), y.there());
  pit::check();

  std::vector<std::int64_t> weights(static_cast<std::size_t>(channels * columns));
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t n = 0; n < columns; ++n)
      weights[static_cast<std::size_t>(c * columns + n)] =
          static_cast<std::int64_t>(w.number(Shape{c, n}));
  }
  for (const std::int64_t row : {std::int64_t{0}, std::int64_t{3}, std::int64_t{39}, kRows / 2,
                                 kRows - 400, kRows - 273, kRows - 40, kRows - 37, kRows - 1}) {
    CAPTURE(row);
    std::vector<std::int64_t> sums(static_cast<std::size_t>(columns));
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto value = static_cast<std::int64_t>(rows.at(row).number(Shape{c}));
      for (std::int64_t n = 0; n < columns; ++n)
        sums[static_cast<std::size_t>(n)] +=
            value * weights[static_cast<std::size_t>(c * columns + n)];
    }
    const AnyBuffer expected(bfloat16, {columns}), got = y.row(row);
    for (std::int64_t n = 0; n < columns; ++n)
      expected.set_number(Shape{n}, static_cast<double>(sums[static_cast<std::size_t>(n)]));
    CHECK(same_bytes({{"row", expected}}, {{"row", got}}));
  }
  // Rows that nobody kept, beside kept ones.
  AnyBuffer untouched(bfloat16, {columns});
  untouched.fill_bytes(0xFF);
  for (const std::int64_t row : {std::int64_t{1}, std::int64_t{2}, kRows / 2 + 1, kRows - 39,
                                 kRows - 401, kRows - 200, kRows - 2}) {
    CAPTURE(row);
    CHECK(same_bytes({{"row", untouched}}, {{"row", y.row(row)}}));
  }
}

bool device_has_memory(std::int64_t bytes) {
  pit_cuda_device device;
  return target_under_test().is_cuda() && pit_cuda_get_device(0, &device) == PIT_OK &&
         device.memory_bytes >= bytes;
}

constexpr std::int64_t kDeviceMemory = std::int64_t{20} << 30;

}  // namespace

TEST_CASE("large tensors: the product of kept rows goes through stages") {
  for (const char *target : {"x86-64-linux-cuda-sm_80", "x86-64-linux-cuda-sm_90a"}) {
    CAPTURE(std::string(target));
    CHECK(ir::is_staged(lower::lower(product_of_kept_rows(), Target(target)).body));
  }
}

TEST_CASE("large tensors: a staged product gathers rows behind element 2^31 of a device") {
  if (device_has_memory(kDeviceMemory)) check_kept_rows(kColumns, 136);
}

TEST_CASE("large tensors: a staged product scatters rows behind element 2^31 of a device") {
  if (device_has_memory(kDeviceMemory)) check_kept_rows(72, kColumns);
}

}  // namespace pit::test
