// Steps about PIT rules and sparse indices.
#include <algorithm>

#include "dsl/loop_names.h"
#include "schedule.h"

namespace pit::fuzz {

namespace {

const DefinitionData &data_of(const Definition &d) {
  return d.func()->definitions[static_cast<std::size_t>(d.number())];
}

// Everything that decides and computes an iteration.
std::vector<Expr> parts_of(const Definition &d) {
  std::vector<Expr> parts = conditions_of(*d.func(), d.number());
  parts.insert(parts.end(), data_of(d).args.begin(), data_of(d).args.end());
  parts.insert(parts.end(), data_of(d).values.begin(), data_of(d).values.end());
  return parts;
}

bool reads(const std::vector<Expr> &exprs, const VarPtr &v) {
  return std::ranges::any_of(exprs, [&](const Expr &e) { return e.defined() && uses(e, v); });
}

// One of the conjuncts says that `key` is not negative.
bool is_guarded(const std::vector<Expr> &conjuncts, const Expr &key) {
  return std::ranges::any_of(conjuncts, [&](const Expr &e) {
    const Binary *test = e.as<Binary>();
    return test && test->op == BinaryOp::Ge && equal(test->a, key) && is_zero(test->b);
  });
}

bool contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::ranges::find(vars, v) != vars.end();
}

}  // namespace

// Chooses axis, group and micro-tile; may fuse two loops of `d` first.
IndexSpec Steps::draw_index(Definition *d) {
  std::vector<VarPtr> variables = variables_of(*d->func(), d->number());
  const std::vector<VarPtr> left = loops(*d);
  std::vector<VarPtr> whole;  // what no directive has replaced
  std::ranges::copy_if(variables, std::back_inserter(whole),
                       [&](const VarPtr &v) { return contains(left, v); });
  if (!whole.empty()) variables = whole;
  const std::vector<Expr> conditions = conditions_of(*d->func(), d->number());
  std::ranges::reverse(variables);  // reductions first
  std::vector<VarPtr> tested;
  std::ranges::copy_if(variables, std::back_inserter(tested),
                       [&](const VarPtr &v) { return reads(conditions, v); });
  IndexSpec spec;
  VarPtr axis = choices_.pick(!tested.empty() && !choices_.chance(20) ? tested : variables);
  std::vector<VarPtr> parts{axis};
  if (choices_.chance(20)) {
    const std::vector<VarPtr> all = loops(*d);
    const auto it = std::ranges::find(all, axis);
    if (it != all.end() && it + 1 != all.end()) {
      const Var fused = fresh();
      parts = {*it, *(it + 1)};
      d->fuse(loop(*it), loop(*(it + 1)), fused);
      axis = fused.node();
    }
  }
  spec.axis = loop(axis);

  const auto is_axis = [&](const VarPtr &v) { return contains(parts, v); };
  bool partition = false;
  if (choices_.chance(25)) {
    std::vector<Expr> keys;
    for (const Expr &e : parts_of(*d)) {
      walk(e, [&](const Expr &part) {
        const bool data = part.as<Load>() || part.as<Call>();
        if (data && part.type().is_integral() &&
            std::ranges::any_of(parts, [&](const VarPtr &v) { return uses(part, v); })) {
          // Keys are indices: a key that may be negative needs the predicate that excludes it.
          const Load *load = part.as<Load>();
          const auto tensor = std::ranges::find_if(program_.tensors, [&](const DrawnTensor &t) {
            return load && t.param.storage() == load->storage;
          });
          const auto last =
              tensor != program_.tensors.end() ? static_cast<int>(tensor->limit) - 1 : -1;
          if (last < 0) {
            keys.push_back(cast(int64, part) % 4);
          } else if (tensor->content == Content::Key && !is_guarded(conditions, part)) {
            keys.push_back(clamp(part, 0, last));
          } else {
            keys.push_back(choices_.chance(50) ? min(part, last) : part);
          }
        }
        return true;
      });
    }
    for (const VarPtr &v : variables) {
      if (!is_axis(v))
        keys.push_back(choices_.chance(50) ? make_variable(v) : make_variable(v) / 4);
    }
    if (!keys.empty()) {
      spec.group = choices_.pick(keys);
      partition = std::ranges::any_of(parts, [&](const VarPtr &v) { return uses(spec.group, v); });
    }
  }
  if (!partition && choices_.chance(40)) {
    spec.micro.emplace_back(loop(axis), choices_.pick(std::vector<std::int64_t>{1, 2, 4, 8, 3}));
  }
  for (const VarPtr &v : variables) {
    if (is_axis(v) || !reads(conditions, v) || !choices_.chance(60)) continue;
    spec.micro.emplace_back(loop(v), choices_.pick(std::vector<std::int64_t>{1, 4, 2, 8, 16, 3}));
  }
  return spec;
}

