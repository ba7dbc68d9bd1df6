// What the fuzzer reaches.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "schedule.h"

namespace pit::fuzz {
namespace {

/// The kernels of the case of `seed` for `target`, as text; empty where it is no attention.
std::string attention_of(std::uint64_t seed, const Target &target) {
  const auto record = std::make_unique<ChoiceRecord>();
  Choices choices(seed, record.get());
  DrawnProgram program = draw_program(&choices);
  if (program.strip == 0) return "";
  ScheduleCounts counts{};
  try {
    draw_schedule(&choices, &program,
                  {.try_lower = [&] { lower::lower(program.pipeline(), Target()); },
                   .refused = [](Step, const CompileError &) {},
                   .counts = &counts});
    return ir::print(lower::lower(program.pipeline(), target));
  } catch (const CompileError &) {
    return "";  // an algorithm that is refused, or sizes that a GPU has no memory for
  }
}

TEST_CASE("fuzz - attention with several updates becomes one loop of products on tensor cores") {
  for (const char *architecture : {"sm_80", "sm_90a"}) {
    CAPTURE(std::string(architecture));
    const Target target(std::string("x86-64-linux-cuda-") + architecture);
    int joined = 0;
    for (std::uint64_t seed = 0; seed < 2000 && joined == 0; ++seed) {
      const std::string text = attention_of(seed, target);
      const bool staged = text.find("operand_a(") != std::string::npos;
      joined += staged && text.find(".steps: int64 =") != std::string::npos;
    }
    CHECK(joined > 0);
  }
}

TEST_CASE("fuzz - results leave tensor cores through strips of shared memory") {
  const Target target("x86-64-linux-cuda-sm_90a");
  int through = 0;
  for (std::uint64_t seed = 0; seed < 2000 && through == 0; ++seed)
    through += attention_of(seed, target).find(" through %") != std::string::npos;
  CHECK(through > 0);
}

}  // namespace
}  // namespace pit::fuzz
