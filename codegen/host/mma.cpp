// Mma: its operands are packed block by block, with loops of micro-kernels over the blocks.
#include <algorithm>

#include "codegen/llvm/conversions.h"
#include "codegen/llvm/tile_nest.h"
#include "dsl/error.h"
#include "gather.h"
#include "generator.h"
#include "pack.h"

namespace pit::host {

using code::memory_type;
using code::TileNest;

using llvm::Value;

class MmaEmitter {
 public:
  MmaEmitter(Generator &g, const ir::Mma &s, const MmaPlan &plan)
      : g_(g),
        b(g.b),
        s_(s),
        p_(plan),
        atom_(*plan.atom),
        accumulator_(g.storage(s.accumulator.tile)) {}

  void emit() {
    const auto run = [&](Value *memory) {
      memory_ = memory;
      under_conditions(0);
    };
    if (const auto it = g_.reserved_.find(&s_); it != g_.reserved_.end()) return run(it->second);
    g_.with_workspace(g_.i64(p_.bytes()), run);
  }

 private:
  /// A block of a group's positions: `count` of them, over `axes`. Where that is a part of the one
  /// axis of the group, `from` became `to`.
  struct Range {
    std::vector<VarPtr> axes;
    Value *first, *count;
    std::vector<VarPtr> from;
    std::vector<Expr> to, first_position;
  };

  void under_conditions(std::size_t i) {
    if (i == p_.conditions.size()) return over_outer(0, accumulator_.base);
    g_.when(g_.value(p_.conditions[i]), [&] { under_conditions(i + 1); });
  }

  void over_outer(std::size_t i, Value *accumulator) {
    if (i == p_.outer.size()) return over_all(accumulator);
    const VarPtr &axis = p_.outer[i];
    g_.loop(g_.env_.axes.at(axis.get()).extent, axis->name, LoopStyle::NotVectorized,
            [&](Value *at) {
              g_.env_.variables[axis.get()] = at;
              over_outer(i + 1, step(accumulator, at, accumulator_stride(axis)));
            });
  }

  void over_all(Value *accumulator) {
    if (p_.all_few) return few_rows(accumulator);
    if (!p_.few_left) return many_rows(accumulator);
    g_.when(
        b.CreateICmpSLE(positions(p_.rows.axes), g_.i64(kFewRows)), [&] { few_rows(accumulator); },
        [&] { many_rows(accumulator); });
  }

  void many_rows(Value *accumulator) {
    if (p_.by_panels) return panel_by_panel(accumulator);
    const bool once = p_.rows.bound > 0 && p_.rows.bound <= p_.blocks.rows;
    over(p_.k, p_.blocks.k, [&](const Range &k) {
      units_ = b.CreateUDiv(b.CreateNSWAdd(k.count, g_.i64(atom_.group - 1)), g_.i64(atom_.group));
      if (once) over(p_.rows, p_.blocks.rows, [&](const Range &m) { pack_left(m, k); });
      over({{p_.column}, p_.column_bound}, p_.blocks.columns, [&](const Range &n) {
        fill_table(k, n);
        const auto over_rows = [&](const std::function<void(const Range &)> &multiply) {
          over(p_.rows, p_.blocks.rows, [&](const Range &m) {
            if (!once) pack_left(m, k);
            multiply(m);
          });
        };
        const auto with_panels = [&] {
          pack_right(k, n);
          over_rows([&](const Range &m) { multiply_panels(m, n, accumulator); });
        };
        if (!p_.some_few || p_.few_left) return with_panels();
        g_.when(
            b.CreateICmpSLE(positions(p_.rows.axes), g_.i64(kFewRows)),
            [&] {
              over_rows([&](const Range &m) {
                multiply_rows(m, k, n, left_stride(atom_, g_.machine_), accumulator);
              });
            },
            with_panels);
      });
    });
  }

