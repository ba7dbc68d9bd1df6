#include "pack.h"

#include "conversions.h"
#include "transpose.h"

namespace pit::host {

namespace {

using llvm::BasicBlock;
using llvm::Value;

// for i in [0, extent), extent > 0 or not.
template <class Body>
void emit_loop(llvm::IRBuilder<> &b, Value *extent, const Body &body) {
  llvm::Function *function = b.GetInsertBlock()->getParent();
  BasicBlock *before = b.GetInsertBlock();
  auto *head = BasicBlock::Create(b.getContext(), "loop", function);
  auto *end = BasicBlock::Create(b.getContext(), "end", function);
  b.CreateCondBr(b.CreateICmpSGT(extent, b.getInt64(0)), head, end);
  b.SetInsertPoint(head);
  auto *i = b.CreatePHI(b.getInt64Ty(), 2);
  i->addIncoming(b.getInt64(0), before);
  body(i);
  Value *next = b.CreateAdd(i, b.getInt64(1), "", true, true);
  i->addIncoming(next, b.GetInsertBlock());
  b.CreateCondBr(b.CreateICmpSLT(next, extent), head, end);
  b.SetInsertPoint(end);
}

llvm::Function *make_pack(llvm::LLVMContext &context, const std::string &name,
                          const FunctionMaker &make) {
  llvm::Type *word = llvm::Type::getInt64Ty(context), *pointer = llvm::PointerType::get(context, 0);
  auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                       {pointer, pointer, word, word, word, word}, false);
  llvm::Function *function = make(type, name);
  function->addFnAttr(llvm::Attribute::NoInline);
  function->addParamAttr(0, llvm::Attribute::NoAlias);
  function->addParamAttr(1, llvm::Attribute::NoAlias);
  return function;
}

const char *suffix(UnitStride unit) {
  return unit == UnitStride::None ? "" : unit == UnitStride::Row ? ".rows" : ".columns";
}

// Element (i, j) of a source with two strides, widened.
Value *load_widened(llvm::IRBuilder<> &b, const Machine &machine, const Atom &atom, Type from,
                    Value *source, Value *offset) {
  llvm::Type *memory = memory_type(b.getContext(), from);
  Value *bits =
      b.CreateAlignedLoad(memory, b.CreateInBoundsGEP(memory, source, offset), llvm::Align(1));
  Value *v = convert(b, machine, from, atom.type, from_memory(b, machine, from, bits));
  return to_memory(b, machine, atom.type, v);
}

}  // namespace

