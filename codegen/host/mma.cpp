// Mma: loops over cache-sized blocks around the micro-kernel.
#include <algorithm>

#include "atoms.h"
#include "conversions.h"
#include "generator.h"
#include "micro_kernel.h"
#include "pack.h"

namespace pit::host {

namespace {

using llvm::Value;

// With so few rows or columns, packing costs more than it gives.
constexpr std::int64_t kFew = 3;

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

// Adjacent axes that lie one in the other in both operands that hold them are one axis.
struct MmaAxis {
  std::vector<VarPtr> axes;
  Value *extent = nullptr;
  std::int64_t bound = 1;  // 0 = not known
  Value *left = nullptr, *right = nullptr,
        *accumulator = nullptr;  // strides; null: the operand does not hold it
};

class MmaEmitter {
 public:
  MmaEmitter(Generator &g, const ir::Mma &s)
      : g_(g),
        b(g.b),
        s_(s),
        roles_(roles_of(s)),
        atom_(select_atom(s.accumulator.tile->type, g.machine_, s.atom)) {
    left_ = &g.storage(roles_.left.tile);
    right_ = &g.storage(roles_.right.tile);
    accumulator_ = &g.storage(s.accumulator.tile);
  }

  void emit() {
    if (!has_contiguous_columns() || is_narrow()) return emit_as_loops();
    rows_ = choose(merge(roles_.rows));
    columns_ = choose_columns(merge(roles_.columns));
    k_ = choose(merge(s_.k));
    for (MmaAxis &axis : merge(s_.batch)) outer_.push_back(std::move(axis));
    const auto reserved = g_.env_.reserved.find(&s_);
    if (reserved != g_.env_.reserved.end()) {
      packed_ = reserved->second;
      return over_outer(0, left_->base, right_->base, accumulator_->base);
    }
    const std::int64_t bytes = g_.pack_bytes(s_);
    if (bytes == 0) return over_outer(0, left_->base, right_->base, accumulator_->base);
    g_.with_workspace(g_.i64(bytes), [&](Value *memory) {
      packed_ = memory;
      over_outer(0, left_->base, right_->base, accumulator_->base);
    });
  }

 private:
  std::int64_t bound_of(const std::vector<VarPtr> &axes) const {
    std::int64_t product = 1;
    for (const VarPtr &v : axes) product *= g_.env_.axes.at(v.get()).bound;
    return product;
  }

  bool is_narrow() const {
    const std::int64_t columns = bound_of(roles_.columns);
    return columns > 0 && columns <= kFew;
  }

  bool has_contiguous_columns() const {
    if (s_.accumulator.axes.empty()) return false;
    const VarPtr &last = s_.accumulator.axes.back();
    const auto *stride = llvm::dyn_cast<llvm::ConstantInt>(accumulator_->strides.back());
    return stride && stride->isOne() &&
           std::ranges::find(roles_.columns, last) != roles_.columns.end();
  }

  // As the definition says, with the loops of a Store.
  void emit_as_loops() {
    const Type type = s_.accumulator.tile->type;
    const auto element = [&](const ir::TileOperand &operand) {
      std::vector<Expr> indices;
      for (const VarPtr &v : operand.axes) indices.push_back(make_variable(v));
      return cast(type, make_load(operand.tile, indices));
    };
    std::vector<VarPtr> axes = s_.batch;
    for (const auto *list : {&s_.m, &s_.n, &s_.k})
      axes.insert(axes.end(), list->begin(), list->end());
    std::vector<Expr> indices;
    for (const VarPtr &v : s_.accumulator.axes) indices.push_back(make_variable(v));
    const ir::Stmt loops =
        ir::make<ir::Store>(axes, std::vector<Expr>{}, s_.accumulator.tile, indices, Combiner::Sum,
                            element(s_.a) * element(s_.b));
    g_.emit(loops);
  }

  // --- axes
  // ---------------------------------------------------------------------------------------------------------

