// Marks of columns: mark[p / n] ||= condition(row, p), which is how sparsity is found. It reads all
// of an operand, so it is done by the widest accesses there are: a thread takes a few neighbouring
// columns of every so many rows and keeps what it finds in the bytes of a word.
#include <algorithm>

#include "codegen/llvm/access.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using code::Movement;
using llvm::Value;

constexpr std::int64_t kAccessBytes = 16;
/// Columns of a thread: the bytes of a word.
constexpr std::int64_t kMostColumns = 8;
/// Rows whose loads wait together, and groups of columns of one row.
constexpr std::int64_t kRowsAtOnce = 8, kGroupsAtOnce = 4;

/// The loads of e that are evaluated whatever the values of others are.
void unconditional_loads(const Expr &e, std::vector<const Load *> *loads) {
  if (const auto *load = e.as<Load>()) {
    loads->push_back(load);
  } else if (const auto *select = e.as<Select>()) {
    unconditional_loads(select->condition, loads);
  } else if (const auto *binary = e.as<Binary>()) {
    unconditional_loads(binary->a, loads);
    if (binary->op != BinaryOp::And && binary->op != BinaryOp::Or)
      unconditional_loads(binary->b, loads);
  } else if (const auto *unary = e.as<Unary>()) {
    unconditional_loads(unary->a, loads);
  } else if (const auto *cast = e.as<Cast>()) {
    unconditional_loads(cast->a, loads);
  }
}

/// Whether e is: the only load != 0.
bool is_nonzero_test(const Expr &e, const std::vector<const Load *> &loads) {
  const auto *test = e.as<Binary>();
  return test && test->op == BinaryOp::Ne && loads.size() == 1 && test->a.as<Load>() == loads[0] &&
         is_zero(test->b);
}

}  // namespace

struct KernelEmitter::Columns {
  const ir::Store &store;
  VarPtr column, row = nullptr;       ///< the row's may be null
  std::int64_t divisor = 1;           ///< columns of a mark
  std::int64_t width = kMostColumns;  ///< columns of a thread
  std::vector<const Load *> loads{};  ///< one wide access each
  bool nonzero = false;               ///< the condition is: the only load is not zero
};

bool KernelEmitter::mark_columns(const ir::Store &s) {
  if (staged_ || s.combiner != Combiner::Or || s.storage->space != Space::Tile ||
      s.storage->rank != 1 || !s.guards.empty() || s.axes.size() > 2) {
    return false;
  }
  Columns columns{s};
  const Expr *index = &s.indices[0];
  if (const auto *quotient = index->as<Binary>();
      quotient && quotient->op == BinaryOp::Div && is_const_int(quotient->b, &columns.divisor)) {
    index = &quotient->a;
  }
  if (!index->as<Variable>() || columns.divisor < 1) return false;
  columns.column = index->as<Variable>()->var;
  const auto is_column = [&](const VarPtr &axis) { return axis == columns.column; };
  if (std::ranges::none_of(s.axes, is_column)) return false;
  for (const VarPtr &axis : s.axes) {
    if (!is_column(axis)) columns.row = axis;
  }
  std::vector<const Load *> loads;
  unconditional_loads(s.value, &loads);
  for (const Load *load : loads) {
    const int unit = storage(load->storage).unit_dimension;
    if (code::movement(load->indices, columns.column, unit) != Movement::Unit ||
        (columns.row && code::movement(load->indices, columns.row, unit) == Movement::Irregular)) {
      continue;
    }
    columns.loads.push_back(load);
    columns.width = std::min(columns.width, kAccessBytes / load->storage->type.bytes());
  }
  columns.nonzero = is_nonzero_test(s.value, columns.loads);
  const std::int64_t width = columns.width, n = columns.divisor,
                     bound = env_.axes.at(columns.column.get()).bound;
  if (columns.loads.empty() || bound <= 0 || (n % width != 0 && width % n != 0)) return false;
  const std::int64_t groups = (bound + width - 1) / width;
  if (groups >= threads_) {
    mark_wide_rows(columns, groups);
    return true;
  }
  const std::int64_t rows = columns.row ? threads_ / groups : 1;
  when(b.CreateICmpULT(thread_, i64(groups * rows)), [&] {
    mark_columns(columns, b.CreateURem(thread_, i64(groups)), b.CreateUDiv(thread_, i64(groups)),
                 rows);
  });
  return true;
}

