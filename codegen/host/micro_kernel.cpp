#include "micro_kernel.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/MDBuilder.h>

#include <algorithm>
#include <bit>

#include "codegen/llvm/conversions.h"
#include "kernel_code.h"

namespace pit::host {

using code::convert;
using code::from_memory;
using code::memory_type;
using code::register_type;
using code::to_memory;

namespace {

using llvm::BasicBlock;
using llvm::Value;

Value *number(llvm::IRBuilderBase &b, std::int64_t v) {
  return b.getInt64(static_cast<std::uint64_t>(v));
}

llvm::FixedVectorType *vector_of(llvm::Type *element, int lanes) {
  return llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes));
}

// Lane i: i < n.
Value *first_lanes(llvm::IRBuilderBase &b, int lanes, Value *n) {
  llvm::SmallVector<std::uint32_t, 64> numbers;
  for (int i = 0; i < lanes; ++i) numbers.push_back(static_cast<std::uint32_t>(i));
  return b.CreateICmpSLT(
      llvm::ConstantDataVector::get(b.getContext(), numbers),
      b.CreateVectorSplat(static_cast<unsigned>(lanes), b.CreateTrunc(n, b.getInt32Ty())));
}

Value *multiply_add(llvm::IRBuilderBase &b, Value *x, Value *y, Value *sum) {
  if (sum->getType()->isFPOrFPVectorTy())
    return b.CreateIntrinsic(llvm::Intrinsic::fmuladd, {sum->getType()}, {x, y, sum});
  return b.CreateAdd(sum, b.CreateMul(x, y));
}

// at[0 .. lanes) += total; with a mask only where it holds.
void add_to_memory(llvm::IRBuilderBase &b, const Machine &machine, Type accumulator, Value *at,
                   Value *total, Value *mask) {
  const auto *shape = llvm::cast<llvm::FixedVectorType>(total->getType());
  auto *vector =
      llvm::FixedVectorType::get(memory_type(b.getContext(), accumulator), shape->getNumElements());
  const llvm::Align alignment(static_cast<std::uint64_t>(accumulator.bytes()));
  Value *old = mask ? static_cast<Value *>(b.CreateMaskedLoad(vector, at, alignment, mask,
                                                              llvm::Constant::getNullValue(vector)))
                    : b.CreateAlignedLoad(vector, at, alignment);
  Value *c = from_memory(b, machine, accumulator, old);
  Value *sum =
      shape->getElementType()->isFloatingPointTy() ? b.CreateFAdd(c, total) : b.CreateAdd(c, total);
  Value *result = to_memory(b, machine, accumulator, sum);
  if (mask) {
    b.CreateMaskedStore(result, at, alignment, mask);
  } else {
    b.CreateAlignedStore(result, at, alignment);
  }
}

// Rows whose cache lines are asked for ahead of their turn: memory is some hundred cycles away.
constexpr int kRowsAhead = 64, kLongRowsAhead = 4;

void prefetch(llvm::IRBuilderBase &b, Value *at) {
  b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()},
                    {at, b.getInt32(0), b.getInt32(3), b.getInt32(1)});
}

// One register block: rows x atom.columns sums over k.
class RegisterBlock {
 public:
  /// With two arguments more, a table of rows and a column, the columns come from there and the
  /// panel is written; there are atom.columns of them.
  RegisterBlock(llvm::Function *function, const Machine &machine, const Atom &atom, bool offset,
                Type accumulator, int rows)
      : packs_(function->arg_size() == 8),
        f_(function),
        machine_(machine),
        atom_(atom),
        offset_(offset),
        accumulator_(accumulator),
        rows_(rows),
        vectors_(atom.vectors()),
        b(function->getContext()) {}

