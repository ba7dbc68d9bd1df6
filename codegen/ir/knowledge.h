// Which accesses of one role happen before those of another: vector clocks over roles and barriers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pit::ir {

/// A point of one component of time: the accesses of a role, its matrix instructions, its copies,
/// or the phases of a barrier's slot. 0 is before everything.
struct Moment {
  std::size_t component = 0;
  std::int64_t time = 0;
};

/// How far each component is known to have come.
class Clock {
 public:
  std::int64_t operator[](std::size_t component) const {
    return component < times_.size() ? times_[component] : 0;
  }
  bool knows(Moment moment) const { return (*this)[moment.component] >= moment.time; }
  void reach(Moment moment) {
    if (moment.component >= times_.size()) times_.resize(moment.component + 1);
    std::int64_t &time = times_[moment.component];
    time = std::max(time, moment.time);
  }
  void join(const Clock &other) {
    for (std::size_t c = 0; c < other.times_.size(); ++c) reach({c, other.times_[c]});
  }

 private:
  std::vector<std::int64_t> times_;
};

/// What threads know: `seen` of all accesses, `fenced` of generic writes that a proxy fence has
/// made visible to the async proxy.
struct Knowledge {
  Clock seen, fenced;
  void join(const Knowledge &other) {
    seen.join(other.seen);
    fenced.join(other.fenced);
  }
};

}  // namespace pit::ir
