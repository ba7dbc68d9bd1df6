#include "dsl/buffer.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "dsl/error.h"

namespace pit {
namespace {

Buffer<float, 2> counted(std::int64_t rows, std::int64_t columns) {
  Buffer<float, 2> b({rows, columns});
  std::iota(b.data(), b.data() + b.size(), 0.f);
  return b;
}

TEST_CASE("buffer: an owning buffer is compact, aligned and zeroed") {
  const Buffer<std::int32_t, 3> b({3, 4, 5});
  CHECK(b.extents() == Shape{3, 4, 5});
  CHECK(b.strides() == Shape{20, 5, 1});
  CHECK(b.is_compact());
  CHECK(b.type() == int32);
  CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % 64 == 0);
  for (std::int64_t i = 0; i < b.size(); ++i) CHECK(b.data()[i] == 0);
}

TEST_CASE("buffer: copies of a handle share the memory, copy() does not") {
  const Buffer<float, 1> a({2}, {1, 2});
  const Buffer<float, 1> shared = a, separate = a.copy();
  a(0) = 7;
  CHECK(shared(0) == 7);
  CHECK(separate(0) == 1);
  CHECK(separate(1) == 2);
}

TEST_CASE("buffer: the memory lives as long as its last view") {
  Buffer<float, 2> view;
  {
    const auto b = counted(2, 3);
    view = b.transposed();
  }
  CHECK(view(2, 1) == 5);
}

TEST_CASE("buffer: transposed swaps coordinates, in any order of dimensions") {
  const auto t = counted(2, 3).transposed();
  CHECK(t.extents() == Shape{3, 2});
  CHECK(t.strides() == Shape{1, 3});
  CHECK_FALSE(t.is_compact());
  CHECK(t(2, 0) == 2);
  CHECK(t.copy().is_compact());
  CHECK(t.copy()(2, 1) == 5);

  const Buffer<float, 3> b({2, 3, 4});
  CHECK(b.transposed({1, 2, 0}).extents() == Shape{3, 4, 2});
  CHECK_THROWS_WITH_AS(b.transposed({0, 1, 1}), doctest::Contains("exactly once"), RuntimeError);
  CHECK_THROWS_AS(b.transposed({0, 1}), RuntimeError);
  CHECK_THROWS_AS(b.transposed({0, 1, -1}), RuntimeError);
}

TEST_CASE("buffer: sliced selects a range of one dimension") {
  const auto b = counted(4, 5);
  const auto s = b.sliced(0, 1, 3).sliced(1, 2, 5);
  CHECK(s.extents() == Shape{2, 3});
  CHECK(s(0, 0) == b(1, 2));
  CHECK(s(1, 2) == b(2, 4));
  s(1, 2) = -1;
  CHECK(b(2, 4) == -1);
  CHECK(b.sliced(1, 5, 5).size() == 0);
  CHECK_THROWS_AS(b.sliced(1, 4, 6), RuntimeError);
  CHECK_THROWS_AS(b.sliced(2, 0, 1), RuntimeError);
  CHECK_THROWS_AS(b.sliced(0, 2, 1), RuntimeError);
}

TEST_CASE("buffer: only a compact buffer is reshaped, to as many elements") {
  const auto b = counted(4, 6);
  const auto r = b.reshaped<3>({2, 3, 4});
  CHECK(r(1, 0, 2) == 14);
  CHECK(b.reshaped({24}).rank() == 1);
  CHECK_THROWS_WITH_AS(b.reshaped({5, 5}), doctest::Contains("another number of elements"),
                       RuntimeError);
  CHECK_THROWS_WITH_AS(b.transposed().reshaped({24}), doctest::Contains("copy()"), RuntimeError);
  CHECK_THROWS_AS(b.reshaped<3>({24}), RuntimeError);
}

TEST_CASE("buffer: broadcast repeats a dimension of extent 1") {
  const auto row = counted(1, 3).broadcast(0, 4);
  CHECK(row.extents() == Shape{4, 3});
  CHECK(row.strides() == Shape{0, 1});
  for (std::int64_t i = 0; i < 4; ++i) CHECK(row(i, 2) == 2);
  CHECK_THROWS_AS(row.broadcast(1, 7), RuntimeError);
}

TEST_CASE("buffer: element access outside the extents is an error that names both") {
  const auto b = counted(2, 3);
  CHECK(b(1, 2) == 5);
  CHECK_THROWS_WITH_AS(b(2, 0), doctest::Contains("(2, 0) is out of range; extents are (2, 3)"),
                       RuntimeError);
  CHECK_THROWS_AS(b(0, -1), RuntimeError);
  const Buffer<float> dynamic = Buffer<float>(b);
  CHECK_THROWS_AS(dynamic(1), RuntimeError);
}

TEST_CASE("buffer: a rank-0 buffer has one element") {
  const Buffer<double, 0> b(Shape{});
  b() = 2.5;
  CHECK(b.size() == 1);
  CHECK(b() == 2.5);
}

TEST_CASE("buffer: empty extents are legal, negative and enormous ones are not") {
  const Buffer<float, 2> empty({0, 5});
  CHECK(empty.size() == 0);
  CHECK(empty.is_compact());
  CHECK(AnyBuffer(nullptr, float32, {3, 0}).size() == 0);
  CHECK_THROWS_WITH_AS((Buffer<float, 1>({-1})), doctest::Contains("negative"), RuntimeError);
  CHECK_THROWS_WITH_AS((Buffer<float, 2>({std::int64_t{1} << 40, std::int64_t{1} << 40})),
                       doctest::Contains("address space"), RuntimeError);
  CHECK_THROWS_WITH_AS(AnyBuffer(nullptr, float32, {3}), doctest::Contains("null"), RuntimeError);
}

TEST_CASE("buffer: borrowed memory with strides, negative ones too") {
  std::vector<std::int16_t> memory{0, 1, 2, 3, 4, 5};
  const Buffer<std::int16_t, 1> reversed(memory.data() + 5, {6}, {-1});
  CHECK(reversed(0) == 5);
  CHECK(reversed(5) == 0);
  reversed(1) = 40;
  CHECK(memory[4] == 40);
  CHECK_THROWS_AS((Buffer<std::int16_t, 1>(memory.data(), {6}, {1, 1})), RuntimeError);
}

TEST_CASE("buffer: a typed handle on another type or rank is refused") {
  const AnyBuffer any(float32, {2, 3});
  CHECK(Buffer<float, 2>(any).extents() == Shape{2, 3});
  CHECK_THROWS_WITH_AS((Buffer<double, 2>(any)), doctest::Contains("is float32; expected float64"),
                       RuntimeError);
  CHECK_THROWS_WITH_AS((Buffer<float, 3>(any)), doctest::Contains("expected rank 3"), RuntimeError);
}

TEST_CASE("buffer: numbers of every element type are stored and read back") {
  const Type types[] = {int8,   int16,   int32,   int64,    uint8,   uint16, uint32,
                        uint64, boolean, float16, bfloat16, float32, float64};
  for (const Type type : types) {
    CAPTURE(to_string(type));
    const AnyBuffer b(type, {3});
    const std::int64_t at[] = {1};
    b.set_number(at, 1);
    CHECK(b.number(at) == 1);
    if (type.is_int() || type.is_float()) {
      b.set_number(at, -5);
      CHECK(b.number(at) == -5);
    }
    const std::int64_t before[] = {0}, after[] = {2};
    CHECK(b.number(before) == 0);
    CHECK(b.number(after) == 0);
  }
  const std::int64_t at[] = {0};
  const AnyBuffer narrow(bfloat16, {1}), byte(uint8, {1}), big(uint64, {1});
  narrow.set_number(at, 1 + 1.0 / 512);  // halfway between two neighbours: to even
  CHECK(narrow.number(at) == 1);
  byte.set_number(at, 257);
  CHECK(byte.number(at) == 1);
  big.set_number(at, 0x1p63);
  CHECK(big.number(at) == 0x1p63);
}

TEST_CASE("buffer: fill and copy_from follow the strides") {
  const auto b = counted(3, 3);
  b.sliced(1, 0, 1).fill(9);
  CHECK(b(1, 0) == 9);
  CHECK(b(1, 1) == 4);
  const Buffer<float, 2> other({3, 3});
  other.copy_from(b.transposed());
  CHECK(other(0, 2) == 9);
  CHECK_THROWS_AS(other.copy_from(b.sliced(0, 0, 2)), RuntimeError);
  CHECK_THROWS_AS(other.copy_from(Buffer<double, 2>({3, 3})), RuntimeError);
}

TEST_CASE("buffer: DLPack tensors are borrowed with null strides and a byte offset") {
  float memory[] = {0, 1, 2, 3, 4, 5, 6};
  std::int64_t shape[] = {2, 3};
  DLTensor t{memory, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, nullptr, sizeof(float)};
  const Buffer<float, 2> b(AnyBuffer::from_dlpack(&t));
  CHECK(b.strides() == Shape{3, 1});
  CHECK(b(1, 2) == 6);
  std::int64_t strides[] = {1, 2};
  t.strides = strides;
  CHECK(Buffer<float, 2>(AnyBuffer::from_dlpack(&t))(1, 2) == 6);
  CHECK(Buffer<float, 2>(AnyBuffer::from_dlpack(&t))(1, 0) == 2);
}

TEST_CASE("buffer: DLPack types round-trip and unknown ones are refused") {
  const Type types[] = {int8,   int16,   int32,   int64,    uint8,   uint16, uint32,
                        uint64, boolean, float16, bfloat16, float32, float64};
  for (const Type type : types) {
    Type back = int8;
    REQUIRE(from_dlpack(to_dlpack(type), &back));
    CHECK(back == type);
  }
  CHECK(to_dlpack(boolean).code == 6);
  CHECK(to_dlpack(bfloat16).code == kDLBfloat);
  Type ignored;
  CHECK_FALSE(from_dlpack({kDLFloat, 32, 4}, &ignored));
  CHECK_FALSE(from_dlpack({kDLComplex, 64, 1}, &ignored));
  CHECK_FALSE(from_dlpack({kDLInt, 4, 1}, &ignored));
  std::int64_t shape[] = {1};
  float memory[4] = {};
  DLTensor t{memory, {kDLCPU, 0}, 1, {kDLFloat, 32, 4}, shape, nullptr, 0};
  CHECK_THROWS_WITH_AS(AnyBuffer::from_dlpack(&t), doctest::Contains("4 lanes"), RuntimeError);
}

TEST_CASE("buffer: a managed DLPack tensor is deleted when the last handle goes") {
  static int deleted;
  deleted = 0;
  static float memory[] = {1, 2};
  static std::int64_t shape[] = {2};
  DLManagedTensor managed{{memory, {kDLCPU, 0}, 1, {kDLFloat, 32, 1}, shape, nullptr, 0},
                          nullptr,
                          [](DLManagedTensor *) { ++deleted; }};
  AnyBuffer view;
  {
    const AnyBuffer b = AnyBuffer::from_dlpack(&managed);
    view = b.sliced(0, 1, 2);
  }
  CHECK(deleted == 0);
  view = {};
  CHECK(deleted == 1);
}

TEST_CASE("buffer: an exported DLPack tensor keeps the memory alive") {
  DLManagedTensor *exported = nullptr;
  {
    const auto b = counted(2, 3);
    exported = b.transposed().to_dlpack();
  }
  const Buffer<float, 2> back(AnyBuffer::from_dlpack(exported));  // takes it over
  CHECK(back.extents() == Shape{3, 2});
  CHECK(back(2, 1) == 5);
}

TEST_CASE("buffer: elements on another device are not touched from the host") {
  std::int64_t shape[] = {2};
  float memory[2] = {};
  DLTensor t{memory, {kDLCUDA, 1}, 1, {kDLFloat, 32, 1}, shape, nullptr, 0};
  const Buffer<float, 1> b(AnyBuffer::from_dlpack(&t));
  CHECK(b.device().device_type == kDLCUDA);
  CHECK(b.device().device_id == 1);
  CHECK_THROWS_WITH_AS(b(0), doctest::Contains("host's memory"), RuntimeError);
}

}  // namespace
}  // namespace pit
