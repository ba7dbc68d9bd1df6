// Statements over the elements of fragments, or over their rows, whose results stay in registers:
// maps, and reductions of rows. Statements over rows that store to memory.
//
// A tile that is whole has code of its own, of all the thread's elements and without tests. In the
// other all elements are computed too, where that reads no memory, and what lies outside of the
// valid extents is chosen away: a branch around each element would be an end of what the processor
// can compute side by side.
#include <algorithm>
#include <array>

#include "dsl/error.h"
#include "fragment_shape.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using Kind = ir::Layout::Kind;
using llvm::Value;

constexpr int kBeside = 2, kLanesOfRow = 4;
constexpr std::size_t kPartials = 4;  // of a row: so many chains of operations side by side

/// What may be computed where the statement has no iteration.
bool is_harmless(const ir::Store &s) {
  return !reads_memory(s.value) && std::ranges::none_of(s.guards, reads_memory);
}

}  // namespace

// `body` for tiles whose valid extents are the whole extents, and, `ragged`, for others: one of the
// two where it is known which.
void KernelEmitter::by_extents(const FragmentUse &use,
                               const std::function<void(bool ragged)> &body) {
  const Fragment &fragment = use.matrix ? *use.matrix : *use.rows;
  Value *whole = b.CreateICmpEQ(env_.axes.at(use.row.get()).extent, i64(fragment.extents[0]));
  if (use.matrix) {
    Value *extent = env_.axes.at(use.column.get()).extent;
    whole = b.CreateAnd(whole, b.CreateICmpEQ(extent, i64(fragment.extents[1])));
  }
  if (const auto *known = llvm::dyn_cast<llvm::ConstantInt>(whole)) return body(known->isZero());
  when(
      whole, [&] { body(false); },
      [&] {
        ragged_ = true;
        body(true);
        ragged_ = false;
      });
}

// Calls `body` at each row of the thread, with the number of the row's columns that are valid, from
// the thread's first one on (i32; null: all). A row that is not valid has none.
void KernelEmitter::for_rows(const ir::Store &s, const FragmentUse &use, bool ragged,
                             const std::function<void(std::size_t row, Value *columns)> &body) {
  const Fragment &fragment = use.matrix ? *use.matrix : *use.rows;
  const FragmentShape shape(fragment.layout, fragment.extents);
  const FirstElement first = first_element(fragment, shape);
  Value *column = use.matrix ? forgotten_column(first.column, shape) : nullptr, *columns = nullptr;
  const auto narrow = [&](Value *v) { return b.CreateTrunc(v, b.getInt32Ty()); };
  if (ragged && use.matrix) {
    Value *extent = not_negative(env_.axes.at(use.column.get()).extent);
    columns = narrow(b.CreateSub(extent, column));
  }
  in_map_ = fragments_.contains(s.storage.get());
  for (std::size_t i = 0; i < shape.rows.size(); ++i) {
    const Memo memo(*this, true);
    Value *row = b.CreateAdd(first.row, i64(shape.rows[i])), *of_row = nullptr;
    if (ragged) {
      Value *valid = b.CreateICmpSLT(row, env_.axes.at(use.row.get()).extent);
      Value *all = columns ? columns : b.getInt32(1);
      of_row = b.CreateSelect(valid, all, b.getInt32(0));
    }
    env_.variables[use.row.get()] = row;
    // What is computed of columns is not kept from row to row.
    if (use.matrix) env_.variables[use.column.get()] = forgotten_column(first.column, shape);
    element_ = {use.row, use.column, -1, static_cast<int>(i)};
    look_up_all(s.guards);
    look_up_all(s.indices);
    look_up_all({s.value});
    body(i, of_row);
    row_values_.clear();
    element_ = {};
  }
  in_map_ = false;
}

// The columns of a thread's row: the numbers of their elements in the fragment, and their distances
// from the first column.
std::vector<KernelEmitter::ColumnOfRow> KernelEmitter::columns_of_row(const Fragment &fragment,
                                                                      std::size_t row) {
  const FragmentShape shape(fragment.layout, fragment.extents);
  std::vector<ColumnOfRow> list;
  for (std::size_t unit = 0; unit < shape.units.size(); ++unit) {
    for (int beside = 0; beside < shape.beside; ++beside)
      list.push_back({shape.number(row, unit) + beside, shape.units[unit] + beside});
  }
  return list;
}

