// The interpreter's memory: elements that know whether they were ever written, and by which
// parallel iteration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "dsl/expr.h"
#include "value.h"

namespace pit::ir {

/// An access that the module may not do. The interpreter adds the statement and rethrows it as an
/// InternalError.
struct AccessError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The iterations of parallel loops as a tree: a node is one iteration of one execution of a loop,
/// below the iteration that this execution is part of. Two accesses are ordered unless their nodes
/// are, or lie below, different iterations of one execution.
class ParallelIterations {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = 0;  ///< "no access yet"

  Id current() const { return current_; }
  bool in_parallel_loop() const { return current_ != kRoot; }
  /// Identifies one execution of a parallel loop.
  std::uint32_t begin_loop() { return ++loops_; }
  void enter(std::uint32_t loop);
  void leave() { current_ = nodes_[current_].parent; }
  /// Continues as an iteration that was entered before: what runs interleaved takes turns.
  void resume(Id iteration) { current_ = iteration; }
  /// True when nothing orders an access of `earlier` before one of the current iteration.
  bool unordered(Id earlier) const;

 private:
  static constexpr Id kRoot = 1;
  struct Node {
    Id parent;
    std::uint32_t loop, depth;
  };
  std::vector<Node> nodes_{{0, 0, 0}, {0, 0, 0}};
  Id current_ = kRoot;
  std::uint32_t loops_ = 0;
};

/// One element of a buffer.
struct Place {
  std::int64_t element;  ///< row-major number
  std::int64_t offset;   ///< from the data pointer, in elements
};

/// Sees the accesses to a buffer before they happen, and throws AccessError for those that are
/// wrong.
class AccessObserver {
 public:
  virtual ~AccessObserver() = default;
  virtual void read(std::int64_t element) = 0;
  virtual void write(std::int64_t element) = 0;
};

/// The elements of a storage. Reads and writes throw AccessError: of an element that was never
/// written, of an element that another parallel iteration writes or reads.
class Buffer {
 public:
  /// A workspace or tile of its own, with undefined contents.
  Buffer(StoragePtr storage, std::vector<std::int64_t> extents);
  /// The caller's memory. An output's contents count as never written: a module only reads what it
  /// wrote.
  Buffer(StoragePtr storage, std::vector<std::int64_t> extents, std::vector<std::int64_t> strides,
         void *data, bool is_output);
  Buffer(Buffer &&) = default;

  const StorageNode &storage() const { return *storage_; }
  const std::vector<std::int64_t> &extents() const { return extents_; }
  /// The number of elements; 0 when an extent is not positive.
  std::int64_t size() const { return size_; }

  Place at(const std::int64_t *indices) const;   ///< AccessError when out of bounds
  Place at_element(std::int64_t element) const;  ///< by row-major number

  Value read(Place place, const ParallelIterations &iterations);
  void write(Place place, Value value, const ParallelIterations &iterations, bool atomic = false);
  /// The element as it is, without a check or a trace.
  Value peek(Place place) const { return load_element(storage_->type, address(place)); }

  bool ever_written(Place place) const {
    return is_input_ || marks_[index(place)].writer != ParallelIterations::kNone;
  }
  /// Notes that statement execution `store` writes the element; false when it already did.
  bool first_write_of(std::uint32_t store, Place place);
  /// Notes that an iteration of `store` that writes another element reads this one; false when
  /// `store` has written it.
  bool read_apart(std::uint32_t store, Place place);
  /// Whether an iteration of `store` that writes another element has read this one.
  bool was_read_apart(std::uint32_t store, Place place) const {
    return !is_input_ && marks_[index(place)].read_apart == store;
  }
  /// Gives every element the value 0, as if written.
  void zero();
  /// "name[1, 2]"
  std::string describe(Place place) const;

  /// Null, or who sees reads and writes.
  std::unique_ptr<AccessObserver> observer;

 private:
  struct Mark {
    ParallelIterations::Id writer = ParallelIterations::kNone, reader = ParallelIterations::kNone;
    std::uint32_t store = 0;       ///< the last statement execution that wrote it
    std::uint32_t read_apart = 0;  ///< the last one that read it in an iteration of another element
    bool atomic = false;           ///< the last write was
  };

  StoragePtr storage_;
  std::vector<std::int64_t> extents_, strides_;
  std::int64_t size_ = 0;
  bool is_input_ = false;
  std::vector<std::byte> own_;
  std::byte *data_;
  std::vector<Mark> marks_;  ///< none for inputs

  static std::size_t index(Place place) { return static_cast<std::size_t>(place.element); }
  std::byte *address(Place place) const { return data_ + place.offset * storage_->type.bytes(); }
};

}  // namespace pit::ir
