// Which products of matrices the fuzzer reaches.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"
#include "lowered_case.h"

namespace pit::fuzz {
namespace {

bool any_statement(const ir::Module &module, const std::function<bool(const ir::Stmt &)> &test) {
  bool found = false;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    found = found || test(s);
    return !found;
  });
  return found;
}

/// What a case with products on matrix units has of what there should be.
std::vector<std::string> kinds_of(const LoweredCase &drawn) {
  std::vector<std::string> kinds;
  const DrawnProgram &program = drawn.program;
  const std::string text = to_text(program);
  if (text.find("(K") != std::string::npos || text.find(", K") != std::string::npos)
    kinds.emplace_back("rows or columns that data choose");
  if (any_statement(*drawn.module, [](const ir::Stmt &s) {
        const auto *store = s.as<ir::Store>();
        return store && store->storage->name.find("coordinates") != std::string::npos;
      }))
    kinds.emplace_back("rows or columns that are marked");
  if (any_statement(*drawn.module, [](const ir::Stmt &s) {
        const auto *launch = s.as<ir::Launch>();
        return launch && launch->name.find(".parts") != std::string::npos;
      }))
    kinds.emplace_back("sums in parts");
  if (any_statement(*drawn.module, [](const ir::Stmt &s) {
        const auto *store = s.as<ir::Store>();
        return store && store->atomic && store->storage->type == float32;
      }))
    kinds.emplace_back("sums that meet");
  if (any_statement(*drawn.module, [](const ir::Stmt &s) {
        const auto *store = s.as<ir::Store>();
        return store && store->through;
      }))
    kinds.emplace_back("results through strips");
  const Type result = program.funcs[program.outputs.front()].func.func()->types[0];
  kinds.push_back("results of " + std::to_string(result.bytes()) + " bytes");
  const Schedule schedule = program.pipeline().schedule();
  for (const Directive &d : schedule.directives) {
    if (d.kind == DirectiveKind::SoftwarePipeline)
      kinds.push_back(std::to_string(d.ints.at(0)) + " stages");
  }
  return kinds;
}

TEST_CASE("fuzz - products of many kinds are staged for matrix instructions") {
  constexpr int kCases = 2000;
  for (const char *architecture : {"sm_80", "sm_90a"}) {
    CAPTURE(std::string(architecture));
    const Target target(std::string("x86-64-linux-cuda-") + architecture);
    int others = 0, staged = 0;  // than attention
    std::map<std::string, int> reached;
    for (std::uint64_t seed = 0; seed < kCases; ++seed) {
      const LoweredCase drawn = lowered_case(seed, target);
      if (drawn.program.strip > 0) continue;
      ++others;
      if (!drawn.module || !ir::is_staged(drawn.module->body)) continue;
      ++staged;
      for (const std::string &kind : kinds_of(drawn)) ++reached[kind];
    }
    CHECK(staged * 40 >= others);
    for (const char *kind :
         {"rows or columns that data choose", "rows or columns that are marked", "sums in parts",
          "sums that meet", "results through strips", "results of 2 bytes", "results of 4 bytes",
          "2 stages", "3 stages", "4 stages"}) {
      CAPTURE(std::string(kind));
      CHECK(reached[kind] > 0);
    }
  }
}

}  // namespace
}  // namespace pit::fuzz
