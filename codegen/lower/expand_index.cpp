#include "expand_index.h"

#include <functional>
#include <unordered_map>
#include <utility>

#include "codegen/ir/mutator.h"
#include "place_strip.h"
#include "statements.h"

// How. Candidates are cut into strips, which place_strip.h places in one kernel. Groups whose
// candidates are ragged are one block's each.
//
// Keys are counted, scanned and placed. The place of a key in its group is known in parts.
//
// In order: inside a strip of keys it is what a counter of the group holds when the key's turn
// comes (an ordered fetch_add), which leaves the strip's count of every group. These are a
// histogram that lies group by group. A block a group scans it and learns where the group begins
// from the groups before it while they all run (sum_before), so that placing is two additions a
// key. A strip is long where there are many groups, so that there are not many more counts than
// keys.
//
// Without an order the numbers inside a strip are taken as they come, and those of the strip as a
// whole from the count of the group, by one atomic operation a block and group: no histogram. Where
// the group begins each block sums itself when it places.
//
// Groups are counted some at a time, so any number of them does.

namespace pit::lower {
namespace {

using namespace build;
using ir::Stmt;

/// Elements that a block scans at once: tiles of them share a block's memory.
constexpr std::int64_t kScanned = 1024;
/// Keys that a block takes at a time.
constexpr std::int64_t kKeys = 1024;
/// In order: groups that a block counts at once, and the most times kKeys of a strip, beyond which
/// blocks would be few; and keys that a block places.
constexpr std::int64_t kCounted = 4096, kMostPieces = 8, kPlaced = 256;
/// Groups that a block counts at once, where numbers are taken as they come, and sums at once.
constexpr std::int64_t kGroups = 1024;

class Expander final : public ir::Mutator {
 private:
  using Mutator::visit;
  std::unordered_map<const StorageNode *, Expr> extents_;  ///< of arrays that are allocated

  Stmt visit(const ir::Allocate &node, const Stmt &self) override {
    if (node.storage->rank == 1) extents_[node.storage.get()] = node.extents[0];
    return Mutator::visit(node, self);
  }

  Expr size_of(const StoragePtr &array) const {
    const auto it = extents_.find(array.get());
    return it != extents_.end() ? it->second : make_extent(array, 0);
  }

  static StoragePtr array(const std::string &name) {
    return ir::make_storage(name, int32, 1, Space::Heap);
  }

  // --- scans ---

  /// The running sum of n numbers by one block. `load` stores the numbers of a piece, as int64,
  /// into the first tile and may use them for something else; `use` gets element i of all, the
  /// element of the piece and the sum of those before i. `after` gets the total.
  struct Piece {
    Axis i;      ///< in the piece
    Expr first;  ///< number of its first element
    StoragePtr values;
  };
  static Stmt scan(const std::string &name, const Expr &n,
                   const std::function<std::vector<Stmt>(const Piece &)> &load,
                   const std::function<std::vector<Stmt>(const Piece &, const Expr &before)> &use,
                   const std::function<std::vector<Stmt>(const Expr &total)> &after = {}) {
    const StoragePtr carry = make_tile(name + ".carry", int64, 0);
    const StoragePtr values = make_tile(name + ".values", int64),
                     before = make_tile(name + ".before", int64);
    const Loop piece("piece");
    const Expr first = piece.value * number(kScanned), here = min(number(kScanned), n - first);
    const Piece part{Axis("i", here, kScanned), first, values};
    const Expr total = make_load(carry, {});
    std::vector<Stmt> body = load(part);
    body.push_back(ir::make<ir::Prefix>(before, values, here));
    for (const Stmt &s : use(part, total + at(before, part.i.value))) body.push_back(s);
    body.push_back(add(carry, at(before, here)));
    const Stmt pieces =
        serial(piece, ceil_div(n, kScanned),
               with_tiles({{values, kScanned}, {before, kScanned + 1}}, over({part.i}, body)));
    std::vector<Stmt> all{set(carry, {}, number(0)), pieces};
    if (after) {
      for (const Stmt &s : after(total)) all.push_back(s);
    }
    return with_tiles({{carry, 0}}, ir::make_block(all));
  }

