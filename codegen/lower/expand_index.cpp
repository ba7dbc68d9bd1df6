#include "expand_index.h"

#include <functional>
#include <unordered_map>
#include <utility>

#include "codegen/ir/mutator.h"

// How. Candidates are cut into strips. One kernel counts what every strip keeps, the second, one
// block, scans the counts of groups, whose sizes it rounds up, into offsets, and the third scans
// the marks inside every strip and stores each kept candidate at the offset of its group, behind
// those of the strips before. Groups whose candidates are ragged are one strip each, which its
// block goes through piece by piece.
//
// A sort by keys has a histogram over groups for every strip of keys, stored group by group: its
// scan along strips says how many keys of a group come before the strip, and inside a strip the
// rank of a key is the number of equal ones before it. So the order is stable without any atomic
// operation but the counting itself.

namespace pit::lower {
namespace {

using ir::Stmt;

/// Candidates of a strip, and elements that a block scans at once: tiles of them share a block's
/// memory.
constexpr std::int64_t kStrip = 2048;
/// Keys of a strip: the rank of each is found by comparing it with all others.
constexpr std::int64_t kKeys = 256;

Expr number(std::int64_t c) { return make_int(int64, c); }
Expr number32(std::int64_t c) { return make_int(int32, c); }
Expr ceil_div(const Expr &a, std::int64_t b) { return (a + number(b - 1)) / number(b); }
Expr at(const StoragePtr &storage, const Expr &i) { return make_load(storage, {i}); }
Expr wide(const Expr &e) { return cast(int64, e); }

/// A loop variable, or an axis with its extent, and its value.
struct Loop {
  VarPtr var = nullptr;
  Expr value;
  explicit Loop(const char *name) : var(ir::make_loop_variable(name)), value(make_variable(var)) {}
};
struct Axis {
  ir::AxisBinding binding;
  Expr value;
  Axis(const char *name, Expr extent, std::int64_t maximum)
      : binding{ir::make_axis_variable(name), std::move(extent), maximum},
        value(make_variable(binding.var)) {}
};

Stmt parallel(const Loop &loop, const Expr &extent, Stmt body) {
  return ir::make<ir::For>(loop.var, number(0), extent, ir::ForKind::Parallel, std::move(body));
}
Stmt serial(const Loop &loop, const Expr &extent, Stmt body) {
  return ir::make<ir::For>(loop.var, number(0), extent, ir::ForKind::Serial, std::move(body));
}
/// A kernel of one block.
Stmt one_block(Stmt body) { return parallel(Loop("once"), number(1), std::move(body)); }

Stmt over(const std::vector<Axis> &axes, std::vector<Stmt> body) {
  std::vector<ir::AxisBinding> bindings;
  for (const Axis &axis : axes) bindings.push_back(axis.binding);
  return ir::make<ir::Axes>(bindings, ir::make_block(std::move(body)));
}

/// for axes: if guards: storage[index] combiner= value; no index for a tile of rank 0.
Stmt store(const std::vector<Axis> &axes, std::vector<Expr> guards, const StoragePtr &storage,
           const Expr &index, const Expr &value, Combiner combiner = Combiner::Assign,
           bool atomic = false) {
  std::vector<VarPtr> vars;
  for (const Axis &axis : axes) vars.push_back(axis.binding.var);
  std::vector<Expr> indices;
  if (index.defined()) indices.push_back(index);
  return ir::make<ir::Store>(vars, std::move(guards), storage, indices, combiner, value, atomic);
}
Stmt set(const StoragePtr &storage, const Expr &index, const Expr &value) {
  return store({}, {}, storage, index, value);
}
Stmt add(const StoragePtr &scalar, const Expr &value) {
  return store({}, {}, scalar, {}, value, Combiner::Sum);
}

/// Storages of `sizes` (rank 1; 0 = a scalar) around `body`.
Stmt with_tiles(const std::vector<std::pair<StoragePtr, std::int64_t>> &tiles, Stmt body) {
  for (auto it = tiles.rbegin(); it != tiles.rend(); ++it) {
    std::vector<Expr> extents;
    if (it->first->rank == 1) extents.push_back(number(it->second));
    body = ir::make<ir::Allocate>(it->first, extents, body);
  }
  return body;
}

Stmt let(const VarPtr &var, const Expr &value, Stmt body) {
  return ir::make<ir::Let>(var, value, std::move(body));
}

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

