// Steps about sums with softmax weights in tiles, as matrix instructions take them, and as they
// almost do.
#include <algorithm>
#include <optional>

#include "dsl/loop_names.h"
#include "schedule.h"

namespace pit::fuzz {

namespace {

constexpr int kMostEntries = 100'000;  ///< of an index

bool contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::ranges::find(vars, v) != vars.end();
}

/// Funcs that `exprs` call, each once.
std::vector<FuncPtr> called(const std::vector<Expr> &exprs) {
  std::vector<FuncPtr> funcs;
  for (const Expr &e : exprs) {
    walk(e, [&](const Expr &part) {
      const Call *call = part.as<Call>();
      if (call && call->owner && std::ranges::find(funcs, call->owner) == funcs.end())
        funcs.push_back(call->owner);
      return true;
    });
  }
  return funcs;
}

}  // namespace

// A softmax state in tiles of rows of the Func that reads it, its scores in tiles of keys.
bool Steps::attention_tile() {
  std::vector<std::pair<FuncPtr, FuncPtr>> pairs;  // state, reader
  for (const FuncPtr &reader : funcs_) {
    if (!reader->is_pure() || placed(*reader)) continue;
    for (const FuncPtr &state : called(reader->definitions[0].values)) {
      if (state->args.size() >= 2 && state->args == reader->args && !placed(*state) &&
          state->definitions.back().combiner == Combiner::Softmax)
        pairs.emplace_back(state, reader);
    }
  }
  if (pairs.empty()) return false;
  const auto &[state, reader] = choices_.pick(pairs);
  Definition outside(reader, 0);
  const VarPtr row = reader->args[reader->args.size() - 2];
  const std::vector<VarPtr> around = loops(outside);
  if (!contains(around, row)) return false;
  bound_channels(reader);

  // Rows whose data differ are in no tile together.
  const std::int64_t rows = program_.strip > 0 && choices_.chance(85)
                                ? program_.strip
                                : choices_.pick(std::vector<std::int64_t>{64, 128, 16, 32});
  const Var tile = fresh();
  outside.split(loop(row), tile, fresh(), rows);
  if (choices_.chance(80)) {
    if (around.front() != row && choices_.chance(80))
      outside.gpu_blocks(loop(around.front()), tile);
    else
      outside.gpu_blocks(tile);
  }
  if (choices_.chance(20)) outside.persistent();
  Func(state).compute_at(outside, tile);

  const auto keys = choices_.pick(std::vector<std::int64_t>{64, 128, 64, 32, 16});
  std::optional<Var> first;
  for (int number = 1; number < static_cast<int>(state->definitions.size()); ++number) {
    const Choices::Part part(&choices_);
    const DefinitionData &data = state->definitions[static_cast<std::size_t>(number)];
    if (data.domain.empty()) continue;
    const Var step = keys_tile(Definition(state, number), loop(row), rows,
                               choices_.chance(92) ? keys : factor());
    if (!first) first = step;
    for (const FuncPtr &scores : called(data.values)) {
      if (!placed(*scores) && choices_.chance(90))
        Func(scores).compute_at(Definition(state, number), step);
    }
  }
  for (const FuncPtr &other : funcs_) {
    const std::vector<VarPtr> outer(reader->args.begin(), reader->args.end() - 1);
    if (other->is_pure() && other->args == outer && !placed(*other) && choices_.chance(60))
      Definition(other, 0).compute_with(outside, tile);
  }
  return first.has_value();
}

// Steps of about `keys` keys of an update.
Var Steps::keys_tile(Definition update, const VarOrRVar &row, std::int64_t rows,
                     std::int64_t keys) {
  const std::vector<ReductionDim> &domain =
      update.func()->definitions[static_cast<std::size_t>(update.number())].domain;
  const VarOrRVar axis = loop(domain[0].var);
  std::int64_t inner = 1;
  if (domain.size() == 2 && is_const_int(domain[1].extent, &inner) && inner > 0)
    keys = std::max<std::int64_t>(keys / inner, 1);
  bool listed = false;
  walk(domain[0].extent, [&](const Expr &part) { return !(listed = part.as<Load>() != nullptr); });
  const std::int64_t micro = choices_.chance(listed ? 5 : 50) ? keys : 1;
  const Var step = fresh();
  const Extents dense{{axis, keys}};
  const IndexSpec spec{.axis = axis, .group = {}, .micro = {{row, rows}, {axis, micro}}};
  if (choices_.chance(listed ? 60 : 15)) {
    SparseIndex index = update.index(spec);
    settings(&index);
    // A GPU has no memory for as many as data say.
    if (listed) index.capacity(kMostEntries);
    program_.indices.push_back(index);
    update.pit_tile(step, {.axis = {}, .group = {}, .micro = {}, .dense = dense, .index = index});
  } else {
    update.pit_tile(
        step, {.axis = spec.axis, .group = {}, .micro = spec.micro, .dense = dense, .index = {}});
  }
  if (choices_.chance(25)) update.software_pipeline(step, static_cast<int>(choices_.between(1, 4)));
  if (choices_.chance(15)) {
    update.warp_specialize({.producer_warps = choices_.pick(std::vector<int>{4, 4, 4, 1, 2}),
                            .consumer_warpgroups = static_cast<int>(choices_.between(1, 2))});
  }
  return step;
}

// Matrix instructions take sums whose sizes are known.
void Steps::bound_channels(const FuncPtr &reader) {
  for (std::size_t f = 0; f < program_.funcs.size(); ++f) {
    DrawnFunc &drawn = program_.funcs[f];
    if (drawn.func.func() != reader || choices_.chance(10)) continue;
    const auto output = std::ranges::find(program_.outputs, f);
    const Shape &extents =
        output == program_.outputs.end()
            ? drawn.extents
            : program_.output_extents[static_cast<std::size_t>(output - program_.outputs.begin())];
    drawn.func.bound(drawn.vars.back(), 0, make_int(int64, extents.back()));
  }
}

}  // namespace pit::fuzz
