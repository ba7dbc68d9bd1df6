#include "schedule.h"

#include <algorithm>

namespace pit::fuzz {

const char *to_string(Step step) {
  static constexpr const char *kNames[kSteps] = {
      "split",           "tile",          "fuse",         "reorder",
      "parallel",        "vectorize",     "unroll",       "gpu",
      "hints",           "compute_root",  "compute_at",   "compute_inline",
      "compute_with",    "pit_tile",      "shared index", "store_compact",
      "reorder_storage", "strict",        "atomic",       "specialize",
      "product tile",    "attention tile"};
  return kNames[static_cast<std::size_t>(step)];
}

void Steps::refresh() {
  funcs_ = program_.pipeline().funcs();
  definitions_.clear();
  for (const FuncPtr &f : funcs_) {
    if (f->inline_reduction) continue;
    for (int i = 0; i < static_cast<int>(f->definitions.size()); ++i)
      definitions_.emplace_back(f, i);
  }
  for (const Definition &d : specializations_) definitions_.push_back(d);
}

Definition Steps::any_definition() {
  // Updates do the work: take what was defined last first.
  return definitions_[definitions_.size() - 1 -
                      choices_.below(static_cast<std::uint32_t>(definitions_.size()))];
}

bool Steps::said(const FuncNode &func, DirectiveKind kind, int definition) {
  return std::ranges::any_of(func.directives, [&](const Directive &d) {
    return d.kind == kind && d.definition == definition;
  });
}

bool Steps::placed(const FuncNode &func) {
  return said(func, DirectiveKind::ComputeAt) || said(func, DirectiveKind::ComputeRoot) ||
         said(func, DirectiveKind::ComputeInline);
}

bool Steps::say(Step step) {
  switch (step) {
    case Step::ComputeRoot:
    case Step::ComputeInline:
    case Step::ReorderStorage:
      return compute_level(step);
    case Step::ComputeAt:
      return compute_at();
    case Step::ComputeWith:
      return compute_with();
    case Step::PitTile:
      return pit_tile(false);
    case Step::SharedIndex:
      return pit_tile(true);
    case Step::StoreCompact:
      return store_compact();
    case Step::Specialize:
      return specialize();
    case Step::ProductTile:
      return product_tile();
    case Step::AttentionTile:
      return attention_tile();
    default:
      return say_loops(step, any_definition());
  }
}

void draw_schedule(Choices *choices, DrawnProgram *program, const ScheduleContext &context) {
  Steps steps(choices, program);
  for (int i = 0; i < 8; ++i) {
    const Choices::Part part(choices);
    if (!choices->chance(78)) return;
    // Other steps before it would mostly leave nothing that it is about.
    const bool attention = i == 0 && program->strip > 0 && choices->chance(75);
    const auto step =
        attention ? Step::AttentionTile
                  : static_cast<Step>(choices->weighted(
                        {6, 5, 4, 5, 4, 4, 3, 4, 4, 5, 12, 3, 1, 24, 6, 6, 3, 3, 4, 4, 10, 3}));
    StepCounts &c = (*context.counts)[static_cast<std::size_t>(step)];
    steps.refresh();
    std::vector<std::vector<Directive>> said;
    for (const FuncPtr &f : steps.funcs_) said.push_back(f->directives);
    const auto specializations = steps.specializations_;
    const auto indices = program->indices, output_indices = program->output_indices;
    const auto take_back = [&] {
      for (std::size_t f = 0; f < said.size(); ++f) steps.funcs_[f]->directives = said[f];
      steps.specializations_ = specializations;
      program->indices = indices;
      program->output_indices = output_indices;
    };
    try {
      if (!steps.say(step)) {
        take_back();
        continue;
      }
    } catch (const CompileError &e) {
      context.refused(step, e);
      ++c.refused_at_call;
      take_back();
      continue;
    }
    try {
      context.try_lower();
      ++c.accepted;
    } catch (const CompileError &e) {
      context.refused(step, e);
      ++c.refused_by_lowering;
      take_back();
    }
  }
}

}  // namespace pit::fuzz