  static int dimension_of(const ir::TileOperand &operand, const VarPtr &v) {
    const auto it = std::ranges::find(operand.axes, v);
    return it == operand.axes.end() ? -1 : static_cast<int>(it - operand.axes.begin());
  }

  static Value *stride(const ir::TileOperand &operand, const StorageValue &v, const VarPtr &axis,
                       Value *one) {
    const int d = dimension_of(operand, axis);
    if (d < 0) return nullptr;
    if (v.panels && d == v.panels->column_dimension) return one;
    return v.strides[static_cast<std::size_t>(d)];
  }

  // True when stepping `outer` once is stepping `inner` through its whole extent.
  bool nested_in(const ir::TileOperand &operand, const StorageValue &v, const VarPtr &outer,
                 const VarPtr &inner) const {
    const int x = dimension_of(operand, outer), y = dimension_of(operand, inner);
    if (x < 0 && y < 0) return true;
    if (x < 0 || y < 0 || v.extent_expressions.empty()) return false;
    if (v.panels) {
      const auto follows = [&](const std::vector<int> &list) {
        const auto it = std::ranges::find(list, x);
        return it != list.end() && it + 1 != list.end() && *(it + 1) == y;
      };
      if (!follows(v.panels->k_dimensions) && !follows(v.panels->batch_dimensions)) return false;
    } else if (y != x + 1) {
      return false;
    }
    const Expr &held = v.extent_expressions[static_cast<std::size_t>(y)];
    const Expr &walked = g_.env_.axes.at(inner.get()).expression;
    std::int64_t p = 0, q = 0;
    if (is_const_int(held, &p) && is_const_int(walked, &q)) return p == q;
    return equal(held, walked);
  }

  std::vector<MmaAxis> merge(const std::vector<VarPtr> &list) {
    // In the order of an operand that holds them all.
    std::vector<VarPtr> order = list;
    const auto place = [&](const VarPtr &v) {
      const int d = dimension_of(s_.accumulator, v);
      return d >= 0 ? d : dimension_of(roles_.left, v);
    };
    std::ranges::stable_sort(order,
                             [&](const VarPtr &x, const VarPtr &y) { return place(x) < place(y); });
    std::vector<MmaAxis> merged;
    for (const VarPtr &v : order) {
      const AxisValue &axis = g_.env_.axes.at(v.get());
      MmaAxis next{{v},
                   axis.extent,
                   axis.bound,
                   stride(roles_.left, *left_, v, g_.i64(1)),
                   stride(roles_.right, *right_, v, g_.i64(1)),
                   stride(s_.accumulator, *accumulator_, v, g_.i64(1))};
      const bool joins = !merged.empty() &&
                         nested_in(roles_.left, *left_, merged.back().axes.back(), v) &&
                         nested_in(roles_.right, *right_, merged.back().axes.back(), v) &&
                         nested_in(s_.accumulator, *accumulator_, merged.back().axes.back(), v);
      if (!joins) {
        merged.push_back(std::move(next));
        continue;
      }
      next.axes.insert(next.axes.begin(), merged.back().axes.begin(), merged.back().axes.end());
      next.extent = b.CreateNSWMul(merged.back().extent, next.extent);
      next.bound *= merged.back().bound;
      merged.back() = std::move(next);
    }
    return merged;
  }

  // The axis for the micro-kernel: the largest; the others are loops around it.
  MmaAxis choose(std::vector<MmaAxis> list) {
    if (list.empty()) return {{}, g_.i64(1), 1, g_.i64(0), g_.i64(0), g_.i64(0)};
    const auto size = [](const MmaAxis &a) { return a.bound == 0 ? INT64_MAX : a.bound; };
    std::size_t best = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (size(list[i]) >= size(list[best])) best = i;
    }
    MmaAxis chosen = std::move(list[best]);
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(best));
    for (MmaAxis &axis : list) outer_.push_back(std::move(axis));
    return chosen;
  }

