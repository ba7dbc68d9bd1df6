// Data that an operator refuses, with and without a schedule: the message says which tensor, index
// and coordinate; outputs keep their bytes; the next call of the same operator works.
#include "data_operators.h"
#include "dsl/error.h"

namespace pit::test {
namespace {

struct Case {
  std::string name;
  std::vector<std::string> parts;
  Operator op;
  std::function<void(Problem &)> spoil;
  bool plain_too = true;  ///< without a schedule it is the same error
};

const std::int64_t kBeyond32 = (1LL << 32) + 1;

const std::vector<Case> kCases = {
    {"key too large",
     {"reads input 'W' at index 2 of dimension 0, whose extent is 2, at t = 3"},
     route(int32, false),
     set("expert", {3}, 2)},
    {"key negative",
     {"reads input 'W' at index -1 of dimension 0, whose extent is 2, at t = 5"},
     route(int32, false),
     set("expert", {5}, -1)},
    {"key too large where negative ones are dropped",
     {"reads input 'W' at index 1073741824", "at t = 0"},
     route(int32, true),
     set("expert", {0}, 1 << 30)},
    {"key too large for one element of its token",
     {"reads input 'W' at index 3 of dimension 0, whose extent is 3, at t = 2"},
     masked_route(),
     set("key", {2}, 3)},
    {"key negative for one element of its token",
     {"reads input 'W' at index -1 of dimension 0, whose extent is 3, at t = 1"},
     masked_route(),
     set("mask", {1, 0}, 1)},
    {"fewer rows than the index of a later Func lists",
     {"C.update(0) reads input 'A' at 0 to 3 in dimension 0, which goes from 0 to 1"},
     asked(),
     put("A", numbers({2, 5}, 15, 0.5)),
     false},
    {"fewer elements than a Func reads where an index lists",
     {"D reads input 'X' at 0 to 4 in dimension 0, which goes from 0 to 2"},
     asked(),
     put("X", numbers({3}, 16)),
     false},
    {"key of 8 bits",
     {"index 255 of dimension 0", "at t = 1"},
     route(uint8, false),
     set("expert", {1}, 255)},
    {"key of 16 bits",
     {"index -32768 of dimension 0", "at t = 2"},
     route(int16, false),
     set("expert", {2}, -32768)},
    {"key that is in range modulo 2^32",
     {"index 4294967297 of dimension 0, whose extent is 2, at t = 4"},
     route(int64, false),
     put("expert", values<std::int64_t>({0, 1, 1, 0, kBeyond32, 0}))},
    {"the largest key",
     {"index 9223372036854775807", "at t = 0"},
     route(int64, false),
     put("expert",
         values<std::int64_t>({std::numeric_limits<std::int64_t>::max(), 1, 1, 0, 0, 0}))},
    {"the smallest key",
     {"index -9223372036854775808", "at t = 0"},
     route(int64, false),
     put("expert",
         values<std::int64_t>({std::numeric_limits<std::int64_t>::min(), 1, 1, 0, 0, 0}))},
    {"fewer keys than tokens",
     {"reads input 'expert'", "dimension 0"},
     route(int32, false),
     put("expert", values<std::int32_t>({0, 1, 0}))},
    {"neighbour too large",
     {"reads input 'X' at index 5 of dimension 0, whose extent is 5", "p = 2", "o = 1"},
     convolution(),
     set("nbr", {2, 1}, 5)},
    {"neighbour far too large",
     {"reads input 'X' at index 2147483647", "p = 0", "o = 0"},
     convolution(),
     set("nbr", {0, 0}, 2147483647)},
    {"column too large",
     {"reads input 'X' at index 3 of dimension 0, whose extent is 3", "m = 2", "p = 2"},
     csr_product(),
     set("colidx", {2}, 3)},
    {"column negative",
     {"reads input 'X' at index -1", "m = 0", "p = 1"},
     csr_product(),
     set("colidx", {1}, -1)},
    {"row pointer past the values",
     {"'val'", "index 4 of dimension 0, whose extent is 4", "m = 2"},
     csr_product(),
     set("rowptr", {3}, 7)},
    {"row pointer negative",
     {"at index -3 of dimension 0", "m = 0"},
     csr_product(),
     set("rowptr", {0}, -3)},
    {"too few row pointers",
     {"reads input 'rowptr'", "dimension 0"},
     csr_product(),
     put("rowptr", values<int>({0, 2}))},
    {"no row pointers",
     {"reads input 'rowptr'", "dimension 0"},
     csr_product(),
     put("rowptr", Buffer<int>({0}))},
    {"too few columns",
     {"reads input 'colidx' at index 2"},
     csr_product(),
     put("colidx", values<int>({0, 1}))},
    {"capacity exceeded",
     {"sparse index 'live': ", "27 entries are needed and the capacity is 20"},
     multiply([](SparseIndex &live) { live.capacity(20); }),
     [](Problem &p) { p.inputs.at("A").fill_bytes(0x40); },
     false},
    {"padding that exceeds the capacity",
     {"sparse index 'live': 36 entries are needed and the capacity is 30"},
     multiply([](SparseIndex &live) { live.align(4).capacity(30); }),
     [](Problem &p) { p.inputs.at("A").fill_bytes(0x40); },
     false},
    {"lists that end after the coordinates",
     {"lists: input 'off' ends at 9, but input 'col' has 3 elements"},
     given(),
     set("off", {2}, 9),
     false},
    {"lists that do not start at 0",
     {"lists: input 'off' starts with 1; it must start with 0"},
     given(),
     set("off", {0}, 1),
     false},
    {"lists that end before they start",
     {"lists: input 'off' falls from 4 to 3 at position 1"},
     given(),
     set("off", {1}, 4),
     false},
    {"a listed coordinate too large",
     {"lists: input 'col' holds 3 at position 1; coordinates of k are from 0 to 3 - 1"},
     given(),
     set("col", {1}, 3),
     false},
    {"a listed coordinate negative",
     {"lists: input 'col' holds -1 at position 2"},
     given(),
     set("col", {2}, -1),
     false},
    {"a coordinate listed twice, side by side",
     {"lists: input 'col' holds 2 twice in the list of group 0, at positions 0 and 1; a list is a "
      "set"},
     given(),
     set("col", {0}, 2),
     false},
    {"a coordinate listed twice, apart",
     {"lists: input 'col' holds 1 twice in the list of group 1, at positions 2 and 4"},
     given(),
     [](Problem &p) {
       p.inputs.at("off") = values<int>({0, 2, 5});
       p.inputs.at("col") = values<int>({2, 1, 1, 0, 1});
     },
     false},
    {"a coordinate listed twice in one of many groups",
     {"lists: input 'col' holds 1 twice in the list of group 130, at positions 261 and 263"},
     given(),
     [](Problem &p) {
       std::vector<int> off(201), col;
       for (int g = 0; g < 200; ++g) {
         for (const int c : g == 130 ? std::vector{2, 1, 0, 1} : std::vector{2, 0})
           col.push_back(c);
         off[static_cast<std::size_t>(g) + 1] = static_cast<int>(col.size());
       }
       p.inputs.at("A") = numbers({200, 3}, 10);
       p.inputs.at("off") = values<int>(off);
       p.inputs.at("len") = values<int>(std::vector<int>(200, 3));
       p.inputs.at("col") = values<int>(col);
       p.outputs.at("C") = {200, 2};
     },
     false},
    {"a coordinate too large in a long list",
     {"lists: input 'col' holds 2000 at position 999; coordinates of k are from 0 to 2000 - 1"},
     given(),
     [](Problem &p) {
       std::vector<int> col(1000);
       for (int i = 0; i < 1000; ++i) col[static_cast<std::size_t>(i)] = i < 999 ? 2 * i : 2000;
       p.inputs.at("A") = numbers({2, 2000}, 10);
       p.inputs.at("B") = numbers({2000, 2}, 11);
       p.inputs.at("off") = values<int>({0, 0, 1000});
       p.inputs.at("len") = values<int>({2000, 2000});
       p.inputs.at("col") = values<int>(col);
     },
     false},
    {"a listed coordinate inside a micro-tile",
     {"lists: input 'col' holds 1 at position 2; micro-tiles of 2 of k begin at 0 and every 2 "
      "behind it"},
     given(2),
     put("col", values<int>({2, 0, 1})),
     false},
    {"a listed coordinate outside its group's domain",
     {"lists: input 'col' holds 1 at position 2; coordinates of k are from 0 to 1 - 1"},
     given(1, true),
     set("len", {1}, 1),
     false},
    {"a listed row far outside",
     {"lists: input 'col' holds 2000000000 at position 1; coordinates of i are from 0 to 5 - 1"},
     given_rows(),
     set("col", {1}, 2000000000),
     false},
    {"a listed row far below",
     {"lists: input 'col' holds -2000000000 at position 2"},
     given_rows(),
     set("col", {2}, -2000000000),
     false},
    {"a list of rows that ends far behind them",
     {"lists: input 'off' ends at 2000000000, but input 'col' has 3 elements"},
     given_rows(),
     set("off", {1}, 2000000000),
     false},
    {"a row listed twice",
     {"lists: input 'col' holds 4 twice in the list of group 0, at positions 0 and 2"},
     given_rows(),
     set("col", {2}, 4),
     false},
    {"a listed position of another key",
     {"lists: input 'col' holds 1 in the list of group 2, at position 3, but its key is 0"},
     given_by_key(),
     [](Problem &p) { p.inputs.at("col") = values<int>({1, 4, 0, 1}); },
     false},
    {"a listed position without a group",
     {"lists: input 'col' holds 3 in the list of group 0, at position 0, but its key is -1"},
     given_by_key(),
     set("col", {0}, 3),
     false},
    {"lists of other keys",
     {"lists: input 'off' must have one element more than the 3 groups; it has 2"},
     given_by_key(),
     put("off", values<int>({0, 3})),
     false},
    {"lists of other groups",
     {"lists: input 'off' must have one element more than the 2 groups; it has 2"},
     given(),
     put("off", values<int>({0, 3})),
     false},
    {"too few compact blocks",
     {"index list has 3 entries, but output 'S', kept in its order, has room for 2"},
     blocks(),
     [](Problem &p) { p.outputs.at("S") = {2, 4, 4}; },
     false},
    {"compact blocks of another size",
     {"output 'S' keeps micro-tiles of 4 of j in dimension 2, whose extent is 5"},
     blocks(),
     [](Problem &p) { p.outputs.at("S") = {3, 4, 5}; },
     false},
    {"too few coordinates",
     {"index list has 3 entries, but output 'list.coordinates' has room for 2"},
     blocks(),
     [](Problem &p) { p.outputs.at("list.coordinates") = {2}; },
     false},
    {"offsets of other groups",
     {"index list has 2 groups, so output 'list.offsets' needs one element more; it has 4"},
     blocks(),
     [](Problem &p) { p.outputs.at("list.offsets") = {4}; },
     false},
    {"no count",
     {"index list: output 'list.count' needs one element"},
     blocks(),
     [](Problem &p) { p.outputs.at("list.count") = {0}; },
     false},
    {"no lists",
     {"lists: input 'off' must have one element more than the 2 groups; it has 0"},
     given(),
     put("off", Buffer<int>({0})),
     false},
};

TEST_CASE("errors: data out of range is named, outputs keep their bytes, the next call works") {
  for (const Case &c : kCases) {
    for (const bool scheduled : {false, true}) {
      if (!scheduled && !c.plain_too) continue;
      const Pipeline pipeline = c.op.build(scheduled);
      const Callable f = pipeline.compile();
      const Problem good = c.op.data();
      Problem bad = c.op.data();
      c.spoil(bad);
      const std::map<std::string, AnyBuffer> out = poisoned_outputs(pipeline, bad);
      std::string message = "no error";
      try {
        f.call(arguments(pipeline, bad, out));
      } catch (const RuntimeError &error) {
        message = error.what();
      } catch (const std::exception &error) {
        message = std::string("not a RuntimeError: ") + error.what();
      }
      INFO(c.name << std::string(scheduled ? ", scheduled: " : ": ") << message);
      CHECK(message.starts_with("operator " + pipeline.name() + ": "));
      for (const std::string &part : c.parts) {
        INFO("expected: " << part);
        CHECK(message.find(part) != std::string::npos);
      }
      for (const auto &[name, buffer] : out) CHECK(is_poison(buffer));

      const std::map<std::string, AnyBuffer> again = poisoned_outputs(pipeline, good);
      const std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, good);
      Reference(pipeline, good.inputs, good.scalars).run(expected);
      f.call(arguments(pipeline, good, again));
      const Comparison comparison = compare(again, expected, {}, true, 0);
      CHECK_MESSAGE(comparison.different == 0, comparison.first);
    }
  }
}

/// What an engine that interprets a module says of data that are wrong; empty: nothing.
std::string interpreted(const Pipeline &pipeline, const Problem &problem, Engine engine,
                        const std::map<std::string, AnyBuffer> &outputs) {
  try {
    Runner(pipeline, engine)(problem, outputs);
  } catch (const RuntimeError &error) {
    return error.what();
  }
  return "";
}

TEST_CASE("errors: data out of range is named on a GPU as on a CPU, and nothing is written") {
  for (const Case &c : kCases) {
    const Pipeline pipeline = c.op.build(true);
    Problem bad = c.op.data();
    c.spoil(bad);
    std::map<std::string, AnyBuffer> out = poisoned_outputs(pipeline, bad);
    // What is said of arguments is said before a module runs.
    if (interpreted(pipeline, bad, Engine::TileInterpreter, out).empty()) continue;
    out = poisoned_outputs(pipeline, bad);
    const std::string message = interpreted(pipeline, bad, Engine::CudaTileInterpreter, out);
    INFO(c.name << ": " << message);
    for (const std::string &part : c.parts) {
      INFO("expected: " << part);
      CHECK(message.find(part) != std::string::npos);
    }
    for (const auto &[name, buffer] : out) CHECK(is_poison(buffer));
  }
}

TEST_CASE("errors: of several outputs the message says which have been written") {
  Var i("i"), t("t");
  TensorParam x(float32, 1, "x"), key(int32, 1, "key");
  Func first("first"), second("second"), place("place");
  first(i) = x(i) * 2;
  place(i) = key(i) + 1;
  place.compute_root();
  second(i) = x(place(i));
  const Buffer<float> data({3}, {1, 2, 3}), a({3}), b({3});
  const auto message_of = [&](const Pipeline &p, const Buffer<int> &keys) -> std::string {
    try {
      p.compile()(data, keys, a, b);
    } catch (const RuntimeError &error) {
      return error.what();
    }
    return "no error";
  };
  const Pipeline p({first, second}, {}, "two");
  CHECK(message_of(p, values<int>({0, 1, -1})) == "no error");
  b.fill(9);
  CHECK(message_of(p, values<int>({0, 2, 1})) ==
        "operator two: second reads input 'x' at index 3 of dimension 0, whose extent is 3, at i = "
        "1; the output 'first' has been written before");
  CHECK(a(2) == 6);
  CHECK(b(2) == 9);
  // What is known from the inputs is said before anything is written.
  a.fill(9);
  CHECK(message_of(p, values<int>({0, 1})).find("written before") == std::string::npos);
  CHECK(a(2) == 9);
}

TEST_CASE("errors: a key that is no group is named as it is") {
  Var i("i"), tile("tile");
  TensorParam x(float32, 1, "x"), w(float32, 1, "w"), key(int64, 1, "key");
  Func F("F");
  F(i) = select(x(i) > 0, w(key(i)), 5.f);
  F.pit_tile(tile, {.axis = i, .group = key(i)});
  const Callable f = Pipeline({F}, {}, "keyed").compile();
  const Buffer<float> data({3}, {1, 0, 1}), out({3});
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{-2}, std::int64_t{4}}) {
    // Nothing reads w there, but a partition asks for the key.
    std::string message = "no error";
    try {
      f(data, Buffer<float>({4}), values<std::int64_t>({0, bad, 3}), out);
    } catch (const RuntimeError &error) {
      message = error.what();
    }
    CHECK(message == "operator keyed: sparse index 'F.index': the key at position 1 is " +
                         std::to_string(bad) +
                         ", outside [0, 4); exclude positions of no group by a predicate, e.g. "
                         "where(key >= 0)");
  }
}

