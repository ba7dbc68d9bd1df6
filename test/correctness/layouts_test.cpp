// Memory as it comes: transposed, sliced, broadcast, reversed, misaligned and empty tensors, with
// indices of any type.
#include <functional>

#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

/// The same elements under another memory layout.
struct Layout {
  std::string name;
  std::function<AnyBuffer(const AnyBuffer &)> apply;
};

AnyBuffer column_major(const AnyBuffer &b) { return b.transposed().copy().transposed(); }

/// `memory` seen with other extents and strides, from `first_byte` on, holding the elements of b.
AnyBuffer reinterpreted(const AnyBuffer &memory, const AnyBuffer &b, const Shape &strides,
                        std::int64_t first_byte) {
  DLManagedTensor *view = memory.to_dlpack();
  for (int d = 0; d < b.rank(); ++d) {
    view->dl_tensor.shape[d] = b.extent(d);
    view->dl_tensor.strides[d] = strides[static_cast<std::size_t>(d)];
  }
  view->dl_tensor.byte_offset += static_cast<std::uint64_t>(first_byte);
  const AnyBuffer result = AnyBuffer::from_dlpack(view);
  result.copy_from(b);
  return result;
}

/// Every second element along every dimension of a larger buffer of NaN.
AnyBuffer strided(const AnyBuffer &b) {
  Shape extents = b.extents();
  for (std::int64_t &e : extents) e = 2 * e + 1;
  const AnyBuffer memory(b.type(), extents);
  memory.fill_bytes(0xFF);
  Shape strides = memory.strides();
  for (std::int64_t &stride : strides) stride *= 2;
  return reinterpreted(memory, b, strides, 0);
}

/// Rows from last to first in memory.
AnyBuffer reversed(const AnyBuffer &b) {
  const AnyBuffer memory = b.copy();
  Shape strides = memory.strides();
  const std::int64_t last =
      std::max<std::int64_t>(b.extent(0) - 1, 0) * strides[0] * b.type().bytes();
  strides[0] = -strides[0];
  return reinterpreted(memory, b, strides, last);
}

/// Data at an address that is `bytes` past a multiple of 64. Elements on a device lie at multiples
/// of their size: there it is so many elements past.
AnyBuffer misaligned(const AnyBuffer &b, std::int64_t bytes) {
  Shape extents = b.extents();
  extents[0] += 2;
  for (std::int64_t &e : extents) e = std::max<std::int64_t>(e, 1);
  const AnyBuffer memory(b.type(), extents);
  const std::int64_t unit = target_under_test().is_cuda() ? b.type().bytes() : 1;
  return reinterpreted(memory, b, b.copy().strides(), bytes * unit);
}

const std::vector<Layout> kLayouts = {
    {"column-major", column_major},
    {"strided", strided},
    {"reversed", reversed},
    {"2-byte aligned", [](const AnyBuffer &b) { return misaligned(b, 2); }},
    {"1-byte aligned", [](const AnyBuffer &b) { return misaligned(b, 1); }},
    {"guarded", [](const AnyBuffer &b) { return guarded(b, 0xFF); }}};

/// Row-expert matmul with zeros of X skipped: every kind of access at once.
Pipeline operator_of_layouts(Type type) {
  Var t("t"), f("f");
  TensorParam X(type, 2, "X"), W(type, 3, "W"), key(int64, 1, "key");
  RDom c(0, X.extent(1), "c");
  c.where(X(t, c) != 0);
  Func Acc("Acc"), H("H");
  Acc(t, f) += f32(X(t, c)) * f32(W(key(t), c, f));
  H(t, f) = cast(type, Acc(t, f));
  return Pipeline({H}, {}, "layouts");
}

const std::vector<std::string> kSchedules = {
    "", "H.pit_tile(up, axis=t, group=key(t), dense={t:16, f:16})\nAcc.compute_at(H, up)\n",
    "Acc.update(0).pit_tile(ct, axis=c, micro={t:1, c:1}, dense={c:8})\n"};

/// tokens, experts, channels, features
Problem layout_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {{{"X", random_values(type, {s[0], s[2]}, generator, exact, zeros)},
           {"W", random_values(type, {s[1], s[2], s[3]}, generator, exact)},
           {"key", random_integers(int64, {s[0]}, generator, 0, s[1])}},
          {},
          {{"H", {s[0], s[3]}}}};
}

