#include <llvm/IR/Metadata.h>

#include <algorithm>

#include "codegen/ir/mutator.h"
#include "generator.h"
#include "runtime/pit_call.h"

namespace pit::host {

namespace {

using llvm::BasicBlock;
using llvm::Value;

constexpr std::int64_t kMostChunks = 1024;

bool is_parallel(ir::ForKind kind) {
  return kind == ir::ForKind::Parallel || kind == ir::ForKind::GpuBlock;
}

}  // namespace

// Perfectly nested parallel loops are one loop. Its body becomes a function that runs a chunk of
// the iterations; the number of chunks does not depend on the number of threads. What the body uses
// travels in a structure.
void Generator::parallel(const ir::For &s) {
  std::vector<const ir::For *> nest{&s};
  while (const auto *inner = nest.back()->body.as<ir::For>()) {
    const bool independent = std::ranges::none_of(nest, [&](const ir::For *outer) {
      return uses(inner->min, outer->var) || uses(inner->extent, outer->var);
    });
    if (!is_parallel(inner->loop_kind) || !independent) break;
    nest.push_back(inner);
  }
  std::vector<Value *> minima, extents;
  Value *total = i64(1);
  for (const ir::For *f : nest) {
    minima.push_back(index(f->min));
    extents.push_back(not_negative(index(f->extent)));
    total = b.CreateMul(total, extents.back());
  }
  Value *chunk = b.CreateSDiv(b.CreateAdd(total, i64(kMostChunks - 1)), i64(kMostChunks));
  chunk = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, chunk, i64(1));
  Value *chunks = b.CreateSDiv(b.CreateAdd(total, b.CreateSub(chunk, i64(1))), chunk);

  Environment inside = captured({nest.back()->body}, {});
  // An axis has a value in the statements of its tile only; what is left of an earlier one is dead.
  std::erase_if(inside.variables,
                [](const auto &entry) { return entry.first->role == VarRole::Axis; });
  inside.in_parallel = true;
  // Every value that is not a constant gets a field; the function's own copy of the environment
  // reads them.
  std::vector<Value **> places = code::values_of(&inside);
  std::vector<Value *> fields;
  const auto visit = [&](Value *&v) {
    if (!llvm::isa<llvm::Constant>(v)) places.push_back(&v);
  };
  Value *call = call_;
  visit(call);
  for (Value *&v : minima) visit(v);
  for (Value *&v : extents) visit(v);
  visit(total);
  visit(chunk);
  std::unordered_map<Value *, unsigned> number;
  std::vector<llvm::Type *> types;
  for (Value **place : places) {
    if (number.emplace(*place, static_cast<unsigned>(fields.size())).second) {
      fields.push_back(*place);
      types.push_back((*place)->getType());
    }
  }
  auto *closure_type = llvm::StructType::get(context_, types);
  Value *closure = local(closure_type, "closure");
  for (unsigned i = 0; i < fields.size(); ++i)
    b.CreateStore(fields[i], b.CreateStructGEP(closure_type, closure, i));

  llvm::Type *pointer = b.getPtrTy();
  auto *function =
      make_function(llvm::FunctionType::get(b.getVoidTy(), {pointer, b.getInt64Ty()}, false),
                    entry_.symbol + ".loop" + std::to_string(bodies_++) + "." + s.var->name, false);
  b.CreateCall(
      runtime("pit_parallel_for", b.getVoidTy(), {pointer, b.getInt64Ty(), pointer, pointer}),
      {call_, chunks, function, closure});

  const llvm::IRBuilderBase::InsertPointGuard guard(b);
  const Memo memo(*this, true);
  b.SetInsertPoint(BasicBlock::Create(context_, "entry", function));
  std::vector<Value *> loaded;
  for (unsigned i = 0; i < fields.size(); ++i) {
    loaded.push_back(b.CreateLoad(types[i], b.CreateStructGEP(closure_type, function->getArg(0), i),
                                  fields[i]->getName()));
  }
  for (Value **place : places) *place = loaded[number.at(*place)];
  std::swap(env_, inside);
  std::swap(call_, call);
  Reserved outer_reserved = std::exchange(reserved_, {});
  const std::int64_t outer_stack = std::exchange(stack_bytes_, 0);
  BasicBlock *outer_left = std::exchange(left_, nullptr);
  const bool checks = only_checks(nest.back()->body);
  const auto iterations = [&] {
    Value *first = b.CreateNSWMul(function->getArg(1), chunk);
    Value *count = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, chunk, b.CreateSub(total, first));
    loop(count, s.var->name, LoopStyle::NotVectorized, [&](Value *i) {
      Value *rest = b.CreateNSWAdd(first, i);
      for (std::size_t d = nest.size(); d-- > 0;) {
        Value *position = d == 0 ? rest : b.CreateURem(rest, extents[d]);
        if (d > 0) rest = b.CreateUDiv(rest, extents[d]);
        env_.variables[nest[d]->var.get()] =
            b.CreateNSWAdd(minima[d], position, nest[d]->var->name);
      }
      emit(nest.back()->body);
    });
  };
  with_reservations(nest.back()->body, [&] {
    if (!checks) return iterations();
    until_failure([&] { when(b.CreateICmpEQ(status(), b.getInt32(PIT_OK)), iterations); });
  });
  b.CreateRetVoid();
  std::swap(env_, inside);
  std::swap(call_, call);
  reserved_ = std::move(outer_reserved);
  stack_bytes_ = outer_stack;
  left_ = outer_left;
}

void Generator::emit(const ir::For &s) {
  if (is_parallel(s.loop_kind) && machine_.threads) return parallel(s);
  with_reservations(s.body, [&] { EntryEmitter::emit(s); });
}

}  // namespace pit::host
