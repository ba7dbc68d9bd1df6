// Sparse indices as values: shared, stored, padded, given by the caller, asked, and as outputs;
// results in index order.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

/// C = A B with zeros of A skipped, and the row sums of A.
Pipeline matmul_and_sums() {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  return Pipeline({C}, {}, "matmul");
}

Problem matmul_data(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {{{"A", random_values(float32, {s[0], s[2]}, generator, exact, zeros)},
           {"B", random_values(float32, {s[2], s[1]}, generator, exact)}},
          {},
          {{"C", {s[0], s[1]}}, {"D", {s[0], s[1]}}}};
}

/// m, n, k.
const std::vector<Size> kSizes = {{0, 2, 3}, {2, 0, 3},    {2, 3, 0},    {1, 1, 1},
                                  {5, 7, 3}, {37, 29, 45}, {128, 40, 64}};

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

TEST_CASE("settings of an index change nothing") {
  const auto with = [](const std::string &settings) {
    return "live = C.update(0).index(axis=k, micro={m:16, k:1})" + settings +
           "\nC.update(0).pit_tile(kt, dense={k:16}, index=live)\n";
  };
  check_agreement({matmul_and_sums(),
                   {with(""), with(".unordered()"), with(".align(4)"), with(".align(16)"),
                    with(".store_values(A)"), with(".capacity(A.extent(0) * A.extent(1) + 1)"),
                    with(".unordered().capacity(A.extent(0) * A.extent(1)).align(1)"),
                    with(".align(8).store_values(A)")},
                   sweep(kSizes, matmul_data)});
}

// Rows of several strips: what a strip keeps stands behind, or beside, what others keep.
TEST_CASE("an index of long rows lists all that is kept, in order or not") {
  const auto with = [](const std::string &micro, const std::string &settings) {
    return "live = C.update(0).index(axis=k, micro=" + micro + ")" + settings +
           "\nC.update(0).pit_tile(kt, dense={k:64}, index=live)\n";
  };
  std::vector<std::string> schedules;
  for (const char *settings : {"", ".unordered()", ".align(8)", ".unordered().align(8)"}) {
    schedules.push_back(with("{m:128, k:1}", settings));
    schedules.push_back(with("{m:1, k:64}", settings));
    schedules.push_back(with("{m:128, k:1}", std::string(settings) + ".store_values(A)"));
  }
  check_agreement({matmul_and_sums(), schedules,
                   sweep({{3, 2, 1100}, {130, 1, 776}, {129, 2, 1001}}, matmul_data)});
}

TEST_CASE("one index shared by two definitions, and one algorithm under a choice by density") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), D("D");
  C(m, n) += A(m, k) * B(k, n);
  D(m, n) += A(m, k) * A(m, k) * B(k, n);
  const std::string index = "live = C.update(0).index(axis=k, micro={m:8, k:1})\n";
  check_agreement(
      {Pipeline({C, D}, {}, "shared"),
       {"", index + "C.update(0).pit_tile(kt, dense={k:16}, index=live)\nD.update(0).pit_tile(dt, "
                    "dense={k:32}, index=live)\n"},
       sweep(kSizes, matmul_data)});
  check_agreement(
      {matmul_and_sums(),
       {index + "C.update(0).specialize(live.density() < 0.3)\n"
                "C.update(0).specialization(1).pit_tile(kt, dense={k:16}, index=live)\n",
        index + "C.update(0).specialize(live.count() > "
                "10)\nC.update(0).specialization(1).pit_tile(kt, dense={k:8}, index=live)\n"
                "C.update(0).specialize(A.extent(0) > "
                "100)\nC.update(0).specialization(2).parallel(m)\n"},
       sweep(kSizes, matmul_data)});
}

TEST_CASE("definitions of which one index needs masks, and the one that owns it none") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), D("D");
  C(m, n) += A(m, k) * B(k, n);
  D(m, n) += B(k, n);
  check_agreement({Pipeline({C, D}, {}, "shared_masks"),
                   {"live = C.update(0).index(axis=k, micro={m:4, k:4})\n"
                    "C.update(0).pit_tile(kt, dense={k:16}, index=live)\n"
                    "D.update(0).pit_tile(dt, dense={k:8}, index=live)\n"},
                   sweep({{5, 7, 3}, {37, 29, 45}}, matmul_data, true)});
}