const std::vector<Size> kSizes = {{1, 1, 1, 1}, {13, 3, 7, 9}, {40, 4, 16, 33}};

}  // namespace

TEST_CASE("inputs in every layout") {
  for (const Type type : {float32, bfloat16}) {
    std::vector<Data> data;
    for (const Layout &layout : kLayouts) {
      for (Data d :
           sweep(kSizes, [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
             return layout_data(type, s, zeros, exact, generator);
           })) {
        d.name += " " + layout.name;
        for (auto &[name, buffer] : d.problem.inputs) buffer = layout.apply(buffer);
        data.push_back(d);
      }
    }
    check_agreement({operator_of_layouts(type), kSchedules, data, {Target(), "x86-64-linux"}});
  }
}

TEST_CASE("outputs in every layout") {
  const Pipeline algorithm = operator_of_layouts(float32);
  for (const std::string &text : kSchedules) {
    CAPTURE(text);
    const Pipeline pipeline = algorithm.with(Schedule::parse(algorithm, text));
    const Runner compiled(pipeline, Engine::Compiled);
    for (const Data &d :
         sweep(kSizes, [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
           return layout_data(float32, s, zeros, exact, generator);
         })) {
      CAPTURE(d.name);
      std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, d.problem), bounds;
      Reference(pipeline, d.problem.inputs).run(expected, &bounds);
      for (const Layout &layout : kLayouts) {
        CAPTURE(layout.name);
        const std::map<std::string, AnyBuffer> outputs = {
            {"H", layout.apply(poisoned_outputs(pipeline, d.problem).at("H"))}};
        compiled(d.problem, outputs);
        const Comparison result = compare(outputs, expected, bounds, d.exact, 16);
        CHECK_MESSAGE(result.different == 0, result.first);
      }
    }
  }
}

TEST_CASE("inputs that are broadcast: one row, one matrix, one key for all") {
  std::vector<Data> data =
      sweep(kSizes, [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
        Problem p = layout_data(float32, s, zeros, exact, generator);
        p.inputs["X"] = p.inputs["X"].sliced(0, 0, 1).broadcast(0, s[0]);
        p.inputs["W"] = p.inputs["W"].sliced(0, 0, 1).broadcast(0, s[1]);
        p.inputs["key"] = p.inputs["key"].sliced(0, 0, 1).broadcast(0, s[0]);
        return p;
      });
  check_agreement({operator_of_layouts(float32), kSchedules, data});
}

TEST_CASE("declared strides and alignment, met") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  A.dim(0).stride(1);
  B.dim(1).stride(1);
  A.alignment(4);
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  const Pipeline algorithm({C}, {}, "declared");
  for (const std::string &text :
       {std::string(),
        std::string("C.update(0).pit_tile(kt, axis=k, micro={m:16, k:1}, dense={k:16})\n")}) {
    const Pipeline pipeline = algorithm.with(Schedule::parse(algorithm, text));
    const Target device = target_under_test();
    for (const Target &target : device.is_cuda() ? std::vector{device} : every_host()) {
      const Runner compiled(pipeline, Engine::Compiled, target);
      std::mt19937 generator = test_generator(4);
      for (const Size &s : {Size{1, 1, 1}, Size{37, 20, 45}, Size{64, 64, 64}}) {
        Problem p{{{"A", column_major(random_values(float32, {s[0], s[2]}, generator, true, 0.8))},
                   {"B", random_values(float32, {s[2], s[1]}, generator, true)}},
                  {},
                  {{"C", {s[0], s[1]}}}};
        const auto expected = poisoned_outputs(pipeline, p), got = poisoned_outputs(pipeline, p);
        Reference(pipeline, p.inputs).run(expected);
        compiled(p, got);
        CHECK(compare(got, expected, {}, true, 0).different == 0);
      }
    }
  }
}

TEST_CASE("extents of zero: empty sums, empty outputs, no experts") {
  std::vector<Data> data =
      sweep({{0, 3, 7, 9}, {13, 3, 0, 9}, {13, 3, 7, 0}, {0, 0, 0, 0}, {0, 0, 5, 5}},
            [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
              Problem p = layout_data(float32, {s[0], std::max<std::int64_t>(s[1], 1), s[2], s[3]},
                                      zeros, exact, generator);
              p.inputs["W"] = random_values(float32, {s[1], s[2], s[3]}, generator, exact);
              return p;
            });
  check_agreement({operator_of_layouts(float32), kSchedules, data});
}
