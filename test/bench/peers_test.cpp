// What peers.py makes of times, where there is a Python. PyTorch is not needed for that.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "apps/bench/cuda/case.h"
#include "test/command.h"

namespace {

const std::string kFolder = PIT_SOURCE_DIR "/apps/bench";

/// What `script` prints, which may use peers.py as a module; empty and a message where it cannot
/// run.
std::string printed(const std::string &script) {
  if (!std::filesystem::exists(kFolder + "/peers.py") ||
      pit::test::run_command("python3 --version").status != 0) {
    MESSAGE("skipped: there is no python3, or no " << kFolder << "/peers.py");
    return "";
  }
  const pit::test::Folder folder;
  std::ofstream(folder / "script.py")
      << "import sys\nsys.path.insert(0, '" << kFolder << "')\nimport peers\n"
      << script;
  const pit::test::Ended ended = pit::test::run_command("python3 -B " + (folder / "script.py"));
  CAPTURE(ended.text);
  CHECK(ended.status == 0);
  CHECK(!ended.text.empty());
  return ended.text;
}

}  // namespace

TEST_CASE("rows of PyTorch have ratios to pit's, and pit's to them, where they belong") {
  const std::string text = printed(R"(
rows = [dict(case=c, system=s, vs=v, ratio=r, best_ratio=r, note=None, total_us=t, best_us=b)
        for c, s, v, r, t, b in (('a', 'pit', 'cuBLAS', 2.0, 10.0, 8.0), ('a', 'pit', 'other', 3.0, 10.0, 8.0),
                                 ('a', 'cuBLAS', None, None, 20.0, 16.0), ('b', 'pit', None, None, 1.0, 1.0))]
new = dict(rows[0], system='PyTorch', vs=None, ratio=None, best_ratio=None, total_us=40.0, best_us=16.0)
peers.add_row(rows, rows[0], dict(new))
peers.add_row(rows, rows[-1], dict(new, case='b', system='PyTorch that fails', total_us=None, best_us=None, note='why'))
for r in rows:
    print(r['case'], r['system'], r['vs'], r['ratio'], r['best_ratio'], r['note'], sep='; ')
)");
  if (text.empty()) return;
  CHECK(text ==
        "a; pit; cuBLAS; 2.0; 2.0; None\n"
        "a; pit; other; 3.0; 3.0; None\n"
        "a; pit; PyTorch; 4.0; 2.0; ratio of medians\n"
        "a; cuBLAS; None; None; None; None\n"
        "a; PyTorch; pit; 0.25; 0.5; ratio of medians\n"
        "b; pit; None; None; None; None\n"
        "b; PyTorch that fails; None; None; None; why\n");
}

TEST_CASE("PyTorch's data sets are as many as the benchmark's") {
  const std::string text = printed(R"(
cache = 50 << 20
for used, held in ((4 << 30, 0), (200 << 20, 0), ((200 << 20) - 1, 0), (4 << 20, 0), (1, 0), (4 << 20, 1 << 30),
                   (4 << 20, 20 << 30)):
    print(peers.sets_past_cache(used, held, cache))
)");
  if (text.empty()) return;
  CHECK(text == "1\n1\n2\n50\n64\n16\n1\n");
}

TEST_CASE("every layer of experts that the benchmark has is known to peers.py") {
  const std::string text = printed("for name in peers.LAYERS:\n  print('moe/' + name)\n");
  if (text.empty()) return;
  std::string layers;
  for (const std::string &name : pit::bench::cuda::case_names())
    if (name.starts_with("moe/")) layers += name + "\n";
  CHECK(text == layers);
}