  static StoragePtr tile(const std::string &name, Type type, int rank = 1) {
    return ir::make_storage(name, type, rank, Space::Tile);
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
                   const std::function<std::vector<Stmt>(const Expr &total)> &after) {
    const StoragePtr carry = tile(name + ".carry", int64, 0);
    const StoragePtr values = tile(name + ".values", int64), before = tile(name + ".before", int64);
    const Loop piece("piece");
    const Expr first = piece.value * number(kStrip), here = min(number(kStrip), n - first);
    const Piece part{Axis("i", here, kStrip), first, values};
    const Expr total = make_load(carry, {});
    std::vector<Stmt> body = load(part);
    body.push_back(ir::make<ir::Prefix>(before, values, here));
    for (const Stmt &s : use(part, total + at(before, part.i.value))) body.push_back(s);
    body.push_back(add(carry, at(before, here)));
    const Stmt pieces =
        serial(piece, ceil_div(n, kStrip),
               with_tiles({{values, kStrip}, {before, kStrip + 1}}, over({part.i}, body)));
    std::vector<Stmt> all{set(carry, {}, number(0)), pieces};
    for (const Stmt &s : after(total)) all.push_back(s);
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

  /// What IndexPlace and IndexSort have in common.
  struct Index {
    std::string name;
    Expr groups, capacity;  ///< capacity: of coordinates; undefined when they are not wanted
    std::int64_t align;
    StoragePtr offsets, counts, coordinates, position, full;
  };

  /// Offsets of all groups from their numbers of entries, which `load` stores into the piece.
  static Stmt offsets_of_groups(const Index &index,
                                const std::function<std::vector<Stmt>(const Piece &)> &load) {
    const auto inside = [&](const Expr &entry) {
      return cast(int32, index.capacity.defined() ? min(entry, index.capacity) : entry);
    };
    return one_block(scan(
        index.name + ".offsets", index.groups,
        [&](const Piece &p) {
          std::vector<Stmt> stmts = load(p);
          const Expr count = at(p.values, p.i.value);
          if (index.counts)
            stmts.push_back(
                store({p.i}, {}, index.counts, p.first + p.i.value, cast(int32, count)));
          if (index.align > 1)
            stmts.push_back(store({p.i}, {}, p.values, p.i.value,
                                  ceil_div(count, index.align) * number(index.align)));
          return stmts;
        },
        [&](const Piece &p, const Expr &before) -> std::vector<Stmt> {
          return {store({p.i}, {}, index.offsets, p.first + p.i.value, inside(before))};
        },
        [&](const Expr &total) {
          std::vector<Stmt> stmts{set(index.offsets, index.groups, inside(total))};
          if (index.capacity.defined()) {
            stmts.push_back(ir::make<ir::Check>(
                std::vector<VarPtr>{}, std::vector<Expr>{}, total <= index.capacity,
                "sparse index '" + index.name + "': {0} entries are needed and the capacity is {1}",
                std::vector<Expr>{total, index.capacity}));
          }
          return stmts;
        }));
  }

  /// Padding entries of group g from entry `end` on hold -1; `axes` with those of `guards`.
  static Stmt pad(const Index &index, std::vector<Axis> axes, std::vector<Expr> guards,
                  const Expr &g, const Expr &end) {
    if (index.align == 1 || !index.coordinates) return {};
    axes.emplace_back("p", number(index.align - 1), index.align - 1);
    const Expr entry = end + axes.back().value;
    guards.push_back(entry < wide(at(index.offsets, g + number(1))));
    return over(axes, {store(axes, guards, index.coordinates, entry, number32(-1))});
  }

  // --- from marks ---

  Stmt visit(const ir::IndexPlace &node, const Stmt &) override {
    Index index{node.index_name,  node.groups,   {},       node.align, node.offsets, node.counts,
                node.coordinates, node.position, node.full};
    if (node.coordinates) index.capacity = size_of(node.coordinates);
    if (!index.offsets) index.offsets = array(index.name + ".offsets");
    const bool ragged = node.mark_offsets != nullptr;
    const Expr strips = ragged ? number(1) : ceil_div(node.length, kStrip);
    const StoragePtr counted = array(index.name + ".counted");
    const auto part = [&](const Expr &g, const Expr &s) { return ragged ? g : g * strips + s; };

    const Stmt offsets = offsets_of_groups(index, [&](const Piece &p) -> std::vector<Stmt> {
      const Expr g = p.first + p.i.value;
      if (ragged) return {store({p.i}, {}, p.values, p.i.value, wide(at(counted, g)))};
      const Axis s("s", strips, 0);
      return {store({p.i}, {}, p.values, p.i.value, number(0)),
              over({s}, {store({p.i, s}, {}, p.values, p.i.value,
                               wide(at(counted, part(g, s.value))), Combiner::Sum)})};
    });
    Stmt result = ir::make_block({count_strips(node, index, counted, strips), offsets,
                                  place_strips(node, index, counted, strips)});
    result = ir::make<ir::Allocate>(
        counted, std::vector<Expr>{max(node.groups * strips, number(0))}, result);
    if (!node.offsets)
      result =
          ir::make<ir::Allocate>(index.offsets, std::vector<Expr>{node.groups + number(1)}, result);
    return result;
  }

  /// Group g's candidates: `body` with the number of the first and how many there are.
  static Stmt with_candidates(const ir::IndexPlace &node, const Expr &g,
                              const std::function<Stmt(const Expr &, const Expr &)> &body) {
    if (!node.mark_offsets) return body(g * node.length, node.length);
    const VarPtr start = ir::make_let_variable("start", int64),
                 length = ir::make_let_variable("length", int64);
    return let(start, at(node.mark_offsets, g),
               let(length, at(node.mark_offsets, g + number(1)) - make_variable(start),
                   body(make_variable(start), make_variable(length))));
  }

  static Stmt count_strips(const ir::IndexPlace &node, const Index &index,
                           const StoragePtr &counted, const Expr &strips) {
    const Loop g("g"), s("s");
    const StoragePtr sum = tile(index.name + ".sum", int32, 0);
    const auto count = [&](const Expr &start, const Axis &j, const Expr &part) {
      const Expr mark = at(node.marks, start + j.value) & make_int(uint8, 1);
      return with_tiles(
          {{sum, 0}},
          ir::make_block({set(sum, {}, number32(0)),
                          over({j}, {store({j}, {}, sum, {}, cast(int32, mark), Combiner::Sum)}),
                          set(counted, part, make_load(sum, {}))}));
    };
    if (node.mark_offsets) {
      return parallel(g, node.groups,
                      with_candidates(node, g.value, [&](const Expr &start, const Expr &length) {
                        return count(start, Axis("j", max(length, number(0)), 0), g.value);
                      }));
    }
    const Expr first = s.value * number(kStrip);
    return parallel(g, node.groups,
                    parallel(s, strips,
                             count(g.value * node.length + first,
                                   Axis("j", min(number(kStrip), node.length - first), kStrip),
                                   g.value * strips + s.value)));
  }

  static Stmt place_strips(const ir::IndexPlace &node, const Index &index,
                           const StoragePtr &counted, const Expr &strips) {
    const Loop g("g"), s("s");
    const StoragePtr next = tile(index.name + ".next", int32, 0);  // entry behind the last one
    const Stmt begin = set(next, {}, at(index.offsets, g.value));
    const Stmt padding = pad(index, {}, {}, g.value, wide(make_load(next, {})));
    const Stmt body = with_candidates(node, g.value, [&](const Expr &start, const Expr &length) {
      const Stmt strip = place_strip(node, index, g.value, start, length, s.value, next);
      if (node.mark_offsets)
        return ir::make_block({begin, serial(s, ceil_div(length, kStrip), strip), padding});
      const Axis before("before", s.value, 0);
      const Stmt skip =
          over({before}, {store({before}, {}, next, {},
                                at(counted, g.value * strips + before.value), Combiner::Sum)});
      const Stmt last =
          padding.defined() ? ir::make<ir::If>(s.value == strips - number(1), padding) : Stmt();
      return ir::make_block({begin, skip, strip, last});
    });
    const Stmt placed = with_tiles({{next, 0}}, body);
    return parallel(g, node.groups, node.mark_offsets ? placed : parallel(s, strips, placed));
  }

  /// Candidates s * kStrip, ... of group g, whose first entry is `next`.
  static Stmt place_strip(const ir::IndexPlace &node, const Index &index, const Expr &g,
                          const Expr &start, const Expr &length, const Expr &s,
                          const StoragePtr &next) {
    const StoragePtr mark = tile(index.name + ".mark", uint8),
                     kept = tile(index.name + ".kept", int32),
                     rank = tile(index.name + ".rank", int32);
    const Expr first = s * number(kStrip), here = min(number(kStrip), length - first);
    const Axis j("j", here, kStrip);
    const Expr entry = make_load(next, {}) + at(rank, j.value),
               is_kept = at(kept, j.value) != number32(0);
    std::vector<Expr> guards{is_kept};
    if (index.capacity.defined()) guards.push_back(wide(entry) < index.capacity);
    std::vector<Stmt> stmts{
        store({j}, {}, mark, j.value, at(node.marks, start + first + j.value)),
        store({j}, {}, kept, j.value, cast(int32, at(mark, j.value) & make_int(uint8, 1))),
        ir::make<ir::Prefix>(rank, kept, here)};
    if (index.coordinates) {
      Expr coordinate = (first + j.value) * node.micro;
      if (node.first) coordinate = at(node.first, g) + coordinate;
      stmts.push_back(store({j}, guards, index.coordinates, wide(entry), cast(int32, coordinate)));
    }
    if (index.full) {
      const Expr full = (at(mark, j.value) & make_int(uint8, 2)) == make_int(uint8, 0);
      stmts.push_back(store({j}, guards, index.full, wide(entry), cast(uint8, full)));
    }
    if (index.position) {
      stmts.push_back(store({j}, {}, index.position, start + first + j.value,
                            select(is_kept, entry, number32(-1))));
    }
    stmts.push_back(add(next, at(rank, here)));
    return with_tiles({{mark, kStrip}, {kept, kStrip}, {rank, kStrip + 1}}, over({j}, stmts));
  }

  // --- from keys ---

  Stmt visit(const ir::IndexSort &node, const Stmt &) override {
    Index index{node.index_name,  node.groups,   {}, node.align, node.offsets, node.counts,
                node.coordinates, node.position, {}};
    if (node.coordinates) index.capacity = size_of(node.coordinates);
    if (!index.offsets) index.offsets = array(index.name + ".offsets");
    if (!index.counts) index.counts = array(index.name + ".counts");
    const Expr strips = ceil_div(node.length, kKeys);
    const StoragePtr histogram = array(index.name + ".histogram");
    const Loop g("g");
    // How many keys of group g come before each strip.
    const Stmt along_strips =
        parallel(g, node.groups,
                 scan(
                     index.name + ".strips", strips,
                     [&](const Piece &p) -> std::vector<Stmt> {
                       return {store({p.i}, {}, p.values, p.i.value,
                                     wide(at(histogram, g.value * strips + p.first + p.i.value)))};
                     },
                     [&](const Piece &p, const Expr &before) -> std::vector<Stmt> {
                       return {store({p.i}, {}, histogram, g.value * strips + p.first + p.i.value,
                                     cast(int32, before))};
                     },
                     [&](const Expr &total) -> std::vector<Stmt> {
                       return {set(index.counts, g.value, cast(int32, total))};
                     }));
    Index scanned = index;
    scanned.counts = nullptr;  // they are there
    const Stmt offsets = offsets_of_groups(scanned, [&](const Piece &p) -> std::vector<Stmt> {
      return {store({p.i}, {}, p.values, p.i.value, wide(at(index.counts, p.first + p.i.value)))};
    });
    Stmt result = ir::make_block({count_keys(node, histogram, strips), along_strips, offsets,
                                  place_keys(node, index, histogram, strips)});
    result = ir::make<ir::Allocate>(
        histogram, std::vector<Expr>{max(node.groups * strips, number(0))}, result);
    if (!node.offsets)
      result =
          ir::make<ir::Allocate>(index.offsets, std::vector<Expr>{node.groups + number(1)}, result);
    if (!node.counts)
      result = ir::make<ir::Allocate>(index.counts, std::vector<Expr>{node.groups}, result);
    return result;
  }

  static Expr is_group(const Expr &key, const Expr &groups) {
    return key >= number(0) && key < groups;
  }

  static Stmt count_keys(const ir::IndexSort &node, const StoragePtr &histogram,
                         const Expr &strips) {
    const Loop s("s");
    const StoragePtr keys = tile(node.index_name + ".key", int64);
    const Expr first = s.value * number(kKeys);
    const Axis g("g", node.groups, 0), j("j", min(number(kKeys), node.length - first), kKeys);
    const Expr key = at(keys, j.value);
    const Stmt clear =
        over({g}, {store({g}, {}, histogram, g.value * strips + s.value, number32(0))});
    const Stmt range = ir::make<ir::Check>(
        std::vector<VarPtr>{j.binding.var}, std::vector<Expr>{},
        key >= number(-1) && key < node.groups,
        "sparse index '" + node.index_name +
            "': the key at position {1} is {0}, outside [0, {2}); exclude positions of no group "
            "by a predicate, e.g. where(key >= 0)",
        std::vector<Expr>{select(key < number(0), key + number(1), key), first + j.value,
                          node.groups});
    const Stmt count = store({j}, {is_group(key, node.groups)}, histogram, key * strips + s.value,
                             number32(1), Combiner::Sum, true);
    return parallel(
        s, strips,
        with_tiles({{keys, kKeys}},
                   ir::make_block({clear, over({j}, {store({j}, {}, keys, j.value,
                                                           at(node.keys, first + j.value)),
                                                     range, count})})));
  }

  static Stmt place_keys(const ir::IndexSort &node, const Index &index, const StoragePtr &histogram,
                         const Expr &strips) {
    const Loop s("s");
    const StoragePtr keys = tile(index.name + ".key", int64),
                     rank = tile(index.name + ".rank", int32),
                     entries = tile(index.name + ".entry", int32);
    const Expr first = s.value * number(kKeys), here = min(number(kKeys), node.length - first);
    const Axis j("j", here, kKeys), i("i", here, kKeys);
    const Expr key = at(keys, j.value), entry = at(entries, j.value), position = first + j.value;
    const Expr earlier = i.value < j.value && at(keys, i.value) == key;
    std::vector<Stmt> stmts{
        store({j}, {}, keys, j.value, at(node.keys, position)),
        store({j}, {}, rank, j.value, number32(0)),
        over({i}, {store({j, i}, {}, rank, j.value, select(earlier, number32(1), number32(0)),
                         Combiner::Sum)}),
        store({j}, {}, entries, j.value, number32(-1)),
        store({j}, {is_group(key, node.groups)}, entries, j.value,
              at(index.offsets, key) + at(histogram, key * strips + s.value) + at(rank, j.value))};
    if (index.coordinates) {
      stmts.push_back(store({j}, {entry >= number32(0), wide(entry) < index.capacity},
                            index.coordinates, wide(entry), cast(int32, position)));
    }
    if (index.position) stmts.push_back(store({j}, {}, index.position, position, entry));
    // The groups' padding is shared out among the strips.
    const Axis q("q", (node.groups + strips - number(1)) / strips, 0);
    const Expr g = q.value * strips + s.value;
    const Stmt padding = pad(index, {q}, {g < node.groups}, g,
                             wide(at(index.offsets, g)) + wide(at(index.counts, g)));
    return parallel(s, strips,
                    with_tiles({{keys, kKeys}, {rank, kKeys}, {entries, kKeys}},
                               ir::make_block({over({j}, stmts), padding})));
  }
};

}  // namespace

ir::Module expand_index(const ir::Module &module) {
  ir::Module result = module;
  result.body = Expander()(module.body);
  return result;
}

}  // namespace pit::lower