  // All rows at once. Each panel of the right operand is packed by the first rows that need it and
  // stays in the first-level cache while the others pass by. For few rows, and from all over
  // memory, longer runs are packed instead, which memory gives faster.
  void panel_by_panel(Value *accumulator) {
    over(p_.k, p_.blocks.k, [&](const Range &k) {
      units_ = k.count;
      const Range n = whole({p_.column});
      over(p_.rows, p_.blocks.rows, [&](const Range &m) {
        pack_left(m, k);
        fill_table_of_rows(k, n);
        const auto by_panels = [&] { multiply_and_pack(m, k, n, accumulator); };
        const auto by_blocks = [&] {
          over({{p_.column}, p_.column_bound}, p_.blocks.columns, [&](const Range &block) {
            pack_rows(k, block.count, block.first);
            multiply_panels(m, block, accumulator);
          });
        };
        const auto by_rows = [&] {
          multiply_rows(m, k, n, left_stride(atom_, g_.machine_), accumulator);
        };
        g_.when(b.CreateICmpSLE(m.count, g_.i64(kFewRows)), by_rows, [&] {
          Value *panels = b.CreateICmpSGE(m.count, g_.i64(atom_.rows));
          if (p_.gathered) panels = b.CreateAnd(panels, rows_lie_together(k));
          g_.when(panels, by_panels, by_blocks);
        });
      });
    });
  }

  // At least atom.rows rows.
  void multiply_and_pack(const Range &m, const Range &k, const Range &n, Value *accumulator) {
    const Type sum = s_.accumulator.tile->type;
    llvm::Function *rows = g_.kernel(rows_kernel(g_.machine_, atom_, false, sum));
    llvm::Function *first = g_.kernel(packing_rows_kernel(g_.machine_, atom_, sum));
    Value *width = g_.i64(atom_.columns), *height = g_.i64(atom_.rows);
    Value *panels = b.CreateUDiv(b.CreateNSWAdd(n.count, g_.i64(atom_.columns - 1)), width);
    llvm::Type *element = memory_type(g_.context_, atom_.left);
    g_.loop(panels, "panel", LoopStyle::NotVectorized, [&](Value *panel) {
      Value *column = b.CreateNSWMul(panel, width);
      Value *rest = b.CreateNSWSub(n.count, column);
      Value *c = step(accumulator, column, g_.i64(1));
      Value *packs = b.CreateICmpSGE(rest, width);
      g_.when(
          packs,
          [&] {
            b.CreateCall(first, {k.count, left(), right(), c, row_stride(), rest, table(), column});
          },
          [&] {
            pack_rows(k, b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, rest, width), column);
          });
      Value *done = b.CreateSelect(packs, height, g_.i64(0));
      Value *offset = b.CreateNSWMul(done, g_.i64(left_stride(atom_, g_.machine_)));
      b.CreateCall(rows, {b.CreateNSWSub(m.count, done), k.count,
                          b.CreateInBoundsGEP(element, left(), offset), right(),
                          step(c, done, row_stride()), row_stride(), rest});
    });
  }

  // True when the rows of the table are at least two thirds of those that lie between its ends.
  Value *rows_lie_together(const Range &k) {
    const auto pointer = [&](Value *at) {
      Value *row = b.CreateLoad(b.getPtrTy(), b.CreateInBoundsGEP(b.getPtrTy(), table(), at));
      return b.CreatePtrToInt(row, b.getInt64Ty());
    };
    Value *steps = b.CreateNSWSub(k.count, g_.i64(1));
    Value *span = b.CreateSub(pointer(steps), pointer(g_.i64(0)));
    const Load &load = *load_of_right();
    const StorageValue &storage = g_.storage(load.storage);
    Value *row_bytes = g_.i64(storage.type.bytes());
    for (std::size_t d = 0; d < storage.strides.size(); ++d) {
      if (static_cast<int>(d) != storage.unit_dimension && uses(load.indices[d], p_.k.axes.front()))
        row_bytes = b.CreateMul(row_bytes, storage.strides[d]);
    }
    Value *most = b.CreateMul(b.CreateMul(steps, row_bytes), g_.i64(3));
    return b.CreateICmpULE(b.CreateMul(span, g_.i64(2)), most);
  }

