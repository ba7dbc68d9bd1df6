// Several threads, and several operators, in one process.
#include <block_attention.h>
#include <doctest/doctest.h>
#include <moe.h>
#include <spmm.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "operators.h"

using namespace library;

namespace {

using Clock = std::chrono::steady_clock;

/// Runs `body` with 0, ..., 7 on eight threads; each repeats it for the time of the test.
void on_eight_threads(const std::function<void(unsigned thread)> &body) {
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(test_seconds()));
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      do {
        body(t);
      } while (Clock::now() < end);
    });
  }
  for (std::thread &thread : threads) thread.join();
}

TEST_CASE("library: eight threads call one operator at once") {
  std::vector<std::unique_ptr<Product>> arguments;
  for (unsigned t = 0; t < 8; ++t) arguments.push_back(std::make_unique<Product>(t + 10));
  std::atomic<std::int64_t> wrong = 0, calls = 0;
  on_eight_threads([&](unsigned t) {
    Product &p = *arguments[t];
    p.poison();
    if (spmm(&p.a, &p.b, &p.bias, &p.out, nullptr) != PIT_OK) ++wrong;
    wrong += p.wrong();
    ++calls;
  });
  CHECK(wrong == 0);
  CHECK(calls >= 8);
}

TEST_CASE("library: eight threads call different operators, some with workspaces, some wrongly") {
  struct Argument {
    const pit_operator *op;
    std::unique_ptr<Case> arguments;
    std::vector<char> workspace;
    pit_options options;
  };
  std::vector<Argument> all(8);
  for (unsigned t = 0; t < 8; ++t) {
    Argument &a = all[t];
    if (t % 3 == 0)
      a = {&pit_operator_spmm, std::make_unique<Product>(t + 1), {}, {}};
    else if (t % 3 == 1)
      a = {&pit_operator_moe, std::make_unique<Experts>(t + 1), {}, {}};
    else
      a = {&pit_operator_block_attention, std::make_unique<Attention>(t + 1), {}, {}};
    if (t % 2 == 0) continue;
    std::int64_t bytes = 0;
    REQUIRE(pit_operator_workspace_size(a.op, a.arguments->tensors().data(),
                                        a.arguments->scalars().data(), nullptr, &bytes) == PIT_OK);
    a.workspace.resize(static_cast<std::size_t>(bytes) + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(a.workspace.data());  // NOLINT: its place
    a.options.workspace = a.workspace.data() + (64 - address % 64) % 64;
    a.options.workspace_bytes = bytes;
  }
  std::atomic<std::int64_t> wrong = 0;
  on_eight_threads([&](unsigned t) {
    Case &c = *all[t].arguments;
    c.poison();
    if (c.call(*all[t].op, &all[t].options) != PIT_OK) ++wrong;
    wrong += c.wrong();
    // A failure is this thread's alone.
    const DLTensor *none[8] = {};
    const std::string part = "operator " + std::string(all[t].op->name) + ": argument 1 ";
    if (pit_operator_call(all[t].op, none, nullptr, nullptr) != PIT_ERROR_ARGUMENT) ++wrong;
    if (std::string(pit_last_error()).find(part) != 0) ++wrong;
  });
  CHECK(wrong == 0);
}

}  // namespace