TEST_CASE("density and count of an index as values") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), D("D");
  C(m, n) += A(m, k) * B(k, n);
  SparseIndex live = C.update().index({.axis = k, .micro = {{m, 4}, {k, 2}}}).named("live");
  Var kt("kt");
  C.update().pit_tile(kt, {.dense = {{k, 8}}, .index = live});
  D(m, n) = f32(live.count()) + live.density() * 4.f;
  const Pipeline pipeline({C, D}, {}, "queries");
  check_agreement({pipeline, {pipeline.schedule().to_string()}, sweep(kSizes, matmul_data)});
}

TEST_CASE("an index as an output, for every shape of micro-tile") {
  for (const auto &[rows, columns] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {1, 1}, {32, 1}, {1, 64}, {64, 64}, {4, 8}}) {
    CAPTURE(rows);
    CAPTURE(columns);
    Var m("m"), n("n"), kt("kt");
    TensorParam A(float32, 2, "A"), B(float32, 2, "B");
    RDom k(0, A.extent(1), "k");
    k.where(A(m, k) != 0);
    Func C("C");
    C(m, n) += A(m, k) * B(k, n);
    SparseIndex live =
        C.update().index({.axis = k, .micro = {{m, rows}, {k, columns}}}).named("live");
    C.update().pit_tile(kt, {.dense = {{k, columns * 4}}, .index = live});
    const Pipeline pipeline({C}, {live}, "index_output");
    std::vector<Data> data = sweep(kSizes, matmul_data);
    for (Data &d : data) {
      const Shape a = d.problem.inputs.at("A").extents();
      const std::int64_t strips = divide_up(a[0], rows);
      d.problem.outputs["live.offsets"] = {strips + 1};
      d.problem.outputs["live.coordinates"] = {strips * divide_up(a[1], columns)};
      d.problem.outputs["live.count"] = {1};
    }
    check_agreement({pipeline, {pipeline.schedule().to_string()}, data, every_host()});
  }
}

TEST_CASE("lists that the caller gives, as int32 and int64") {
  for (const Type type : {int32, int64}) {
    Var m("m"), n("n"), kt("kt");
    TensorParam A(float32, 2, "A"), B(float32, 2, "B"), offsets(type, 1, "offsets"),
        coordinates(type, 1, "coordinates");
    RDom k(0, A.extent(1), "k");
    k.where(A(m, k) != 0);
    Func C("C"), D("D");
    C(m, n) += A(m, k) * B(k, n);
    SparseIndex live = C.update().index({.axis = k, .micro = {{m, 8}, {k, 1}}}).named("live");
    live.given(offsets, coordinates);
    D(m, n) = f32(live.count()) + live.density() * 4.f;
    C.update().pit_tile(kt, {.dense = {{k, 16}}, .index = live});
    std::vector<Data> data = sweep(kSizes, matmul_data);
    for (Data &d : data) {
      const AnyBuffer &values = d.problem.inputs.at("A");
      const std::int64_t strips = divide_up(values.extent(0), 8);
      std::vector<double> starts = {0}, columns;
      for (std::int64_t strip = 0; strip < strips; ++strip) {
        for (std::int64_t column = 0; column < values.extent(1); ++column) {
          bool any = column % 5 == 0;  // a list may hold more than is needed
          for (std::int64_t row = strip * 8; row < std::min(values.extent(0), strip * 8 + 8);
               ++row) {
            any = any || values.number(Shape{row, column}) != 0;
          }
          if (any) columns.push_back(static_cast<double>(column));
        }
        starts.push_back(static_cast<double>(columns.size()));
      }
      const auto list = [&](const std::vector<double> &numbers) {
        const AnyBuffer buffer(type, {static_cast<std::int64_t>(numbers.size())});
        for (std::size_t i = 0; i < numbers.size(); ++i)
          buffer.set_number(Shape{static_cast<std::int64_t>(i)}, numbers[i]);
        return buffer;
      };
      d.problem.inputs["offsets"] = list(starts);
      d.problem.inputs["coordinates"] = list(columns);
    }
    const Pipeline pipeline({C, D}, {}, "given");
    check_agreement({pipeline,
                     {pipeline.schedule().to_string()},
                     inexact(data),
                     {target_under_test(), target_under_test().with("no_asserts")}});
    // Without asserts data are believed, shapes are not.
    Problem problem = data.back().problem;
    problem.inputs["offsets"] = AnyBuffer(type, {problem.inputs.at("offsets").extent(0) + 1});
    CHECK_THROWS_WITH_AS(
        run(pipeline, problem, Engine::Compiled, target_under_test().with("no_asserts"),
            poisoned_outputs(pipeline, problem)),
        doctest::Contains("must have one element more than the"), RuntimeError);
  }
}

