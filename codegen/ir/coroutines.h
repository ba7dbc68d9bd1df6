// Functions that run interleaved, one at a time, in an order that a seed fixes.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <semaphore>
#include <thread>
#include <vector>

namespace pit::ir {

/// A set of functions of which one runs at a time, on threads of their own that hand over to each
/// other. The same seed gives the same order.
class Coroutines {
 public:
  explicit Coroutines(std::uint32_t seed) : random_(seed) {}
  ~Coroutines();
  Coroutines(const Coroutines &) = delete;
  Coroutines &operator=(const Coroutines &) = delete;

  /// Adds a function; also from inside of one that runs.
  void add(std::function<void()> body);
  /// Runs them all to their ends. `idle` is called when none can go on: it makes one go on, or
  /// throws. The first exception of a function or of `idle` ends the others and is rethrown.
  void run(const std::function<void()> &idle);

  /// From inside of a function: hands over, and comes back once `ready` holds.
  void wait(std::function<bool()> ready);
  /// From inside of a function: hands over or not.
  void pause();
  /// A number in [0, below).
  std::size_t choose(std::size_t below) { return random_() % below; }

 private:
  struct Coroutine {
    std::function<bool()> ready;
    std::binary_semaphore go{0};
    bool ended = false;
    std::thread thread;
  };
  struct Cancelled {};

  std::mt19937 random_;
  std::vector<std::unique_ptr<Coroutine>> all_;
  std::binary_semaphore back_{0};
  Coroutine *current_ = nullptr;
  std::exception_ptr error_;
  bool cancelled_ = false;

  void resume(Coroutine *coroutine);
  void cancel();
};

}  // namespace pit::ir
