#include <cstddef>

#include "codegen/ir/mutator.h"
#include "conversions.h"
#include "dsl/error.h"
#include "generator.h"
#include "runtime/pit_runtime.h"
#include "tile_nest.h"

namespace pit::host {

using llvm::Value;

void Generator::emit(const ir::Stmt &s) {
  if (!s.defined()) return;
  // What an earlier statement loaded may have changed.
  const Memo memo(*this, true);
  switch (s->kind) {
    case ir::StmtKind::Block:
      for (const ir::Stmt &part : s.as<ir::Block>()->stmts) emit(part);
      return;
    case ir::StmtKind::Let:
      env_.variables[s.as<ir::Let>()->var.get()] = value(s.as<ir::Let>()->value);
      return emit(s.as<ir::Let>()->body);
    case ir::StmtKind::If: {
      const auto *node = s.as<ir::If>();
      Body else_body;
      if (node->else_body.defined()) else_body = [this, node] { emit(node->else_body); };
      return when(
          value(node->condition), [&] { emit(node->then_body); }, else_body);
    }
    case ir::StmtKind::For:
      return emit(*s.as<ir::For>());
    case ir::StmtKind::Axes:
      return emit(*s.as<ir::Axes>());
    case ir::StmtKind::Allocate:
      return emit(*s.as<ir::Allocate>());
    case ir::StmtKind::Store:
      return emit(*s.as<ir::Store>());
    case ir::StmtKind::Mma:
      return emit(*s.as<ir::Mma>());
    case ir::StmtKind::Check:
      return emit(*s.as<ir::Check>());
    case ir::StmtKind::IndexPlace:
      return emit(*s.as<ir::IndexPlace>());
    case ir::StmtKind::IndexSort:
      return emit(*s.as<ir::IndexSort>());
    case ir::StmtKind::Prefix:
      return emit(*s.as<ir::Prefix>());
    case ir::StmtKind::Stage:
      return emit(*s.as<ir::Stage>());
    case ir::StmtKind::Launch:
      throw InternalError("a kernel for a GPU reached the host back end: " +
                          s.as<ir::Launch>()->name);
    case ir::StmtKind::Barriers:
    case ir::StmtKind::Arrive:
    case ir::StmtKind::Wait:
    case ir::StmtKind::Copy:
    case ir::StmtKind::Commit:
    case ir::StmtKind::Drain:
    case ir::StmtKind::Sync:
    case ir::StmtKind::Fence:
    case ir::StmtKind::Roles:
      throw InternalError("a statement of the staged level reached the host back end");
  }
}

void Generator::emit(const ir::Axes &s) {
  for (const ir::AxisBinding &axis : s.axes) {
    env_.axes[axis.var.get()] = {index(axis.extent), bound_of(axis)};
  }
  emit(s.body);
}

void Generator::emit(const ir::Store &s) {
  // A call has room for so many statistics; what does not fit is not recorded.
  std::int64_t slot = 0;
  if (s.storage == module_.statistics && is_const_int(s.indices.at(0), &slot) &&
      slot >= PIT_MAX_STAGES) {
    return;
  }
  if (packed_operands_.contains(s.storage.get())) return;
  TileNest(*this, s.axes, s.guards).store(s);
}

// Calls pit_report with the message's number and values.
void Generator::report(const ir::Check &s) {
  const std::size_t count = std::min<std::size_t>(s.values.size(), PIT_MAX_VALUES);
  auto *array = llvm::ArrayType::get(b.getInt64Ty(), PIT_MAX_VALUES);
  Value *values = local(array, "values");
  for (std::size_t i = 0; i < count; ++i) b.CreateStore(index(s.values[i]), field(values, 8 * i));
  const auto number = static_cast<std::uint32_t>(result_.messages.size() - 1);
  llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
  b.CreateCall(runtime("pit_report", b.getVoidTy(), {pointer, i32, i32, pointer, i32}),
               {env_.call, b.getInt32(PIT_ERROR_DATA), b.getInt32(number), values,
                b.getInt32(static_cast<std::uint32_t>(count))});
  if (!left_) return;
  b.CreateBr(left_);
  b.SetInsertPoint(
      llvm::BasicBlock::Create(context_, "unreached", b.GetInsertBlock()->getParent()));
}

// A fast loop finds whether any iteration fails; only then a second one finds the first that does.
void Generator::emit(const ir::Check &s) {
  result_.messages.push_back(s.message);
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

namespace {

// The argument of a storage that may be missing.
Value *pointer_or_null(llvm::IRBuilder<> &b, const StorageValue *v) {
  return v ? v->base : llvm::ConstantPointerNull::get(b.getPtrTy());
}

}  // namespace

void Generator::emit(const ir::IndexPlace &s) {
  llvm::Type *pointer = b.getPtrTy(), *word = b.getInt64Ty();
  const auto at = [&](const StoragePtr &p) {
    return pointer_or_null(b, p ? &storage(p) : nullptr);
  };
  std::vector<llvm::Type *> types{pointer, pointer, pointer, pointer, pointer};
  types.insert(types.end(), 5, word);
  types.insert(types.end(), 5, pointer);
  b.CreateCall(runtime("pit_index_place", word, types),
               {env_.call, b.CreateGlobalString(s.index_name), at(s.marks), at(s.mark_offsets),
                at(s.first), index(s.groups), s.length.defined() ? index(s.length) : i64(0),
                index(s.micro), i64(s.align), storage(s.coordinates).extents.at(0), at(s.offsets),
                at(s.counts), at(s.coordinates), at(s.position), at(s.full)});
}

void Generator::emit(const ir::IndexSort &s) {
  llvm::Type *pointer = b.getPtrTy(), *word = b.getInt64Ty();
  const auto at = [&](const StoragePtr &p) {
    return pointer_or_null(b, p ? &storage(p) : nullptr);
  };
  std::vector<llvm::Type *> types{pointer, pointer, pointer};
  types.insert(types.end(), 4, word);
  types.insert(types.end(), 4, pointer);
  b.CreateCall(runtime("pit_index_sort", word, types),
               {env_.call, b.CreateGlobalString(s.index_name), at(s.keys), index(s.length),
                index(s.groups), i64(s.align), storage(s.coordinates).extents.at(0), at(s.offsets),
                at(s.counts), at(s.coordinates), at(s.position)});
}

void Generator::emit(const ir::Prefix &s) {
  llvm::Type *pointer = b.getPtrTy();
  b.CreateCall(runtime("pit_prefix", b.getVoidTy(), {pointer, pointer, b.getInt64Ty()}),
               {storage(s.destination).base, storage(s.source).base, index(s.length)});
}

void Generator::emit(const ir::Stage &s) {
  const std::size_t number = result_.stages.size();
  result_.stages.emplace_back(s.name, s.stage_kind);
  llvm::Type *i32 = b.getInt32Ty(), *i64_type = b.getInt64Ty();
  when(b.CreateICmpEQ(status(), b.getInt32(PIT_OK)), [&] {
    if (number >= PIT_MAX_STAGES) return emit(s.body);
    const auto clock = runtime("pit_nanoseconds", i64_type, {});
    Value *timed = b.CreateICmpNE(b.CreateLoad(i32, field(env_.call, offsetof(pit_call, profile))),
                                  b.getInt32(0));
    llvm::AllocaInst *start = local(i64_type, "start");
    b.CreateStore(i64(0), start);
    when(timed, [&] { b.CreateStore(b.CreateCall(clock), start); });
    emit(s.body);
    when(timed, [&] {
      Value *at = field(env_.call, offsetof(pit_call, stage_nanoseconds) + 8 * number);
      Value *elapsed = b.CreateSub(b.CreateCall(clock), b.CreateLoad(i64_type, start));
      b.CreateStore(b.CreateAdd(b.CreateLoad(i64_type, at), elapsed), at);
    });
  });
}

}  // namespace pit::host
