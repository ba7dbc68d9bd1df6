#include "coroutines.h"

#include <utility>

namespace pit::ir {

Coroutines::~Coroutines() {
  cancel();
  for (const auto &coroutine : all_) coroutine->thread.join();
}

void Coroutines::add(std::function<void()> body) {
  all_.push_back(std::make_unique<Coroutine>());
  Coroutine *const made = all_.back().get();
  made->ready = [] { return true; };
  made->thread = std::thread([this, made, body = std::move(body)] {
    made->go.acquire();
    try {
      if (!cancelled_) body();
    } catch (const Cancelled &) {
    } catch (...) {
      if (!error_) error_ = std::current_exception();
    }
    made->ended = true;
    back_.release();
  });
}

void Coroutines::resume(Coroutine *coroutine) {
  current_ = coroutine;
  coroutine->go.release();
  back_.acquire();
  current_ = nullptr;
}

void Coroutines::cancel() {
  cancelled_ = true;
  for (std::size_t i = 0; i < all_.size(); ++i) {
    while (!all_[i]->ended) resume(all_[i].get());
  }
}

void Coroutines::run(const std::function<void()> &idle) {
  for (;;) {
    bool all_ended = true;
    std::vector<Coroutine *> ready;
    for (const auto &coroutine : all_) {
      if (coroutine->ended) continue;
      all_ended = false;
      if (coroutine->ready()) ready.push_back(coroutine.get());
    }
    if (all_ended) return;
    if (ready.empty()) {
      try {
        idle();
      } catch (...) {
        error_ = std::current_exception();
      }
    } else {
      resume(ready[choose(ready.size())]);
    }
    if (!error_) continue;
    cancel();
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void Coroutines::wait(std::function<bool()> ready) {
  Coroutine *const self = current_;
  self->ready = std::move(ready);
  back_.release();
  self->go.acquire();
  if (cancelled_) throw Cancelled();
}

void Coroutines::pause() {
  if (choose(2) == 0) wait([] { return true; });
}

}  // namespace pit::ir