TEST_CASE("errors: Funcs that share an index have the range that it covers") {
  Var i("i"), t("t"), u("u");
  TensorParam x(float32, 1, "x");
  Func Y("Y"), Z("Z");
  Y(i) = x(i) * 2.f;
  Z(i) = x(i) + 1.f;
  Y.where(x(i) > 0);
  Z.where(x(i) > 0);
  const SparseIndex index = Y.index({.axis = i});
  Y.pit_tile(t, {.index = index});
  Z.pit_tile(u, {.index = index});
  const Pipeline pipeline({Y, Z}, {}, "shared");
  Problem problem{{{"x", numbers({9}, 5)}}, {}, {{"Y", {9}}, {"Z", {9}}}};
  CHECK(check(pipeline, problem, Engine::Compiled, true).different == 0);
  problem.outputs.at("Z") = {7};
  const auto outputs = poisoned_outputs(pipeline, problem);
  std::string message;
  try {
    pipeline.compile().call(arguments(pipeline, problem, outputs));
  } catch (const RuntimeError &error) {
    message = error.what();
  }
  CHECK_MESSAGE(
      message.find("index Y.index covers 9 positions of i from 0, but Z, which uses it too, has "
                   "7 from 0; use an index of Z itself") != std::string::npos,
      message);
  CHECK(is_poison(outputs.at("Y")));
  CHECK(is_poison(outputs.at("Z")));
}

}  // namespace
}  // namespace pit::test
