// The interpreter's memory: elements that know whether they were ever written, and by which
// parallel iteration.
#pragma once

#include <algorithm>
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

class Stmt;

/// The statements that the threads of a block, or of a role, execute together, numbered in the
/// order of execution. Threads are in step only at a Sync, so nothing orders the accesses of
/// statements that have none between them.
class BlockStatements {
 public:
  using Id = std::uint64_t;
  static constexpr Id kNone = 0;

  /// `number`: of the block or role, unlike that of any other.
  explicit BlockStatements(std::uint32_t number)
      : start_(Id{number} << 32), last_(start_), current_(kNone) {}

  /// Begins the statement `s`, which outlives the next Sync; false inside of another.
  bool begin(const Stmt *s);
  void end() { current_ = kNone; }
  /// Outside of statements; or in one, inside of which all threads come together.
  void sync();
  Id current() const { return current_; }
  /// True when nothing orders an access in statement `earlier` before one in the current.
  bool unordered(Id earlier) const { return earlier > start_ && earlier < current_; }
  /// Of one that is not ordered: how it begins.
  std::string describe(Id earlier) const;

 private:
  Id start_, last_, current_;
  std::vector<const Stmt *> statements_;  ///< those behind start_
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

  /// Null, or the block or role that executes now.
  BlockStatements *block = nullptr;

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
/// written, of an element that another parallel iteration writes or reads, or another statement of
/// a block with no Sync between.
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
  /// Its contents are undefined, as if never written. Of memory of its own.
  void forget() { std::fill(marks_.begin(), marks_.end(), Mark{}); }
  /// "name[1, 2]"
  std::string describe(Place place) const;

  /// Null, or who sees reads and writes.
  std::unique_ptr<AccessObserver> observer;
  /// Whether Syncs put the accesses of a block's threads in order.
  bool is_synced = true;
  /// The last statement of a block that accessed another storage, whose memory this may have.
  BlockStatements::Id memory_used = BlockStatements::kNone;
  /// The last statement of a block that accessed this one.
  BlockStatements::Id last_access() const { return last_access_; }

 private:
  struct Mark {
    ParallelIterations::Id writer = ParallelIterations::kNone, reader = ParallelIterations::kNone;
    std::uint32_t store = 0;       ///< the last statement execution that wrote it
    std::uint32_t read_apart = 0;  ///< the last one that read it in an iteration of another element
    bool atomic = false;           ///< the last write was
    /// Statements of a block: the last writer, the last reader, and the last other one.
    BlockStatements::Id written_by = BlockStatements::kNone, read_by = BlockStatements::kNone,
                        read_before = BlockStatements::kNone;
  };

  StoragePtr storage_;
  std::vector<std::int64_t> extents_, strides_;
  std::int64_t size_ = 0;
  bool is_input_ = false;
  std::vector<std::byte> own_;
  std::byte *data_;
  std::vector<Mark> marks_;  ///< none for inputs
  BlockStatements::Id last_access_ = BlockStatements::kNone;

  void order_read(Place place, Mark *mark, const BlockStatements &block);
  void order_write(Place place, Mark *mark, const BlockStatements &block, bool atomic);
  void order_memory(Place place, const BlockStatements &block);
  static std::size_t index(Place place) { return static_cast<std::size_t>(place.element); }
  std::byte *address(Place place) const { return data_ + place.offset * storage_->type.bytes(); }
};

}  // namespace pit::ir
