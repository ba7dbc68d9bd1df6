#include "micro_kernel.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include "conversions.h"

namespace pit::host {

namespace {

using llvm::BasicBlock;
using llvm::Value;

llvm::FunctionType *type_of_kernel(llvm::LLVMContext &context, bool with_rows) {
  llvm::Type *word = llvm::Type::getInt64Ty(context), *pointer = llvm::PointerType::get(context, 0);
  llvm::SmallVector<llvm::Type *, 10> types;
  if (with_rows) types.push_back(word);
  types.append({word, pointer, word, word, pointer, word, pointer, word, word});
  return llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false);
}

// One register block: rows x atom.columns sums over k.
class Kernel {
 public:
  Kernel(llvm::Function *function, const Machine &machine, const Atom &atom, Type accumulator,
         int rows)
      : f_(function),
        machine_(machine),
        atom_(atom),
        accumulator_(accumulator),
        rows_(rows),
        vectors_(atom.columns / atom.lanes()),
        b(function->getContext()) {}

  void emit() {
    for (const unsigned i : {1U, 4U, 6U}) {
      f_->addParamAttr(i, llvm::Attribute::NoAlias);
      if (i != 6) f_->addParamAttr(i, llvm::Attribute::ReadOnly);
    }
    auto *entry = BasicBlock::Create(f_->getContext(), "entry", f_);
    auto *loop = BasicBlock::Create(f_->getContext(), "k", f_);
    auto *end = BasicBlock::Create(f_->getContext(), "end", f_);
    b.SetInsertPoint(entry);
    element_ = register_type(f_->getContext(), atom_.type);
    vector_ = llvm::FixedVectorType::get(element_, static_cast<unsigned>(atom_.lanes()));
    std::vector<Value *> row_offsets;
    for (int r = 0; r < rows_; ++r)
      row_offsets.push_back(b.CreateMul(f_->getArg(2), b.getInt64(static_cast<std::uint64_t>(r))));
    b.CreateCondBr(b.CreateICmpSGT(f_->getArg(0), b.getInt64(0)), loop, end);
    multiply(entry, loop, end, row_offsets);
    b.SetInsertPoint(end);
    auto *full = BasicBlock::Create(f_->getContext(), "full", f_);
    auto *edge = BasicBlock::Create(f_->getContext(), "edge", f_);
    b.CreateCondBr(
        b.CreateICmpSGE(f_->getArg(8), b.getInt64(static_cast<std::uint64_t>(atom_.columns))), full,
        edge);
    b.SetInsertPoint(full);
    add_to_memory(false);
    b.SetInsertPoint(edge);
    add_to_memory(true);
  }

 private:
  void multiply(BasicBlock *entry, BasicBlock *loop, BasicBlock *end,
                const std::vector<Value *> &row_offsets) {
    Value *zero = llvm::Constant::getNullValue(vector_);
    b.SetInsertPoint(loop);
    auto *k = b.CreatePHI(b.getInt64Ty(), 2, "left");
    auto *a = b.CreatePHI(b.getPtrTy(), 2, "a");
    auto *row = b.CreatePHI(b.getPtrTy(), 2, "b");
    k->addIncoming(f_->getArg(0), entry);
    a->addIncoming(f_->getArg(1), entry);
    row->addIncoming(f_->getArg(4), entry);
    std::vector<llvm::PHINode *> sums;
    for (int i = 0; i < rows_ * vectors_; ++i) {
      sums.push_back(b.CreatePHI(vector_, 2, "sum"));
      sums.back()->addIncoming(zero, entry);
    }
    const llvm::Align alignment(static_cast<std::uint64_t>(atom_.type.bytes()));
    std::vector<Value *> columns;
    for (int j = 0; j < vectors_; ++j) {
      Value *at = b.CreateConstInBoundsGEP1_64(element_, row,
                                               static_cast<std::uint64_t>(j * atom_.lanes()));
      columns.push_back(b.CreateAlignedLoad(vector_, at, alignment, "columns"));
    }
    std::vector<Value *> next;
    for (int r = 0; r < rows_; ++r) {
      Value *at = b.CreateInBoundsGEP(element_, a, row_offsets[static_cast<std::size_t>(r)]);
      Value *broadcast = b.CreateVectorSplat(vector_->getElementCount(),
                                             b.CreateAlignedLoad(element_, at, alignment));
      for (int j = 0; j < vectors_; ++j) {
        next.push_back(multiply_add(broadcast, columns[static_cast<std::size_t>(j)],
                                    sums[static_cast<std::size_t>(r * vectors_ + j)]));
      }
    }
    Value *left = b.CreateNSWSub(k, b.getInt64(1));
    k->addIncoming(left, loop);
    a->addIncoming(b.CreateInBoundsGEP(element_, a, f_->getArg(3)), loop);
    row->addIncoming(b.CreateInBoundsGEP(element_, row, f_->getArg(5)), loop);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i]->addIncoming(next[i], loop);
    b.CreateCondBr(b.CreateICmpSGT(left, b.getInt64(0)), loop, end);
    b.SetInsertPoint(end);
    for (Value *v : next) {
      auto *phi = b.CreatePHI(vector_, 2, "sum");
      phi->addIncoming(zero, entry);
      phi->addIncoming(v, loop);
      totals_.push_back(phi);
    }
  }

