#include "gather.h"

#include <llvm/IR/IRBuilder.h>

#include "kernel_code.h"

namespace pit::host {

namespace {

using llvm::Value;

// Places looked at together, and rows that share what is found: where all places of a group follow
// each other the group is copied as one, else number by number. CPUs that gather by an instruction
// take longer over it than over so many loads and stores.
constexpr int kPlaces = 16;
constexpr int kRows = 4;

class Gather {
 public:
  Gather(llvm::Function *f, int bytes)
      : b(f->getContext()),
        element_(b.getIntNTy(static_cast<unsigned>(bytes) * 8)),
        to_(f->getArg(0)),
        to_row_(f->getArg(1)),
        rows_(f->getArg(2)),
        m_(f->getArg(3)),
        places_(f->getArg(4)),
        k_(f->getArg(5)) {
    b.SetInsertPoint(llvm::BasicBlock::Create(f->getContext(), "entry", f));
  }

  void emit() {
    Value *whole_rows = b.CreateAnd(m_, number(-kRows));
    Value *whole_groups = b.CreateAnd(k_, number(-kPlaces));
    const auto rows = [&](Value *first, int count) {
      std::vector<Row> some;
      for (int r = 0; r < count; ++r) some.push_back(row(b.CreateNSWAdd(first, number(r))));
      kernel_loop(b, number(0), whole_groups, kPlaces, [&](Value *l) { copy_group(some, l); });
      kernel_loop(b, whole_groups, k_, 1, [&](Value *l) { copy_one(some, l); });
    };
    kernel_loop(b, number(0), whole_rows, kRows, [&](Value *i) { rows(i, kRows); });
    kernel_loop(b, whole_rows, m_, 1, [&](Value *i) { rows(i, 1); });
    b.CreateRetVoid();
  }

 private:
  struct Row {
    Value *from, *to;
  };

  Value *number(std::int64_t v) { return b.getInt64(static_cast<std::uint64_t>(v)); }

  Row row(Value *i) {
    return {b.CreateLoad(b.getPtrTy(), b.CreateInBoundsGEP(b.getPtrTy(), rows_, i)),
            b.CreateInBoundsGEP(element_, to_, b.CreateNSWMul(i, to_row_))};
  }

  Value *place(Value *l) {
    return b.CreateLoad(b.getInt64Ty(), b.CreateInBoundsGEP(b.getInt64Ty(), places_, l));
  }

  void copy(llvm::Type *type, Value *from, Value *to) {
    b.CreateAlignedStore(b.CreateAlignedLoad(type, from, llvm::Align(1)), to, llvm::Align(1));
  }

  void copy_one(const std::vector<Row> &rows, Value *l) {
    Value *at = place(l);
    for (const Row &r : rows) {
      copy(element_, b.CreateInBoundsGEP(element_, r.from, at),
           b.CreateInBoundsGEP(element_, r.to, l));
    }
  }

  void copy_group(const std::vector<Row> &rows, Value *l) {
    llvm::LLVMContext &context = b.getContext();
    llvm::Function *f = b.GetInsertBlock()->getParent();
    auto *together = llvm::BasicBlock::Create(context, "together", f);
    auto *apart = llvm::BasicBlock::Create(context, "apart", f);
    auto *done = llvm::BasicBlock::Create(context, "done", f);
    b.CreateCondBr(follow_each_other(l), together, apart);
    b.SetInsertPoint(together);
    Value *first = place(l);
    auto *vector = llvm::FixedVectorType::get(element_, kPlaces);
    for (const Row &r : rows) {
      copy(vector, b.CreateInBoundsGEP(element_, r.from, first),
           b.CreateInBoundsGEP(element_, r.to, l));
    }
    b.CreateBr(done);
    b.SetInsertPoint(apart);
    for (int i = 0; i < kPlaces; ++i) copy_one(rows, b.CreateNSWAdd(l, number(i)));
    b.CreateBr(done);
    b.SetInsertPoint(done);
  }

  Value *follow_each_other(Value *l) {
    auto *vector = llvm::FixedVectorType::get(b.getInt64Ty(), kPlaces);
    Value *at = b.CreateAlignedLoad(vector, b.CreateInBoundsGEP(b.getInt64Ty(), places_, l),
                                    llvm::Align(8));
    llvm::SmallVector<std::uint64_t, kPlaces> steps;
    for (std::uint64_t i = 0; i < kPlaces; ++i) steps.push_back(i);
    Value *first = b.CreateVectorSplat(kPlaces, b.CreateExtractElement(at, std::uint64_t{0}));
    Value *expected = b.CreateAdd(first, llvm::ConstantDataVector::get(b.getContext(), steps));
    return b.CreateAndReduce(b.CreateICmpEQ(at, expected));
  }

  llvm::IRBuilder<> b;
  llvm::Type *element_;
  Value *to_, *to_row_, *rows_, *m_, *places_, *k_;
};

}  // namespace

Kernel gather_kernel(int bytes) {
  return {"pit.gather." + std::to_string(bytes), "pwpwpw", [=](llvm::Function *function) {
            function->addParamAttr(0, llvm::Attribute::NoAlias);
            Gather(function, bytes).emit();
          }};
}

}  // namespace pit::host
