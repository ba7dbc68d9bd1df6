// Workspaces that the caller brings.
#include <block_attention.h>
#include <doctest/doctest.h>
#include <lengths.h>
#include <moe.h>
#include <spmm.h>

#include <atomic>
#include <cstdlib>
#include <memory>

#include "operators.h"

using namespace library;

namespace {

struct Memory {
  std::vector<char> bytes;
  char *begin;

  /// `size` bytes at a multiple of 64, and some behind them that nobody may write.
  explicit Memory(std::int64_t size) : bytes(static_cast<std::size_t>(size) + 192, 'u') {
    const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());  // NOLINT: its place
    begin = bytes.data() + (64 - address % 64) % 64;
  }
  bool kept_to(std::int64_t size) const {
    for (std::int64_t i = 0; i < 64; ++i) {
      if (begin[size + i] != 'u') return false;
    }
    return true;
  }
};

/// Counts what the runtime asks for while it lives.
class Allocations {
 public:
  Allocations() {
    pit_set_allocator(
        [](void *user, std::size_t bytes) {
          ++*static_cast<std::atomic<int> *>(user);
          return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
        },
        [](void *, void *memory) { std::free(memory); }, &count_);  // NOLINT: of aligned_alloc
  }
  ~Allocations() { pit_set_allocator(nullptr, nullptr, nullptr); }
  Allocations(const Allocations &) = delete;
  Allocations &operator=(const Allocations &) = delete;
  int count() const { return count_; }

 private:
  std::atomic<int> count_ = 0;
};

TEST_CASE("library: with a workspace of the size it asks for an operator allocates nothing") {
  struct Row {
    const pit_operator &op;
    std::unique_ptr<Case> arguments;
  };
  std::vector<Row> rows;
  rows.push_back({pit_operator_spmm, std::make_unique<Product>()});
  rows.push_back({pit_operator_spmm, std::make_unique<Product>(2, 400, 300, 70)});
  rows.push_back({pit_operator_moe, std::make_unique<Experts>()});
  rows.push_back({pit_operator_moe, std::make_unique<Experts>(3, 300, 3, 50, 70)});
  rows.push_back({pit_operator_block_attention, std::make_unique<Attention>()});
  rows.push_back({pit_operator_block_attention, std::make_unique<Attention>(9, 300, 64)});
  const int usual = pit_threads();
  for (const int threads : {1, 2, 3, 8}) {
    pit_set_threads(threads);
    for (const Row &row : rows) {
      Case &c = *row.arguments;
      CAPTURE(std::string(row.op.name));
      CAPTURE(threads);
      std::int64_t bytes = -1;
      REQUIRE(pit_operator_workspace_size(&row.op, c.tensors().data(), c.scalars().data(), nullptr,
                                          &bytes) == PIT_OK);
      CHECK(bytes > 0);
      const Memory memory(bytes);
      const Allocations allocations;
      pit_statistics statistics;
      pit_options options{};
      options.workspace = memory.begin;
      options.workspace_bytes = bytes;
      options.statistics = &statistics;
      c.poison();
      REQUIRE(c.call(row.op, &options) == PIT_OK);
      CHECK(c.wrong() == 0);
      CHECK(allocations.count() == 0);
      CHECK(memory.kept_to(bytes));
      CHECK(statistics.peak_workspace_bytes <= bytes);
      // One byte less is too little, and is said before anything is written.
      options.workspace_bytes = bytes - 1;
      c.poison();
      CHECK(c.call(row.op, &options) == PIT_ERROR_MEMORY);
      CHECK(c.untouched());
    }
  }
  pit_set_threads(usual);
}

TEST_CASE("library: the function of the size takes what the operator takes") {
  Attention a;
  std::int64_t bytes = -1, same = -1;
  CHECK(block_attention_workspace_size(&a.q, &a.k, &a.v, &a.mask, a.scale, &a.out, nullptr,
                                       &bytes) == PIT_OK);
  CHECK(pit_operator_workspace_size(&pit_operator_block_attention, a.tensors().data(),
                                    a.scalars().data(), nullptr, &same) == PIT_OK);
  CHECK(bytes == same);
  // Elements are not read.
  const Product p(1), q(5);
  CHECK(spmm_workspace_size(&p.a, &p.b, &p.bias, &p.out, nullptr, &bytes) == PIT_OK);
  CHECK(spmm_workspace_size(&q.a, &q.b, &q.bias, &q.out, nullptr, &same) == PIT_OK);
  CHECK(bytes == same);
}

TEST_CASE("library: a workspace whose size is data cannot be brought") {
  Tensor<std::int32_t> length(kInt, {3});
  Tensor<float> x(kFloat, {3, 100}), y(kFloat, {3});
  for (std::size_t i = 0; i < 3; ++i) length.data[i] = static_cast<std::int32_t>(10 * i + 1);
  for (float &value : x.data) value = 2;
  std::int64_t bytes = -1;
  CHECK(lengths_workspace_size(&length, &x, &y, nullptr, &bytes) == PIT_ERROR_MEMORY);
  const std::string message = pit_last_error();
  CAPTURE(message);
  CHECK(message.find("operator lengths: the size of '") == 0);
  CHECK(message.find("is known only from the data; call it without a workspace") !=
        std::string::npos);
  CHECK(bytes == -1);
  alignas(64) char memory[64];
  pit_options options{};
  options.workspace = memory;
  options.workspace_bytes = std::int64_t{1} << 40;
  CHECK(lengths(&length, &x, &y, &options) == PIT_ERROR_MEMORY);
  CHECK(y.data[0] == 0);
  CHECK(lengths(&length, &x, &y, nullptr) == PIT_OK);
  for (std::size_t i = 0; i < 3; ++i) CHECK(y.data[i] == static_cast<float>(2 * (10 * i + 1)));
}

}  // namespace