  Value *multiply_add(Value *x, Value *y, Value *sum) {
    if (element_->isFloatingPointTy())
      return b.CreateIntrinsic(llvm::Intrinsic::fmuladd, {vector_}, {x, y, sum});
    return b.CreateAdd(sum, b.CreateMul(x, y));
  }

  // c += totals; `masked`: only the first n columns exist.
  void add_to_memory(bool masked) {
    llvm::Type *memory = memory_type(f_->getContext(), accumulator_);
    auto *memory_vector = llvm::FixedVectorType::get(memory, static_cast<unsigned>(atom_.lanes()));
    const llvm::Align alignment(static_cast<std::uint64_t>(accumulator_.bytes()));
    std::vector<Value *> masks;
    for (int j = 0; masked && j < vectors_; ++j) {
      Value *left =
          b.CreateSub(f_->getArg(8), b.getInt64(static_cast<std::uint64_t>(j * atom_.lanes())));
      llvm::SmallVector<std::uint32_t, 64> lanes;
      for (int i = 0; i < atom_.lanes(); ++i) lanes.push_back(static_cast<std::uint32_t>(i));
      Value *numbers = llvm::ConstantDataVector::get(f_->getContext(), lanes);
      Value *bound =
          b.CreateVectorSplat(vector_->getElementCount(), b.CreateTrunc(left, b.getInt32Ty()));
      masks.push_back(b.CreateICmpSLT(numbers, bound));
    }
    for (int r = 0; r < rows_; ++r) {
      Value *row = b.CreateInBoundsGEP(
          memory, f_->getArg(6),
          b.CreateMul(f_->getArg(7), b.getInt64(static_cast<std::uint64_t>(r))));
      for (int j = 0; j < vectors_; ++j) {
        Value *at = b.CreateConstInBoundsGEP1_64(memory, row,
                                                 static_cast<std::uint64_t>(j * atom_.lanes()));
        Value *old = masked ? static_cast<Value *>(b.CreateMaskedLoad(
                                  memory_vector, at, alignment, masks[static_cast<std::size_t>(j)],
                                  llvm::Constant::getNullValue(memory_vector)))
                            : b.CreateAlignedLoad(memory_vector, at, alignment);
        Value *total = totals_[static_cast<std::size_t>(r * vectors_ + j)];
        Value *c = from_memory(b, machine_, accumulator_, old);
        Value *sum = element_->isFloatingPointTy() ? b.CreateFAdd(c, total) : b.CreateAdd(c, total);
        Value *result = to_memory(b, machine_, accumulator_, sum);
        if (masked) {
          b.CreateMaskedStore(result, at, alignment, masks[static_cast<std::size_t>(j)]);
        } else {
          b.CreateAlignedStore(result, at, alignment);
        }
      }
    }
    b.CreateRetVoid();
  }

  llvm::Function *f_;
  const Machine &machine_;
  const Atom &atom_;
  Type accumulator_;
  int rows_, vectors_;
  llvm::IRBuilder<> b;
  llvm::Type *element_ = nullptr;
  llvm::FixedVectorType *vector_ = nullptr;
  std::vector<Value *> totals_;
};

}  // namespace

llvm::Function *rows_function(llvm::Module &module, const Machine &machine, const Atom &atom,
                              Type accumulator, const FunctionMaker &make) {
  const std::string name = "pit.mma." + atom.name + "." + to_string(accumulator);
  if (llvm::Function *made = module.getFunction(name)) return made;
  llvm::LLVMContext &context = module.getContext();
  // Whole register blocks, then the rest of the rows in powers of two.
  std::vector<int> heights{atom.rows};
  for (int h = 8; h > 0; h /= 2) {
    if (h < atom.rows) heights.push_back(h);
  }
  llvm::Function *function = make(type_of_kernel(context, true), name);
  function->addFnAttr(llvm::Attribute::NoInline);
  llvm::IRBuilder<> b(BasicBlock::Create(context, "entry", function));
  Value *m = function->getArg(0), *a = function->getArg(2), *c = function->getArg(7);
  llvm::Type *element = register_type(context, atom.type),
             *memory = memory_type(context, accumulator);
  BasicBlock *before = b.GetInsertBlock();
  for (const int height : heights) {
    llvm::Function *kernel =
        make(type_of_kernel(context, false), name + ".rows" + std::to_string(height));
    kernel->addFnAttr(llvm::Attribute::NoInline);
    Kernel(kernel, machine, atom, accumulator, height).emit();
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
    Value *count = b.getInt64(static_cast<std::uint64_t>(height));
    b.CreateCondBr(b.CreateICmpSGE(left, count), body, next);
    b.SetInsertPoint(body);
    llvm::SmallVector<Value *, 9> arguments;
    for (unsigned i = 1; i < 10; ++i) arguments.push_back(function->getArg(i));
    arguments[1] = a_now;
    arguments[6] = c_now;
    b.CreateCall(kernel, arguments);
    left->addIncoming(b.CreateSub(left, count), body);
    a_now->addIncoming(b.CreateInBoundsGEP(element, a_now, b.CreateMul(function->getArg(3), count)),
                       body);
    c_now->addIncoming(b.CreateInBoundsGEP(memory, c_now, b.CreateMul(function->getArg(8), count)),
                       body);
    b.CreateBr(head);
    b.SetInsertPoint(next);
    m = left, a = a_now, c = c_now, before = next;
  }
  b.CreateRetVoid();
  return function;
}

}  // namespace pit::host
