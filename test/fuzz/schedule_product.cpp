// Steps about products in tiles, as matrix instructions take them, and as they almost do.
#include <algorithm>

#include "dsl/loop_names.h"
#include "schedule.h"

namespace pit::fuzz {

namespace {

bool is_product(const DefinitionData &d) {
  if (d.combiner != Combiner::Sum || d.values.size() != 1) return false;
  const auto *product = d.values[0].as<Binary>();
  return product && product->op == BinaryOp::Mul;
}

}  // namespace

// A sum of products in a tile of the Func that reads it.
bool Steps::product_tile() {
  std::vector<std::pair<FuncPtr, FuncPtr>> pairs;  // product, reader
  for (const FuncPtr &reader : funcs_) {
    if (!reader->is_pure() || reader->args.size() < 2 || placed(*reader)) continue;
    walk(reader->definitions[0].values[0], [&](const Expr &part) {
      const Call *call = part.as<Call>();
      if (call && call->owner && call->owner->definitions.size() > 1 && !placed(*call->func) &&
          is_product(call->owner->definitions.back()))
        pairs.emplace_back(call->owner, reader);
      return true;
    });
  }
  if (pairs.empty()) return false;
  const auto &[product, reader] = choices_.pick(pairs);
  Definition outside(reader, 0), sum(product, static_cast<int>(product->definitions.size()) - 1);
  const std::vector<VarPtr> loops_outside = loops(outside);
  if (loops_outside.size() < 2) return false;
  const VarOrRVar a = loop(loops_outside[loops_outside.size() - 2]), b = loop(loops_outside.back());
  const auto rows = choices_.pick(std::vector<std::int64_t>{64, 128, 16, 32, 192, 24}),
             columns = choices_.pick(std::vector<std::int64_t>{64, 16, 8, 128, 256, 24, 32, 4}),
             depth = choices_.pick(std::vector<std::int64_t>{16, 64, 32, 8, 128, 4});
  Var level = fresh();
  if (choices_.chance(60)) {
    const Var ao = fresh(), ai = fresh(), bi = fresh();
    outside.tile(a, b, ao, level, ai, bi, rows, columns);
    if (choices_.chance(50)) outside.gpu_blocks(ao, level);
  } else {
    outside.pit_tile(level, {.axis = choices_.chance(80) ? a : b,
                             .group = {},
                             .micro = {},
                             .dense = {{a, rows}, {b, columns}},
                             .index = {}});
  }
  Func(product).compute_at(outside, level);
  const std::vector<VarPtr> loops_of_sum = loops(sum);
  const VarOrRVar k = loop(loops_of_sum.back());
  Var step = fresh();
  if (choices_.chance(50)) {
    sum.split(k, step, fresh(), depth);
  } else {
    sum.pit_tile(step, {.axis = k, .group = {}, .micro = {}, .dense = {{k, depth}}, .index = {}});
  }
  if (choices_.chance(40)) sum.software_pipeline(step, static_cast<int>(choices_.between(1, 5)));
  if (choices_.chance(30)) {
    sum.warp_specialize({.producer_warps = choices_.pick(std::vector<int>{4, 1, 2, 8}),
                         .consumer_warpgroups = static_cast<int>(choices_.between(1, 4))});
  }
  return true;
}

}  // namespace pit::fuzz