  Stmt visit(const ir::Prefix &node, const Stmt &self) override {
    if (node.destination->space == Space::Tile) return self;
    return one_block(scan(
        node.destination->name, node.length,
        [&](const Piece &p) -> std::vector<Stmt> {
          return {store({p.i}, {}, p.values, p.i.value,
                        max(wide(at(node.source, p.first + p.i.value)), number(0)))};
        },
        [&](const Piece &p, const Expr &before) -> std::vector<Stmt> {
          return {store({p.i}, {}, node.destination, p.first + p.i.value,
                        cast(node.destination->type, before))};
        },
        [&](const Expr &total) -> std::vector<Stmt> {
          return {set(node.destination, max(node.length, number(0)),
                      cast(node.destination->type, total))};
        }));
  }

  struct Index {
    std::string name;
    Expr groups, capacity;  ///< capacity: of coordinates; undefined when they are not wanted
    std::int64_t align;
    StoragePtr offsets, counts, coordinates, position;
  };

  static Expr inside(const Index &index, const Expr &entry) {
    return cast(int32, index.capacity.defined() ? min(entry, index.capacity) : entry);
  }

  /// What is said of all groups together.
  static std::vector<Stmt> finish(const Index &index, const Expr &total) {
    std::vector<Stmt> stmts{set(index.offsets, index.groups, inside(index, total))};
    if (index.capacity.defined()) {
      stmts.push_back(ir::make<ir::Check>(
          std::vector<VarPtr>{}, std::vector<Expr>{}, total <= index.capacity,
          "sparse index '" + index.name + "': {0} entries are needed and the capacity is {1}",
          std::vector<Expr>{total, index.capacity}));
    }
    return stmts;
  }

  // --- from marks ---

  Stmt visit(const ir::IndexPlace &node, const Stmt &) override {
    const bool ragged = node.mark_offsets != nullptr;
    PlacedIndex index{
        .name = node.index_name,
        .groups = node.groups,
        .micro = node.micro,
        .strips = ragged ? number(1) : max(ceil_div(node.length, kMarkedStrip), number(1)),
        .spacing = node.spacing,
        .align = node.align,
        .ordered = node.ordered,
        .first = node.first,
        .offsets = node.offsets ? node.offsets : array(node.index_name + ".offsets"),
        .counts = node.counts,
        .coordinates = node.coordinates,
        .position =
            node.length.defined() && is_zero(node.length) && !ragged ? nullptr : node.position,
        .full = node.full};
    if (node.coordinates) index.capacity = size_of(node.coordinates);
    make_progress(&index);
    Stmt result = with_progress(index, ragged ? place_ragged(node, index) : place(node, index));
    if (!node.offsets)
      result =
          ir::make<ir::Allocate>(index.offsets, std::vector<Expr>{node.groups + number(1)}, result);
    return result;
  }

  /// The tiles of a strip from the marks in memory.
  static Stmt load_marks(const ir::IndexPlace &node, const Strip &strip) {
    const Axis j("j", strip.length, strip.maximum);
    const auto bit = [&](int b) {
      return (at(node.marks, strip.start + strip.first + j.value) & make_int(uint8, b)) !=
             make_int(uint8, 0);
    };
    std::vector<Stmt> stmts{store({j}, {}, strip.marks, j.value, bit(1))};
    if (strip.partial) stmts.push_back(store({j}, {}, strip.partial, j.value, bit(2)));
    return over({j}, stmts);
  }

