#include "program.h"

#include <algorithm>

#include "dsl/loop_names.h"

namespace pit::fuzz {

namespace {

// Worst-case sizes of the lists of an index over pure Vars of known extents.
struct IndexSize {
  std::int64_t groups = 1, entries = 1;
};

IndexSize size_of(const IndexNode &index, const FuncNode &func, const Shape &extents) {
  const auto extent_of = [&](const VarPtr &v) {
    const auto at = std::ranges::find(func.args, v);
    return at == func.args.end() ? 0 : extents[static_cast<std::size_t>(at - func.args.begin())];
  };
  const auto blocks = [&](const VarPtr &v) {
    const std::int64_t micro = micro_extent(index, v);
    return (extent_of(v) + micro - 1) / micro;
  };
  IndexSize size;
  std::int64_t length = 1;
  for (const VarPtr &v : fused_from(index.axis, func, index.definition, func.directives))
    length *= extent_of(v);
  const std::int64_t micro = micro_extent(index, index.axis);
  length = (length + micro - 1) / micro;
  for (const VarPtr &v : group_vars(index, func.directives)) size.groups *= blocks(v);
  size.entries = size.groups * (length + index.align);
  return size;
}

}  // namespace

Pipeline DrawnProgram::pipeline() const {
  const Func first = funcs[outputs[0]].func;
  if (outputs.size() == 2) return Pipeline({first, funcs[outputs[1]].func}, {}, "fuzz");
  if (!output_indices.empty()) return Pipeline({first}, {output_indices[0]}, "fuzz");
  return Pipeline({first}, {}, "fuzz");
}

Shape DrawnProgram::argument_extents(const Argument &argument) const {
  const FuncPtr func = argument.index ? argument.index->func.lock() : argument.func;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (funcs[outputs[i]].func.func() != func) continue;
    const Shape &extents = output_extents[i];
    if (argument.index) {
      const IndexSize size = size_of(*argument.index, *func, extents);
      if (argument.kind == Argument::Kind::IndexOffsets) return {size.groups + 1};
      if (argument.kind == Argument::Kind::IndexCoordinates) return {size.entries};
      return {1};
    }
    const auto compact =
        std::ranges::find(func->directives, DirectiveKind::StoreCompact, &Directive::kind);
    if (compact == func->directives.end()) return extents;
    const IndexNode &index = *compact->index;
    std::vector<VarPtr> covered = fused_from(index.axis, *func, index.definition, func->directives);
    for (const VarPtr &v : group_vars(index, func->directives)) covered.push_back(v);
    for (const auto &[v, extent] : index.micro) covered.push_back(v);
    Shape result{size_of(index, *func, extents).entries};
    for (std::size_t d = 0; d < func->args.size(); ++d) {
      if (std::ranges::find(covered, func->args[d]) == covered.end()) result.push_back(extents[d]);
    }
    for (const VarPtr &v : func->args) {
      if (micro_extent(index, v) > 1) result.push_back(micro_extent(index, v));
    }
    return result;
  }
  return {};
}

}  // namespace pit::fuzz
