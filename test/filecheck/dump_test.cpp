// What PIT_DUMP writes.
#include <pit/callable.h>
#include <pit/error.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "lowered.h"
#include "test/command.h"

namespace pit::test {
namespace {

/// A folder that the compilations in the life of this object dump to.
class DumpFolder {
 public:
  explicit DumpFolder(const std::string &what) {
    setenv("PIT_DUMP", what.c_str(), 1);
    setenv("PIT_DUMP_DIR", folder_.path().c_str(), 1);
  }
  ~DumpFolder() {
    unsetenv("PIT_DUMP");
    unsetenv("PIT_DUMP_DIR");
  }
  DumpFolder(const DumpFolder &) = delete;
  DumpFolder &operator=(const DumpFolder &) = delete;

  /// Names of the files, in order, separated by blanks.
  std::string files() const {
    std::set<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(folder_.path())) {
      names.insert(entry.path().filename().string());
    }
    std::string list;
    for (const std::string &name : names) list += (list.empty() ? "" : " ") + name;
    return list;
  }
  std::string text(const std::string &name) const { return bytes_of_file(folder_ / name); }

 private:
  Folder folder_;
};

Pipeline twice(const std::string &name) {
  Var x("x");
  TensorParam A(float32, 1, "A");
  Func F("F");
  F(x) = A(x) * 2;
  return Pipeline({F}, {}, name);
}

TEST_CASE("dump - all writes the IR after every pass, LLVM's and the assembly") {
  const DumpFolder folder("all");
  build_spmm(true).compile();
  CHECK(folder.files() == "spmm.1.emit.pit spmm.2.mma.pit spmm.llvm.ll spmm.s");
  // Matrix products are found by the pass that is named after them.
  CHECK_TEXT(folder.text("spmm.1.emit.pit"), R"(
    CHECK:     module spmm(
    CHECK:     reduce {{.*}}: %C[{{.*}} +=
    CHECK-NOT: mma
  )");
  CHECK_TEXT(folder.text("spmm.2.mma.pit"), R"(
    CHECK:     module spmm(
    CHECK:     mma {{.*}}: %C[
  )");
  CHECK_TEXT(folder.text("spmm.llvm.ll"), "CHECK: define {{.*}}spmm");
  CHECK_TEXT(folder.text("spmm.s"), "CHECK: .text");
}

TEST_CASE("dump - the name of a pass writes its file only") {
  const struct {
    std::string what, files;
  } cases[] = {
      {"emit", "a.1.emit.pit"},
      {"mma", "b.2.mma.pit"},
      {"llvm", "c.llvm.ll"},
      {"asm", "d.s"},
      {"nothing", ""},
      {"", ""},
      {"mma,asm", "g.2.mma.pit g.s"},
  };
  std::string name = "a";
  for (const auto &c : cases) {
    CAPTURE(c.what);
    const DumpFolder folder(c.what);
    twice(name).compile();
    CHECK(folder.files() == c.files);
    ++name[0];
  }
}

TEST_CASE("dump - what has been compiled before is dumped as well") {
  twice("h").compile();
  for (int n = 0; n < 2; ++n) {
    const DumpFolder folder("all");
    twice("h").compile();
    CHECK(folder.files() == "h.1.emit.pit h.2.mma.pit h.llvm.ll h.s");
  }
}

TEST_CASE("dump - a dumped module reads back as what lowering gives") {
  const DumpFolder folder("mma");
  const std::string text = lowered(build_moe(true));
  CHECK(folder.text("moe.2.mma.pit") == text);
  CHECK(ir::print(ir::parse(folder.text("moe.2.mma.pit"))) == text);
}

TEST_CASE("dump - a folder that does not exist is an error, not silence") {
  const DumpFolder folder("emit");
  setenv("PIT_DUMP_DIR", "/nonexistent/folder", 1);
  CHECK_THROWS_WITH_AS(lowered(build_spmm(true)),
                       "PIT_DUMP: cannot write /nonexistent/folder/spmm.1.emit.pit", RuntimeError);
}

}  // namespace
}  // namespace pit::test