  void emit() {
    for (const unsigned i : {1U, 2U, 3U}) {
      f_->addParamAttr(i, llvm::Attribute::NoAlias);
      if (i != 3 && !(i == 2 && packs_)) f_->addParamAttr(i, llvm::Attribute::ReadOnly);
    }
    auto *entry = BasicBlock::Create(f_->getContext(), "entry", f_);
    auto *loop = BasicBlock::Create(f_->getContext(), "k", f_);
    auto *end = BasicBlock::Create(f_->getContext(), "end", f_);
    b.SetInsertPoint(entry);
    unit_ = atom_.kind == AtomKind::MultiplyAdd ? register_type(f_->getContext(), atom_.type)
                                                : b.getInt32Ty();
    vector_ = vector_of(register_type(f_->getContext(), atom_.type), atom_.lanes());
    b.CreateBr(loop);
    multiply(entry, loop, end);
    b.SetInsertPoint(end);
    if (offset_) take_off();
    if (packs_) return add(false);
    auto *full = BasicBlock::Create(f_->getContext(), "full", f_);
    auto *edge = BasicBlock::Create(f_->getContext(), "edge", f_);
    b.CreateCondBr(b.CreateICmpSGE(f_->getArg(5), number(b, atom_.columns)), full, edge);
    b.SetInsertPoint(full);
    add(false);
    b.SetInsertPoint(edge);
    add(true);
  }

