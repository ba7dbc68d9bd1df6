// What tests copy to a device and back, without a GPU: the memory of the stand-in is the host's.

#include "test/device_tensor.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "test/driver/child.h"

using namespace pit_test;  // NOLINT: the test's own words

namespace {

using pit::AnyBuffer;
using pit::Shape;
using pit::test::DeviceTensor;

std::uintptr_t address(const AnyBuffer &b) { return reinterpret_cast<std::uintptr_t>(b.data()); }

/// 40 numbers that count, and views of them.
AnyBuffer numbers() {
  const AnyBuffer memory(pit::float32, {40});
  for (std::int64_t i = 0; i < 40; ++i) memory.set_number(Shape{i}, static_cast<double>(i));
  return memory;
}
std::vector<AnyBuffer> views(const AnyBuffer &memory) {
  auto *data = static_cast<float *>(memory.data());
  const auto bytes = static_cast<char *>(memory.data());
  return {memory,
          AnyBuffer(data + 5, pit::float32, {4, 3}, {8, 2}),     // gaps
          AnyBuffer(data + 30, pit::float32, {3, 5}, {-8, 1}),   // last row first
          AnyBuffer(data + 39, pit::float32, {4, 2}, {-1, -7}),  // from the end
          AnyBuffer(data + 7, pit::float32, {6, 2}, {0, 3}),     // broadcast
          AnyBuffer(bytes + 3, pit::uint8, {9}, {4}),            // an odd address
          AnyBuffer(data + 1, pit::float32, {}),                 // one number
          AnyBuffer(data + 1, pit::float32, {3, 0})};            // nothing
}

}  // namespace

TEST_CASE("a tensor on a device has the strides, the alignment and the gaps of the host's") {
  CHECK(in_child([] {
          const AnyBuffer memory = numbers();
          for (const AnyBuffer &here : views(memory)) {
            const DeviceTensor tensor("X", here);
            const AnyBuffer &there = tensor.buffer();
            EXPECT(there.device().device_type == kDLCUDA);
            EXPECT(there.data() != here.data());
            EXPECT(address(there) % 256 == address(here) % 256);
            EXPECT(there.extents() == here.extents());
            EXPECT(there.strides() == here.strides());
            EXPECT(there.type() == here.type());
            // Elements, and what lies between them.
            const pit::test::Span from(here), to(there);
            EXPECT(from.bytes == to.bytes);
            EXPECT(std::memcmp(from.first, to.first, from.bytes) == 0);
            // Both come back, and nothing else.
            const AnyBuffer before = memory.copy();
            for (std::size_t i = 0; i < to.bytes; ++i) to.first[i] = 0x11;
            tensor.download(here);
            for (std::size_t i = 0; i < from.bytes; ++i) EXPECT(from.first[i] == 0x11);
            const auto *changed = static_cast<const char *>(memory.data());
            const auto *same = static_cast<const char *>(before.data());
            for (const char *p = changed; p < changed + 160; ++p) {
              if (p < from.first || p >= from.first + from.bytes) EXPECT(*p == same[p - changed]);
            }
            memory.copy_from(before);
          }
          EXPECT(fake().allocated == 0);
        }) == "");
}

TEST_CASE("a write beside a tensor on a device is noticed, before it and behind it") {
  CHECK(in_child([] {
          const AnyBuffer memory = numbers();
          for (const AnyBuffer &here : views(memory)) {
            for (const std::ptrdiff_t at : {-4096, -1, 0, 4095}) {
              const DeviceTensor tensor("X", here);
              tensor.download(here);
              const pit::test::Span there(tensor.buffer());
              const std::ptrdiff_t byte =
                  at < 0 ? at : at + static_cast<std::ptrdiff_t>(there.bytes);
              there.first[byte] = 0;
              std::string said;
              try {
                tensor.download(here);
              } catch (const pit::test::WroteBeside &error) {
                said = error.what();
              }
              EXPECT_PART(said.c_str(), "tensor X of " + std::to_string(there.bytes) + " bytes");
              EXPECT_PART(said.c_str(), "1 bytes beside it were written, the first at byte " +
                                            std::to_string(byte));
            }
          }
        }) == "");
}

TEST_CASE("a tensor on a device takes other elements of the same layout alone") {
  CHECK(in_child([] {
          const AnyBuffer memory = numbers(), other = numbers();
          const DeviceTensor tensor("X", views(memory)[1]);
          other.fill_bytes(7);
          tensor.upload(views(other)[1]);
          tensor.download(views(memory)[1]);
          EXPECT(memory.number(Shape{5}) == other.number(Shape{5}));
          EXPECT(memory.number(Shape{4}) == 4);
          bool refused = false;
          try {
            tensor.upload(views(other)[2]);
          } catch (const std::logic_error &) {
            refused = true;
          }
          EXPECT(refused);
        }) == "");
}

TEST_CASE("without a margin a tensor on a device ends where its memory does") {
  CHECK(in_child(
            [] {
              const AnyBuffer memory = numbers();
              for (const AnyBuffer &here : views(memory)) {
                const DeviceTensor tensor("X", here);
                const pit::test::Span span(here);
                const auto first = reinterpret_cast<std::uintptr_t>(span.first) % 256;
                EXPECT(fake().allocated == static_cast<std::int64_t>(first + span.bytes));
                EXPECT(address(tensor.buffer()) % 256 == address(here) % 256);
                tensor.download(here);
              }
            },
            {{"PIT_TEST_MARGIN", "0"}}) == "");
}