void KernelEmitter::go_to(const Columns &c, Value *row, Value *column) {
  if (c.row) env_.variables[c.row.get()] = row;
  env_.variables[c.column.get()] = column;
}

llvm::Type *KernelEmitter::word_of(const Columns &c) {
  return b.getIntNTy(static_cast<unsigned>(8 * c.width));
}

// What the wide accesses at a row and a group's first column bring.
std::vector<Value *> KernelEmitter::load_columns(const Columns &c, Value *row, Value *first) {
  const Memo memo(*this, true);
  go_to(c, row, first);
  std::vector<Value *> loaded;
  for (const Load *load : c.loads) {
    const Type type = load->storage->type;
    auto *vector = llvm::FixedVectorType::get(code::memory_type(context_, type),
                                              static_cast<unsigned>(c.width));
    auto *access =
        b.CreateAlignedLoad(vector, address(load->storage, load->indices),
                            llvm::Align(static_cast<std::uint64_t>(c.width * type.bytes())));
    describe_access(access, load->storage.get());
    loaded.push_back(access);
  }
  return loaded;
}

// Bits of the elements of wide accesses; together, those of several rows.
Value *KernelEmitter::bits_of(const Columns &c, Value *loaded) {
  const auto bits = static_cast<unsigned>(8 * c.loads[0]->storage->type.bytes());
  return b.CreateBitCast(
      loaded, llvm::FixedVectorType::get(b.getIntNTy(bits), static_cast<unsigned>(c.width)));
}

// The marks of columns in which some element has a bit: -0 is 0.
Value *KernelEmitter::marks_of_bits(const Columns &c, Value *bits) {
  const Type type = c.loads[0]->storage->type;
  llvm::Type *word = word_of(c);
  if (type.is_float()) {
    const auto sign = llvm::APInt::getSignMask(static_cast<unsigned>(8 * type.bytes()));
    bits = b.CreateAnd(bits, llvm::ConstantInt::get(bits->getType(), ~sign));
  }
  if (c.divisor % c.width == 0) {
    // One mark: its column does not matter.
    llvm::Type *all = b.getIntNTy(static_cast<unsigned>(c.width * 8 * type.bytes()));
    return b.CreateZExt(b.CreateICmpNE(b.CreateBitCast(bits, all), llvm::ConstantInt::get(all, 0)),
                        word);
  }
  Value *marks = b.CreateICmpNE(bits, llvm::Constant::getNullValue(bits->getType()));
  Value *found = llvm::ConstantInt::get(word, 0);
  for (std::int64_t k = 0; k < c.width; ++k) {
    found = b.CreateOr(found,
                       b.CreateSelect(b.CreateExtractElement(marks, static_cast<std::uint64_t>(k)),
                                      llvm::ConstantInt::get(word, std::uint64_t{1} << (8 * k)),
                                      llvm::ConstantInt::get(word, 0)));
  }
  return found;
}

// The word whose byte k says whether the condition holds in column first + k.
Value *KernelEmitter::marks_in(const Columns &c, const std::vector<Value *> &loaded, Value *row,
                               Value *first) {
  if (c.nonzero) return marks_of_bits(c, bits_of(c, loaded[0]));
  llvm::Type *word = word_of(c);
  Value *found = llvm::ConstantInt::get(word, 0);
  for (std::int64_t k = 0; k < c.width; ++k) {
    const Memo memo(*this, true);
    go_to(c, row, b.CreateNSWAdd(first, i64(k)));
    for (std::size_t i = 0; i < c.loads.size(); ++i) {
      wide_[c.loads[i]] =
          code::from_memory(b, floats_, c.loads[i]->storage->type,
                            b.CreateExtractElement(loaded[i], static_cast<std::uint64_t>(k)));
    }
    found =
        b.CreateOr(found, b.CreateSelect(value(c.store.value),
                                         llvm::ConstantInt::get(word, std::uint64_t{1} << (8 * k)),
                                         llvm::ConstantInt::get(word, 0)));
  }
  wide_.clear();
  return found;
}

