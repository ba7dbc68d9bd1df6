#include <doctest/doctest.h>

#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/lower/clone.h"
#include "codegen/lower/dependence.h"
#include "codegen/lower/slice.h"

namespace pit::lower {
namespace {

const char *const kLoop = R"(module m(A: float32[2]) -> (C: float32[2]) {
  for i < 4 {
    let twice: int64 = i * 2
    let fixed: int64 = 3
    axes j < twice, l < fixed
    tile %t: float32[8]
    tile %u: float32[8]
    fill j: %t[j] = 1.0
    fill l: %u[l] = 1.0
    store l: C[l, 0] = %u[l]
    store l: C[l, 1] = %t[0]
  }
})";

TEST_CASE("dependence - follows lets, extents of axes and tiles") {
  const ir::Module module = ir::parse(kLoop);
  const auto *loop = module.body.as<ir::For>();
  const Dependence depends(loop->body, loop->var);
  std::vector<bool> stores;
  ir::walk_statements(loop->body, [&](const ir::Stmt &s) {
    if (const auto *store = s.as<ir::Store>()) stores.push_back(depends(*store));
    return true;
  });
  CHECK(stores == std::vector<bool>{true, false, false, true});
}

TEST_CASE("slice - keeps what the leaves leave, and prune what they name") {
  const ir::Module module = ir::parse(kLoop);
  const ir::Stmt part = prune(slice(module.body, [](const ir::Stmt &s) {
    const auto *store = s.as<ir::Store>();
    return store->storage->name == "u" ? s : ir::Stmt();
  }));
  const std::string text = ir::print(part);
  CHECK(text.find("twice") == std::string::npos);
  CHECK(text.find("axes l < fixed") != std::string::npos);
  CHECK(text.find("%t") == std::string::npos);
  CHECK(text.find("store") == std::string::npos);
  CHECK_FALSE(slice(module.body, [](const ir::Stmt &) { return ir::Stmt(); }).defined());
}

TEST_CASE("clone - definitions are new, free variables replaced") {
  const ir::Module module = ir::parse(kLoop);
  const auto *loop = module.body.as<ir::For>();
  const ir::Stmt copy = clone(loop->body, {loop->var}, {make_int(int64, 5)});
  CHECK_FALSE(mentions(copy, loop->var));
  CHECK(mentions(copy, module.outputs[0]));
  ir::walk_statements(loop->body, [&](const ir::Stmt &s) {
    if (const auto *allocate = s.as<ir::Allocate>()) CHECK_FALSE(mentions(copy, allocate->storage));
    if (const auto *let = s.as<ir::Let>()) CHECK_FALSE(mentions(copy, let->var));
    return true;
  });
  CHECK(ir::print(copy).find("let twice: int64 = 10") != std::string::npos);
}

}  // namespace
}  // namespace pit::lower
