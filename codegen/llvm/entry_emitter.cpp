#include "entry_emitter.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "codegen/ir/mutator.h"
#include "conversions.h"
#include "runtime/pit_call.h"
#include "tile_nest.h"

namespace pit::code {

using llvm::Value;

Variant row_major_variant(const ir::Module &module) {
  Variant variant;
  for (const StoragePtr &s : module.inputs) variant.unit_dimension.push_back(s->rank - 1);
  for (const StoragePtr &s : module.outputs) variant.unit_dimension.push_back(s->rank - 1);
  return variant;
}

std::string symbol_of(const ir::Module &module) {
  std::string symbol = "pit_" + module.name;
  for (char &c : symbol) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return symbol;
}

EntryEmitter::EntryEmitter(const ir::Module &module, const Variant &variant, Entry *entry,
                           llvm::Module &llvm_module, FloatUnit floats)
    : FunctionEmitter(llvm_module, floats, ""),
      module_(module),
      variant_(variant),
      entry_(*entry) {}

llvm::FunctionCallee EntryEmitter::runtime(const char *name, llvm::Type *result,
                                           std::vector<llvm::Type *> parameters) {
  auto callee = llvm_.getOrInsertFunction(name, llvm::FunctionType::get(result, parameters, false));
  llvm::cast<llvm::Function>(callee.getCallee())->setDoesNotThrow();
  return callee;
}

// Null strides mean compact and row-major.
StorageValue EntryEmitter::bind_tensor(llvm::Value *tensor, const StoragePtr &storage,
                                       int unit_dimension) {
  llvm::Type *pointer = b.getPtrTy();
  StorageValue v;
  v.type = storage->type;
  v.alignment =
      static_cast<unsigned>(std::max(1, std::min(storage->alignment, storage->type.bytes())));
  v.unit_dimension = unit_dimension;
  llvm::Value *data = b.CreateLoad(pointer, field(tensor, offsetof(DLTensor, data)), storage->name);
  llvm::Value *byte_offset =
      b.CreateLoad(b.getInt64Ty(), field(tensor, offsetof(DLTensor, byte_offset)));
  v.base = b.CreateInBoundsGEP(b.getInt8Ty(), data, byte_offset);
  if (storage->alignment > 1)
    b.CreateAlignmentAssumption(llvm_.getDataLayout(), v.base, storage->alignment);
  llvm::Value *shape = b.CreateLoad(pointer, field(tensor, offsetof(DLTensor, shape)));
  llvm::Value *given = b.CreateLoad(pointer, field(tensor, offsetof(DLTensor, strides)));
  llvm::Value *compact = b.CreateIsNull(given);
  llvm::Value *readable = b.CreateSelect(compact, shape, given);
  const auto rank = static_cast<std::size_t>(storage->rank);
  v.extents.resize(rank);
  v.strides.resize(rank);
  llvm::Value *size = i64(1);
  for (std::size_t d = rank; d-- > 0;) {
    v.extents[d] = b.CreateLoad(b.getInt64Ty(), field(shape, 8 * d), storage->name + ".extent");
    llvm::Value *stride = b.CreateLoad(b.getInt64Ty(), field(readable, 8 * d));
    v.strides[d] = b.CreateSelect(compact, size, stride, storage->name + ".stride");
    size = b.CreateMul(size, v.extents[d]);
    if (d < storage->declared_strides.size() && storage->declared_strides[d] >= 0) {
      v.strides[d] = i64(storage->declared_strides[d]);
      if (storage->declared_strides[d] == 1 && v.unit_dimension < 0)
        v.unit_dimension = static_cast<int>(d);
    }
    if (static_cast<int>(d) == v.unit_dimension) v.strides[d] = i64(1);
  }
  return v;
}

llvm::FunctionType *EntryEmitter::entry_type(llvm::LLVMContext &context) {
  llvm::Type *pointer = llvm::PointerType::get(context, 0);
  return llvm::FunctionType::get(llvm::Type::getInt32Ty(context), {pointer, pointer, pointer},
                                 false);
}

void EntryEmitter::emit_entry(llvm::Function *function) {
  llvm::Type *pointer = b.getPtrTy();
  b.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function));
  call_ = function->getArg(0);
  std::size_t place = 0;
  const auto bind_all = [&](const std::vector<StoragePtr> &tensors) {
    for (const StoragePtr &s : tensors) {
      llvm::Value *tensor = b.CreateLoad(pointer, field(function->getArg(1), 8 * place));
      env_.storages[s.get()] = bind_tensor(tensor, s, variant_.unit_dimension.at(place));
      ++place;
    }
  };
  bind_all(module_.inputs);
  bind_all(module_.outputs);
  for (std::size_t i = 0; i < module_.scalars.size(); ++i) {
    const ParamPtr &p = module_.scalars[i];
    llvm::Value *at = b.CreateLoad(pointer, field(function->getArg(2), 8 * i));
    llvm::Value *bits =
        b.CreateAlignedLoad(memory_type(context_, p->type), at, llvm::Align(1), p->name);
    env_.parameters[p.get()] = from_memory(b, floats_, p->type, bits);
  }
  if (module_.statistics) {
    StorageValue v;
    v.type = float64;
    v.base = field(call_, offsetof(pit_call, statistics));
    v.extents = {i64(PIT_MAX_STAGES)};
    v.strides = {i64(1)};
    v.unit_dimension = 0;
    v.alignment = 8;
    env_.storages[module_.statistics.get()] = v;
  }
  emit_body();
  b.CreateRet(status());
}

