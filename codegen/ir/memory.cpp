#include "memory.h"

#include <algorithm>
#include <utility>

#include "text.h"

namespace pit::ir {
namespace {

std::int64_t product(const std::vector<std::int64_t> &extents) {
  std::int64_t size = 1;
  for (std::int64_t extent : extents) {
    if (extent <= 0) return 0;
    if (__builtin_mul_overflow(size, extent, &size))
      throw AccessError("the number of elements overflows");
  }
  return size;
}

std::vector<std::int64_t> row_major(const std::vector<std::int64_t> &extents) {
  std::vector<std::int64_t> strides(extents.size(), 1);
  for (std::size_t d = extents.size(); d-- > 1;)
    strides[d - 1] = strides[d] * std::max<std::int64_t>(extents[d], 0);
  return strides;
}

std::string list(const std::vector<std::int64_t> &values) {
  std::string text;
  for (std::int64_t value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

}  // namespace

bool BlockStatements::begin(const Stmt *s) {
  if (current_ != kNone) return false;
  current_ = ++last_;
  statements_.push_back(s);
  return true;
}

void BlockStatements::sync() {
  start_ = last_;
  if (current_ == kNone) return statements_.clear();
  statements_ = {statements_.back()};
  current_ = ++last_;
}

std::string BlockStatements::describe(Id earlier) const {
  const std::string text = print(*statements_.at(static_cast<std::size_t>(earlier - start_ - 1)));
  return "`" + text.substr(0, text.find('\n')) + "`";
}

void ParallelIterations::enter(std::uint32_t loop) {
  nodes_.push_back({current_, loop, nodes_[current_].depth + 1});
  current_ = static_cast<Id>(nodes_.size() - 1);
}

bool ParallelIterations::unordered(Id earlier) const {
  if (earlier == current_ || earlier == kNone) return false;
  Id a = earlier, b = current_;
  while (nodes_[a].depth > nodes_[b].depth) a = nodes_[a].parent;
  while (nodes_[b].depth > nodes_[a].depth) b = nodes_[b].parent;
  if (a == b) return false;
  while (nodes_[a].parent != nodes_[b].parent) {
    a = nodes_[a].parent;
    b = nodes_[b].parent;
  }
  return nodes_[a].loop == nodes_[b].loop;
}

Buffer::Buffer(StoragePtr storage, std::vector<std::int64_t> extents)
    : storage_(std::move(storage)),
      extents_(std::move(extents)),
      strides_(row_major(extents_)),
      size_(product(extents_)) {
  std::int64_t bytes = 0;
  constexpr std::int64_t kLargest = std::int64_t{1}
                                    << 36;  // a wrong extent, rather than a test's data
  if (__builtin_mul_overflow(size_, storage_->type.bytes(), &bytes) || bytes > kLargest) {
    throw AccessError("allocating " + storage_->name + " with extents " + list(extents_) +
                      " is too large");
  }
  own_.resize(static_cast<std::size_t>(bytes));
  marks_.resize(static_cast<std::size_t>(size_));
  data_ = own_.data();
}

Buffer::Buffer(StoragePtr storage, std::vector<std::int64_t> extents,
               std::vector<std::int64_t> strides, void *data, bool is_output)
    : storage_(std::move(storage)),
      extents_(std::move(extents)),
      strides_(std::move(strides)),
      size_(product(extents_)),
      is_input_(!is_output),
      data_(static_cast<std::byte *>(data)) {
  if (is_output) marks_.resize(static_cast<std::size_t>(size_));
}

Place Buffer::at(const std::int64_t *indices) const {
  Place place{0, 0};
  for (std::size_t d = 0; d < extents_.size(); ++d) {
    if (indices[d] < 0 || indices[d] >= extents_[d]) {
      throw AccessError("index " + list(std::vector(indices, indices + extents_.size())) + " of " +
                        storage_->name + " is out of bounds: its extents are " + list(extents_));
    }
    place.element = place.element * extents_[d] + indices[d];
    place.offset += indices[d] * strides_[d];
  }
  return place;
}

Place Buffer::at_element(std::int64_t element) const {
  if (element < 0 || element >= size_) {
    throw AccessError("element " + std::to_string(element) + " of " + storage_->name +
                      " is out of bounds: it has " + std::to_string(size_));
  }
  Place place{element, 0};
  for (std::size_t d = extents_.size(); d-- > 0;) {
    place.offset += element % extents_[d] * strides_[d];
    element /= extents_[d];
  }
  return place;
}

std::string Buffer::describe(Place place) const {
  std::vector<std::int64_t> indices(extents_.size());
  std::int64_t element = place.element;
  for (std::size_t d = extents_.size(); d-- > 0;) {
    indices[d] = element % extents_[d];
    element /= extents_[d];
  }
  return storage_->name + list(indices);
}

Value Buffer::read(Place place, const ParallelIterations &iterations) {
  if (observer) observer->read(place.element);
  if (!is_input_) {
    Mark &mark = marks_[index(place)];
    if (mark.writer == ParallelIterations::kNone)
      throw AccessError(describe(place) + " is read but was never written");
    if (iterations.in_parallel_loop()) {
      if (iterations.unordered(mark.writer)) {
        throw AccessError(describe(place) +
                          " is read by one parallel iteration and was written by another");
      }
      mark.reader = iterations.current();
    }
    if (iterations.block && is_synced) order_read(place, &mark, *iterations.block);
  }
  return peek(place);
}

void Buffer::write(Place place, Value value, const ParallelIterations &iterations, bool atomic) {
  if (is_input_) throw AccessError(storage_->name + " is an input and is written");
  if (observer) observer->write(place.element);
  Mark &mark = marks_[index(place)];
  if (iterations.in_parallel_loop()) {
    if (!(atomic && mark.atomic) && iterations.unordered(mark.writer)) {
      throw AccessError(describe(place) + " is written by two parallel iterations");
    }
    if (iterations.unordered(mark.reader)) {
      throw AccessError(describe(place) +
                        " is written by one parallel iteration and was read by another");
    }
  }
  if (iterations.block && is_synced) order_write(place, &mark, *iterations.block, atomic);
  mark.writer = iterations.current();
  mark.atomic = atomic;
  store_element(storage_->type, address(place), value);
}

void Buffer::order_memory(Place place, const BlockStatements &block) {
  if (block.unordered(memory_used)) {
    throw AccessError(describe(place) +
                      " is accessed without a barrier behind the last access to a tile whose "
                      "memory it may have, by " +
                      block.describe(memory_used));
  }
  last_access_ = block.current();
}

void Buffer::order_read(Place place, Mark *mark, const BlockStatements &block) {
  order_memory(place, block);
  if (block.unordered(mark->written_by)) {
    throw AccessError(describe(place) + " is read and was written by " +
                      block.describe(mark->written_by) +
                      " without a barrier between: other threads may have done that");
  }
  if (mark->read_by == block.current()) return;
  mark->read_before = std::exchange(mark->read_by, block.current());
}

void Buffer::order_write(Place place, Mark *mark, const BlockStatements &block, bool atomic) {
  order_memory(place, block);
  if (block.unordered(mark->written_by) && !(atomic && mark->atomic)) {
    throw AccessError(describe(place) + " is written and was written by " +
                      block.describe(mark->written_by) +
                      " without a barrier between: other threads may have done that");
  }
  for (const BlockStatements::Id reader : {mark->read_by, mark->read_before}) {
    if (!block.unordered(reader)) continue;
    throw AccessError(describe(place) + " is written and was read by " + block.describe(reader) +
                      " without a barrier between: other threads may still do that");
  }
  mark->written_by = block.current();
}

bool Buffer::first_write_of(std::uint32_t store, Place place) {
  if (is_input_) return true;  // refused by write
  return std::exchange(marks_[index(place)].store, store) != store;
}

bool Buffer::read_apart(std::uint32_t store, Place place) {
  if (is_input_) return true;
  marks_[index(place)].read_apart = store;
  return marks_[index(place)].store != store;
}

void Buffer::zero() {
  std::fill(own_.begin(), own_.end(), std::byte{0});
  std::fill(marks_.begin(), marks_.end(), Mark{.writer = 1});
}

}  // namespace pit::ir