 private:
  void multiply(BasicBlock *entry, BasicBlock *loop, BasicBlock *end) {
    b.SetInsertPoint(loop);
    auto *k = b.CreatePHI(b.getInt64Ty(), 2, "left");
    auto *a = b.CreatePHI(b.getPtrTy(), 2, "a");
    auto *row = b.CreatePHI(b.getPtrTy(), 2, "b");
    k->addIncoming(f_->getArg(0), entry);
    a->addIncoming(f_->getArg(1), entry);
    row->addIncoming(f_->getArg(2), entry);
    std::vector<llvm::PHINode *> sums;
    for (int i = 0; i < (rows_ + (offset_ ? 1 : 0)) * vectors_; ++i) {
      sums.push_back(b.CreatePHI(vector_, 2, "sum"));
      sums.back()->addIncoming(llvm::Constant::getNullValue(vector_), entry);
    }
    const llvm::Align alignment(static_cast<std::uint64_t>(atom_.type.bytes()));
    auto *units = vector_of(unit_, atom_.lanes());
    std::vector<Value *> columns;
    Value *source = packs_ ? row_of_table(k) : row;
    for (int j = 0; j < vectors_; ++j) {
      const auto offset = static_cast<std::uint64_t>(j * atom_.lanes());
      columns.push_back(b.CreateAlignedLoad(units,
                                            b.CreateConstInBoundsGEP1_64(unit_, source, offset),
                                            packs_ ? llvm::Align(1) : alignment, "columns"));
      if (packs_) {
        b.CreateAlignedStore(columns.back(), b.CreateConstInBoundsGEP1_64(unit_, row, offset),
                             alignment);
      }
    }
    const std::int64_t stride = left_stride(atom_, machine_);
    std::vector<Value *> next;
    for (int r = 0; r < rows_ + (offset_ ? 1 : 0); ++r) {
      Value *one = nullptr;
      if (r == rows_) {
        one = b.getInt32(0x80808080U);  // what was added to each number of the rows
      } else {
        Value *at = b.CreateConstInBoundsGEP1_64(unit_, a, static_cast<std::uint64_t>(r * stride));
        one = b.CreateAlignedLoad(unit_, at, alignment);
      }
      Value *broadcast = b.CreateVectorSplat(static_cast<unsigned>(atom_.lanes()), one);
      for (int j = 0; j < vectors_; ++j) {
        next.push_back(product(broadcast, columns[static_cast<std::size_t>(j)],
                               sums[static_cast<std::size_t>(r * vectors_ + j)]));
      }
    }
    Value *left = b.CreateNSWSub(k, b.getInt64(1));
    k->addIncoming(left, loop);
    a->addIncoming(b.CreateConstInBoundsGEP1_64(unit_, a, 1), loop);
    row->addIncoming(
        b.CreateConstInBoundsGEP1_64(unit_, row, static_cast<std::uint64_t>(atom_.columns)), loop);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i]->addIncoming(next[i], loop);
    b.CreateCondBr(b.CreateICmpSGT(left, b.getInt64(0)), loop, end);
    totals_ = std::move(next);
  }

  // The columns of the row of the table with which `left` rows are left.
  Value *row_of_table(Value *left) {
    Value *k = f_->getArg(0), *table = f_->getArg(6), *column = f_->getArg(7);
    const auto row_at = [&](Value *l, Value *first) {
      Value *row = b.CreateLoad(b.getPtrTy(), b.CreateInBoundsGEP(b.getPtrTy(), table, l));
      return b.CreateGEP(unit_, row, first);
    };
    Value *l = b.CreateNSWSub(k, left);
    // Behind the last row come the rows of the next panel.
    Value *later = b.CreateNSWAdd(l, number(b, kRowsAhead));
    Value *wraps = b.CreateICmpSGE(later, k);
    Value *of_next = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateNSWSub(later, k),
                                             b.CreateNSWSub(k, number(b, 1)));
    Value *ahead =
        row_at(b.CreateSelect(wraps, of_next, later),
               b.CreateSelect(wraps, b.CreateNSWAdd(column, number(b, atom_.columns)), column));
    for (int byte = 0; byte < atom_.columns * atom_.type.bytes(); byte += 64) {
      prefetch(
          b, b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), ahead, static_cast<std::uint64_t>(byte)));
    }
    return row_at(l, column);
  }

  // sum + x * y, where x and y are vectors of units.
  Value *product(Value *x, Value *y, Value *sum) {
    using namespace llvm::Intrinsic;  // NOLINT: names of one table
    const auto dot = [&](ID id) {
      llvm::Function *f = getOrInsertDeclaration(f_->getParent(), id);
      Value *p = b.CreateBitCast(x, f->getArg(1)->getType());
      return b.CreateCall(f, {sum, p, b.CreateBitCast(y, f->getArg(2)->getType())});
    };
    const auto add_pairs = [&](ID id) {
      llvm::Function *f = getOrInsertDeclaration(f_->getParent(), id);
      Value *p = b.CreateBitCast(x, f->getArg(0)->getType());
      return b.CreateAdd(sum, b.CreateCall(f, {p, b.CreateBitCast(y, f->getArg(1)->getType())}));
    };
    switch (atom_.kind) {
      case AtomKind::MultiplyAdd:
        return multiply_add(b, x, y, sum);
      case AtomKind::DotBfloat16:
        return dot(x86_avx512bf16_dpbf16ps_512);
      case AtomKind::DotInt8:
        return dot(x86_avx512_vpdpbusd_512);
      case AtomKind::DotInt16:
        if (atom_.feature == "avx512_vnni") return dot(x86_avx512_vpdpwssd_512);
        return add_pairs(atom_.vector_bytes == 64   ? x86_avx512_pmaddw_d_512
                         : atom_.vector_bytes == 32 ? x86_avx2_pmadd_wd
                                                    : x86_sse2_pmadd_wd);
    }
    return nullptr;
  }

  // The last row of sums is what the numbers of the other rows have too much.
  void take_off() {
    const auto places = static_cast<std::size_t>(rows_ * vectors_);
    for (std::size_t i = 0; i < places; ++i) {
      totals_[i] =
          b.CreateSub(totals_[i], totals_[places + i % static_cast<std::size_t>(vectors_)]);
    }
  }

  // c += totals; `masked`: only the first n columns exist.
  void add(bool masked) {
    llvm::Type *memory = memory_type(f_->getContext(), accumulator_);
    std::vector<Value *> masks(static_cast<std::size_t>(vectors_));
    for (int j = 0; masked && j < vectors_; ++j) {
      Value *n = b.CreateSub(f_->getArg(5), number(b, j * atom_.lanes()));
      masks[static_cast<std::size_t>(j)] = first_lanes(b, atom_.lanes(), n);
    }
    for (int r = 0; r < rows_; ++r) {
      Value *row =
          b.CreateInBoundsGEP(memory, f_->getArg(3), b.CreateMul(f_->getArg(4), number(b, r)));
      for (int j = 0; j < vectors_; ++j) {
        Value *at = b.CreateConstInBoundsGEP1_64(memory, row,
                                                 static_cast<std::uint64_t>(j * atom_.lanes()));
        add_to_memory(b, machine_, accumulator_, at,
                      totals_[static_cast<std::size_t>(r * vectors_ + j)],
                      masks[static_cast<std::size_t>(j)]);
      }
    }
    b.CreateRetVoid();
  }

  bool packs_;
  llvm::Function *f_;
  const Machine &machine_;
  const Atom &atom_;
  bool offset_;
  Type accumulator_;
  int rows_, vectors_;
  llvm::IRBuilder<> b;
  llvm::Type *unit_ = nullptr;
  llvm::FixedVectorType *vector_ = nullptr;
  std::vector<Value *> totals_;
};