llvm::Value *EntryEmitter::status() {
  auto *status =
      b.CreateAlignedLoad(b.getInt32Ty(), field(call_, offsetof(pit_call, status)), llvm::Align(4));
  status->setAtomic(llvm::AtomicOrdering::Monotonic);
  return status;
}

// True when nothing would be missed if a Check that fails left `s` at once.
bool EntryEmitter::only_checks(const ir::Stmt &s) {
  bool only = true;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    only = only && (part.as<ir::Block>() || part.as<ir::Let>() || part.as<ir::If>() ||
                    part.as<ir::For>() || part.as<ir::Axes>() || part.as<ir::Check>());
    return only;
  });
  return only;
}

void EntryEmitter::until_failure(const Body &loops) {
  if (left_) return loops();
  left_ = llvm::BasicBlock::Create(context_, "left", b.GetInsertBlock()->getParent());
  loops();
  b.CreateBr(left_);
  b.SetInsertPoint(std::exchange(left_, nullptr));
}

void EntryEmitter::emit(const ir::For &s) {
  const auto run = [&] { FunctionEmitter::emit(s); };
  only_checks(s.body) ? until_failure(run) : run();
}

void EntryEmitter::emit(const ir::Store &s) {
  // A call has room for so many statistics; what does not fit is not recorded.
  std::int64_t slot = 0;
  if (s.storage == module_.statistics && is_const_int(s.indices.at(0), &slot) &&
      slot >= PIT_MAX_STAGES) {
    return;
  }
  FunctionEmitter::emit(s);
}

// Calls pit_report with the message's number and values.
void EntryEmitter::report(const ir::Check &s) {
  const std::size_t count = std::min<std::size_t>(s.values.size(), PIT_MAX_VALUES);
  auto *array = llvm::ArrayType::get(b.getInt64Ty(), PIT_MAX_VALUES);
  Value *values = local(array, "values");
  for (std::size_t i = 0; i < count; ++i) b.CreateStore(index(s.values[i]), field(values, 8 * i));
  const auto number = static_cast<std::uint32_t>(entry_.messages.size() - 1);
  llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
  b.CreateCall(runtime("pit_report", b.getVoidTy(), {pointer, i32, i32, pointer, i32}),
               {call_, b.getInt32(PIT_ERROR_DATA), b.getInt32(number), values,
                b.getInt32(static_cast<std::uint32_t>(count))});
  if (!left_) return;
  b.CreateBr(left_);
  b.SetInsertPoint(
      llvm::BasicBlock::Create(context_, "unreached", b.GetInsertBlock()->getParent()));
}

// A fast loop finds whether any iteration fails; only then a second one finds the first that does.
void EntryEmitter::emit(const ir::Check &s) {
  entry_.messages.push_back(s.message);
  const auto report_failure = [&] { when(b.CreateNot(value(s.condition)), [&] { report(s); }); };
  if (s.axes.empty()) return TileNest(*this, {}, s.guards).run(report_failure);
  llvm::AllocaInst *failed = local(b.getInt8Ty(), "failed");
  b.CreateStore(b.getInt8(0), failed);
  {
    const Memo memo(*this);
    TileNest(*this, s.axes, s.guards).run([&] {
      Value *fails = b.CreateZExt(b.CreateNot(value(s.condition)), b.getInt8Ty());
      b.CreateStore(b.CreateOr(b.CreateLoad(b.getInt8Ty(), failed), fails), failed);
    });
  }
  when(b.CreateICmpNE(b.CreateLoad(b.getInt8Ty(), failed), b.getInt8(0)),
       [&] { until_failure([&] { TileNest(*this, s.axes, s.guards).run(report_failure); }); });
}

void EntryEmitter::emit(const ir::Stage &s) {
  const std::size_t number = entry_.stages.size();
  entry_.stages.emplace_back(s.name, s.stage_kind);
  when(b.CreateICmpEQ(status(), b.getInt32(PIT_OK)), [&] {
    if (number >= PIT_MAX_STAGES) return emit(s.body);
    emit_timed(number, [&] { emit(s.body); });
  });
}

void EntryEmitter::emit_timed(std::size_t number, const Body &body) {
  llvm::Type *i64_type = b.getInt64Ty();
  const auto clock = runtime("pit_nanoseconds", i64_type, {});
  Value *timed = b.CreateICmpNE(
      b.CreateLoad(b.getInt32Ty(), field(call_, offsetof(pit_call, profile))), b.getInt32(0));
  llvm::AllocaInst *start = local(i64_type, "start");
  b.CreateStore(i64(0), start);
  when(timed, [&] { b.CreateStore(b.CreateCall(clock), start); });
  body();
  when(timed, [&] {
    Value *at = field(call_, offsetof(pit_call, stage_nanoseconds) + 8 * number);
    Value *elapsed = b.CreateSub(b.CreateCall(clock), b.CreateLoad(i64_type, start));
    b.CreateStore(b.CreateAdd(b.CreateLoad(i64_type, at), elapsed), at);
  });
}

}  // namespace pit::code
