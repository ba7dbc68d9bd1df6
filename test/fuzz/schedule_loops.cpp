// Steps about loops and about where Funcs are computed.
#include <algorithm>

#include "dsl/loop_names.h"
#include "schedule.h"

namespace pit::fuzz {

std::vector<VarPtr> Steps::loops(const Definition &d) const {
  return loops_of(*d.func(), d.number(), d.func()->directives, d.specialization());
}

bool Steps::say_loops(Step step, Definition d) {
  if (step == Step::Strict) {
    d.strict();
    return true;
  }
  if (step == Step::Atomic) {
    if (combiner_of(d) == Combiner::Assign && !choices_.chance(10)) return false;
    d.atomic();
    return true;
  }
  const std::vector<VarPtr> all = loops(d);
  if (all.empty()) return false;
  const auto at = choices_.below(static_cast<std::uint32_t>(all.size()));
  const VarOrRVar v = loop(all[at]);
  switch (step) {
    case Step::Split: {
      const Var outer = fresh(), inner = fresh();
      d.split(v, outer, inner, factor());
      return true;
    }
    case Step::Tile: {
      if (at + 1 == all.size()) return false;
      const Var xo = fresh(), yo = fresh(), xi = fresh(), yi = fresh();
      const std::int64_t x = factor();
      d.tile(v, loop(all[at + 1]), xo, yo, xi, yi, x, factor());
      return true;
    }
    case Step::Fuse:
      if (at + 1 == all.size()) return false;
      d.fuse(v, loop(all[at + 1]), fresh());
      return true;
    case Step::Reorder: {
      if (all.size() < 2) return false;
      std::vector<VarOrRVar> order;
      for (const VarPtr &l : all) order.push_back(loop(l));
      for (std::size_t i = order.size(); i > 1; --i) {
        std::swap(order[i - 1], order[i - 1 - choices_.below(static_cast<std::uint32_t>(i))]);
      }
      if (order.size() > 2 && choices_.chance(40)) order.pop_back();
      d.reorder(order);
      return true;
    }
    case Step::Parallel:
      d.parallel(v);
      return true;
    case Step::Vectorize:
      if (choices_.chance(50)) {
        d.vectorize(v, factor());
      } else {
        d.vectorize(v);
      }
      return true;
    case Step::Unroll:
      if (choices_.chance(50)) {
        d.unroll(v, factor());
      } else {
        d.unroll(v);
      }
      return true;
    case Step::Gpu:
      d.gpu_blocks(v);
      if (all.size() > 1 && choices_.chance(60))
        d.gpu_threads(loop(all[at == 0 ? all.size() - 1 : at - 1]));
      return true;
    default:
      switch (choices_.below(6)) {
        case 0:
          d.software_pipeline(v, static_cast<int>(choices_.between(1, 4)));
          break;
        case 1:
          d.warp_specialize({});
          break;
        case 2:
          d.persistent();
          break;
        case 3:
          d.tile_order(
              choices_.pick(std::vector<TileOrder>{TileOrder::RowMajor, TileOrder::ColumnMajor,
                                                   TileOrder::Swizzled, TileOrder::LongestFirst}));
          break;
        case 4:
          d.split_reduction(v, static_cast<int>(choices_.between(1, 4)));
          break;
        default:
          d.cluster({{v, 2}});
          break;
      }
      return true;
  }
}

bool Steps::compute_level(Step step) {
  Func f(funcs_[funcs_.size() - 1 - choices_.below(static_cast<std::uint32_t>(funcs_.size()))]);
  if (step == Step::ComputeRoot) {
    f.compute_root();
  } else if (step == Step::ComputeInline) {
    f.compute_inline();
  } else {
    // reorder_storage takes its Vars from the user, who has them for the Funcs of the program.
    for (const DrawnFunc &drawn : program_.funcs) {
      if (drawn.func.func() != f.func() || drawn.vars.size() < 2) continue;
      const std::vector<Var> &v = drawn.vars;
      if (choices_.chance(60)) f.compute_root();
      if (v.size() == 2) {
        f.reorder_storage({v[1], v[0]});
      } else if (choices_.chance(50)) {
        f.reorder_storage({v[2], v[0], v[1]});
      } else {
        f.reorder_storage({v[0], v[2], v[1]});
      }
      return true;
    }
    return false;
  }
  return true;
}

bool Steps::compute_at() {
  // A definition and a Func that it calls.
  std::vector<std::pair<FuncPtr, Definition>> uses;
  for (const FuncPtr &f : funcs_) {
    for (int i = 0; i < static_cast<int>(f->definitions.size()); ++i) {
      const DefinitionData &d = f->definitions[static_cast<std::size_t>(i)];
      std::vector<Expr> parts = d.values;
      parts.insert(parts.end(), d.args.begin(), d.args.end());
      parts.insert(parts.end(), d.predicates.begin(), d.predicates.end());
      for (const Expr &e : parts) {
        walk(e, [&](const Expr &part) {
          const Call *call = part.as<Call>();
          if (call && call->owner && call->owner != f &&
              (!placed(*call->func) || choices_.chance(5)))
            uses.emplace_back(call->owner, Definition(f, i));
          return true;
        });
      }
    }
  }
  if (uses.empty()) return false;
  const auto &[producer, consumer] = choices_.pick(uses);
  const std::vector<VarPtr> all = loops(consumer);
  if (all.empty()) return false;
  Func(producer).compute_at(consumer, loop(choices_.pick(all)));
  return true;
}

bool Steps::compute_with() {
  Definition d = any_definition(), other = any_definition();
  const std::vector<VarPtr> all = loops(other);
  if (all.empty() || d.func() == other.func()) return false;
  d.compute_with(other, loop(choices_.pick(all)));
  return true;
}

bool Steps::specialize() {
  Definition d = any_definition();
  if (d.specialization() != 0) return false;
  const Expr condition = [&]() -> Expr {
    if (!program_.indices.empty() && choices_.chance(50))
      return choices_.pick(program_.indices).density() < 0.5f;
    if (!program_.scalars.empty() && choices_.chance(40)) {
      const Expr s(std::make_shared<ParamRef>(choices_.pick(program_.scalars).first), {});
      return s > 1;
    }
    const std::vector<Argument> arguments = program_.pipeline().signature();
    for (const Argument &a : arguments) {
      if (a.kind == Argument::Kind::InputTensor) {
        return make_extent(a.tensor, 0) > static_cast<int>(choices_.between(0, 10));
      }
    }
    return Expr(true);
  }();
  Definition special = d.specialize(condition);
  specializations_.push_back(special);
  // Most often something is different in the special case.
  if (choices_.chance(80)) {
    say_loops(choices_.pick(
                  std::vector<Step>{Step::Split, Step::Vectorize, Step::Reorder, Step::Parallel}),
              special);
  }
  return true;
}

}  // namespace pit::fuzz
