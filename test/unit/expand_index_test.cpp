// Indices built by loops of the tile IR are those that the interpreter builds from the statements.
#include <doctest/doctest.h>
#include <pit/pit.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "codegen/ir/interpret.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "codegen/lower/expand_index.h"
#include "codegen/lower/launches.h"
#include "codegen/lower/place_barriers.h"
#include "test/filecheck.h"
#include "test/unit/ir_arguments.h"

namespace pit::ir {
namespace {

/// One index: what it is built from and what of it is wanted.
struct Case {
  bool keyed = false;
  std::vector<std::uint8_t> marks;
  std::vector<std::int64_t> keys;
  std::vector<std::int64_t> lengths;  ///< of groups; all the same unless `ragged`
  bool ragged = false, with_first = false;
  std::int64_t groups = 0, align = 1, capacity = 0, micro = 1;
  bool counts = true, full = true, position = true, coordinates = true;
  bool ordered = true, spaced = false;

  std::int64_t candidates() const {
    return static_cast<std::int64_t>(keyed ? keys.size() : marks.size());
  }
  bool is_ragged() const { return ragged && !keyed; }
  std::int64_t length() const { return lengths.empty() ? 0 : lengths[0]; }
  std::int64_t spacing() const { return (length() + align - 1) / align * align; }
};

Module module_of(const Case &c) {
  const auto tensor = [](const char *name, Type type) {
    return make_storage(name, type, 1, Space::Tensor);
  };
  Module module;
  module.name = "built";
  const StoragePtr source = tensor("source", c.keyed ? int64 : uint8),
                   starts = tensor("starts", int64), first = tensor("first", int64);
  module.inputs = {source, starts, first};
  const StoragePtr offsets = tensor("offsets", int32), counts = tensor("counts", int32),
                   coordinates = tensor("coordinates", int32), position = tensor("position", int32),
                   full = tensor("full", uint8);
  module.outputs = {offsets, counts, coordinates, position, full};
  const StoragePtr none;
  const auto wanted = [&](bool is, const StoragePtr &s) { return is ? s : none; };
  const Expr groups = make_int(int64, c.groups);
  Stmt build;
  if (c.keyed) {
    build = make<IndexSort>(source, make_extent(source, 0), groups, c.align, offsets,
                            wanted(c.counts, counts), wanted(c.coordinates, coordinates),
                            wanted(c.position, position), "live", c.ordered);
  } else {
    build = make<IndexPlace>(source, wanted(c.is_ragged(), starts), wanted(c.with_first, first),
                             groups, make_int(int64, c.length()), make_int(int64, c.micro), c.align,
                             offsets, wanted(c.counts, counts), wanted(c.coordinates, coordinates),
                             wanted(c.position, position), wanted(c.full, full), "live", c.ordered,
                             c.spaced ? make_int(int64, c.spacing()) : Expr());
  }
  module.body = make<Stage>("live", StageKind::Index, build);
  return module;
}

Module for_gpu(const Module &module) {
  const Module expanded = lower::expand_index(module);
  verify(expanded, "expand_index");
  const Module launches = lower::form_launches(expanded);
  verify(launches, "form_launches");
  const Module synced = lower::place_barriers(launches);
  verify(synced, "place_barriers");
  return synced;
}

struct Result {
  std::vector<std::int32_t> offsets, counts, coordinates, position;
  std::vector<std::uint8_t> full;
  std::string error;
};

Result run(const Module &module, const Case &c) {
  TestTensor<std::uint8_t> marks({c.keyed ? 0 : c.candidates()}), full({c.capacity}, 77);
  TestTensor<std::int64_t> keys({c.keyed ? c.candidates() : 0}), starts({c.groups + 1}),
      first({c.groups});
  marks.data = c.marks;
  keys.data = c.keys;
  for (std::int64_t g = 0; g < c.groups; ++g) {
    const auto at = static_cast<std::size_t>(g);
    starts(g + 1) = starts(g) + (c.keyed ? 0 : c.lengths[at]);
    first(g) = 100 * g;
  }
  TestTensor<std::int32_t> offsets({c.groups + 1}, 77), counts({c.groups}, 77),
      coordinates({c.capacity}, 77), position({c.candidates()}, 77);
  Result result;
  try {
    interpret(module,
              {c.keyed ? keys.argument() : marks.argument(), starts.argument(), first.argument()},
              {},
              {offsets.argument(), counts.argument(), coordinates.argument(), position.argument(),
               full.argument()});
  } catch (const RuntimeError &e) {
    result.error = e.what();
    return result;  // what failed is not defined
  }
  result.offsets = offsets.data;
  result.counts = counts.data;
  result.coordinates = coordinates.data;
  result.position = position.data;
  result.full = full.data;
  return result;
}

/// An entry, with what else is said of it: its candidate's place, and whether it is full.
using Entry = std::array<std::int64_t, 3>;
constexpr std::int64_t kUnknown = -2;

/// The entries of each group as sets, and its number of padding entries. Every entry stands in a
/// place of its own in front of the group's padding, and nothing else is stored.
std::vector<std::pair<std::multiset<Entry>, std::int64_t>> sets_of(const Result &result,
                                                                   const Case &c) {
  std::vector<std::pair<std::multiset<Entry>, std::int64_t>> groups;
  std::vector<std::int64_t> candidate(result.coordinates.size(), kUnknown);
  for (std::size_t p = 0; c.position && p < result.position.size(); ++p) {
    if (result.position[p] < 0) continue;
    const auto at = static_cast<std::size_t>(result.position[p]);
    CHECK(candidate.at(at) == kUnknown);
    candidate[at] = static_cast<std::int64_t>(p);
  }
  std::vector<bool> used(result.coordinates.size());
  for (std::size_t g = 0; g < result.counts.size(); ++g) {
    auto &[entries, padding] = groups.emplace_back();
    const std::int64_t first = result.offsets[g],
                       rounded = (result.counts[g] + c.align - 1) / c.align * c.align;
    for (std::int64_t e = first; e < first + rounded; ++e) {
      const auto at = static_cast<std::size_t>(e);
      CHECK(!used[at]);
      used[at] = true;
      const bool is_padding = e >= first + result.counts[g];
      CHECK((result.coordinates[at] == -1) == is_padding);
      padding += is_padding;
      if (!is_padding)
        entries.insert({result.coordinates[at], candidate[at], c.full ? result.full[at] : 0});
    }
  }
  for (std::size_t e = 0; e < used.size(); ++e) CHECK((used[e] || result.coordinates[e] == 77));
  return groups;
}

/// Both ways agree, up to what needs no order; returns the message of the expanded one's failure.
std::string check(const Case &c) {
  const Module module = module_of(c);
  const Result expected = run(module, c), got = run(for_gpu(module), c);
  CHECK(got.error.empty() == expected.error.empty());
  CHECK(got.counts == expected.counts);
  if (c.ordered) {
    CHECK(got.offsets == expected.offsets);
    CHECK(got.coordinates == expected.coordinates);
    CHECK(got.position == expected.position);
    CHECK(got.full == expected.full);
  } else if (got.error.empty() && expected.error.empty()) {
    CHECK(got.offsets.back() == expected.offsets.back());
    CHECK(sets_of(got, c) == sets_of(expected, c));
  }
  return got.error;
}

/// The case as it stands, without an order, and, where that is possible, with spaced groups.
std::string check_orders(Case c) {
  std::string error = check(c);
  const bool same = std::adjacent_find(c.lengths.begin(), c.lengths.end(), std::not_equal_to<>()) ==
                    c.lengths.end();
  for (const bool spaced : {false, true}) {
    if (spaced && (c.keyed || c.ragged || !same)) continue;
    c.spaced = spaced;
    for (const bool ordered : {false, true}) {
      if (ordered && !spaced) continue;
      CAPTURE(spaced);
      CAPTURE(ordered);
      c.ordered = ordered;
      c.counts = c.counts || !ordered;  // they tell where lists end
      if (!spaced || error.empty()) CHECK(check(c) == error);
    }
  }
  return error;
}

Case marked(std::mt19937 *generator, std::vector<std::int64_t> lengths, bool ragged, int percent) {
  Case c;
  c.groups = static_cast<std::int64_t>(lengths.size());
  c.ragged = ragged;
  for (const std::int64_t length : lengths) {
    for (std::int64_t j = 0; j < length; ++j) {
      const bool passes = static_cast<int>((*generator)() % 100) < percent;
      c.marks.push_back(static_cast<std::uint8_t>(passes + 2 * ((*generator)() % 2)));
    }
  }
  c.lengths = std::move(lengths);
  return c;
}

/// Room for everything.
void size(Case *c) { c->capacity = c->candidates() + c->groups * (c->align - 1); }

const std::vector<std::vector<std::int64_t>> kLengths = {
    {},        {0},          {1},       {0, 0, 0},   {1, 1, 1},
    {7, 7},    {300, 300},   {2048},    {2049},      {5000},
    {3, 0, 9}, {0, 2500, 1}, {5, 4097}, {64, 0, 64}, std::vector<std::int64_t>(2051, 2)};

}  // namespace

TEST_CASE("index building as tile IR: marks of groups of every shape") {
  std::mt19937 generator(1);
  for (const auto &lengths : kLengths) {
    const bool same =
        std::adjacent_find(lengths.begin(), lengths.end(), std::not_equal_to<>()) == lengths.end();
    for (const bool ragged : {false, true}) {
      if (!ragged && !same) continue;
      for (const std::int64_t align : {1, 4}) {
        for (const int percent : {0, 1, 50, 100}) {
          Case c = marked(&generator, lengths, ragged, percent);
          CAPTURE(lengths.size());
          CAPTURE(ragged);
          CAPTURE(align);
          CAPTURE(percent);
          c.align = align;
          c.with_first = ragged;
          c.micro = align == 4 ? 16 : 1;
          c.full = percent != 1;
          c.position = percent != 100;
          c.counts = percent != 50;
          size(&c);
          CHECK(check_orders(c).empty());
        }
      }
    }
  }
}

TEST_CASE("index building as tile IR: keys, stable, dropped, of one group and of none") {
  std::mt19937 generator(2);
  for (const std::int64_t length : {0, 1, 5, 256, 257, 1000}) {
    for (const std::int64_t groups : {1, 3, 300}) {
      for (const std::int64_t align : {1, 4}) {
        for (const int kind : {0, 1, 2, 3}) {  // any, with dropped ones, one group, none
          CAPTURE(length);
          CAPTURE(groups);
          CAPTURE(align);
          CAPTURE(kind);
          Case c;
          c.keyed = true;
          c.groups = groups;
          c.align = align;
          c.counts = kind != 0;
          c.position = kind != 1;
          for (std::int64_t p = 0; p < length; ++p) {
            const auto any = static_cast<std::int64_t>(generator());
            c.keys.push_back(kind == 0   ? any % groups
                             : kind == 1 ? any % (groups + 1) - 1
                             : kind == 2 ? groups - 1
                                         : -1);
          }
          size(&c);
          CHECK(check_orders(c).empty());
        }
      }
    }
  }
}

TEST_CASE("index building as tile IR: keys of several strips, and of more groups than one pass") {
  std::mt19937 generator(4);
  struct Row {
    std::int64_t length, groups;
    std::int64_t distinct;  ///< keys are of so many groups
  };
  // Strips of 1024, 2048, 5120 and 8192 keys; 4096 groups are counted at a time.
  for (const Row &row : {Row{3000, 2, 2}, Row{3000, 2, 1}, Row{5000, 1500, 1500},
                         Row{6000, 4100, 4100}, Row{6000, 4100, 3}, Row{9000, 8500, 8500}}) {
    CAPTURE(row.length);
    CAPTURE(row.groups);
    CAPTURE(row.distinct);
    Case c;
    c.keyed = true;
    c.groups = row.groups;
    c.align = row.groups == 2 ? 4 : 1;
    for (std::int64_t p = 0; p < row.length; ++p) {
      const std::int64_t group =
          static_cast<std::int64_t>(generator()) % row.distinct * (row.groups / row.distinct);
      c.keys.push_back(p % 11 == 3 ? -1 : group);
    }
    size(&c);
    CHECK(check_orders(c).empty());
  }
}

TEST_CASE("index building as tile IR: random indices") {
  std::mt19937 generator(3);
  for (int n = 0; n < 60; ++n) {
    CAPTURE(n);
    const auto below = [&](int most) {
      return static_cast<std::int64_t>(generator() % static_cast<unsigned>(most));
    };
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(1 + below(9)), below(3000));
    const bool ragged = below(2) == 0;
    for (std::int64_t &length : lengths) {
      if (ragged) length = below(3000);
    }
    Case c = marked(&generator, lengths, ragged, static_cast<int>(below(101)));
    c.align = 1 + below(5);
    c.micro = 1 + below(3);
    c.with_first = below(2) == 0;
    c.full = below(2) == 0;
    c.counts = below(2) == 0;
    size(&c);
    check_orders(c);
    Case k;
    k.keyed = true;
    k.groups = 1 + below(n % 4 == 0 ? 3000 : 700);
    k.align = 1 + below(5);
    for (std::int64_t p = below(2000); p > 0; --p)
      k.keys.push_back(below(static_cast<int>(k.groups) + 1) - 1);
    size(&k);
    check_orders(k);
  }
}

