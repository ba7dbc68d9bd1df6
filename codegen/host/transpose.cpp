#include "transpose.h"

#include "conversions.h"

namespace pit::host {

namespace {

using llvm::BasicBlock;
using llvm::Value;

// Interleaving row i with row i + n/2, for all i, log2(n) times turns n rows of n numbers into
// columns: each step moves one bit of the row number to the front of the column number.
std::vector<Value *> turn(llvm::IRBuilder<> &b, std::vector<Value *> rows) {
  const int n = static_cast<int>(rows.size());
  llvm::SmallVector<int, 64> low, high;
  for (int i = 0; i < n; ++i) {
    low.push_back(i / 2 + (i % 2) * n);
    high.push_back(n / 2 + i / 2 + (i % 2) * n);
  }
  for (int step = 1; step < n; step *= 2) {
    std::vector<Value *> next;
    for (int i = 0; i < n / 2; ++i) {
      Value *x = rows[static_cast<std::size_t>(i)], *y = rows[static_cast<std::size_t>(i + n / 2)];
      next.push_back(b.CreateShuffleVector(x, y, low));
      next.push_back(b.CreateShuffleVector(x, y, high));
    }
    rows = std::move(next);
  }
  return rows;
}

class Transpose {
 public:
  Transpose(llvm::Function *f, const Atom &atom)
      : f_(f), atom_(atom), b(f->getContext()), element_(memory_type(f->getContext(), atom.type)) {}

  void emit() {
    BasicBlock *entry = add("entry"), *block = add("block"), *rest = add("rest");
    const int n = atom_.lanes();
    Value *k = f_->getArg(2), *size = number(n);
    b.SetInsertPoint(entry);
    Value *whole = b.CreateMul(b.CreateUDiv(k, size), size);
    b.CreateCondBr(b.CreateICmpSGT(whole, number(0)), block, rest);
    b.SetInsertPoint(block);
    auto *first = b.CreatePHI(b.getInt64Ty(), 2);
    first->addIncoming(number(0), entry);
    turn_block(first);
    Value *next = b.CreateNSWAdd(first, size);
    first->addIncoming(next, b.GetInsertBlock());
    b.CreateCondBr(b.CreateICmpSLT(next, whole), block, rest);
    b.SetInsertPoint(rest);
    copy_rest(whole);
  }

 private:
  Value *number(std::int64_t v) { return b.getInt64(static_cast<std::uint64_t>(v)); }
  BasicBlock *add(const char *name) { return BasicBlock::Create(f_->getContext(), name, f_); }
  Value *from(Value *column, Value *l) {
    Value *offset = b.CreateNSWAdd(b.CreateNSWMul(column, number(kTurnBlock)), l);
    return b.CreateInBoundsGEP(element_, f_->getArg(1), offset);
  }
  Value *to(Value *l, Value *column) {
    Value *offset = b.CreateNSWAdd(b.CreateNSWMul(l, number(atom_.columns)), column);
    return b.CreateInBoundsGEP(element_, f_->getArg(0), offset);
  }
  llvm::Align alignment() const {
    return llvm::Align(static_cast<std::uint64_t>(atom_.type.bytes()));
  }

  void turn_block(Value *first) {
    const int n = atom_.lanes();
    auto *vector = llvm::FixedVectorType::get(element_, static_cast<unsigned>(n));
    for (int group = 0; group < atom_.columns; group += n) {
      std::vector<Value *> rows;
      for (int j = 0; j < n; ++j)
        rows.push_back(b.CreateAlignedLoad(vector, from(number(group + j), first), alignment()));
      rows = turn(b, std::move(rows));
      for (int l = 0; l < n; ++l) {
        Value *at = to(b.CreateNSWAdd(first, number(l)), number(group));
        b.CreateAlignedStore(rows[static_cast<std::size_t>(l)], at, alignment());
      }
    }
  }

  // Numbers whole <= l < k, one by one.
  void copy_rest(Value *whole) {
    BasicBlock *before = b.GetInsertBlock(), *row = add("row"), *column = add("column"),
               *row_end = add("row.end"), *end = add("end");
    Value *k = f_->getArg(2);
    b.CreateCondBr(b.CreateICmpSLT(whole, k), row, end);
    b.SetInsertPoint(row);
    auto *l = b.CreatePHI(b.getInt64Ty(), 2);
    l->addIncoming(whole, before);
    b.CreateBr(column);
    b.SetInsertPoint(column);
    auto *j = b.CreatePHI(b.getInt64Ty(), 2);
    j->addIncoming(number(0), row);
    b.CreateAlignedStore(b.CreateAlignedLoad(element_, from(j, l), alignment()), to(l, j),
                         alignment());
    Value *next_j = b.CreateNSWAdd(j, number(1));
    j->addIncoming(next_j, column);
    b.CreateCondBr(b.CreateICmpSLT(next_j, number(atom_.columns)), column, row_end);
    b.SetInsertPoint(row_end);
    Value *next_l = b.CreateNSWAdd(l, number(1));
    l->addIncoming(next_l, row_end);
    b.CreateCondBr(b.CreateICmpSLT(next_l, k), row, end);
    b.SetInsertPoint(end);
    b.CreateRetVoid();
  }

  llvm::Function *f_;
  const Atom &atom_;
  llvm::IRBuilder<> b;
  llvm::Type *element_;
};

}  // namespace

llvm::Function *transpose_function(llvm::Module &module, const Atom &atom,
                                   const FunctionMaker &make) {
  const std::string name = "pit.transpose." + atom.name;
  if (llvm::Function *made = module.getFunction(name)) return made;
  llvm::LLVMContext &context = module.getContext();
  llvm::Type *pointer = llvm::PointerType::get(context, 0);
  llvm::Function *f =
      make(llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                   {pointer, pointer, llvm::Type::getInt64Ty(context)}, false),
           name);
  f->addFnAttr(llvm::Attribute::NoInline);
  f->addParamAttr(0, llvm::Attribute::NoAlias);
  f->addParamAttr(1, llvm::Attribute::NoAlias);
  Transpose(f, atom).emit();
  return f;
}

}  // namespace pit::host