// Whether wide accesses at a group's first column are aligned in `row` and the rows that lie a
// multiple of its distance from `next` behind it.
Value *KernelEmitter::is_aligned(const Columns &c, Value *row, Value *next, Value *first) {
  Value *aligned = b.getTrue();
  for (const Load *load : c.loads) {
    const auto place = [&](Value *at) {
      const Memo memo(*this, true);
      go_to(c, at, first);
      return b.CreatePtrToInt(address(load->storage, load->indices), b.getInt64Ty());
    };
    Value *here = place(row), *crooked = here;
    if (c.row && next != row) crooked = b.CreateOr(here, b.CreateSub(place(next), here));
    const std::int64_t bytes = c.width * load->storage->type.bytes();
    aligned = b.CreateAnd(aligned, b.CreateICmpEQ(b.CreateAnd(crooked, i64(bytes - 1)), i64(0)));
  }
  return aligned;
}

// More groups of columns than threads: a few of a row's at a time.
void KernelEmitter::mark_wide_rows(const Columns &c, std::int64_t groups) {
  const std::int64_t at_once =
      std::min<std::int64_t>((groups + threads_ - 1) / threads_, kGroupsAtOnce);
  Value *columns = env_.axes.at(c.column.get()).extent;
  Value *rows = c.row ? not_negative(env_.axes.at(c.row.get()).extent) : i64(1);
  loop(thread_, i64(groups), i64(threads_ * at_once), "group", code::LoopStyle::NotVectorized,
       [&](Value *group) {
         std::vector<Value *> all;
         for (std::int64_t u = 0; u < at_once; ++u)
           all.push_back(b.CreateNSWAdd(group, i64(u * threads_)));
         const auto first_of = [&](Value *g) { return b.CreateNSWMul(g, i64(c.width), "column"); };
         const auto one_by_one = [&] {
           for (Value *g : all) mark_columns(c, g, i64(0), 1);
         };
         const auto together = [&] {
           loop(rows, "row", code::LoopStyle::NotVectorized, [&](Value *row) {
             std::vector<std::vector<Value *>> loaded;
             for (Value *g : all) loaded.push_back(load_columns(c, row, first_of(g)));
             for (std::size_t u = 0; u < all.size(); ++u) {
               Value *first = first_of(all[u]);
               store_marks(c, marks_in(c, loaded[u], row, first), first, true);
             }
           });
         };
         Value *inside =
             b.CreateICmpSLE(b.CreateNSWAdd(first_of(all.back()), i64(c.width)), columns);
         Value *next =
             b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, i64(1), b.CreateNSWSub(rows, i64(1)));
         Value *wide = b.CreateAnd(b.CreateAnd(inside, b.CreateICmpSGT(rows, i64(0))),
                                   is_aligned(c, i64(0), next, first_of(group)));
         when(wide, together, one_by_one);
       });
}