TEST_CASE("index building as tile IR: what does not fit is reported and stored nowhere") {
  std::mt19937 generator(4);
  for (const std::int64_t align : {1, 4}) {
    for (const std::int64_t capacity : {0, 1, 100, 2399}) {
      CAPTURE(align);
      CAPTURE(capacity);
      Case c = marked(&generator, {1200, 1200}, false, 100);
      c.align = align;
      c.capacity = capacity;
      // An entry beyond the end would be an access out of bounds.
      CHECK(check_orders(c) ==
            "operator built: sparse index 'live': 2400 entries are needed and the "
            "capacity is " +
                std::to_string(capacity));
      c.ragged = true;
      CHECK(!check_orders(c).empty());
      Case k;
      k.keyed = true;
      k.groups = 2;
      k.align = align;
      k.capacity = capacity / 2;
      k.keys.assign(1200, 1);
      CHECK(check_orders(k) ==
            "operator built: sparse index 'live': 1200 entries are needed and the "
            "capacity is " +
                std::to_string(capacity / 2));
    }
  }
}

TEST_CASE("index building as tile IR: a key out of range is reported with its position") {
  for (const std::int64_t key : {3, 1000000, -2, -1000}) {
    Case c;
    c.keyed = true;
    c.groups = 3;
    c.keys.assign(600, 1);
    c.keys[517] = key;
    c.capacity = 600;
    CHECK(check_orders(c) ==
          "operator built: sparse index 'live': the key at position 517 is " +
              std::to_string(key < 0 ? key + 1 : key) +
              ", outside [0, 3); exclude positions of no group by a predicate, e.g. "
              "where(key >= 0)");
  }
}

