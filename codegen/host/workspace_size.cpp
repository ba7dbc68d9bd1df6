#include "workspace_size.h"

#include <algorithm>

#include "codegen/ir/mutator.h"
#include "runtime/pit_call.h"

namespace pit::host {

namespace {

// Larger bounds are not worth their code: they count as unknown.
constexpr std::uint32_t kMostNodes = 500;

/// Closed interval of an integer expression whose sides read scalars and extents of tensors alone;
/// a side that is not defined is not known.
struct Range {
  Expr low, high;
  bool is_point() const { return low.defined() && high.defined() && equal(low, high); }
};

Expr constant(std::int64_t value) { return make_int(int64, value); }

Range point(const Expr &e) { return {e, e}; }

// Of sides that may be unknown.
Expr add(const Expr &a, const Expr &b) { return a.defined() && b.defined() ? a + b : Expr(); }
Expr subtract(const Expr &a, const Expr &b) { return a.defined() && b.defined() ? a - b : Expr(); }
Expr smaller(const Expr &a, const Expr &b) {
  return !a.defined() || !b.defined() ? Expr() : equal(a, b) ? a : min(a, b);
}
Expr larger(const Expr &a, const Expr &b) {
  return !a.defined() || !b.defined() ? Expr() : equal(a, b) ? a : max(a, b);
}

class Sizer {
 public:
  Sizer(const ir::Module &module, std::int64_t slack,
        const std::unordered_map<const ir::StmtNode *, MmaPlan> &plans,
        const std::unordered_map<const StorageNode *, const ir::Store *> &packed)
      : slack_(slack), plans_(plans), packed_(packed) {
    for (const auto *tensors : {&module.inputs, &module.outputs}) {
      for (const StoragePtr &s : *tensors) tensors_[s.get()] = true;
    }
    find_lists(module.body);
    visit(module.body);
  }
  WorkspaceSize result() { return std::move(result_); }

 private:
  std::int64_t slack_;
  const std::unordered_map<const ir::StmtNode *, MmaPlan> &plans_;
  const std::unordered_map<const StorageNode *, const ir::Store *> &packed_;
  std::unordered_map<const StorageNode *, bool> tensors_;
  /// Numbers in offsets and counts of an index are no larger than a list of its entries is long.
  std::unordered_map<const StorageNode *, const StorageNode *> list_of_;
  std::unordered_map<const StorageNode *, std::vector<Range>> extents_;  // of Allocates
  std::unordered_map<const VarNode *, Range> variables_;
  bool in_loop_ = false;
  WorkspaceSize result_;

  void find_lists(const ir::Stmt &body) {
    const auto add_lists = [&](const StoragePtr &list, std::initializer_list<StoragePtr> numbers) {
      if (!list) return;
      for (const StoragePtr &s : numbers) {
        if (s) list_of_[s.get()] = list.get();
      }
    };
    ir::walk_statements(body, [&](const ir::Stmt &s) {
      if (const auto *place = s.as<ir::IndexPlace>()) {
        add_lists(place->coordinates ? place->coordinates : place->full,
                  {place->offsets, place->counts});
      } else if (const auto *sort = s.as<ir::IndexSort>()) {
        add_lists(sort->coordinates, {sort->offsets, sort->counts});
      }
      return true;
    });
  }

  // --- ranges ---

  // An expression over what a call knows when it begins.
  bool is_known(const Expr &e) const {
    bool known = true;
    walk(e, [&](const Expr &part) {
      if (part.as<Load>() || part.as<Call>() || part.as<IndexQuery>() || part.as<Variable>())
        known = false;
      if (const auto *extent = part.as<Extent>())
        known = known && tensors_.contains(extent->storage.get());
      return known;
    });
    return known;
  }

  Range range(const Expr &e) {
    Range r = is_known(e) ? point(e) : compute(e);
    for (Expr *side : {&r.low, &r.high}) {
      if (side->defined() && (*side)->nodes > kMostNodes) *side = {};
    }
    return r;
  }

  Range compute(const Expr &e) {
    if (const auto *variable = e.as<Variable>()) {
      const auto it = variables_.find(variable->var.get());
      return it == variables_.end() ? Range{} : it->second;
    }
    if (const auto *extent = e.as<Extent>()) {
      const auto it = extents_.find(extent->storage.get());
      return it == extents_.end() ? Range{}
                                  : it->second.at(static_cast<std::size_t>(extent->dimension));
    }
    if (const auto *load = e.as<Load>()) return of_list(load->storage.get());
    if (const auto *cast = e.as<Cast>()) {
      // Narrower values might wrap.
      const Type from = cast->a.type();
      if (!from.is_integral() || from == boolean || e.type() != int64) return {};
      const Range a = range(cast->a);
      return {a.low.defined() ? i64(a.low) : a.low, a.high.defined() ? i64(a.high) : a.high};
    }
    if (const auto *select = e.as<Select>()) {
      const Range a = range(select->true_value), b = range(select->false_value);
      return {smaller(a.low, b.low), larger(a.high, b.high)};
    }
    const auto *binary = e.as<Binary>();
    return binary ? of_binary(*binary) : Range{};
  }

  Range of_list(const StorageNode *numbers) {
    const auto it = list_of_.find(numbers);
    if (it == list_of_.end()) return {};
    const auto list = extents_.find(it->second);
    if (list == extents_.end() || list->second.size() != 1) return {};
    const Expr &most = list->second.front().high;
    return {constant(0), most.defined() ? max(most, constant(0)) : Expr()};
  }