  static Stmt place(const ir::IndexPlace &node, const PlacedIndex &index) {
    const Loop g("g"), s("s");
    const Expr first = s.value * number(kMarkedStrip);
    const StoragePtr marks = make_tile(index.name + ".mark", boolean),
                     partial = node.full ? make_tile(index.name + ".partial", boolean) : nullptr;
    const Strip strip{g.value,
                      s.value,
                      g.value * node.length,
                      first,
                      max(min(number(kMarkedStrip), node.length - first), number(0)),
                      kMarkedStrip,
                      marks,
                      partial};
    std::vector<std::pair<StoragePtr, std::int64_t>> tiles{{marks, kMarkedStrip}};
    if (partial) tiles.emplace_back(partial, kMarkedStrip);
    const Stmt body =
        with_tiles(tiles, ir::make_block({load_marks(node, strip), place_strip(index, strip)}));
    // A block of a spaced group rarely waits if the strips of its group have begun long before.
    return index.spacing.defined() ? parallel(s, index.strips, parallel(g, node.groups, body))
                                   : parallel(g, node.groups, parallel(s, index.strips, body));
  }

  static Stmt place_ragged(const ir::IndexPlace &node, const PlacedIndex &index) {
    const Loop g("g");
    const VarPtr start = ir::make_let_variable("start", int64),
                 length = ir::make_let_variable("length", int64);
    const RaggedGroup group{g.value,
                            make_variable(start),
                            make_variable(length),
                            kMarkedStrip,
                            node.full != nullptr,
                            [&](const Strip &strip) { return load_marks(node, strip); }};
    return parallel(
        g, node.groups,
        let(start, at(node.mark_offsets, g.value),
            let(length,
                max(at(node.mark_offsets, g.value + number(1)) - make_variable(start), number(0)),
                place_group(index, group))));
  }

  // --- from keys ---

  Stmt visit(const ir::IndexSort &node, const Stmt &) override {
    Index index{node.index_name, node.groups,      {},           node.align, node.offsets,
                node.counts,     node.coordinates, node.position};
    if (node.coordinates) index.capacity = size_of(node.coordinates);
    if (!index.offsets) index.offsets = array(index.name + ".offsets");
    if (!index.counts) index.counts = array(index.name + ".counts");
    const StoragePtr ranks = array(index.name + ".rank");
    Stmt result = ir::make<ir::Allocate>(
        ranks, std::vector<Expr>{max(node.length, number(0))},
        node.ordered ? sort_keys(node, index, ranks) : group_keys(node, index, ranks));
    if (!node.offsets)
      result =
          ir::make<ir::Allocate>(index.offsets, std::vector<Expr>{node.groups + number(1)}, result);
    if (!node.counts)
      result = ir::make<ir::Allocate>(index.counts, std::vector<Expr>{node.groups}, result);
    return result;
  }

  static Stmt check_key(const ir::IndexSort &node, const Axis &j, const Expr &key,
                        const Expr &position) {
    return ir::make<ir::Check>(
        std::vector<VarPtr>{j.binding.var}, std::vector<Expr>{},
        key >= number(-1) && key < node.groups,
        "sparse index '" + node.index_name +
            "': the key at position {1} is {0}, outside [0, {2}); exclude positions of no group "
            "by a predicate, e.g. where(key >= 0)",
        std::vector<Expr>{select(key < number(0), key + number(1), key), position, node.groups});
  }

  /// Groups, at most `at_once` of them at a time, and once where there are none: `body` gets the
  /// first, and their axis.
  static Stmt over_groups(const ir::IndexSort &node, std::int64_t at_once,
                          const std::function<Stmt(const Expr &, const Axis &)> &body) {
    const Loop c("c");
    const Expr low = c.value * number(at_once);
    const Axis g("g", min(number(at_once), node.groups - low), at_once);
    return serial(c, max(ceil_div(node.groups, at_once), number(1)), body(low, g));
  }

  static std::vector<Expr> is_one_of(const Expr &key, const Expr &low, const Axis &groups) {
    return {key >= low, key < low + groups.binding.extent};
  }

  // --- in order ---