  // Columns must be contiguous in the accumulator: its last axis.
  MmaAxis choose_columns(std::vector<MmaAxis> list) {
    MmaAxis chosen = std::move(list.back());
    list.pop_back();
    for (MmaAxis &axis : list) outer_.push_back(std::move(axis));
    return chosen;
  }

  // --- loops
  // --------------------------------------------------------------------------------------------------------

  Value *step(const StorageValue &v, Value *base, Value *count, Value *stride) {
    if (!stride) return base;
    return b.CreateInBoundsGEP(memory_type(g_.context_, v.stored), base,
                               b.CreateNSWMul(count, stride));
  }

  void over_outer(std::size_t i, Value *left, Value *right, Value *accumulator) {
    if (i == outer_.size()) return over_blocks(left, right, accumulator);
    const MmaAxis &axis = outer_[i];
    g_.loop(axis.extent, axis.axes.back()->name, LoopStyle::NotVectorized, [&](Value *at) {
      over_outer(i + 1, step(*left_, left, at, axis.left), step(*right_, right, at, axis.right),
                 step(*accumulator_, accumulator, at, axis.accumulator));
    });
  }

  // body(first, count) for blocks of [0, extent).
  void over(Value *extent, std::int64_t block, std::int64_t bound, const char *name,
            const std::function<void(Value *, Value *)> &body) {
    if (bound > 0 && bound <= block) return body(g_.i64(0), extent);
    Value *size = g_.i64(block);
    Value *blocks = b.CreateSDiv(b.CreateNSWAdd(extent, g_.i64(block - 1)), size);
    g_.loop(blocks, name, LoopStyle::NotVectorized, [&](Value *i) {
      Value *first = b.CreateNSWMul(i, size);
      body(first,
           b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, size, b.CreateNSWSub(extent, first)));
    });
  }

  static UnitStride unit(Value *row_stride, Value *column_stride) {
    const auto is_one = [](Value *v) {
      const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(v);
      return constant && constant->isOne();
    };
    return is_one(column_stride) ? UnitStride::Column
           : is_one(row_stride)  ? UnitStride::Row
                                 : UnitStride::None;
  }

  void over_blocks(Value *left, Value *right, Value *accumulator) {
    const FunctionMaker make = [this](llvm::FunctionType *type, const std::string &name) {
      return g_.make_function(type, name, false);
    };
    llvm::Function *rows =
        rows_function(g_.llvm_, g_.machine_, atom_, s_.accumulator.tile->type, make);
    const bool pack_left = !(left_->stored == atom_.type);
    const bool pack_right = g_.packs_right(s_);
    Value *width = g_.i64(atom_.columns);
    llvm::Type *element = memory_type(g_.context_, atom_.type);
    over(k_.extent, kBlockK, k_.bound, "k.block", [&](Value *k_first, Value *k_count) {
      Value *left_k = step(*left_, left, k_first, k_.left);
      Value *right_k = step(*right_, right, k_first, k_.right);
      const std::int64_t column_block = pack_right ? kBlockColumns : INT64_MAX;
      const std::int64_t column_bound = pack_right ? columns_.bound : 1;
      over(columns_.extent, column_block, column_bound, "n.block",
           [&](Value *n_first, Value *n_count) {
             Value *panels_base = right_k, *panel_stride = width, *k_stride = k_.right;
             if (right_->panels) {
               panel_stride = right_->panel_stride;
             } else if (pack_right) {
               Value *from = step(*right_, right_k, n_first, columns_.right);
               b.CreateCall(pack_columns_function(g_.llvm_, g_.machine_, atom_, right_->stored,
                                                  unit(k_.right, columns_.right), make),
                            {packed_, from, k_.right, columns_.right, k_count, n_count});
               panels_base = packed_;
               panel_stride = b.CreateNSWMul(k_count, width);
               k_stride = width;
             }
             over(rows_.extent, pack_left ? kBlockRows : INT64_MAX, pack_left ? rows_.bound : 1,
                  "m.block", [&](Value *m_first, Value *m_count) {
                    Value *from = step(*left_, left_k, m_first, rows_.left);
                    Value *row_stride = rows_.left, *left_k_stride = k_.left;
                    if (pack_left) {
                      Value *to = b.CreateInBoundsGEP(b.getInt8Ty(), packed_,
                                                      g_.i64(g_.packed_right_bytes(s_)));
                      b.CreateCall(pack_rows_function(g_.llvm_, g_.machine_, atom_, left_->stored,
                                                      unit(rows_.left, k_.left), make),
                                   {to, from, rows_.left, k_.left, m_count, k_count});
                      from = to;
                      row_stride = g_.i64(kBlockK);
                      left_k_stride = g_.i64(1);
                    }
                    Value *c_rows = step(*accumulator_, accumulator, m_first, rows_.accumulator);
                    Value *panels =
                        b.CreateSDiv(b.CreateNSWAdd(n_count, g_.i64(atom_.columns - 1)), width);
                    g_.loop(panels, "panel", LoopStyle::NotVectorized, [&](Value *panel) {
                      Value *column = b.CreateNSWMul(panel, width);
                      Value *at = b.CreateInBoundsGEP(element, panels_base,
                                                      b.CreateNSWMul(panel, panel_stride));
                      Value *c =
                          step(*accumulator_, c_rows, b.CreateNSWAdd(n_first, column), g_.i64(1));
                      b.CreateCall(
                          rows, {m_count, k_count, from, row_stride, left_k_stride, at, k_stride, c,
                                 rows_.accumulator, b.CreateNSWSub(n_count, column)});
                    });
                  });
           });
    });
  }

  Generator &g_;
  llvm::IRBuilder<> &b;
  const ir::Mma &s_;
  MmaRoles roles_;
  const Atom &atom_;
  const StorageValue *left_, *right_, *accumulator_;
  MmaAxis rows_, columns_, k_;
  std::vector<MmaAxis> outer_;
  Value *packed_ = nullptr;
};