  Range of_binary(const Binary &e) {
    const Range a = range(e.a), b = range(e.b);
    const auto same_point = [&] {
      return a.is_point() && b.is_point() ? point(make_binary(e.op, a.low, b.low)) : Range{};
    };
    std::int64_t number = 0;
    switch (e.op) {
      case BinaryOp::Add:
        return {add(a.low, b.low), add(a.high, b.high)};
      case BinaryOp::Sub:
        return {subtract(a.low, b.high), subtract(a.high, b.low)};
      case BinaryOp::Min: {
        // One side suffices.
        const Expr high = !a.high.defined()   ? b.high
                          : !b.high.defined() ? a.high
                                              : smaller(a.high, b.high);
        return {smaller(a.low, b.low), high};
      }
      case BinaryOp::Max: {
        const Expr low = !a.low.defined() ? b.low : !b.low.defined() ? a.low : larger(a.low, b.low);
        return {low, larger(a.high, b.high)};
      }
      case BinaryOp::Mul:
        if (a.is_point() && b.is_point()) return same_point();
        return multiply(a, b);
      case BinaryOp::Div:
        if (!is_const_int(e.b, &number) || number <= 0) return same_point();
        return {a.low.defined() ? a.low / e.b : Expr(), a.high.defined() ? a.high / e.b : Expr()};
      case BinaryOp::Mod:
        if (!is_const_int(e.b, &number) || number <= 0) return same_point();
        return {make_int(e.type, 0), make_int(e.type, number - 1)};
      default:
        return same_point();
    }
  }

  static Range multiply(const Range &a, const Range &b) {
    if (!a.low.defined() || !a.high.defined() || !b.low.defined() || !b.high.defined()) return {};
    Range r = point(a.low * b.low);
    for (const Expr &product : {a.low * b.high, a.high * b.low, a.high * b.high})
      r = {smaller(r.low, product), larger(r.high, product)};
    return r;
  }

  // --- statements ---

  void take(WorkspacePart part) {
    (in_loop_ ? result_.loops.back() : result_.outside).push_back(std::move(part));
  }

  void visit(const ir::Stmt &s) {
    if (!s.defined() || !result_.unknown.empty()) return;
    if (const auto *block = s.as<ir::Block>()) {
      for (const ir::Stmt &part : block->stmts) visit(part);
    } else if (const auto *loop = s.as<ir::For>()) {
      visit(*loop);
    } else if (const auto *axes = s.as<ir::Axes>()) {
      for (const ir::AxisBinding &axis : axes->axes) {
        Range extent = range(axis.extent);
        if (axis.maximum > 0 && !extent.is_point()) extent.high = constant(axis.maximum);
        variables_[axis.var.get()] = {constant(0), subtract(extent.high, constant(1))};
      }
      visit(axes->body);
    } else if (const auto *let = s.as<ir::Let>()) {
      variables_[let->var.get()] = let->var->type.is_integral() ? range(let->value) : Range{};
      visit(let->body);
    } else if (const auto *choice = s.as<ir::If>()) {
      visit(choice->then_body);
      visit(choice->else_body);
    } else if (const auto *stage = s.as<ir::Stage>()) {
      visit(stage->body);
    } else if (const auto *allocate = s.as<ir::Allocate>()) {
      visit(*allocate);
    } else if (const auto *place = s.as<ir::IndexPlace>()) {
      visit(*place);
    } else if (const auto *sort = s.as<ir::IndexSort>()) {
      const Range length = range(sort->length), groups = range(sort->groups);
      if (!length.high.defined() || !groups.high.defined()) return fail(sort->keys);
      const Expr bytes =
          PIT_SORT_WORKSPACE(max(length.high, constant(0)), max(groups.high, constant(0)));
      take({{bytes}});
    } else if (const auto plan = plans_.find(s.get()); plan != plans_.end()) {
      take({{}, plan->second.bytes()});
    }
  }

  void visit(const ir::For &loop) {
    const bool parallel =
        loop.loop_kind == ir::ForKind::Parallel || loop.loop_kind == ir::ForKind::GpuBlock;
    const Range first = range(loop.min), extent = range(loop.extent);
    variables_[loop.var.get()] = {first.low, subtract(add(first.high, extent.high), constant(1))};
    const bool begins = parallel && !in_loop_;
    if (begins) {
      in_loop_ = true;
      result_.loops.emplace_back();
    }
    visit(loop.body);
    if (begins) in_loop_ = false;
  }

  void visit(const ir::Allocate &s) {
    std::vector<Range> extents;
    for (const Expr &e : s.extents) extents.push_back(range(e));
    if (!packed_.contains(s.storage.get())) {
      WorkspacePart part{{}, s.storage->type.bytes(), s.storage->space == Space::Tile ? slack_ : 0};
      for (const Range &extent : extents) {
        if (!extent.high.defined()) return fail(s.storage);
        part.extents.push_back(extent.high);
      }
      take(std::move(part));
    }
    extents_[s.storage.get()] = std::move(extents);
    visit(s.body);
  }

  void visit(const ir::IndexPlace &s) {
    // With offsets of its own each group has its candidates, all of which have a mark.
    const auto marks = extents_.find(s.marks.get());
    if (marks == extents_.end() || marks->second.size() != 1 ||
        !marks->second.front().high.defined()) {
      return fail(s.marks);
    }
    take({{PIT_PLACE_WORKSPACE(max(marks->second.front().high, constant(0)))}});
  }

  void fail(const StoragePtr &s) { result_.unknown = s->name; }
};

}  // namespace

WorkspaceSize workspace_size(
    const ir::Module &module, std::int64_t slack,
    const std::unordered_map<const ir::StmtNode *, MmaPlan> &plans,
    const std::unordered_map<const StorageNode *, const ir::Store *> &packed) {
  return Sizer(module, slack, plans, packed).result();
}

}  // namespace pit::host