// Goes to a column of the row that the statement is at. `columns`: see for_rows; whether this one
// is valid, null: it is.
llvm::Value *KernelEmitter::go_to_column(const FragmentUse &use, Value *first, ColumnOfRow at,
                                         Value *columns) {
  env_.variables[use.column.get()] = b.CreateAdd(first, i64(at.distance));
  element_.number = at.number;
  return columns ? b.CreateICmpSGT(columns, b.getInt32(static_cast<std::uint32_t>(at.distance)))
                 : nullptr;
}

llvm::Value *KernelEmitter::and_guards(const ir::Store &s, Value *valid) {
  if (s.guards.empty()) return valid;
  return valid ? b.CreateAnd(valid, holds(s.guards)) : holds(s.guards);
}

// The statement at the element that element_ says.
void KernelEmitter::map_element(const ir::Store &s, Value *valid) {
  if (!is_harmless(s)) return valid ? when(valid, [&] { store_element(s); }) : store_element(s);
  const Fragment &to = fragments_.at(s.storage.get());
  Value *keep = and_guards(s, valid), *v = updated(s, value(s.value));
  write_fragment(to, keep ? b.CreateSelect(keep, v, read_fragment(to)) : v);
}

// `fresh`: what is there is nothing yet, so that it does not matter outside of the valid extents.
void KernelEmitter::map_fragments(const ir::Store &s, const FragmentUse &use, bool fresh) {
  Fragment &to = fragments_.at(s.storage.get());
  to.zero = false;
  const bool in_pairs = to.in_words() && s.combiner == Combiner::Assign && s.guards.empty();
  const auto map = [&](bool ragged) {
    // A product sets such sums instead of adding to them.
    to.zero = !ragged && s.combiner == Combiner::Assign && s.guards.empty() && is_zero(s.value);
    for_rows(s, use, ragged, [&](std::size_t row, Value *columns) {
      if (!use.matrix) {
        return map_element(s, columns ? b.CreateICmpNE(columns, b.getInt32(0)) : nullptr);
      }
      Value *first = env_.variables.at(use.column.get());
      const std::vector<ColumnOfRow> own = columns_of_row(to, row);
      if (in_pairs && (!ragged || is_harmless(s))) return map_pairs(s, use, own, columns);
      for (const ColumnOfRow &at : own) {
        const Memo memo(*this, true);
        map_element(s, go_to_column(use, first, at, columns));
      }
      env_.variables[use.column.get()] = first;
    });
  };
  const bool all = fresh && s.combiner == Combiner::Assign && s.guards.empty() && is_harmless(s);
  all ? map(false) : by_extents(use, map);
}

// A row of words of two elements.
void KernelEmitter::map_pairs(const ir::Store &s, const FragmentUse &use,
                              const std::vector<ColumnOfRow> &own, Value *columns) {
  const Fragment &to = fragments_.at(s.storage.get());
  Value *first = env_.variables.at(use.column.get());
  const FragmentElement row = element_;
  for (std::size_t i = 0; i < own.size(); i += kBeside) {
    FragmentElement element = row;
    element.number = own[i].number;
    Value *word = word_at(s, element, b.CreateAdd(first, i64(own[i].distance)));
    if (columns) {
      Value *halves = halves_of(word),
            *before = halves_of(load_register(to, own[i].number / kBeside));
      for (std::size_t beside = 0; beside < kBeside; ++beside) {
        Value *valid = go_to_column(use, first, own[i + beside], columns);
        Value *half = b.CreateSelect(valid, b.CreateExtractElement(halves, beside),
                                     b.CreateExtractElement(before, beside));
        halves = b.CreateInsertElement(halves, half, beside);
      }
      word = b.CreateBitCast(halves, b.getInt32Ty());
    }
    b.CreateStore(word, fragment_register(to, own[i].number / kBeside));
  }
  element_ = row;
  env_.variables[use.column.get()] = first;
}