// One row by rows of memory, in runs of some vectors.
class RowKernel {
 public:
  RowKernel(llvm::Function *function, const Machine &machine, Type right, Type accumulator)
      : f_(function),
        machine_(machine),
        right_(right),
        accumulator_(accumulator),
        type_(compute_type(accumulator)),
        lanes_(machine.vector_bytes / type_.bytes()),
        b(function->getContext()) {}

  void emit() {
    BasicBlock *before = block("entry");
    b.SetInsertPoint(before);
    Value *column = number(b, 0);
    // Half of the registers hold sums, then fewer, then a part of one.
    const int most = machine_.vector_bytes == 64 ? 16 : 8;
    for (const int vectors : {most, most / 4, 1}) {
      auto *head = block("columns"), *body = block("run"), *next = block("next");
      b.CreateBr(head);
      b.SetInsertPoint(head);
      auto *at = b.CreatePHI(b.getInt64Ty(), 2, "column");
      at->addIncoming(column, before);
      Value *end = b.CreateNSWAdd(at, number(b, vectors * lanes_));
      b.CreateCondBr(b.CreateICmpSLE(end, f_->getArg(4)), body, next);
      b.SetInsertPoint(body);
      run(at, vectors, nullptr);
      at->addIncoming(end, b.GetInsertBlock());
      b.CreateBr(head);
      b.SetInsertPoint(next);
      column = at;
      before = next;
    }
    auto *rest = block("rest"), *end = block("end");
    b.CreateCondBr(b.CreateICmpSLT(column, f_->getArg(4)), rest, end);
    b.SetInsertPoint(rest);
    run(column, 1, first_lanes(b, lanes_, b.CreateNSWSub(f_->getArg(4), column)));
    b.CreateBr(end);
    b.SetInsertPoint(end);
    b.CreateRetVoid();
  }

 private:
  BasicBlock *block(const char *name) { return BasicBlock::Create(f_->getContext(), name, f_); }