  void few_rows(Value *accumulator) {
    over(p_.k, p_.blocks.k, [&](const Range &k) {
      const Range m = whole(p_.rows.axes);
      store(p_.few_left, left(), p_.blocks.k, m, k,
            cast(p_.few_left->type, substitute(p_.left, k.from, k.to)));
      over({{p_.column}, p_.column_bound}, p_.blocks.columns, [&](const Range &n) {
        fill_table(k, n);
        multiply_rows(m, k, n, p_.blocks.k, accumulator);
      });
    });
  }

  // Rows m by the packed panels.
  void multiply_panels(const Range &m, const Range &n, Value *accumulator) {
    const Type sum = s_.accumulator.tile->type;
    llvm::Function *rows = g_.kernel(rows_kernel(g_.machine_, atom_, offset(), sum));
    llvm::Type *element = memory_type(g_.context_, atom_.right);
    Value *width = g_.i64(atom_.columns), *c_rows = step(accumulator, m.first, row_stride());
    Value *panels = b.CreateUDiv(b.CreateNSWAdd(n.count, g_.i64(atom_.columns - 1)), width);
    g_.loop(panels, "panel", LoopStyle::NotVectorized, [&](Value *panel) {
      Value *column = b.CreateNSWMul(panel, width);
      Value *place = b.CreateNSWMul(b.CreateNSWMul(column, units_), g_.i64(atom_.group));
      Value *at = b.CreateInBoundsGEP(element, right(), place);
      Value *c = step(c_rows, b.CreateNSWAdd(n.first, column), g_.i64(1));
      b.CreateCall(rows,
                   {m.count, units_, left(), at, c, row_stride(), b.CreateNSWSub(n.count, column)});
    });
  }

  // Rows m one by one by the right operand where it lies.
  void multiply_rows(const Range &m, const Range &k, const Range &n, std::int64_t stride,
                     Value *accumulator) {
    const Type sum = s_.accumulator.tile->type;
    llvm::Function *row = g_.kernel(row_kernel(g_.machine_, load_of_right()->storage->type, sum));
    llvm::Type *element = memory_type(g_.context_, compute_type(sum));
    g_.loop(m.count, "row", LoopStyle::NotVectorized, [&](Value *i) {
      Value *a = b.CreateInBoundsGEP(element, left(), b.CreateNSWMul(i, g_.i64(stride)));
      Value *c = step(accumulator, b.CreateNSWAdd(m.first, i), row_stride());
      b.CreateCall(row, {k.count, a, table(), step(c, n.first, g_.i64(1)), n.count});
    });
  }

  // --- packing ------------------------------------------------------------------------------

