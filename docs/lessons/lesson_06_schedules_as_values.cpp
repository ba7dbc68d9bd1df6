// Lesson 6: schedules as values. Print, parse, compare, apply; try several and keep the fastest.
//
// The calls of the earlier lessons fill in a Schedule, which is a value with a text. So a schedule
// can be saved, sent, searched over, and applied to the algorithm by a program that never mentions
// a directive. And since no schedule changes the result, trying one is always safe.
#include <pit/pit.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace pit;

namespace {

bool same_elements(const AnyBuffer &a, const AnyBuffer &b) {
  bool same = true;
  for_each_coordinate(a.extents(),
                      [&](const Shape &i) { same = same && a.number(i) == b.number(i); });
  return same;
}

}  // namespace

int main() {
  Var m("m"), n("n"), mo("mo"), mi("mi"), kt("kt");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += A(m, k) * B(k, n);
  Out(m, n) = max(C(m, n), 0);
  const Pipeline algorithm({Out}, {}, "product");

  // --- 1. A schedule is text, a line for each directive ---
  Out.split(m, mo, mi, 32).parallel(mo);
  C.compute_at(Out, mo);
  C.update().pit_tile(kt, {.axis = k, .micro = {{m, 32}, {k, 1}}, .dense = {{k, 64}}});
  const Schedule schedule = algorithm.schedule();
  std::printf("%s\n", schedule.to_string().c_str());

  // Reading it back gives an equal value; `with` applies one. An empty schedule is the plain loops.
  if (!(Schedule::parse(algorithm, schedule.to_string()) == schedule)) return 1;
  const Pipeline plain = algorithm.with(Schedule());
  if (plain.schedule() == schedule || !plain.schedule().to_string().empty()) return 2;

  // --- 2. Trying several ---
  //
  // Rows come in patches of eight that use the same columns, one in ten: micro-tiles of 8 rows fit.
  const int kRows = 128, kDepth = 256, kColumns = 64;
  Buffer<float, 2> a({kRows, kDepth}), b({kDepth, kColumns});
  for_each_coordinate(a.extents(), [&](const Shape &i) {
    if ((i[0] / 8 * 7 + i[1]) % 10 == 0) a.set_number(i, (i[0] + i[1]) % 5 - 2);
  });
  for_each_coordinate(b.extents(), [&](const Shape &i) { b.set_number(i, (i[0] * i[1]) % 7 - 3); });
  Buffer<float, 2> expected({kRows, kColumns}), out({kRows, kColumns});
  plain.compile()(a, b, expected);

  std::printf("rows of a micro-tile, listed, index us, compute us\n");
  for (const char *rows : {"1", "8", "32", "128"}) {
    std::string text = R"(
        Out.split(m, mo, mi, ROWS)
        Out.parallel(mo)
        C.compute_at(Out, mo)
        live = C.update(0).index(axis=k, micro={m:ROWS, k:1})
        C.update(0).pit_tile(kt, dense={k:64}, index=live)
    )";
    for (std::size_t at; (at = text.find("ROWS")) != std::string::npos;) text.replace(at, 4, rows);
    const Callable product = algorithm.with(Schedule::parse(algorithm, text)).compile();
    product(a, b, out);
    if (!same_elements(out, expected)) return 3;
    RunStatistics best = product.measured(a, b, out);
    for (int i = 0; i < 5; ++i) {
      const RunStatistics again = product.measured(a, b, out);
      if (again.compute_us < best.compute_us) best = again;
    }
    const double listed = best.statistics.at(0).second;  // live.kept
    std::printf("%20s %7g %9.1f %11.1f\n", rows, listed, best.index_us, best.compute_us);
  }

  // --- 3. Choosing at run time ---
  //
  // How dense the index turned out is an expression. `specialize` makes a variant of a definition
  // that runs when a condition holds: here gathered tiles while at most half of the micro-tiles are
  // kept, and plain loops otherwise. One operator serves both kinds of data.
  const std::string two_variants = R"(
      live = C.update(0).index(axis=k, micro={m:8, k:1})
      C.update(0).specialize(live.density() < 0.5)
      C.update(0).specialization(1).pit_tile(kt, dense={k:64}, index=live)
  )";
  const Pipeline chosen = algorithm.with(Schedule::parse(algorithm, two_variants));
  const Callable choose = chosen.compile();
  for (const bool dense : {false, true}) {
    if (dense) a.fill(1);
    plain.compile()(a, b, expected);
    const RunStatistics statistics = choose.measured(a, b, out);
    if (!same_elements(out, expected)) return 4;
    double kept = 0, candidates = 1;
    for (const auto &[name, value] : statistics.statistics) {
      if (name == "live.kept") kept = value;
      if (name == "live.candidates") candidates = value;
    }
    std::printf("density %.2f: %s\n", kept / candidates,
                kept / candidates < 0.5 ? "gathered tiles" : "plain loops");
  }

  // --- 4. Looking inside ---
  //
  // explain() is for the question "is this legal, and what was decided"; PIT_DUMP, a variable of
  // the environment, for "what exactly runs". It writes the IR after every pass, LLVM's and the
  // assembly.
  std::printf("%s", chosen.explain().c_str());
  std::string folder = (std::filesystem::temp_directory_path() / "pit_lesson_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return 5;
  setenv("PIT_DUMP", "mma", 1);
  setenv("PIT_DUMP_DIR", folder.c_str(), 1);
  algorithm.compile();
  unsetenv("PIT_DUMP");
  std::ifstream dump(folder + "/product.2.mma.pit");
  bool gathered = false;
  for (std::string line; std::getline(dump, line);) {
    if (line.find("sread") == std::string::npos) continue;
    std::printf("%s\n", line.c_str());  // rows of B, through the index
    gathered = gathered || line.find("= B(") != std::string::npos;
  }
  std::filesystem::remove_all(folder);
  if (!gathered) return 6;

  // --- 5. What is wrong is said, with the line of the text ---
  for (const char *wrong : {"C.update(0).pit_tyle(kt, axis=k)", "Out.split(q, mo, mi, 8)",
                            "Out.split(m, mo, mi, 8)\nOut.split(m, mo, mi, 8)"}) {
    try {
      algorithm.with(Schedule::parse(algorithm, wrong));
      return 7;
    } catch (const CompileError &error) {
      std::printf("refused: %s\n", error.what());
    }
  }
  return 0;
}