  void run(Value *column, int vectors, Value *mask) {
    llvm::Type *element = memory_type(f_->getContext(), right_);
    llvm::Type *number_type = register_type(f_->getContext(), type_);
    auto *vector = vector_of(number_type, lanes_);
    auto *stored = vector_of(element, lanes_);
    const llvm::Align unaligned(1);
    auto *before = b.GetInsertBlock(), *loop = block("k"), *end = block("k.end");
    Value *k = f_->getArg(0), *table = f_->getArg(2);
    b.CreateCondBr(b.CreateICmpSGT(k, number(b, 0)), loop, end);
    b.SetInsertPoint(loop);
    auto *l = b.CreatePHI(b.getInt64Ty(), 2, "l");
    l->addIncoming(number(b, 0), before);
    std::vector<llvm::PHINode *> sums;
    for (int j = 0; j < vectors; ++j) {
      sums.push_back(b.CreatePHI(vector, 2, "sum"));
      sums.back()->addIncoming(llvm::Constant::getNullValue(vector), before);
    }
    const auto row_at = [&](Value *place) {
      Value *row = b.CreateLoad(b.getPtrTy(), b.CreateInBoundsGEP(b.getPtrTy(), table, place));
      return b.CreateInBoundsGEP(element, row, column);
    };
    if (vectors > 1) {
      Value *later = b.CreateNSWAdd(l, number(b, kLongRowsAhead));
      later = b.CreateSelect(b.CreateICmpSLT(later, k), later, l);
      Value *row = row_at(later);
      for (int byte = 0; byte < vectors * lanes_ * right_.bytes(); byte += 64) {
        b.CreateIntrinsic(
            llvm::Intrinsic::prefetch, {b.getPtrTy()},
            {b.CreateConstGEP1_64(b.getInt8Ty(), row, static_cast<std::uint64_t>(byte)),
             b.getInt32(0), b.getInt32(3), b.getInt32(1)});
      }
    }
    Value *row = row_at(l);
    Value *one = b.CreateLoad(number_type, b.CreateInBoundsGEP(number_type, f_->getArg(1), l));
    Value *broadcast = b.CreateVectorSplat(static_cast<unsigned>(lanes_), one);
    std::vector<Value *> next;
    for (int j = 0; j < vectors; ++j) {
      Value *at =
          b.CreateConstInBoundsGEP1_64(element, row, static_cast<std::uint64_t>(j * lanes_));
      Value *bits = mask ? static_cast<Value *>(b.CreateMaskedLoad(
                               stored, at, unaligned, mask, llvm::Constant::getNullValue(stored)))
                         : b.CreateAlignedLoad(stored, at, unaligned);
      Value *columns = convert(b, machine_, right_, type_, from_memory(b, machine_, right_, bits));
      next.push_back(multiply_add(b, broadcast, columns, sums[static_cast<std::size_t>(j)]));
    }
    Value *following = b.CreateAdd(l, number(b, 1), "", true, true);
    l->addIncoming(following, loop);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i]->addIncoming(next[i], loop);
    b.CreateCondBr(b.CreateICmpSLT(following, k), loop, end);
    b.SetInsertPoint(end);
    llvm::Type *memory = memory_type(f_->getContext(), accumulator_);
    for (int j = 0; j < vectors; ++j) {
      auto *total = b.CreatePHI(vector, 2, "total");
      total->addIncoming(llvm::Constant::getNullValue(vector), before);
      total->addIncoming(next[static_cast<std::size_t>(j)], loop);
      next[static_cast<std::size_t>(j)] = total;
    }
    Value *c = b.CreateInBoundsGEP(memory, f_->getArg(3), column);
    for (int j = 0; j < vectors; ++j) {
      add_to_memory(b, machine_, accumulator_,
                    b.CreateConstInBoundsGEP1_64(memory, c, static_cast<std::uint64_t>(j * lanes_)),
                    next[static_cast<std::size_t>(j)], mask);
    }
  }

  llvm::Function *f_;
  const Machine &machine_;
  Type right_, accumulator_, type_;
  int lanes_;
  llvm::IRBuilder<> b;
};