TEST_CASE("results in index order: compact rows between definitions, and as outputs") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B"), keep(uint8, 1, "keep");
  RDom k(0, A.extent(1), "k"), r(0, B.extent(1), "r");
  Func H("H"), C("C"), Out("Out");
  C(m, n) += A(m, k) * B(k, n);
  H(m, n) = max(C(m, n), 0);
  Out(m, n) += H(m, r) * f32(r % 3 + n % 2);
  Out.where(keep(m) != 0);
  const auto data = [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
    Problem p = matmul_data(s, 0, exact, generator);
    p.inputs["keep"] = random_mask(uint8, {s[0]}, generator, zeros);
    p.outputs = {{"Out", {s[0], s[1]}}};
    return p;
  };
  const std::string rows = "rows = Out.index(axis=m)\n";
  check_agreement(
      {Pipeline({Out}, {}, "compact_rows"),
       {"",
        rows + "H.pit_tile(ht, dense={m:16, n:16}, "
               "index=rows)\nH.store_compact(rows)\nC.compute_at(H, ht)\n",
        rows +
            "H.pit_tile(ht, dense={m:8}, index=rows)\nH.store_compact(rows)\nC.compute_at(H, ht)\n"
            "Out.update(0).parallel(m)\n"},
       sweep(kSizes, data),
       every_host()});
}

TEST_CASE("a sampled product stored as block CSR, for several blocks") {
  for (const auto &[strip, block] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{16, 16}, {32, 8}, {8, 1}, {64, 32}}) {
    CAPTURE(strip);
    CAPTURE(block);
    Var i("i"), j("j"), st("st");
    TensorParam A(float32, 2, "A"), B(float32, 2, "B"), mask(boolean, 2, "mask");
    RDom c(0, A.extent(1), "c");
    Func Acc("Acc"), S("S");
    Acc(i, j) += A(i, c) * B(j, c);
    S(i, j) = Acc(i, j);
    S.where(mask(i / static_cast<int>(block), j / static_cast<int>(block)));
    SparseIndex strips = S.index({.axis = j, .micro = {{i, strip}, {j, block}}}).named("strips");
    SparseIndex blocks = S.index({.axis = j, .micro = {{i, block}, {j, block}}}).named("blocks");
    S.pit_tile(st, {.dense = {{i, strip}, {j, block * 2}}, .index = strips});
    S.store_compact(blocks);
    Acc.compute_at(S, st);
    const Pipeline pipeline({S}, {blocks}, "sddmm");
    check_agreement(
        {pipeline,
         {pipeline.schedule().to_string()},
         sweep({{1, 1, 1}, {37, 45, 9}, {70, 100, 12}}, [&](const Size &s, double zeros, bool exact,
                                                            std::mt19937 &generator) {
           const std::int64_t rows = divide_up(s[0], block), columns = divide_up(s[1], block);
           Problem p;
           p.inputs["A"] = random_values(float32, {s[0], s[2]}, generator, exact);
           p.inputs["B"] = random_values(float32, {s[1], s[2]}, generator, exact);
           p.inputs["mask"] = random_mask(boolean, {rows, columns}, generator, zeros);
           p.outputs["S"] = block > 1 ? Shape{rows * columns, block, block} : Shape{rows * columns};
           p.outputs["blocks.offsets"] = {rows + 1};
           p.outputs["blocks.coordinates"] = {rows * columns};
           p.outputs["blocks.count"] = {1};
           return p;
         })});
  }
}