  /// How many keys of each group each strip has; from the scan on, how many come before it.
  struct Histogram {
    StoragePtr counts;    ///< [group][strip]
    StoragePtr progress;  ///< of the groups: see ir::SumBefore
    Expr pieces, strips;  ///< times kKeys that a strip has, and how many strips there are
    Expr place(const Expr &group, const Expr &strip) const { return group * strips + strip; }
  };

  static Stmt sort_keys(const ir::IndexSort &node, const Index &index, const StoragePtr &ranks) {
    const VarPtr pieces = ir::make_let_variable("pieces", int64),
                 strips = ir::make_let_variable("strips", int64);
    const Histogram histogram{array(index.name + ".histogram"),
                              ir::make_storage(index.name + ".progress", int64, 1, Space::Heap),
                              make_variable(pieces), make_variable(strips)};
    const Expr groups = max(node.groups, number(0)), of_strip = histogram.pieces * number(kKeys);
    Stmt kernels =
        ir::make_block({count_keys(node, index, ranks, histogram), scan_strips(index, histogram),
                        place_in_order(node, index, ranks, histogram)});
    kernels = ir::make<ir::Allocate>(histogram.progress, std::vector<Expr>{groups}, kernels);
    kernels = ir::make<ir::Allocate>(histogram.counts, std::vector<Expr>{groups * histogram.strips},
                                     kernels);
    return let(
        pieces, max(min(ceil_div(groups, kKeys), number(kMostPieces)), number(1)),
        let(strips, max((node.length + of_strip - number(1)) / of_strip, number(1)), kernels));
  }

  /// Ranks in the strip, and its counts. The first block stores what is known before any of them.
  static Stmt count_keys(const ir::IndexSort &node, const Index &index, const StoragePtr &ranks,
                         const Histogram &histogram) {
    const Loop s("s"), piece("piece");
    const StoragePtr keys = make_tile(index.name + ".key", int64),
                     rank = make_tile(index.name + ".in_strip", int32),
                     found = make_tile(index.name + ".found", int32);
    const Expr first_piece = s.value * histogram.pieces,
               first = (first_piece + piece.value) * number(kKeys),
               pieces = min(histogram.pieces, ceil_div(node.length, kKeys) - first_piece);
    const Axis j("j", min(number(kKeys), node.length - first), kKeys);
    const Expr key = at(keys, j.value), position = first + j.value;
    const Stmt counted = over_groups(node, kCounted, [&](const Expr &low, const Axis &g) {
      const std::vector<Expr> here = is_one_of(key, low, g);
      const Stmt numbered = serial(
          piece, pieces,
          over({j}, {store({j}, {}, keys, j.value, at(node.keys, position)),
                     check_key(node, j, key, position),
                     fetch_add({j}, here, rank, j.value, found, key - low, number32(1), true),
                     store({j}, here, ranks, position, at(rank, j.value))}));
      return over({g}, {store({g}, {}, found, g.value, number32(0)),
                        ir::make<ir::If>(s.value == number(0), store({g}, {}, histogram.progress,
                                                                     low + g.value, number(0))),
                        numbered,
                        store({g}, {}, histogram.counts, histogram.place(low + g.value, s.value),
                              at(found, g.value))});
    });
    const Stmt none =
        ir::make<ir::If>(s.value == number(0), set(index.offsets, node.groups, number32(0)));
    return parallel(s, histogram.strips,
                    with_tiles({{keys, kKeys}, {rank, kKeys}, {found, kCounted}},
                               ir::make_block({none, counted})));
  }