// What changes nothing that is combined with it.
llvm::Value *KernelEmitter::neutral(const ir::Store &s) {
  llvm::Type *type = code::register_type(context_, s.storage->type);
  // -0 is the number that every sum leaves as it is.
  return s.combiner == Combiner::Sum ? llvm::ConstantFP::getNegativeZero(type)
                                     : value(identity_of(s.combiner, s.storage->type));
}

// Each lane combines its elements of a row, then the lanes of the row exchange what they have: all
// of the warp, for tiles that are whole and for others. All have the same result, which only
// depends on the order of the lanes where combining does.
void KernelEmitter::reduce_rows(const ir::Store &s, const FragmentUse &use) {
  const Fragment &matrix = *use.matrix, &to = fragments_.at(s.storage.get());
  internal_check(s.combiner != Combiner::Assign,
                 "a matrix is stored to the values of its rows in " + s.storage->name);
  internal_check(
      matrix.layout.kind != Kind::Blocked && matrix.layout.warps_n == 1,
      "the rows that are reduced into " + s.storage->name + " are spread over several warps");
  llvm::Type *type = register_of(to);
  std::vector<llvm::AllocaInst *> reduced;
  for (int i = 0; i < to.count; ++i) reduced.push_back(local(type, "reduced"));
  const auto together = [&](Value *a, Value *c) {
    return combine(s.combiner, s.storage->type, a, c, true);
  };
  by_extents(use, [&](bool ragged) {
    for_rows(s, use, ragged, [&](std::size_t row, Value *columns) {
      Value *first = env_.variables.at(use.column.get());
      std::array<Value *, kPartials> partials{};
      std::size_t next = 0;
      for (const ColumnOfRow &at : columns_of_row(matrix, row)) {
        const Memo memo(*this, true);
        Value *valid = go_to_column(use, first, at, columns), *v = nullptr;
        if (is_harmless(s)) {
          Value *keep = and_guards(s, valid);
          v = value(s.value);
          if (keep) v = b.CreateSelect(keep, v, neutral(s));
        } else {
          const auto none = [&] { return neutral(s); };
          const auto guarded = [&]() -> Value * {
            if (s.guards.empty()) return value(s.value);
            return either(holds(s.guards), type, [&] { return value(s.value); }, none);
          };
          v = valid ? either(valid, type, guarded, none) : guarded();
        }
        Value *&partial = partials[next++ % kPartials];
        partial = partial ? together(partial, v) : v;
      }
      env_.variables[use.column.get()] = first;
      for (std::size_t distance = kPartials / 2; distance > 0; distance /= 2) {
        for (std::size_t i = 0; i < distance; ++i) {
          if (partials[i + distance]) partials[i] = together(partials[i], partials[i + distance]);
        }
      }
      b.CreateStore(partials[0], reduced[row]);
    });
  });
  for (int mask = 1; mask < kLanesOfRow; mask *= 2) {
    for (llvm::AllocaInst *row : reduced) {
      Value *v = b.CreateLoad(type, row);
      b.CreateStore(together(v, exchange(v, mask)), row);
    }
  }
  for (int i = 0; i < to.count; ++i) {
    Value *v = b.CreateLoad(type, reduced[static_cast<std::size_t>(i)]);
    b.CreateStore(together(load_register(to, i), v), fragment_register(to, i));
  }
}

// To memory: by one of the lanes that have a row.
void KernelEmitter::store_rows(const ir::Store &s, const FragmentUse &use) {
  const FragmentShape shape(use.rows->layout, use.rows->extents);
  Value *first_of_row = first_element(*use.rows, shape).first_of_row;
  by_extents(use, [&](bool ragged) {
    for_rows(s, use, ragged, [&](std::size_t, Value *columns) {
      Value *stores = first_of_row;
      if (columns) stores = b.CreateAnd(stores, b.CreateICmpNE(columns, b.getInt32(0)));
      when(stores, [&] { store_element(s); });
    });
  });
}

}  // namespace pit::cuda
