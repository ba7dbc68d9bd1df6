// Printing schedules. The parser is in schedule_parser.cpp, the grammar in schedule_text.h.
#include "schedule_text.h"

#include "error.h"
#include "func.h"
#include "loop_names.h"

namespace pit {

namespace {

std::string name_of(const std::weak_ptr<FuncNode> &func, int definition) {
  const FuncPtr node = func.lock();
  internal_check(node != nullptr, "a schedule outlived its Funcs");
  return definition_name(*node, definition);
}

// Arguments separated by commas.
class Arguments {
 public:
  Arguments &add(const std::string &argument) {
    text_ += (text_.empty() ? "" : ", ") + argument;
    return *this;
  }
  Arguments &add(const std::vector<VarPtr> &vars) {
    for (const VarPtr &v : vars) add(v->name);
    return *this;
  }
  Arguments &add(const std::string &key,
                 const std::vector<std::pair<VarPtr, std::int64_t>> &extents) {
    if (extents.empty()) return *this;
    Arguments entries;
    for (const auto &[v, extent] : extents) entries.add(v->name + ":" + std::to_string(extent));
    return add(key + (key.empty() ? "{" : "={") + entries.text_ + "}");
  }
  const std::string &text() const { return text_; }

 private:
  std::string text_;
};

void add_rule(const IndexNode &index, Arguments *arguments) {
  if (index.axis) arguments->add("axis=" + index.axis->name);
  if (index.group.defined()) arguments->add("group=" + to_string(index.group));
  arguments->add("micro", index.micro);
}

std::string settings(const IndexNode &index) {
  std::string text;
  if (!index.ordered) text += ".unordered()";
  if (index.capacity.defined()) text += ".capacity(" + to_string(index.capacity) + ")";
  if (index.align != 1) text += ".align(" + std::to_string(index.align) + ")";
  if (index.stored_values) text += ".store_values(" + index.stored_values->name + ")";
  if (index.mark_loop)
    text += ".compute_at(" + name_of(index.mark_func, 0) + ", " + index.mark_loop->name + ")";
  if (index.given_offsets) {
    text += ".given(" + index.given_offsets->name + ", " + index.given_coordinates->name + ")";
  }
  return text;
}

std::string arguments_of(const Directive &d) {
  Arguments arguments;
  if (shape_of(d.kind)) {
    arguments.add(d.vars);
    for (const std::int64_t value : d.ints) arguments.add(std::to_string(value));
    return arguments.text();
  }
  switch (d.kind) {
    case DirectiveKind::Index:
      add_rule(*d.index, &arguments);
      break;
    case DirectiveKind::PitTile:
      arguments.add(d.vars);
      if (!d.index_named) add_rule(*d.index, &arguments);
      arguments.add("dense", d.dense);
      if (d.index_named) arguments.add("index=" + d.index->name);
      break;
    case DirectiveKind::SRead:
    case DirectiveKind::SWrite:
      arguments.add(d.tensor ? d.tensor->name : name_of(d.other, 0));
      if (!d.ints.empty()) arguments.add("vector_bytes=" + std::to_string(d.ints[0]));
      break;
    case DirectiveKind::WarpSpecialize:
      arguments.add("producer_warps=" + std::to_string(d.ints.at(0)));
      arguments.add("consumer_warpgroups=" + std::to_string(d.ints.at(1)));
      break;
    case DirectiveKind::Cluster:
      arguments.add("", d.dense);
      break;
    case DirectiveKind::TileOrder:
      arguments.add(kTileOrders[d.ints.at(0)]);
      break;
    case DirectiveKind::Atom:
      arguments.add('"' + d.text + '"');
      break;
    case DirectiveKind::Specialize:
      arguments.add(to_string(d.exprs.at(0)));
      break;
    case DirectiveKind::ComputeWith:
    case DirectiveKind::ComputeAt:
      arguments.add(name_of(d.other, d.other_definition)).add(d.vars);
      break;
    case DirectiveKind::Bound:
      arguments.add(d.vars).add(to_string(d.exprs.at(0))).add(to_string(d.exprs.at(1)));
      break;
    case DirectiveKind::StoreCompact:
      arguments.add(d.index->name);
      break;
    default:
      throw InternalError("a directive without a text form: " + to_string(d.kind));
  }
  return arguments.text();
}

// "C.update(0).split(k, ko, ki, 64)".
std::string line_of(const Directive &d) {
  std::string text = name_of(d.func, d.definition);
  if (d.specialization != 0) text += ".specialization(" + std::to_string(d.specialization) + ")";
  text += "." + to_string(d.kind) + "(" + arguments_of(d) + ")";
  const std::string index_settings =
      d.kind == DirectiveKind::Index || (d.kind == DirectiveKind::PitTile && !d.index_named)
          ? settings(*d.index)
          : "";
  return (d.kind == DirectiveKind::Index ? d.index->name + " = " : "") + text + index_settings;
}

}  // namespace

std::string Schedule::to_string() const {
  std::string text;
  for (const Directive &d : directives) text += line_of(d) + "\n";
  return text;
}

}  // namespace pit
