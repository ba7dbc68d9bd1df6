#include "equal.h"

#include <bit>
#include <cmath>
#include <unordered_map>

#include "staged.h"

namespace pit::ir {
namespace {

class Matcher {
 public:
  bool same(const Stmt &a, const Stmt &b) {
    if (!a.defined() || !b.defined()) return a.defined() == b.defined();
    if (a->kind != b->kind) return false;
    switch (a->kind) {
#define PIT_SAME(name) \
  case StmtKind::name: \
    return same(*a.as<name>(), *b.as<name>());
      PIT_STATEMENTS(PIT_SAME)
#undef PIT_SAME
    }
    return false;
  }

  bool same(const Module &a, const Module &b) {
    return a.name == b.name && all(a.inputs, b.inputs) && all(a.scalars, b.scalars) &&
           all(a.outputs, b.outputs) && same(a.statistics, b.statistics) &&
           a.statistic_names == b.statistic_names && same(a.body, b.body);
  }

 private:
  std::unordered_map<const void *, const void *> forward_, backward_;

  /// True when a and b are, or now become, each other's only partner.
  bool paired(const void *a, const void *b) {
    return forward_.emplace(a, b).first->second == b && backward_.emplace(b, a).first->second == a;
  }

  bool same(const VarPtr &a, const VarPtr &b) {
    if (!a || !b) return !a && !b;
    return a->role == b->role && a->type == b->type && paired(a.get(), b.get());
  }
  /// None declared is the same as all -1.
  static bool same_strides(const StorageNode &a, const StorageNode &b) {
    const auto stride = [](const StorageNode &s, std::size_t d) {
      return d < s.declared_strides.size() ? s.declared_strides[d] : -1;
    };
    for (std::size_t d = 0; d < static_cast<std::size_t>(a.rank); ++d) {
      if (stride(a, d) != stride(b, d)) return false;
    }
    return true;
  }
  bool same(const StoragePtr &a, const StoragePtr &b) {
    if (!a || !b) return !a && !b;
    return a->type == b->type && a->rank == b->rank && a->space == b->space &&
           same_strides(*a, *b) && a->alignment == b->alignment && paired(a.get(), b.get());
  }
  bool same(const ParamPtr &a, const ParamPtr &b) {
    if (!a || !b) return !a && !b;
    return a->type == b->type && paired(a.get(), b.get());
  }

  bool same(const Expr &a, const Expr &b) {
    if (!a.defined() || !b.defined()) return a.defined() == b.defined();
    if (a->kind != b->kind || a.type() != b.type()) return false;
    return same_node(a, b) && all(operands(a), operands(b));
  }

  /// At places whose text says int64 (bounds, extents, indices), the type of a constant does not
  /// count.
  bool same_number(const Expr &a, const Expr &b) {
    if (!a.as<IntImm>() || !b.as<IntImm>()) return same(a, b);
    return a.as<IntImm>()->value == b.as<IntImm>()->value;
  }
  bool all_numbers(const std::vector<Expr> &a, const std::vector<Expr> &b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same_number(a[i], b[i])) return false;
    }
    return true;
  }