llvm::Function *pack_columns_function(llvm::Module &module, const Machine &machine,
                                      const Atom &atom, Type from, UnitStride unit,
                                      const FunctionMaker &make) {
  const std::string name = "pit.pack.columns." + to_string(from) + "." + atom.name + suffix(unit);
  if (llvm::Function *made = module.getFunction(name)) return made;
  llvm::LLVMContext &context = module.getContext();
  llvm::Function *f = make_pack(context, name, make);
  llvm::IRBuilder<> b(BasicBlock::Create(context, "entry", f));
  Value *to = f->getArg(0), *source = f->getArg(1), *k = f->getArg(4), *columns = f->getArg(5);
  Value *k_stride = unit == UnitStride::Row ? static_cast<Value *>(b.getInt64(1)) : f->getArg(2);
  Value *column_stride =
      unit == UnitStride::Column ? static_cast<Value *>(b.getInt64(1)) : f->getArg(3);
  Value *width = b.getInt64(static_cast<std::uint64_t>(atom.columns));
  llvm::Type *element = memory_type(context, atom.type);
  llvm::AllocaInst *buffer = nullptr;
  if (unit == UnitStride::Row) {
    buffer = b.CreateAlloca(
        llvm::ArrayType::get(element, static_cast<std::uint64_t>(atom.columns * kTurnBlock)));
    buffer->setAlignment(llvm::Align(64));
  }
  Value *panels = b.CreateUDiv(b.CreateAdd(columns, b.CreateSub(width, b.getInt64(1))), width);
  emit_loop(b, panels, [&](Value *panel) {
    Value *first = b.CreateNSWMul(panel, width);
    Value *rest = b.CreateNSWSub(columns, first);
    if (unit == UnitStride::Row) {
      // Columns lie along k: through the buffer.
      Value *count = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, rest, width);
      Value *size = b.getInt64(kTurnBlock);
      Value *blocks = b.CreateSDiv(b.CreateNSWAdd(k, b.getInt64(kTurnBlock - 1)), size);
      emit_loop(b, blocks, [&](Value *block) {
        Value *first_k = b.CreateNSWMul(block, size);
        Value *count_k =
            b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateNSWSub(k, first_k), size);
        emit_loop(b, count, [&](Value *j) {
          Value *row =
              b.CreateNSWAdd(first_k, b.CreateNSWMul(b.CreateNSWAdd(first, j), column_stride));
          Value *target = b.CreateNSWMul(j, size);
          emit_loop(b, count_k, [&](Value *l) {
            Value *v = load_widened(b, machine, atom, from, source, b.CreateNSWAdd(row, l));
            b.CreateAlignedStore(v, b.CreateInBoundsGEP(element, buffer, b.CreateNSWAdd(target, l)),
                                 llvm::Align(1));
          });
        });
        Value *target = b.CreateNSWMul(b.CreateNSWAdd(b.CreateNSWMul(panel, k), first_k), width);
        b.CreateCall(transpose_function(module, atom, make),
                     {b.CreateInBoundsGEP(element, to, target), buffer, count_k});
      });
      return;
    }
    const auto fill = [&](Value *count) {
      emit_loop(b, k, [&](Value *l) {
        Value *row =
            b.CreateNSWAdd(b.CreateNSWMul(l, k_stride), b.CreateNSWMul(first, column_stride));
        Value *target = b.CreateNSWMul(b.CreateNSWAdd(b.CreateNSWMul(panel, k), l), width);
        emit_loop(b, count, [&](Value *j) {
          Value *v = load_widened(b, machine, atom, from, source,
                                  b.CreateNSWAdd(row, b.CreateNSWMul(j, column_stride)));
          b.CreateAlignedStore(v, b.CreateInBoundsGEP(element, to, b.CreateNSWAdd(target, j)),
                               llvm::Align(1));
        });
      });
    };
    auto *full = BasicBlock::Create(context, "full", f);
    auto *edge = BasicBlock::Create(context, "edge", f);
    auto *end = BasicBlock::Create(context, "end", f);
    b.CreateCondBr(b.CreateICmpSGE(rest, width), full, edge);
    b.SetInsertPoint(full);
    fill(width);
    b.CreateBr(end);
    b.SetInsertPoint(edge);
    fill(rest);
    b.CreateBr(end);
    b.SetInsertPoint(end);
  });
  b.CreateRetVoid();
  return f;
}

llvm::Function *pack_rows_function(llvm::Module &module, const Machine &machine, const Atom &atom,
                                   Type from, UnitStride unit, const FunctionMaker &make) {
  const std::string name = "pit.pack.rows." + to_string(from) + "." + atom.name + suffix(unit);
  if (llvm::Function *made = module.getFunction(name)) return made;
  llvm::LLVMContext &context = module.getContext();
  llvm::Function *f = make_pack(context, name, make);
  llvm::IRBuilder<> b(BasicBlock::Create(context, "entry", f));
  Value *to = f->getArg(0), *source = f->getArg(1);
  Value *row_stride = unit == UnitStride::Row ? static_cast<Value *>(b.getInt64(1)) : f->getArg(2);
  Value *k_stride = unit == UnitStride::Column ? static_cast<Value *>(b.getInt64(1)) : f->getArg(3);
  llvm::Type *element = memory_type(context, atom.type);
  emit_loop(b, f->getArg(4), [&](Value *i) {
    Value *row = b.CreateNSWMul(i, row_stride);
    Value *target = b.CreateNSWMul(i, b.getInt64(kBlockK));
    emit_loop(b, f->getArg(5), [&](Value *l) {
      Value *v = load_widened(b, machine, atom, from, source,
                              b.CreateNSWAdd(row, b.CreateNSWMul(l, k_stride)));
      b.CreateAlignedStore(v, b.CreateInBoundsGEP(element, to, b.CreateNSWAdd(target, l)),
                           llvm::Align(1));
    });
  });
  b.CreateRetVoid();
  return f;
}

}  // namespace pit::host