TEST_CASE("CSR: a sequence of non-zeros, a column that occurs twice counts twice") {
  for (const Type type : {int32, int64}) {
    Var m("m"), n("n");
    TensorParam rowptr(type, 1, "rowptr"), colidx(type, 1, "colidx"), values(float32, 1, "values"),
        B(float32, 2, "B");
    RDom p = csr(rowptr, colidx, m, "p");
    Func C("C");
    C(m, n) += values(p) * B(colidx(p), n);
    check_agreement(
        {Pipeline({C}, {}, "csr_spmm"),
         {"", "C.update(0).pit_tile(pt, axis=p, dense={p:8})\n",
          "C.update(0).pit_tile(pt, axis=p, dense={p:32, n:16})\n",
          "C.update(0).reorder(p, n)\nC.update(0).vectorize(n)\n", "C.update(0).parallel(m)\n"},
         sweep(kSizes,
               [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
                 std::vector<std::int64_t> starts = {0};
                 for (std::int64_t row = 0; row < s[0]; ++row) {
                   const auto most =
                       static_cast<std::int64_t>((1 - zeros) * static_cast<double>(s[2]));
                   starts.push_back(starts.back() + std::uniform_int_distribution<std::int64_t>(
                                                        0, most)(generator));
                 }
                 const AnyBuffer ends(type, {s[0] + 1});
                 for (std::int64_t i = 0; i <= s[0]; ++i)
                   ends.set_number(Shape{i},
                                   static_cast<double>(starts[static_cast<std::size_t>(i)]));
                 return {{{"rowptr", ends},
                          {"colidx", random_integers(type, {starts.back()}, generator, 0, s[2])},
                          {"values", random_values(float32, {starts.back()}, generator, exact)},
                          {"B", random_values(float32, {s[2], s[1]}, generator, exact)}},
                         {},
                         {{"C", {s[0], s[1]}}}};
               })});
  }
}

TEST_CASE("position() as a value: the entry of a micro-tile, -1 where it is not listed") {
  Var m("m"), g("g"), c("c"), tile("tile");
  TensorParam A(float32, 2, "A");
  for (const std::int64_t micro : {1, 4}) {
    RDom k(0, A.extent(1), "k");
    k.where(A(m, k) != 0);
    Func S("S"), P("P");
    S(m) += A(m, k);
    SparseIndex live =
        S.update().index({.axis = k, .micro = {{m, micro * 2}, {k, micro}}}).named("live");
    S.update().pit_tile(tile, {.dense = {{k, 8}}, .index = live});
    P(g, c) = i32(live.position({g - 1, c - 2})) * 3;
    const Pipeline pipeline({S, P}, {}, "positions");
    check_agreement(
        {pipeline,
         {pipeline.schedule().to_string(), pipeline.schedule().to_string() + "P.vectorize(c, 8)\n"},
         sweep({{0, 3}, {3, 0}, {1, 1}, {37, 45}},
               [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
                 return {{{"A", random_values(float32, s, generator, exact, zeros)}},
                         {},
                         {{"S", {s[0]}}, {"P", {s[0] + 3, s[1] + 5}}}};
               })});
  }
}

TEST_CASE("position() of a keyed index: the place of a position in the list of a key") {
  Var t("t"), p("p"), e("e"), tile("tile");
  TensorParam x(float32, 1, "x"), w(float32, 1, "w"), key(int32, 1, "key");
  Func Y("Y"), P("P");
  Y(t) = x(t) * w(key(t));
  Y.where(key(t) >= 0);
  SparseIndex by_key = Y.index({.axis = t, .group = key(t)}).named("by_key");
  Y.pit_tile(tile, {.dense = {{t, 4}}, .index = by_key});
  P(e, p) = i32(by_key.position({e - 1, p - 1}));
  const Pipeline pipeline({Y, P}, {}, "places");
  check_agreement(
      {pipeline,
       {pipeline.schedule().to_string()},
       sweep({{0, 3}, {1, 1}, {40, 5}},
             [&](const Size &s, double, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"x", random_values(float32, {s[0]}, generator, exact)},
                        {"w", random_values(float32, {s[1]}, generator, exact)},
                        {"key", random_integers(int32, {s[0]}, generator, -1, s[1])}},
                       {},
                       {{"Y", {s[0]}}, {"P", {s[1] + 2, s[0] + 2}}}};
             })});
}

