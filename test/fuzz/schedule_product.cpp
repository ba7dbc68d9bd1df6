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

// A sum of products in a tile of the Func that reads it, or in tiles of its own.
bool Steps::product_tile() {
  const auto is_output = [&](const FuncPtr &f) {
    return std::ranges::any_of(program_.outputs,
                               [&](std::size_t o) { return program_.funcs[o].func.func() == f; });
  };
  std::vector<std::pair<FuncPtr, FuncPtr>> pairs;  // product, reader
  for (const FuncPtr &reader : funcs_) {
    if (reader->is_pure() && reader->args.size() >= 2 && !placed(*reader)) {
      walk(reader->definitions[0].values[0], [&](const Expr &part) {
        const Call *call = part.as<Call>();
        if (call && call->owner && call->owner->definitions.size() > 1 && !placed(*call->func) &&
            !is_output(call->owner) && is_product(call->owner->definitions.back()))
          pairs.emplace_back(call->owner, reader);
        return true;
      });
    } else if (is_output(reader) && reader->args.size() >= 2 &&
               is_product(reader->definitions.back())) {
      pairs.emplace_back(reader, nullptr);
    }
  }
  if (pairs.empty()) return false;
  const auto &[product, reader] = choices_.pick(pairs);
  const ProductTile tile{
      .rows = choices_.pick(std::vector<std::int64_t>{64, 128, 16, 32, 64, 128, 192, 24}),
      .columns = choices_.pick(std::vector<std::int64_t>{64, 16, 8, 128, 256, 24, 32, 64}),
      .depth = choices_.pick(std::vector<std::int64_t>{16, 64, 32, 16, 64, 32, 128, 8})};
  Definition sum(product, static_cast<int>(product->definitions.size()) - 1);
  const Var step = fresh();
  if (!(reader ? tile_in_reader(sum, reader, step, tile) : tile_alone(sum, step, tile)))
    return false;
  // Matrix instructions take what was stored before.
  for (const FuncPtr &made : funcs_) {
    if (made->is_pure() && made != reader && !placed(*made) && !is_output(made) &&
        choices_.chance(60))
      Func(made).compute_root();
  }
  if (choices_.chance(40)) sum.software_pipeline(step, static_cast<int>(choices_.between(1, 5)));
  if (choices_.chance(25)) {
    sum.warp_specialize({.producer_warps = choices_.pick(std::vector<int>{4, 4, 1, 2, 8}),
                         .consumer_warpgroups = static_cast<int>(choices_.between(1, 4))});
  }
  return true;
}

/// Steps of the sum in tiles of `reader`.
bool Steps::tile_in_reader(Definition sum, const FuncPtr &reader, const Var &step,
                           const ProductTile &tile) {
  Definition outside(reader, 0);
  const std::vector<VarPtr> around = loops(outside);
  if (around.size() < 2) return false;
  const VarPtr row = around[around.size() - 2], column = around.back();
  const VarOrRVar a = loop(row), b = loop(column);
  Var level = fresh();
  if (choices_.chance(65)) {
    const Var ao = fresh(), ai = fresh(), bi = fresh();
    outside.tile(a, b, ao, level, ai, bi, tile.rows, tile.columns);
    if (choices_.chance(60)) outside.gpu_blocks(ao, level);
  } else {
    Extents dense{{a, tile.rows}, {b, tile.columns}};
    for (const VarPtr &v : around) {
      if (v != row && v != column) dense.emplace_back(loop(v), 1);
    }
    outside.pit_tile(level, {.axis = choices_.chance(80) ? a : b,
                             .group = {},
                             .micro = {},
                             .dense = dense,
                             .index = {}});
  }
  Func(sum.func()).compute_at(outside, level);
  const VarOrRVar k = loop(loops(sum).back());
  if (choices_.chance(50)) {
    sum.split(k, step, fresh(), tile.depth);
  } else {
    Extents micro;
    if (std::ranges::find(sum.func()->args, row) != sum.func()->args.end() && choices_.chance(90))
      micro.emplace_back(a, tile.rows);
    if (choices_.chance(25)) micro.emplace_back(k, tile.depth);
    sum.pit_tile(step,
                 {.axis = k, .group = {}, .micro = micro, .dense = {{k, tile.depth}}, .index = {}});
  }
  if (choices_.chance(20)) sum.split_reduction(step, static_cast<int>(choices_.between(1, 4)));
  return true;
}

/// Steps that add to the sum where it is stored: those of different terms meet.
bool Steps::tile_alone(Definition sum, const Var &step, const ProductTile &tile) {
  const std::vector<VarPtr> left = loops(sum);
  if (left.size() < 3) return false;
  const VarOrRVar a = loop(left[left.size() - 3]), b = loop(left[left.size() - 2]),
                  k = loop(left.back());
  const bool of_rows = choices_.chance(60);
  Extents micro{{a, of_rows ? 1 : tile.rows}, {k, of_rows || choices_.chance(50) ? tile.depth : 1}},
      dense{{a, tile.rows}, {b, tile.columns}};
  if (!of_rows) dense.emplace_back(k, tile.depth);
  for (std::size_t i = 0; i + 3 < left.size(); ++i) {
    if (of_rows) micro.emplace_back(loop(left[i]), 1);
    dense.emplace_back(loop(left[i]), 1);
  }
  sum.pit_tile(step,
               {.axis = of_rows ? a : k, .group = {}, .micro = micro, .dense = dense, .index = {}});
  if (choices_.chance(75)) sum.atomic();
  return true;
}

}  // namespace pit::fuzz
