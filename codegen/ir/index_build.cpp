#include "index_build.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pit::ir {
namespace {

/// An entry of a list as it will be written.
struct Entry {
  std::int64_t coordinate;
  std::int64_t candidate;  ///< its element of `position`
  bool full;
};
using Lists = std::vector<std::vector<Entry>>;

struct Outputs {
  StoragePtr offsets, counts, coordinates, position, full;
};

class Builder {
 public:
  Builder(std::string name, std::int64_t align, Outputs outputs, Evaluator *evaluator)
      : name_(std::move(name)),
        align_(align),
        outputs_(std::move(outputs)),
        evaluator_(evaluator) {}

  std::int64_t read(const StoragePtr &storage, std::int64_t element) {
    Buffer &buffer = evaluator_->buffer(storage);
    return buffer.read(buffer.at_element(element), evaluator_->iterations).i;
  }

  /// `spacing`: from the first entry of a group to that of the next; 0: they follow each other.
  std::optional<std::string> write(const Lists &lists, std::int64_t candidates,
                                   std::int64_t spacing = 0) {
    std::int64_t entries = 0;
    for (const auto &list : lists) entries += rounded(list);
    const std::int64_t capacity =
        outputs_.coordinates ? evaluator_->buffer(outputs_.coordinates).size() : entries;
    if (entries > capacity) {
      return fail(lists.size(), candidates,
                  "the sparse index " + name_ + " needs " + std::to_string(entries) +
                      " entries, but its capacity is " + std::to_string(capacity));
    }
    for (std::int64_t candidate = 0; candidate < candidates; ++candidate)
      put(outputs_.position, candidate, -1);
    std::int64_t end = 0;
    for (std::size_t g = 0; g < lists.size(); ++g) {
      std::int64_t e = end;
      put(outputs_.offsets, static_cast<std::int64_t>(g), end);
      put(outputs_.counts, static_cast<std::int64_t>(g),
          static_cast<std::int64_t>(lists[g].size()));
      for (const Entry &entry : lists[g]) {
        put(outputs_.coordinates, e, entry.coordinate);
        put(outputs_.full, e, entry.full);
        put(outputs_.position, entry.candidate, e++);
      }
      end += rounded(lists[g]);
      while (e < end) put(outputs_.coordinates, e++, -1);
      if (spacing > 0) end = static_cast<std::int64_t>(g + 1) * spacing;
    }
    put(outputs_.offsets, static_cast<std::int64_t>(lists.size()), end);
    return std::nullopt;
  }

  std::string fail(std::size_t groups, std::int64_t candidates, std::string message) {
    for (std::int64_t g = 0; g <= static_cast<std::int64_t>(groups); ++g)
      put(outputs_.offsets, g, 0);
    for (std::int64_t g = 0; g < static_cast<std::int64_t>(groups); ++g) put(outputs_.counts, g, 0);
    for (std::int64_t candidate = 0; candidate < candidates; ++candidate)
      put(outputs_.position, candidate, -1);
    return message;
  }

 private:
  std::string name_;
  std::int64_t align_;
  Outputs outputs_;
  Evaluator *evaluator_;

  std::int64_t rounded(const std::vector<Entry> &list) const {
    return (static_cast<std::int64_t>(list.size()) + align_ - 1) / align_ * align_;
  }

  void put(const StoragePtr &storage, std::int64_t element, std::int64_t value) {
    if (storage == nullptr) return;
    Buffer &buffer = evaluator_->buffer(storage);
    buffer.write(buffer.at_element(element), integer_value(value), evaluator_->iterations);
  }
};

}  // namespace

std::optional<std::string> build_index(const IndexPlace &place, Evaluator *evaluator) {
  Builder builder(place.index_name, place.align,
                  {place.offsets, place.counts, place.coordinates, place.position, place.full},
                  evaluator);
  const std::int64_t groups = std::max<std::int64_t>((*evaluator)(place.groups).i, 0);
  const std::int64_t length =
      place.mark_offsets ? 0 : std::max<std::int64_t>((*evaluator)(place.length).i, 0);
  const std::int64_t micro = (*evaluator)(place.micro).i;
  Lists lists(static_cast<std::size_t>(groups));
  std::int64_t candidates = groups * length;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t start =
        place.mark_offsets ? builder.read(place.mark_offsets, g) : g * length;
    const std::int64_t end =
        place.mark_offsets ? builder.read(place.mark_offsets, g + 1) : start + length;
    const std::int64_t first = place.first ? builder.read(place.first, g) : 0;
    for (std::int64_t candidate = start; candidate < end; ++candidate) {
      const std::int64_t mark = builder.read(place.marks, candidate);
      if ((mark & 1) == 0) continue;
      lists[static_cast<std::size_t>(g)].push_back(
          {first + (candidate - start) * micro, candidate, (mark & 2) == 0});
    }
    candidates = std::max(candidates, end);
  }
  return builder.write(lists, candidates,
                       place.spacing.defined() ? (*evaluator)(place.spacing).i : 0);
}

std::optional<std::string> build_index(const IndexSort &sort, Evaluator *evaluator) {
  Builder builder(sort.index_name, sort.align,
                  {sort.offsets, sort.counts, sort.coordinates, sort.position, nullptr}, evaluator);
  const std::int64_t length = std::max<std::int64_t>((*evaluator)(sort.length).i, 0);
  const std::int64_t groups = std::max<std::int64_t>((*evaluator)(sort.groups).i, 0);
  Lists lists(static_cast<std::size_t>(groups));
  for (std::int64_t p = 0; p < length; ++p) {
    const std::int64_t key = builder.read(sort.keys, p);
    if (key < -1 || key >= groups) {
      return builder.fail(lists.size(), length,
                          "the key of the sparse index " + sort.index_name + " at position " +
                              std::to_string(p) + " is " + std::to_string(key < 0 ? key + 1 : key) +
                              ", outside [0, " + std::to_string(groups) + ")");
    }
    if (key >= 0) lists[static_cast<std::size_t>(key)].push_back({p, p, true});
  }
  return builder.write(lists, length);
}

}  // namespace pit::ir