TEST_CASE("density and count where the domain is data, or nothing is left out") {
  Var m("m"), n("n"), t("t");
  TensorParam rows(int32, 1, "rows"), values(float32, 1, "values"), A(float32, 2, "A");
  RDom p(rows(m), rows(m + 1) - rows(m), "p"), k(0, A.extent(1), "k");
  p.where(values(p) != 0);
  Func S("S"), C("C"), D("D");
  S(m) += values(p);
  C(m, n) += A(m, k) * f32(n % 3);
  SparseIndex ragged = S.update().index({.axis = p}).named("ragged"),
              all = C.update().index({.axis = k, .micro = {{k, 2}}}).named("all");
  S.update().pit_tile(t, {.dense = {{p, 8}}, .index = ragged});
  C.update().pit_tile(t, {.dense = {{k, 8}}, .index = all});
  RDom r(0, ragged.count(), "r");
  Func Sum("Sum");
  Sum() += values(r % max(values.extent(0), 1));
  D(m) = f32(ragged.count()) + ragged.density() * 64.f + all.density() * 4.f + f32(all.count());
  const Pipeline pipeline({S, C, D, Sum}, {}, "densities");
  check_agreement(
      {pipeline,
       {pipeline.schedule().to_string()},
       inexact(sweep(
           {{1, 1}, {4, 6}, {40, 33}},
           [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
             std::uniform_int_distribution<std::int64_t> length(0, 2 * s[1]);
             const AnyBuffer starts(int32, {s[0] + 1});
             std::int64_t end = 0;
             for (std::int64_t row = 0; row <= s[0]; ++row) {
               starts.set_number(Shape{row}, static_cast<double>(end));
               if (row < s[0]) end += length(generator);
             }
             return {{{"rows", starts},
                      {"values", random_values(float32, {end}, generator, exact, zeros)},
                      {"A", random_values(float32, s, generator, exact)}},
                     {},
                     {{"S", {s[0]}}, {"C", {s[0], s[1]}}, {"D", {s[0]}}, {"Sum", {}}}};
           },
           true))});
}

TEST_CASE("an index asked by a predicate, and one that depends on a sum beside it") {
  Var m("m"), n("n"), t("t");
  TensorParam A(float32, 2, "A"), X(float32, 1, "X");
  RDom k(0, A.extent(1), "k"), r(0, X.extent(0), "r");
  k.where(A(m, k) != 0);
  Func C("C"), D("D");
  C(m) += A(m, k);
  SparseIndex live = C.update().index({.axis = k}).named("live");
  C.update().pit_tile(t, {.dense = {{k, 8}}, .index = live});
  D(m, n) = X(n) + 1.f;
  D.where(live.position({m, n}) >= 0);
  const Pipeline asked({D, C}, {}, "asked");
  const auto data = [](const std::string &output, bool scalar) {
    return sweep(
        {{1, 1}, {4, 6}, {40, 33}},
        [=](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
          Problem p;
          p.inputs.emplace("A", random_values(float32, s, generator, exact, zeros));
          p.inputs.emplace("X", random_values(float32, {s[1]}, generator, exact));
          p.outputs["C"] = {s[0]};
          p.outputs[output] = scalar ? Shape{} : Shape{s[0], s[1]};
          return p;
        },
        true);
  };
  check_agreement({asked, {asked.schedule().to_string()}, data("D", false)});

  RDom q(0, A.extent(1), "q");
  Func E("E"), F("F");
  const Expr total = sum(r, X(r));
  q.where(A(m, q) > total);
  E(m) += A(m, q);
  SparseIndex above = E.update().index({.axis = q}).named("above");
  E.update().pit_tile(t, {.dense = {{q, 8}}, .index = above});
  F() = total * above.density();
  const Pipeline beside({F, E}, {}, "beside");
  std::vector<Data> problems = data("F", true);
  for (Data &d : problems) {
    d.problem.outputs["E"] = d.problem.outputs.at("C");
    d.problem.outputs.erase("C");
  }
  check_agreement({beside, {beside.schedule().to_string()}, inexact(problems)});
}
