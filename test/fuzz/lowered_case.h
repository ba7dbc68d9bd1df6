// Drawn cases as the tests of what the fuzzer reaches look at them.
#pragma once

#include <memory>
#include <optional>

#include "codegen/lower/lower.h"
#include "schedule.h"

namespace pit::fuzz {

struct LoweredCase {
  DrawnProgram program;
  std::optional<ir::Module> module;  ///< none of a refused algorithm, or of sizes that a GPU lacks
};

/// The case of `seed` for `target`.
inline LoweredCase lowered_case(std::uint64_t seed, const Target &target) {
  const auto record = std::make_unique<ChoiceRecord>();
  Choices choices(seed, record.get());
  LoweredCase drawn{draw_program(&choices), std::nullopt};
  ScheduleCounts counts{};
  try {
    draw_schedule(&choices, &drawn.program,
                  {.try_lower = [&] { lower::lower(drawn.program.pipeline(), Target()); },
                   .refused = [](Step, const CompileError &) {},
                   .counts = &counts});
    drawn.module = lower::lower(drawn.program.pipeline(), target);
  } catch (const CompileError &) {
  }
  return drawn;
}

}  // namespace pit::fuzz
