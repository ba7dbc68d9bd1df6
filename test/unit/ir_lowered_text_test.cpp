#include <doctest/doctest.h>

#include "codegen/ir/equal.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "codegen/lower/lower.h"
#include "dsl/error.h"
#include "test/programs.h"

namespace pit::ir {
namespace {

TEST_CASE("ir text - the lowered programs survive a round trip and stay well formed") {
  int lowered = 0;
  for (const test::Program &program : test::programs()) {
    for (const bool scheduled : {false, true}) {
      CAPTURE(program.name);
      CAPTURE(scheduled);
      Module module;
      try {
        module = lower::lower(program.build(scheduled), Target());
      } catch (const CompileError &) {
        continue;  // what is legal is not this test's business
      }
      ++lowered;
      const std::string text = print(module);
      Module again;
      REQUIRE_NOTHROW(again = parse(text));
      CHECK(print(again) == text);
      CHECK(equal(again, module));
      CHECK_NOTHROW(verify(again, "parse"));
    }
  }
  CHECK(lowered > 0);
}

}  // namespace
}  // namespace pit::ir