  /// All of two nodes of one kind and type but their operands.
  bool same_node(const Expr &a, const Expr &b) {
    switch (a->kind) {
      case ExprKind::IntImm:
        return a.as<IntImm>()->value == b.as<IntImm>()->value;
      case ExprKind::FloatImm: {
        const double x = a.as<FloatImm>()->value, y = b.as<FloatImm>()->value;
        return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y) ||
               (std::isnan(x) && std::isnan(y));
      }
      case ExprKind::Variable:
        return same(a.as<Variable>()->var, b.as<Variable>()->var);
      case ExprKind::Param:
        return same(a.as<ParamRef>()->param, b.as<ParamRef>()->param);
      case ExprKind::Extent:
        return same(a.as<Extent>()->storage, b.as<Extent>()->storage) &&
               a.as<Extent>()->dimension == b.as<Extent>()->dimension;
      case ExprKind::Load:
        return same(a.as<Load>()->storage, b.as<Load>()->storage);
      case ExprKind::Call:
        return a.as<Call>()->func == b.as<Call>()->func &&
               a.as<Call>()->component == b.as<Call>()->component;
      case ExprKind::Unary:
        return a.as<Unary>()->op == b.as<Unary>()->op;
      case ExprKind::Binary:
        return a.as<Binary>()->op == b.as<Binary>()->op;
      case ExprKind::Select:
      case ExprKind::Cast:
        return true;
      case ExprKind::IndexQuery:
        return a.as<IndexQuery>()->query == b.as<IndexQuery>()->query &&
               a.as<IndexQuery>()->index == b.as<IndexQuery>()->index;
    }
    return false;
  }

  template <class T>
  bool all(const std::vector<T> &a, const std::vector<T> &b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same(a[i], b[i])) return false;
    }
    return true;
  }

  bool same(const AxisBinding &a, const AxisBinding &b) {
    return same(a.var, b.var) && same_number(a.extent, b.extent) && a.maximum == b.maximum;
  }
  bool same(const TileOperand &a, const TileOperand &b) {
    return same(a.tile, b.tile) && all(a.axes, b.axes) && same_number(a.slot, b.slot);
  }

  bool same(const Block &a, const Block &b) { return all(a.stmts, b.stmts); }
  bool same(const For &a, const For &b) {
    return same(a.var, b.var) && same_number(a.min, b.min) && same_number(a.extent, b.extent) &&
           a.loop_kind == b.loop_kind && same(a.body, b.body);
  }
  bool same(const Axes &a, const Axes &b) { return all(a.axes, b.axes) && same(a.body, b.body); }
  bool same(const Let &a, const Let &b) {
    return same(a.var, b.var) && same(a.value, b.value) && same(a.body, b.body);
  }
  bool same(const If &a, const If &b) {
    return same(a.condition, b.condition) && same(a.then_body, b.then_body) &&
           same(a.else_body, b.else_body);
  }
  bool same(const Allocate &a, const Allocate &b) {
    return same(a.storage, b.storage) && all_numbers(a.extents, b.extents) &&
           a.placement == b.placement && same(a.body, b.body);
  }
  bool same(const Store &a, const Store &b) {
    return all(a.axes, b.axes) && all(a.guards, b.guards) && same(a.storage, b.storage) &&
           all_numbers(a.indices, b.indices) && a.combiner == b.combiner &&
           same(a.value, b.value) && a.atomic == b.atomic && a.vector_bytes == b.vector_bytes &&
           same(a.through, b.through);
  }
  bool same(const Mma &a, const Mma &b) {
    return all(a.batch, b.batch) && all(a.m, b.m) && all(a.n, b.n) && all(a.k, b.k) &&
           same(a.accumulator, b.accumulator) && same(a.a, b.a) && same(a.b, b.b) &&
           a.atom == b.atom && a.asynchronous == b.asynchronous;
  }
  bool same(const Check &a, const Check &b) {
    return all(a.axes, b.axes) && all(a.guards, b.guards) && same(a.condition, b.condition) &&
           a.message == b.message && all_numbers(a.values, b.values);
  }
  bool same(const IndexPlace &a, const IndexPlace &b) {
    return same(a.marks, b.marks) && same(a.mark_offsets, b.mark_offsets) &&
           same(a.first, b.first) && same_number(a.groups, b.groups) &&
           same_number(a.length, b.length) && same_number(a.micro, b.micro) && a.align == b.align &&
           same(a.offsets, b.offsets) && same(a.counts, b.counts) &&
           same(a.coordinates, b.coordinates) && same(a.position, b.position) &&
           same(a.full, b.full) && a.index_name == b.index_name && a.ordered == b.ordered &&
           a.spacing.defined() == b.spacing.defined() &&
           (!a.spacing.defined() || same_number(a.spacing, b.spacing));
  }
  bool same(const IndexSort &a, const IndexSort &b) {
    return same(a.keys, b.keys) && same_number(a.length, b.length) &&
           same_number(a.groups, b.groups) && a.align == b.align && same(a.offsets, b.offsets) &&
           same(a.counts, b.counts) && same(a.coordinates, b.coordinates) &&
           same(a.position, b.position) && a.index_name == b.index_name && a.ordered == b.ordered;
  }
  bool same(const Prefix &a, const Prefix &b) {
    return same(a.destination, b.destination) && same(a.source, b.source) &&
           same_number(a.length, b.length);
  }
  bool same(const Compact &a, const Compact &b) {
    return same(a.list, b.list) && same(a.count, b.count) && same(a.marks, b.marks) &&
           same_number(a.length, b.length);
  }
  bool same(const SumBefore &a, const SumBefore &b) {
    return same(a.sum, b.sum) && same(a.progress, b.progress) && same_number(a.first, b.first) &&
           same_number(a.part, b.part) && same_number(a.value, b.value);
  }
  bool same(const FetchAdd &a, const FetchAdd &b) {
    return all(a.axes, b.axes) && all(a.guards, b.guards) && same(a.destination, b.destination) &&
           all_numbers(a.indices, b.indices) && same(a.counters, b.counters) &&
           same_number(a.at, b.at) && same(a.value, b.value) && a.ordered == b.ordered;
  }
  bool same(const Stage &a, const Stage &b) {
    return a.name == b.name && a.stage_kind == b.stage_kind && same(a.body, b.body);
  }
  bool same(const GridAxis &a, const GridAxis &b) {
    return same(a.var, b.var) && same_number(a.extent, b.extent);
  }
  bool same(const Launch &a, const Launch &b) {
    return a.name == b.name && !a.resident == !b.resident &&
           (!a.resident || same(a.resident, b.resident)) && all(a.grid, b.grid) &&
           a.threads == b.threads && same(a.cluster, b.cluster) && same(a.body, b.body);
  }

  bool same(const BarrierPtr &a, const BarrierPtr &b) {
    if (!a || !b) return !a && !b;
    return a->slots == b->slots && a->arrivals == b->arrivals && paired(a.get(), b.get());
  }
  bool same(const BarrierSlot &a, const BarrierSlot &b) {
    return same(a.barrier, b.barrier) && same_number(a.slot, b.slot);
  }
  bool same(const Barriers &a, const Barriers &b) {
    return same(a.barrier, b.barrier) && same(a.body, b.body);
  }
  bool same(const Arrive &a, const Arrive &b) {
    return same(a.at, b.at) && a.each == b.each && a.after_copies == b.after_copies &&
           same_number(a.bytes, b.bytes) && a.cluster == b.cluster;
  }
  bool same(const Wait &a, const Wait &b) {
    return same(a.at, b.at) && same_number(a.parity, b.parity);
  }
  bool same(const Copy &a, const Copy &b) {
    return a.engine == b.engine && all(a.axes, b.axes) && all(a.guards, b.guards) &&
           same(a.storage, b.storage) && all_numbers(a.indices, b.indices) &&
           same(a.value, b.value) && a.bytes == b.bytes && same(a.completes, b.completes) &&
           a.multicast == b.multicast;
  }
  bool same(const Commit &a, const Commit &b) { return a.engine == b.engine; }
  bool same(const Drain &a, const Drain &b) {
    return a.engine == b.engine && a.pending == b.pending;
  }
  bool same(const Sync &a, const Sync &b) { return a.cluster == b.cluster; }
  bool same(const Fence &a, const Fence &b) { return a.fence == b.fence; }
  bool same(const Role &a, const Role &b) {
    return a.name == b.name && a.warps == b.warps && a.registers == b.registers &&
           same(a.body, b.body);
  }
  bool same(const Roles &a, const Roles &b) { return all(a.roles, b.roles); }
};

}  // namespace

bool equal(const Stmt &a, const Stmt &b) { return Matcher().same(a, b); }
bool equal(const Module &a, const Module &b) { return Matcher().same(a, b); }

}  // namespace pit::ir