  /// Of a group: how many of its keys come before each strip, its count, its first entry, and its
  /// padding.
  static Stmt scan_strips(const Index &index, const Histogram &histogram) {
    const Loop g("g");
    const StoragePtr before = make_tile(index.name + ".first", int64, 0);
    const auto strip = [&](const Piece &p) {
      return histogram.place(g.value, p.first + p.i.value);
    };
    const auto after = [&](const Expr &count) {
      const Expr first = value_of(before),
                 rounded = ceil_div(count, index.align) * number(index.align);
      const Expr end = first + rounded;
      std::vector<Stmt> stmts{
          ir::make<ir::SumBefore>(before, histogram.progress, number(0), g.value, rounded),
          set(index.counts, g.value, cast(int32, count)),
          set(index.offsets, g.value, inside(index, first))};
      if (index.align > 1 && index.coordinates) {
        const Axis p("p", number(index.align - 1), index.align - 1);
        const Expr entry = first + count + p.value;
        stmts.push_back(over({p}, {store({p}, {entry < min(end, index.capacity)}, index.coordinates,
                                         entry, number32(-1))}));
      }
      stmts.push_back(ir::make<ir::If>(g.value == index.groups - number(1),
                                       ir::make_block(finish(index, end))));
      return stmts;
    };
    const Stmt body = scan(
        index.name + ".strips", histogram.strips,
        [&](const Piece &p) -> std::vector<Stmt> {
          return {store({p.i}, {}, p.values, p.i.value, wide(at(histogram.counts, strip(p))))};
        },
        [&](const Piece &p, const Expr &sum) -> std::vector<Stmt> {
          return {store({p.i}, {}, histogram.counts, strip(p), cast(int32, sum))};
        },
        after);
    return parallel(g, index.groups, with_tiles({{before, 0}}, body));
  }

  static Stmt place_in_order(const ir::IndexSort &node, const Index &index, const StoragePtr &ranks,
                             const Histogram &histogram) {
    const Loop s("s");
    const VarPtr strip = ir::make_let_variable("strip", int64);
    const Expr first = s.value * number(kPlaced);
    const Axis j("j", min(number(kPlaced), node.length - first), kPlaced);
    const Expr position = first + j.value, key = at(node.keys, position),
               before = at(histogram.counts, histogram.place(key, make_variable(strip))),
               entry = wide(at(index.offsets, key)) + wide(before) + wide(at(ranks, position));
    const Expr is_group = key >= number(0) && key < node.groups;
    std::vector<Stmt> stmts;
    if (index.position) {
      stmts.push_back(store({j}, {}, index.position, position,
                            select(is_group, cast(int32, entry), number32(-1))));
    }
    if (index.coordinates) {
      stmts.push_back(store({j}, {is_group, entry < index.capacity}, index.coordinates, entry,
                            cast(int32, position)));
    }
    return parallel(s, ceil_div(node.length, kPlaced),
                    let(strip, first / (histogram.pieces * number(kKeys)), over({j}, stmts)));
  }

  // --- in any order ---

  /// Ranks are numbers of a position in its group, which blocks and threads take as they come.
  static Stmt group_keys(const ir::IndexSort &node, const Index &index, const StoragePtr &ranks) {
    const Loop g("g");
    return ir::make_block({parallel(g, node.groups, set(index.counts, g.value, number32(0))),
                           rank_keys(node, index, ranks), place_ranked(node, index, ranks)});
  }

  /// Inside a strip keys are numbered by group; then the strip takes as many numbers of each group
  /// that it has, by one atomic operation.
  static Stmt rank_keys(const ir::IndexSort &node, const Index &index, const StoragePtr &ranks) {
    const Loop s("s");
    const StoragePtr keys = make_tile(index.name + ".key", int64),
                     rank = make_tile(index.name + ".in_strip", int32),
                     found = make_tile(index.name + ".found", int32),
                     taken = make_tile(index.name + ".taken", int32);
    const Expr first = s.value * number(kKeys);
    const Axis j("j", min(number(kKeys), node.length - first), kKeys);
    const Expr key = at(keys, j.value), position = first + j.value;
    const Stmt numbered = over_groups(node, kGroups, [&](const Expr &low, const Axis &g) {
      const std::vector<Expr> here = is_one_of(key, low, g);
      const Expr several = at(found, g.value);
      return over(
          {g}, {store({g}, {}, found, g.value, number32(0)),
                fetch_add({j}, here, rank, j.value, found, key - low, number32(1)),
                fetch_add({g}, {several > number32(0)}, taken, g.value, index.counts, low + g.value,
                          several),
                store({j}, here, ranks, position, at(taken, key - low) + at(rank, j.value))});
    });
    return parallel(s, ceil_div(node.length, kKeys),
                    with_tiles({{keys, kKeys}, {rank, kKeys}, {found, kGroups}, {taken, kGroups}},
                               over({j}, {store({j}, {}, keys, j.value, at(node.keys, position)),
                                          check_key(node, j, key, position), numbered})));
  }

