#include "codegen/ir/text.h"
#include "test/filecheck.h"

namespace pit::ir {
namespace {

TEST_CASE("filecheck - printed IR is checked line by line") {
  const std::string text = print(parse(R"(
    module copy(A: float32[1]) -> (C: float32[1]) {
      parallel p < (A.extent(0) + 7) / 8 {
        axes i < min(8, A.extent(0) - p * 8) max 8
        store i: C[p * 8 + i] = A(p * 8 + i)
      }
    })"));
  CHECK_TEXT(text, R"(
    CHECK:      parallel [[P:.*]] < (A.extent(0) + 7) / 8
    CHECK-NEXT: axes [[I:.*]] < min(8, A.extent(0) - [[P]] * 8) max 8
    CHECK-NEXT: store [[I]]: C[[[P]] * 8 + [[I]]] = A([[P]] * 8 + [[I]])
    CHECK-NOT:  mma
  )");
  if (std::filesystem::exists(PIT_FILECHECK)) {
    CHECK(test::filecheck(text, "CHECK: mma").find("expected string not found") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace pit::ir