// Whole register blocks, then the rest of the rows in powers of two.
void emit_rows(llvm::Function *function, const Machine &machine, const Atom &atom, bool offset,
               Type accumulator) {
  llvm::Module &module = *function->getParent();
  llvm::LLVMContext &context = module.getContext();
  std::vector<int> heights{atom.rows};
  for (int h = 8; h > 0; h /= 2) {
    if (h < atom.rows) heights.push_back(h);
  }
  llvm::IRBuilder<> b(BasicBlock::Create(context, "entry", function));
  llvm::SmallVector<llvm::Type *, 6> types;  // those of `function` but the number of rows
  for (unsigned i = 1; i < 7; ++i) types.push_back(function->getArg(i)->getType());
  auto *type = llvm::FunctionType::get(b.getVoidTy(), types, false);
  Value *m = function->getArg(0), *a = function->getArg(2), *c = function->getArg(4);
  llvm::Type *unit = b.getIntNTy(static_cast<unsigned>(atom.type.bytes()) * 8),
             *memory = memory_type(context, accumulator);
  const std::int64_t stride = left_stride(atom, machine);
  BasicBlock *before = b.GetInsertBlock();
  for (const int height : heights) {
    llvm::Function *kernel = make_function(
        module, machine, type, function->getName().str() + ".rows" + std::to_string(height),
        llvm::GlobalValue::InternalLinkage);
    kernel->addFnAttr(llvm::Attribute::NoInline);
    RegisterBlock(kernel, machine, atom, offset, accumulator, height).emit();
    auto *head = BasicBlock::Create(context, "rows", function);
    auto *body = BasicBlock::Create(context, "block", function);
    auto *next = BasicBlock::Create(context, "next", function);
    b.CreateBr(head);
    b.SetInsertPoint(head);
    auto *left = b.CreatePHI(b.getInt64Ty(), 2);
    auto *a_now = b.CreatePHI(b.getPtrTy(), 2);
    auto *c_now = b.CreatePHI(b.getPtrTy(), 2);
    left->addIncoming(m, before);
    a_now->addIncoming(a, before);
    c_now->addIncoming(c, before);
    b.CreateCondBr(b.CreateICmpSGE(left, number(b, height)), body, next);
    b.SetInsertPoint(body);
    b.CreateCall(kernel, {function->getArg(1), a_now, function->getArg(3), c_now,
                          function->getArg(5), function->getArg(6)});
    left->addIncoming(b.CreateSub(left, number(b, height)), body);
    a_now->addIncoming(
        b.CreateConstInBoundsGEP1_64(unit, a_now, static_cast<std::uint64_t>(stride * height)),
        body);
    c_now->addIncoming(
        b.CreateInBoundsGEP(memory, c_now, b.CreateMul(function->getArg(5), number(b, height))),
        body);
    b.CreateBr(head);
    b.SetInsertPoint(next);
    m = left, a = a_now, c = c_now, before = next;
  }
  b.CreateRetVoid();
}

std::int64_t units_of_block(const Atom &atom, const Machine &machine) {
  const std::int64_t room = machine.first_cache_bytes * 3 / 4 / (atom.columns * atom.type.bytes());
  return std::clamp<std::int64_t>(
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(room))), 64, 256);
}

}  // namespace

Blocks blocks_of(const Atom &atom, const Machine &machine) {
  const std::int64_t units = units_of_block(atom, machine);
  const std::int64_t room = machine.second_cache_bytes / 4 / (units * atom.type.bytes());
  const std::int64_t size = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(room))), 128, 512);
  return {units * atom.group, size, (size + atom.columns - 1) / atom.columns * atom.columns};
}

std::int64_t left_stride(const Atom &atom, const Machine &machine) {
  return units_of_block(atom, machine) + 64 / atom.type.bytes();
}

Kernel rows_kernel(const Machine &machine, const Atom &atom, bool offset, Type accumulator) {
  const std::string name =
      "pit.mma." + atom.name + (offset ? ".offset." : ".") + to_string(accumulator);
  return {name, "wwpppww", [=, &atom](llvm::Function *function) {
            emit_rows(function, machine, atom, offset, accumulator);
          }};
}

Kernel packing_rows_kernel(const Machine &machine, const Atom &atom, Type accumulator) {
  const std::string name = "pit.mma." + atom.name + ".packing." + to_string(accumulator);
  return {name, "wpppwwpw", [=, &atom](llvm::Function *function) {
            RegisterBlock(function, machine, atom, false, accumulator, atom.rows).emit();
          }};
}

Kernel row_kernel(const Machine &machine, Type right, Type accumulator) {
  const std::string name = "pit.row." + to_string(right) + "." + to_string(accumulator);
  return {name, "wpppw", [=](llvm::Function *function) {
            for (const unsigned i : {1U, 2U, 3U})
              function->addParamAttr(i, llvm::Attribute::NoAlias);
            RowKernel(function, machine, right, accumulator).emit();
          }};
}

}  // namespace pit::host