  Value *part(std::int64_t offset) {
    return b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), memory_, static_cast<std::uint64_t>(offset));
  }
  Value *left() { return part(0); }
  Value *right() { return part(p_.left_bytes); }
  Value *table() { return part(p_.left_bytes + p_.right_bytes); }
  Value *buffer() { return part(p_.left_bytes + p_.right_bytes + p_.table_bytes); }

  Value *rows_table() {
    return part(p_.left_bytes + p_.right_bytes + p_.table_bytes + p_.buffer_bytes);
  }
  Value *places() { return part(p_.bytes() - p_.places_bytes); }

  // An unsigned operand stands for a signed one, 128 too large.
  bool offset() const { return atom_.kind == AtomKind::DotInt8 && p_.left.type().is_int(); }

  void pack_left(const Range &m, const Range &k) {
    Expr value = substitute(substitute(p_.left, m.from, m.to), k.from, k.to);
    value = cast(atom_.left, value);
    if (offset()) value = value + make_int(atom_.left, 128);
    const std::int64_t stride = left_stride(atom_, g_.machine_) * atom_.group;
    store(p_.packed_left, left(), stride, m, k, value);
    if (atom_.group == 1) return;
    // The last unit of a row ends in zeros.
    llvm::Type *element = memory_type(g_.context_, atom_.left);
    Value *missing = b.CreateNSWSub(b.CreateNSWMul(units_, g_.i64(atom_.group)), k.count);
    g_.when(b.CreateICmpSGT(missing, g_.i64(0)), [&] {
      g_.loop(m.count, "row", LoopStyle::NotVectorized, [&](Value *i) {
        Value *end = b.CreateNSWAdd(b.CreateNSWMul(i, g_.i64(stride)), k.count);
        g_.loop(missing, "zero", LoopStyle::NotVectorized, [&](Value *l) {
          b.CreateStore(llvm::Constant::getNullValue(element),
                        b.CreateInBoundsGEP(element, left(), b.CreateNSWAdd(end, l)));
        });
      });
    });
  }

  // to[row position * stride + k position] = value
  void store(const StoragePtr &to, Value *base, std::int64_t stride, const Range &m, const Range &k,
             const Expr &value) {
    const auto *load = value.as<Load>();
    if (p_.left_gathered && load) return gather(*load, base, stride, m, k);
    StorageValue v = storage_at(to, base);
    append_strides(m.axes, g_.i64(stride), &v);
    append_strides(k.axes, g_.i64(1), &v);
    store_over(to, v, m.axes, k.axes, value);
  }

  // The same, where rows[row position] + places[k position] is where the element lies.
  void gather(const Load &load, Value *base, std::int64_t stride, const Range &m, const Range &k) {
    const StorageValue &from = g_.storage(load.storage);
    const auto offset = [&](bool along_k) {
      Value *sum = g_.i64(0);
      for (std::size_t d = 0; d < load.indices.size(); ++d) {
        const Expr &e = load.indices[d];
        const bool moves = std::ranges::any_of(k.axes, [&](const VarPtr &v) { return uses(e, v); });
        if (moves == along_k)
          sum = b.CreateNSWAdd(sum, b.CreateNSWMul(g_.index(e), from.strides[d]));
      }
      return sum;
    };
    TileNest(g_, m.axes, {}).run([&] {
      Value *row =
          b.CreateInBoundsGEP(memory_type(g_.context_, from.type), from.base, offset(false));
      b.CreateStore(row, b.CreateInBoundsGEP(b.getPtrTy(), rows_table(), position(m.axes)));
    });
    TileNest(g_, k.axes, {}).run([&] {
      b.CreateStore(offset(true), b.CreateInBoundsGEP(b.getInt64Ty(), places(), position(k.axes)));
    });
    b.CreateCall(g_.kernel(gather_kernel(from.type.bytes())),
                 {base, g_.i64(stride), rows_table(), m.count, places(), k.count});
  }

  StorageValue storage_at(const StoragePtr &s, Value *base) const {
    StorageValue v;
    v.type = s->type;
    v.base = base;
    v.unit_dimension = s->rank - 1;
    v.alignment = static_cast<unsigned>(s->type.bytes());
    return v;
  }

  // Strides of dimensions that are one to their position.
  void append_strides(const std::vector<VarPtr> &axes, Value *stride, StorageValue *v) {
    std::vector<Value *> strides(axes.size());
    for (std::size_t i = axes.size(); i-- > 0;) {
      strides[i] = stride;
      stride = b.CreateNSWMul(stride, g_.env_.axes.at(axes[i].get()).extent);
    }
    for (std::size_t i = 0; i < axes.size(); ++i) {
      v->strides.push_back(strides[i]);
      v->extents.push_back(g_.env_.axes.at(axes[i].get()).extent);
    }
  }

  void store_over(const StoragePtr &to, const StorageValue &v, const std::vector<VarPtr> &outer,
                  const std::vector<VarPtr> &inner, const Expr &value) {
    std::vector<VarPtr> axes = outer;
    axes.insert(axes.end(), inner.begin(), inner.end());
    std::vector<Expr> indices;
    for (const VarPtr &axis : axes) indices.push_back(make_variable(axis));
    g_.env_.storages[to.get()] = v;
    g_.emit(ir::make<ir::Store>(axes, std::vector<Expr>{}, to, indices, Combiner::Assign, value));
  }

  // The table of rows or columns from which to pack.
  void fill_table(const Range &k, const Range &n) {
    switch (p_.source) {
      case RightSource::Rows:
        return fill_table_of_rows(k, n);
      case RightSource::Columns:
        return fill_table_of_columns(k, n);
      case RightSource::Other:
        return fill_buffer(k, n);
    }
  }

  void pack_right(const Range &k, const Range &n) {
    if (p_.source != RightSource::Columns) return pack_rows(k, n.count, g_.i64(0));
    b.CreateCall(g_.kernel(pack_columns_kernel(g_.machine_, atom_, p_.right.type())),
                 {right(), table(), k.count, n.count});
  }

  void pack_rows(const Range &k, Value *count, Value *first) {
    b.CreateCall(g_.kernel(pack_rows_kernel(g_.machine_, atom_, p_.right.type())),
                 {right(), table(), k.count, count, first});
  }

  // buffer[position of k][column] = the value; table[position of k] = its row
  void fill_buffer(const Range &k, const Range &n) {
    StorageValue v = storage_at(p_.buffer, buffer());
    append_strides(k.axes, g_.i64(p_.blocks.columns), &v);
    append_strides(n.axes, g_.i64(1), &v);
    store_over(p_.buffer, v, k.axes, n.axes,
               substitute(substitute(p_.right, k.from, k.to), n.from, n.to));
    llvm::Type *element = memory_type(g_.context_, p_.right.type());
    g_.loop(k.count, "row", LoopStyle::NotVectorized, [&](Value *l) {
      Value *offset = b.CreateNSWMul(l, g_.i64(p_.blocks.columns));
      set_table(l, b.CreateInBoundsGEP(element, buffer(), offset));
    });
  }

  const Load *load_of_right() const {
    const auto *select = p_.right.as<Select>();
    return (select ? select->true_value : p_.right).as<Load>();
  }

  void set_table(Value *at, Value *pointer) {
    b.CreateStore(pointer, b.CreateInBoundsGEP(b.getPtrTy(), table(), at));
  }

  // table[position of k] = the first of the columns n
  void fill_table_of_rows(const Range &k, const Range &n) {
    const Expr value =
        substitute(substitute(p_.right, k.from, k.to), {p_.column}, n.first_position);
    const auto pointer = [&](const Expr &e) {
      return g_.address(e.as<Load>()->storage, e.as<Load>()->indices);
    };
    TileNest(g_, k.axes, {}).run([&] {
      Value *row = nullptr;
      if (const auto *select = value.as<Select>()) {
        row = g_.either(
            g_.value(select->condition), b.getPtrTy(), [&] { return pointer(select->true_value); },
            [&] { return zeros(value.type()); });
      } else {
        row = pointer(value);
      }
      set_table(position(k.axes), row);
    });
  }

  // table[column] = its first number of k; columns up to a whole panel are the last one.
  void fill_table_of_columns(const Range &k, const Range &n) {
    const Expr value =
        substitute(substitute(p_.right, n.from, n.to), {p_.k.axes.front()}, k.first_position);
    const auto *load = value.as<Load>();
    TileNest(g_, n.axes, {}).run([&] {
      set_table(position(n.axes), g_.address(load->storage, load->indices));
    });
    Value *width = g_.i64(atom_.columns);
    Value *whole = b.CreateNSWMul(
        b.CreateUDiv(b.CreateNSWAdd(n.count, g_.i64(atom_.columns - 1)), width), width);
    Value *last = b.CreateNSWSub(n.count, g_.i64(1));
    g_.loop(b.CreateNSWSub(whole, n.count), "column", LoopStyle::NotVectorized, [&](Value *j) {
      Value *pointer = b.CreateLoad(b.getPtrTy(), b.CreateInBoundsGEP(b.getPtrTy(), table(), last));
      set_table(b.CreateNSWAdd(n.count, j), pointer);
    });
  }

  // A row of zeros as long as a block.
  Value *zeros(Type type) {
    const auto bytes = static_cast<std::uint64_t>(p_.blocks.columns * type.bytes());
    const std::string name = "pit.zeros." + std::to_string(bytes);
    if (llvm::GlobalVariable *made = g_.llvm_.getNamedGlobal(name)) return made;
    auto *array = llvm::ArrayType::get(b.getInt8Ty(), bytes);
    return new llvm::GlobalVariable(g_.llvm_, array, true, llvm::GlobalValue::PrivateLinkage,
                                    llvm::Constant::getNullValue(array), name);
  }

  // --- positions ----------------------------------------------------------------------------

  Value *positions(const std::vector<VarPtr> &axes) {
    Value *product = g_.i64(1);
    for (const VarPtr &v : axes)
      product = b.CreateNSWMul(product, g_.not_negative(g_.env_.axes.at(v.get()).extent));
    return product;
  }

  // Of the place where all axes have values.
  Value *position(const std::vector<VarPtr> &axes) {
    Value *at = g_.i64(0);
    for (const VarPtr &v : axes) {
      at = b.CreateNSWAdd(b.CreateNSWMul(at, g_.env_.axes.at(v.get()).extent),
                          g_.env_.variables.at(v.get()));
    }
    return at;
  }

  Range whole(const std::vector<VarPtr> &axes) {
    return {axes, g_.i64(0), positions(axes), {}, {}, {make_int(int64, 0)}};
  }

  // body(block) for blocks of the group, none of them empty.
  void over(const MmaGroup &group, std::int64_t block,
            const std::function<void(const Range &)> &body) {
    Value *extent = positions(group.axes);
    if (group.bound > 0 && group.bound <= block) {
      g_.when(b.CreateICmpSGT(extent, g_.i64(0)), [&] { body(whole(group.axes)); });
      return;
    }
    const VarPtr &axis = group.axes.front();
    const VarPtr first = ir::make_let_variable(axis->name + ".first", int64);
    const VarPtr inside = ir::make_axis_variable(axis->name);
    Value *size = g_.i64(block);
    Value *blocks = b.CreateUDiv(b.CreateNSWAdd(extent, g_.i64(block - 1)), size);
    g_.loop(blocks, axis->name + ".block", LoopStyle::NotVectorized, [&](Value *i) {
      Value *start = b.CreateNSWMul(i, size);
      Value *count =
          b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateNSWSub(extent, start), size);
      g_.env_.variables[first.get()] = start;
      g_.env_.axes[inside.get()] = {count, block};
      body({{inside},
            start,
            count,
            {axis},
            {make_variable(first) + make_variable(inside)},
            {make_variable(first)}});
    });
  }

  // --- the accumulator ----------------------------------------------------------------------

  Value *accumulator_stride(const VarPtr &axis) {
    const auto it = std::ranges::find(s_.accumulator.axes, axis);
    if (it == s_.accumulator.axes.end()) return nullptr;
    return accumulator_.strides[static_cast<std::size_t>(it - s_.accumulator.axes.begin())];
  }

  Value *row_stride() {
    return p_.rows.axes.empty() ? g_.i64(0) : accumulator_stride(p_.rows.axes.back());
  }

  Value *step(Value *base, Value *count, Value *stride) {
    if (!stride) return base;
    return b.CreateInBoundsGEP(memory_type(g_.context_, accumulator_.type), base,
                               b.CreateNSWMul(count, stride));
  }

  Generator &g_;
  llvm::IRBuilder<> &b;
  const ir::Mma &s_;
  const MmaPlan &p_;
  const Atom &atom_;
  const StorageValue accumulator_;
  Value *memory_ = nullptr;
  Value *units_ = nullptr;  // of the block of k
};

void Generator::emit(const ir::Mma &s) {
  if (const auto plan = mma_plans_.find(&s); plan != mma_plans_.end())
    return MmaEmitter(*this, s, plan->second).emit();
  EntryEmitter::emit(s);
}

}  // namespace pit::host
