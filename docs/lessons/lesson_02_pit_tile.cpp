// Lesson 2: pit_tile. A product with a sparse matrix whose pattern is known only at run time.
//
// Skipping single zeros is slow: hardware wants dense blocks. A sum does not care in which order it
// is added up, though: k is a *PIT axis*. So the columns k that matter to some rows can be brought
// together, wherever they are, and multiplied as one dense matrix. Three words say how:
//
//   micro-tile   what is kept or skipped as a whole: here one column of 4 rows
//   dense tile   what is computed at once: here 8 kept columns, next to each other
//   group        what stays fixed while the axis is permuted: here a strip of 4 rows
//
// Per group, the *sparse index* lists the kept micro-tiles. It is built by the operator, at each
// call.
#include <pit/pit.h>

#include <cstdio>
#include <string>
#include <vector>

using namespace pit;

int main() {
  // The algorithm is that of lesson 1: a sum over the k for which A(m, k) is not zero.
  Var m("m"), n("n"), kt("kt");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);

  // The schedule. An index is a value of its own: it may be named, shared by several definitions,
  // and be an output of the pipeline, as it is here, so that we can look at it.
  SparseIndex live = C.update().index({.axis = k, .micro = {{m, 4}, {k, 1}}}).named("live");
  C.update().pit_tile(kt, {.dense = {{k, 8}}, .index = live});
  const Pipeline pipeline({C}, {live}, "spmm");
  Callable spmm = pipeline.compile();

  // A: 12 x 64 of small integers (so that sums are exact), one column of six alive in each strip.
  const int M = 12, K = 64, N = 5;
  Buffer<float, 2> a({M, K}), b({K, N}), c({M, N});
  for (int i = 0; i < M; ++i) {
    for (int j = i / 4; j < K; j += 6) a(i, j) = static_cast<float>((3 * i + j) % 5 - 1);
  }
  for (int i = 0; i < K; ++i) {
    for (int j = 0; j < N; ++j) b(i, j) = static_cast<float>(i - 7 * j);
  }

  // The operator returns C, then the index: where each group's list starts, the positions on the
  // axis, and how many there are. The lists never leave the operator unless we ask for them.
  Buffer<std::int32_t, 1> offsets({M / 4 + 1}), coordinates({M / 4 * K}), count({1});
  spmm(a, b, c, offsets, coordinates, count);

  // --- What pit_tile means, as plain loops ---
  const int strips = M / 4;
  std::vector<std::vector<int>> list(strips);
  for (int g = 0; g < strips; ++g) {  // the index: columns with any non-zero in rows 4g ... 4g + 3
    for (int j = 0; j < K; ++j) {
      bool any = false;
      for (int i = 0; i < 4; ++i) any = any || a(4 * g + i, j) != 0;
      if (any) list[g].push_back(j);
    }
  }
  Buffer<float, 2> expected({M, N});
  int kept = 0, passing = 0;
  for (int g = 0; g < strips; ++g) {
    const int entries = static_cast<int>(list[g].size());
    for (int tile = 0; tile < (entries + 7) / 8; ++tile) {
      for (int i = 0; i < 4; ++i) {
        for (int q = 0; q < N; ++q) {
          for (int e = 8 * tile; e < 8 * tile + 8 && e < entries; ++e) {
            const int column = list[g][e];  // rows of B are gathered through the list: an SRead
            expected(4 * g + i, q) += a(4 * g + i, column) * b(column, q);
          }
        }
      }
    }
    kept += entries;
    for (const int column : list[g]) {
      for (int i = 0; i < 4; ++i) passing += a(4 * g + i, column) != 0;
    }
  }
  // Where did the `if` go? In a kept column some A(m, k) may be zero. Then the product is zero and
  // may as well be added: the compiler proves that, and masks only where it cannot.

  for (int i = 0; i < M; ++i) {
    for (int q = 0; q < N; ++q) {
      if (c(i, q) != expected(i, q)) return 1;
    }
  }
  std::printf("lists:");
  for (int g = 0; g < strips; ++g) {
    std::printf("  rows %d-%d:", 4 * g, 4 * g + 3);
    for (int e = offsets(g); e < offsets(g + 1); ++e) {
      std::printf(" %d", coordinates(e));
      if (coordinates(e) != list[g][e - offsets(g)]) return 2;
    }
  }
  std::printf("\n");
  if (count(0) != kept || offsets(strips) != kept) return 3;

  // --- How much is wasted ---
  //
  // *Fill* is the share of the kept iterations that pass the predicate. Higher micro-tiles make for
  // better tiles and fewer lists; narrower ones for a better fill. Which is best depends on the
  // pattern, and that is why it is in the schedule. An operator counts what it keeps; compiled with
  // the feature `profile`, also what passes, which costs it another look at the data.
  const Callable profiled = pipeline.compile(Target().with("profile"));
  const RunStatistics statistics = profiled.measured(a, b, c, offsets, coordinates, count);
  for (const auto &[name, value] : statistics.statistics) {
    std::printf("%s = %g\n", name.c_str(), value);
    if (name == "live.kept" && value != kept) return 4;
    if (name == "live.candidates" && value != strips * K) return 5;
    if (name == "live.passing" && value != passing) return 6;
  }
  std::printf("fill = %d / %d\n", passing, 4 * kept);

  // --- What the compiler says ---
  //
  // explain() names the rule, why it is legal, how the index is built, and whether anything is
  // masked.
  const std::string text = pipeline.explain();
  std::printf("%s", text.c_str());
  if (text.find("associative and commutative") == std::string::npos) return 7;
  if (text.find("mask: none") == std::string::npos) return 8;

  // --- What is not legal ---
  //
  // An update by `=` depends on its order: the last one wins. It has no PIT axis. The error comes
  // at the line of the directive and says what would be legal.
  Func Last("Last");
  RDom r(0, A.extent(1), "r");
  r.where(A(m, r) != 0);
  Last(m) = 0.f;
  Last(m) = A(m, r);
  try {
    Last.update().pit_tile(kt, {.axis = r, .micro = {{m, 4}, {r, 1}}, .dense = {{r, 8}}});
    return 9;
  } catch (const CompileError &error) {
    std::printf("refused: %s\n", error.what());
  }
  return 0;
}