TEST_CASE("index building as tile IR: a prefix sum of memory") {
  for (const std::int64_t length : {0, 1, 100, 2048, 2049, 5000}) {
    Module module;
    module.name = "prefix";
    const StoragePtr from = make_storage("from", int64, 1, Space::Tensor),
                     to = make_storage("to", int64, 1, Space::Tensor);
    module.inputs = {from};
    module.outputs = {to};
    module.body =
        make<Stage>("prefix", StageKind::Index, make<Prefix>(to, from, make_extent(from, 0)));
    TestTensor<std::int64_t> source({length}), sums({length + 1});
    for (std::int64_t i = 0; i < length; ++i) source(i) = i % 7 - 2;
    interpret(for_gpu(module), {source.argument()}, {}, {sums.argument()});
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i <= length; ++i) {
      CHECK(sums(i) == sum);
      if (i < length) sum += std::max<std::int64_t>(source(i), 0);
    }
  }
}

TEST_CASE("index building as tile IR: two kernels place marks, three keys, and keys take turns") {
  std::mt19937 generator(5);
  Case c = marked(&generator, {7, 7}, false, 50), k;
  k.keyed = true;
  k.groups = 2;
  Case any_of_marks = c, any_of_keys = k;
  any_of_marks.ordered = any_of_keys.ordered = false;
  struct Row {
    const Case &built;
    int kernels, sums, fetches, ordered;
  };
  // Keys are numbered in their strip; without an order, the strip takes its numbers in the groups.
  for (const Row &row : {Row{c, 2, 1, 0, 0}, Row{any_of_marks, 2, 0, 1, 0}, Row{k, 3, 1, 1, 1},
                         Row{any_of_keys, 3, 0, 2, 0}}) {
    int kernels = 0, sums = 0, fetches = 0, ordered = 0;
    walk_statements(for_gpu(module_of(row.built)).body, [&](const Stmt &s) {
      kernels += s.as<Launch>() != nullptr;
      sums += s.as<SumBefore>() != nullptr;
      const auto *fetch = s.as<FetchAdd>();
      fetches += fetch != nullptr;
      ordered += fetch != nullptr && fetch->ordered;
      return true;
    });
    CHECK(kernels == row.kernels);
    CHECK(sums == row.sums);
    CHECK(fetches == row.fetches);
    CHECK(ordered == row.ordered);
  }
}

}  // namespace pit::ir