Extents Steps::draw_dense(const Definition &d, const VarPtr &axis, const Extents &micro,
                          const std::vector<VarPtr> &group) {
  Extents dense;
  for (const VarPtr &v : loops(d)) {
    if (!choices_.chance(v == axis ? 80 : 40)) continue;
    const auto it = std::ranges::find_if(micro, [&](const auto &m) { return m.first.node() == v; });
    const std::int64_t m = it == micro.end() ? 1 : it->second;
    if (v == axis) {
      dense.emplace_back(loop(v), m * choices_.pick(std::vector<std::int64_t>{4, 1, 2, 3, 8, 16}));
    } else if (it != micro.end() || contains(group, v)) {
      dense.emplace_back(loop(v), m % 2 == 0 && choices_.chance(30) ? m / 2 : m);
    } else {
      dense.emplace_back(loop(v), factor());
    }
  }
  return dense;
}

void Steps::settings(SparseIndex *index) {
  if (choices_.chance(40)) index->unordered();
  if (choices_.chance(20)) index->align(choices_.pick(std::vector<std::int64_t>{4, 2, 8}));
  if (choices_.chance(10)) index->capacity(100000);
  if (choices_.chance(50)) mark_in_producer(index);
  if (choices_.chance(5)) {
    for (const DrawnTensor &t : program_.tensors) {
      const auto f = index->node()->func.lock();
      bool read = false;
      for (const Expr &e : conditions_of(*f, index->node()->definition)) {
        walk(e, [&](const Expr &part) {
          const Load *load = part.as<Load>();
          read |= load && load->storage == t.param.storage();
          return true;
        });
      }
      if (read) {
        index->store_values(t.param);
        return;
      }
    }
  }
}

// A Func that the only predicate reads may mark the index in its tile.
void Steps::mark_in_producer(SparseIndex *index) {
  const auto f = index->node()->func.lock();
  const auto definition = static_cast<std::size_t>(index->node()->definition);
  const std::vector<Expr> &predicates = f->definitions[definition].predicates;
  if (!f->predicates.empty() || predicates.size() != 1) return;
  FuncPtr producer;
  walk(predicates.front(), [&](const Expr &part) {
    const Call *call = part.as<Call>();
    if (call && call->owner && call->owner != f && call->owner->is_pure()) producer = call->owner;
    return true;
  });
  if (!producer) return;
  const Definition made(producer, 0);
  const std::vector<VarPtr> left = loops(made);
  if (left.empty()) return;
  if (!placed(*producer)) Func(producer).compute_root();
  // Outer loops have tiles that cover more micro-tiles.
  index->compute_at(made, loop(choices_.chance(70) ? left.front() : choices_.pick(left)));
}

// What a tile makes possible: how operands come in, and producers computed in it.
void Steps::around_tile(Definition d, const Var &tile, const VarPtr &axis) {
  if (choices_.chance(15)) d.strict();
  if (combiner_of(d) != Combiner::Assign && choices_.chance(20)) d.atomic();
  if (!choices_.chance(60)) return;
  std::vector<FuncPtr> producers;
  for (const Expr &e : parts_of(d)) {
    walk(e, [&](const Expr &part) {
      const Call *call = part.as<Call>();
      if (call && call->owner && call->owner != d.func() &&
          std::ranges::find(producers, call->owner) == producers.end()) {
        producers.push_back(call->owner);
      }
      return true;
    });
  }
  for (const FuncPtr &p : producers) {
    if (!placed(*p) && choices_.chance(60)) Func(p).compute_at(d, tile);
  }
  if (!choices_.chance(20)) return;
  for (const DrawnTensor &t : program_.tensors) {
    bool read = false;
    for (const Expr &e : data_of(d).values) {
      walk(e, [&](const Expr &part) {
        const Load *load = part.as<Load>();
        read |= load && load->storage == t.param.storage() && uses(part, axis);
        return true;
      });
    }
    if (read) d.sread(t.param);
  }
}