// Operand `right` needs panels, unless it lies in panels or is read by few rows only.
bool Generator::packs_right(const ir::Mma &s) const {
  const MmaRoles roles = roles_of(s);
  const auto layout = layouts_.find(roles.right.tile.get());
  if (layout != layouts_.end() && layout->second.panel_columns > 0) return false;
  const Type stored = layout == layouts_.end() ? roles.right.tile->type : layout->second.stored;
  std::int64_t rows = 1;
  for (const VarPtr &v : roles.rows) rows *= axis_bound(v);
  const bool contiguous = roles.right.tile->space == Space::Tile && !roles.right.axes.empty() &&
                          roles.right.axes.back() == s.accumulator.axes.back();
  return !(rows > 0 && rows <= kFew && contiguous &&
           stored == compute_type(s.accumulator.tile->type));
}

std::int64_t Generator::packed_right_bytes(const ir::Mma &s) const {
  if (s.accumulator.axes.empty() || !packs_right(s)) return 0;
  const Atom &atom = select_atom(s.accumulator.tile->type, machine_, s.atom);
  std::int64_t columns = 1;
  for (const VarPtr &v : roles_of(s).columns) columns *= axis_bound(v);
  if (columns == 0 || columns > kBlockColumns) columns = kBlockColumns;
  return round_up(columns, atom.columns) * kBlockK * atom.type.bytes();
}

std::int64_t Generator::pack_bytes(const ir::Mma &s) const {
  const Atom &atom = select_atom(s.accumulator.tile->type, machine_, s.atom);
  const StoragePtr &left = roles_of(s).left.tile;
  const auto layout = layouts_.find(left.get());
  const Type stored = layout == layouts_.end() ? left->type : layout->second.stored;
  const std::int64_t rows = stored == atom.type ? 0 : kBlockRows * kBlockK * atom.type.bytes();
  return packed_right_bytes(s) + rows;
}

void Generator::emit(const ir::Mma &s) { MmaEmitter(*this, s).emit(); }

}  // namespace pit::host