  /// Every block sums the counts of groups itself, which is less than a kernel that does it for
  /// all: a few reads of what the cache holds, where groups are not very many.
  static Stmt place_ranked(const ir::IndexSort &node, const Index &index, const StoragePtr &ranks) {
    const Loop s("s");
    const StoragePtr carry = make_tile(index.name + ".carry", int64, 0),
                     sizes = make_tile(index.name + ".size", int64),
                     before = make_tile(index.name + ".before", int64);
    const Expr strips = max(ceil_div(node.length, kKeys), number(1)),
               first = s.value * number(kKeys);
    const Axis j("j", max(min(number(kKeys), node.length - first), number(0)), kKeys);
    const Expr position = first + j.value, key = at(node.keys, position);
    const Stmt placed = over_groups(node, kGroups, [&](const Expr &low, const Axis &g) {
      const Expr here = g.binding.extent, start = value_of(carry) + at(before, g.value),
                 count = wide(at(index.counts, low + g.value)),
                 entry = value_of(carry) + at(before, key - low) + wide(at(ranks, position));
      std::vector<Stmt> stmts{
          store({g}, {}, sizes, g.value, ceil_div(count, index.align) * number(index.align)),
          ir::make<ir::Prefix>(before, sizes, here),
          ir::make<ir::If>(s.value == number(0),
                           store({g}, {}, index.offsets, low + g.value, inside(index, start)))};
      std::vector<Expr> guards = is_one_of(key, low, g);
      if (index.position)
        stmts.push_back(store({j}, guards, index.position, position, cast(int32, entry)));
      if (index.coordinates) {
        guards.push_back(entry < index.capacity);
        stmts.push_back(store({j}, guards, index.coordinates, entry, cast(int32, position)));
      }
      if (index.align > 1 && index.coordinates) {
        // The groups' padding is shared out among the strips.
        const Axis q("q", (here + strips - number(1)) / strips, kGroups),
            p("p", number(index.align - 1), index.align - 1);
        const Expr mine = q.value * strips + s.value, padded = wide(at(index.counts, low + mine)),
                   end = value_of(carry) + at(before, mine) + padded + p.value;
        stmts.push_back(
            over({q, p}, {store({q, p},
                                {mine < here, end < value_of(carry) + at(before, mine + number(1)),
                                 end < index.capacity},
                                index.coordinates, end, number32(-1))}));
      }
      stmts.push_back(add(carry, at(before, here)));
      return with_tiles({{sizes, kGroups}, {before, kGroups + 1}}, over({g}, stmts));
    });
    std::vector<Stmt> stmts{set(carry, {}, number(0))};
    if (index.position) stmts.push_back(store({j}, {}, index.position, position, number32(-1)));
    stmts.push_back(placed);
    stmts.push_back(
        ir::make<ir::If>(s.value == number(0), ir::make_block(finish(index, value_of(carry)))));
    return parallel(s, strips, with_tiles({{carry, 0}}, over({j}, stmts)));
  }
};

}  // namespace

ir::Module expand_index(const ir::Module &module) {
  ir::Module result = module;
  result.body = Expander()(module.body);
  return result;
}

}  // namespace pit::lower