bool Steps::pit_tile(bool shared) {
  Definition d = any_definition();
  const auto unlikely = [](const Definition &x) {
    const FuncNode &f = *x.func();
    return conditions_of(f, x.number()).empty() || said(f, DirectiveKind::PitTile, x.number()) ||
           (x.number() > 0 && combiner_of(x) == Combiner::Assign);
  };
  for (int attempt = 0; attempt < 4 && unlikely(d); ++attempt) d = any_definition();
  if (said(*d.func(), DirectiveKind::PitTile, d.number()) && !choices_.chance(5)) return false;
  if (variables_of(*d.func(), d.number()).empty()) return false;
  const Var tile = fresh();
  if (shared) {
    if (program_.indices.empty()) {
      const IndexSpec spec = draw_index(&d);
      SparseIndex made = d.index(spec);
      settings(&made);
      program_.indices.push_back(made);
    }
    const SparseIndex index = choices_.pick(program_.indices);
    const IndexNode &node = *index.node();
    const FuncPtr owner = node.func.lock();
    std::vector<Definition> fitting;
    for (const Definition &x : definitions_) {
      const std::vector<VarPtr> own = variables_of(*x.func(), x.number());
      const auto has = [&](const VarPtr &v) { return contains(own, v); };
      if (std::ranges::all_of(originals_of(node.axis, *owner, node.definition, owner->directives),
                              has) &&
          std::ranges::all_of(group_vars(node, owner->directives), has) &&
          !said(*x.func(), DirectiveKind::PitTile, x.number())) {
        fitting.push_back(x);
      }
    }
    if (fitting.empty()) return false;
    d = choices_.pick(fitting);
    // A fused axis is shared by fusing in the same way.
    const auto parts = fused_from(node.axis, *owner, node.definition, owner->directives);
    if (parts.size() == 2 && !contains(loops(d), node.axis)) {
      for (const Directive &said : owner->directives) {
        if (said.kind == DirectiveKind::Fuse && said.vars[2] == node.axis) {
          d.fuse(loop(parts[0]), loop(parts[1]), VarOrRVar(node.axis));
          break;
        }
      }
    }
    Extents micro;
    for (const auto &[v, extent] : node.micro) micro.emplace_back(loop(v), extent);
    const Extents dense = draw_dense(d, node.axis, micro, group_vars(node, owner->directives));
    d.pit_tile(tile, {.axis = {}, .group = {}, .micro = {}, .dense = dense, .index = index});
    around_tile(d, tile, node.axis);
    return true;
  }
  IndexSpec spec = draw_index(&d);
  IndexNode probe;
  probe.func = d.func();
  probe.definition = d.number();
  probe.axis = spec.axis.node();
  probe.group = spec.group;
  const Extents dense =
      draw_dense(d, spec.axis.node(), spec.micro, group_vars(probe, d.func()->directives));
  if (choices_.chance(50)) {
    SparseIndex index = d.index(spec);
    settings(&index);
    d.pit_tile(tile, {.axis = {}, .group = {}, .micro = {}, .dense = dense, .index = index});
    program_.indices.push_back(index);
  } else {
    d.pit_tile(
        tile,
        {.axis = spec.axis, .group = spec.group, .micro = spec.micro, .dense = dense, .index = {}});
  }
  around_tile(d, tile, spec.axis.node());
  return true;
}

bool Steps::store_compact() {
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < program_.funcs.size(); ++i) {
    if (std::ranges::find(funcs_, program_.funcs[i].func.func()) != funcs_.end())
      candidates.push_back(i);
  }
  const std::size_t chosen =
      candidates[choices_.below(static_cast<std::uint32_t>(candidates.size()))];
  Func f = program_.funcs[chosen].func;
  const auto output = std::ranges::find(program_.outputs, chosen);
  if (output != program_.outputs.end()) {
    // A compact output does not say how far its Vars go.
    const Shape &extents =
        program_.output_extents[static_cast<std::size_t>(output - program_.outputs.begin())];
    for (std::size_t d = 0; d < extents.size(); ++d) {
      const Var &v = program_.funcs[chosen].vars[d];
      const auto &directives = f.func()->directives;
      const bool bounded = std::ranges::any_of(directives, [&](const Directive &directive) {
        return directive.kind == DirectiveKind::Bound && directive.vars[0] == v.node();
      });
      if (!bounded) f.bound(v, 0, make_int(int64, extents[d]));
    }
  }
  if (!compact_by_index(f)) return false;
  if (output == program_.outputs.end()) return true;
  // Keys have no number of groups that is known here, and the worst case may be too much.
  const std::vector<Argument> signature = program_.pipeline().signature();
  for (const Argument &a : signature) {
    if (a.func != f.func()) continue;
    double elements = 1;
    for (const std::int64_t e : program_.argument_extents(a)) elements *= static_cast<double>(e);
    if (elements > 200000 ||
        program_.argument_extents(a).size() != static_cast<std::size_t>(a.rank))
      return false;
  }
  const auto compact =
      std::ranges::find(f.func()->directives, DirectiveKind::StoreCompact, &Directive::kind);
  const SparseIndex index(compact->index);
  if (program_.outputs.size() == 1 && program_.output_indices.empty() &&
      index.node()->func.lock() == f.func() && !index.node()->group.defined() &&
      choices_.chance(40)) {
    program_.output_indices.push_back(index);
  }
  return true;
}

bool Steps::compact_by_index(Func f) {
  const bool output = std::ranges::any_of(
      program_.outputs, [&](std::size_t o) { return program_.funcs[o].func.func() == f.func(); });
  if (!output && f.func()->is_pure() && choices_.chance(80)) f.compute_root();
  if (!program_.indices.empty() && choices_.chance(40)) {
    f.store_compact(choices_.pick(program_.indices));
    return true;
  }
  Definition d(f.func(), 0);
  const IndexSpec spec = draw_index(&d);
  SparseIndex index = d.index(spec);
  settings(&index);
  program_.indices.push_back(index);
  if (choices_.chance(60)) {
    const Var tile = fresh();
    d.pit_tile(tile, {.axis = {},
                      .group = {},
                      .micro = {},
                      .dense = draw_dense(d, spec.axis.node(), spec.micro,
                                          group_vars(*index.node(), d.func()->directives)),
                      .index = index});
    around_tile(d, tile, spec.axis.node());
  }
  f.store_compact(index);
  return true;
}

}  // namespace pit::fuzz