// Columns group * width and the next ones, of rows first_row, first_row + row_step and so on. More
// than one thread has the group's columns if row_step is not 1.
void KernelEmitter::mark_columns(const Columns &c, Value *group, Value *first_row,
                                 std::int64_t row_step) {
  const ir::Store &s = c.store;
  llvm::Type *word = word_of(c);
  Value *columns = env_.axes.at(c.column.get()).extent;
  Value *rows = c.row ? not_negative(env_.axes.at(c.row.get()).extent) : i64(1);
  Value *first = b.CreateNSWMul(group, i64(c.width), "column");
  Value *end = b.CreateNSWAdd(first, i64(c.width));
  // In place of a row beyond the last, `row` again: it is aligned, as rows a multiple of row_step
  // apart are, and what it holds is found twice.
  const auto row_after = [&](Value *row, std::int64_t steps) {
    if (steps == 0) return row;
    Value *after = b.CreateNSWAdd(row, i64(steps * row_step));
    return b.CreateSelect(b.CreateICmpSLT(after, rows), after, row);
  };
  llvm::AllocaInst *found = local(word, "found");
  b.CreateStore(llvm::ConstantInt::get(word, 0), found);
  const auto find = [&](Value *more) {
    b.CreateStore(b.CreateOr(b.CreateLoad(word, found), more), found);
  };
  const auto by_wide_loads = [&] {
    std::int64_t at_once = 1;
    if (c.row) {
      const std::int64_t bound = env_.axes.at(c.row.get()).bound;
      const std::int64_t own = (bound + row_step - 1) / row_step;
      at_once = bound > 0 ? std::min(own, kRowsAtOnce) : kRowsAtOnce;
    }
    llvm::AllocaInst *all_bits = nullptr;
    if (c.nonzero) {
      auto *type = llvm::FixedVectorType::get(
          b.getIntNTy(static_cast<unsigned>(8 * c.loads[0]->storage->type.bytes())),
          static_cast<unsigned>(c.width));
      all_bits = local(type, "bits");
      b.CreateStore(llvm::Constant::getNullValue(type), all_bits);
    }
    loop(first_row, rows, i64(row_step * at_once), "rows", code::LoopStyle::NotVectorized,
         [&](Value *row) {
           std::vector<std::vector<Value *>> loaded;
           for (std::int64_t u = 0; u < at_once; ++u)
             loaded.push_back(load_columns(c, row_after(row, u), first));
           if (c.nonzero) {
             Value *bits = b.CreateLoad(all_bits->getAllocatedType(), all_bits);
             for (const std::vector<Value *> &of_row : loaded)
               bits = b.CreateOr(bits, bits_of(c, of_row[0]));
             b.CreateStore(bits, all_bits);
             return;
           }
           for (std::int64_t u = 0; u < at_once; ++u)
             find(marks_in(c, loaded[static_cast<std::size_t>(u)], row_after(row, u), first));
         });
    if (c.nonzero) find(marks_of_bits(c, b.CreateLoad(all_bits->getAllocatedType(), all_bits)));
  };
  const auto by_elements = [&] {
    loop(first_row, rows, i64(row_step), "row", code::LoopStyle::NotVectorized, [&](Value *row) {
      loop(first, b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, end, columns), i64(1), "column",
           code::LoopStyle::NotVectorized, [&](Value *column) {
             const Memo memo(*this, true);
             go_to(c, row, column);
             Value *place = b.CreateShl(b.CreateNSWSub(column, first), 3);
             find(b.CreateShl(b.CreateZExt(value(s.value), word), b.CreateTrunc(place, word)));
           });
    });
  };
  when(b.CreateAnd(b.CreateICmpSLT(first, columns), b.CreateICmpSLT(first_row, rows)), [&] {
    Value *wide = b.CreateAnd(b.CreateICmpSLE(end, columns),
                              is_aligned(c, first_row, row_after(first_row, 1), first));
    when(wide, by_wide_loads, by_elements);
    store_marks(c, b.CreateLoad(word, found), first, row_step == 1);
  });
}

// Marks are bools, whose bytes are 0 or 1. Several threads may store the same 1.
void KernelEmitter::store_marks(const Columns &c, Value *found, Value *first, bool alone) {
  Value *base = storage(c.store.storage).base;
  llvm::Type *word = found->getType();
  const auto at = [&](Value *mark) { return b.CreateInBoundsGEP(b.getInt8Ty(), base, mark); };
  const auto mark = [&](Value *some, Value *i) {
    when(some, [&] { b.CreateStore(b.getInt8(1), at(i)); });
  };
  const auto any_of = [&](std::int64_t k, std::int64_t columns) {
    const std::uint64_t ones =
        columns == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * columns)) - 1;
    return b.CreateICmpNE(b.CreateAnd(found, llvm::ConstantInt::get(word, ones << (8 * k))),
                          llvm::ConstantInt::get(word, 0));
  };
  if (c.divisor % c.width == 0 && c.divisor > 1)
    return mark(any_of(0, c.width), b.CreateUDiv(first, i64(c.divisor)));
  if (alone && c.divisor == 1) {
    const llvm::Align alignment(static_cast<std::uint64_t>(c.width));
    Value *before = b.CreateAlignedLoad(word, at(first), alignment);
    b.CreateAlignedStore(b.CreateOr(before, found), at(first), alignment);
    return;
  }
  if (c.divisor == 1 && c.width % 4 == 0) {
    for (std::int64_t k = 0; k < c.width; k += 4) {
      Value *four =
          b.CreateTrunc(b.CreateLShr(found, static_cast<std::uint64_t>(8 * k)), b.getInt32Ty());
      when(b.CreateICmpNE(four, b.getInt32(0)), [&] {
        b.CreateAtomicRMW(llvm::AtomicRMWInst::Or, at(b.CreateNSWAdd(first, i64(k))), four,
                          llvm::Align(4), llvm::AtomicOrdering::Monotonic);
      });
    }
    return;
  }
  Value *i = b.CreateUDiv(first, i64(c.divisor));
  for (std::int64_t k = 0; k < c.width; k += c.divisor)
    mark(any_of(k, c.divisor), b.CreateNSWAdd(i, i64(k / c.divisor)));
}

}  // namespace pit::cuda
