#include <algorithm>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/conversions.h"
#include "dsl/error.h"
#include "generator.h"
#include "runtime/pit_call.h"

namespace pit::host {

namespace {

using llvm::Value;

// Vectors and register blocks may be read a little beyond the end of a tile; what is read there is
// not used.
constexpr std::int64_t kSlack = 512;
constexpr std::int64_t kCacheLine = 64;
// What one function keeps on the stack; the rest is a workspace.
constexpr std::int64_t kMostStack = 128 << 10;

}  // namespace

void Generator::describe_access(llvm::Instruction *access, const StorageNode *s) {
  const auto it = alias_scopes_.find(s);
  if (it == alias_scopes_.end()) return;
  access->setMetadata(llvm::LLVMContext::MD_alias_scope, it->second.own);
  access->setMetadata(llvm::LLVMContext::MD_noalias, it->second.others);
  if (!variant_.outputs_overlap_inputs && llvm::isa<llvm::LoadInst>(access) &&
      is_input_.contains(s)) {
    access->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
  }
}

// --- memory of Allocate ---

// An extent that is read from memory is zero once the call has failed: what would have written it,
// or said that it is there, may not have run.
llvm::Value *Generator::allocated_extent(const Expr &e) {
  bool loads = false;
  walk(e, [&](const Expr &part) {
    loads |= part.as<Load>() != nullptr;
    return !loads;
  });
  if (!loads) return not_negative(index(e));
  llvm::AllocaInst *extent = local(b.getInt64Ty(), "extent");
  b.CreateStore(i64(0), extent);
  when(b.CreateICmpEQ(status(), b.getInt32(PIT_OK)),
       [&] { b.CreateStore(not_negative(index(e)), extent); });
  return b.CreateLoad(b.getInt64Ty(), extent);
}

// Everything of the storage but its base.
StorageValue Generator::shape_of(const ir::Allocate &s) {
  std::vector<Value *> extents;
  for (const Expr &e : s.extents) extents.push_back(allocated_extent(e));
  return compact(s.storage->type, std::move(extents));
}

llvm::Value *Generator::bytes_of(const ir::Allocate &s) { return bytes_of(s, shape_of(s)); }

llvm::Value *Generator::bytes_of(const ir::Allocate &s, const StorageValue &v) {
  const std::int64_t slack = s.storage->space == Space::Tile ? kSlack : 0;
  return b.CreateAnd(add_sizes(code::FunctionEmitter::bytes_of(v), i64(slack + kCacheLine - 1)),
                     i64(-kCacheLine));
}

std::optional<std::int64_t> Generator::static_bytes_of(const ir::Allocate &s) {
  for (const Expr &e : s.extents) {
    std::int64_t extent = 0;
    if (!is_const_int(e, &extent)) return {};
  }
  // With constant extents the size is a constant, too.
  return llvm::cast<llvm::ConstantInt>(bytes_of(s))->getSExtValue();
}

// As pit_workspace takes them of given memory.
llvm::Value *Generator::size_of(const std::vector<WorkspacePart> &parts) {
  Value *all = i64(0);
  for (const WorkspacePart &part : parts) {
    std::vector<Value *> extents;
    for (const Expr &e : part.extents) extents.push_back(not_negative(index(e)));
    Value *bytes = i64(part.bytes);
    for (Value *extent : extents) bytes = multiply_sizes(bytes, extent);
    for (Value *extent : extents)
      bytes = b.CreateSelect(b.CreateICmpEQ(extent, i64(0)), i64(0), bytes);
    bytes = add_sizes(bytes, i64(part.more + PIT_WORKSPACE_ALIGNMENT + kCacheLine - 1));
    all = add_sizes(all, b.CreateAnd(bytes, i64(-kCacheLine)));
  }
  return all;
}

void Generator::emit_size() {
  const WorkspaceSize size = workspace_size(module_, kSlack, mma_plans_, packed_operands_);
  if (!size.unknown.empty()) {
    entry_.messages.push_back("the size of '" + size.unknown +
                              "', which is part of its workspace, is known only from the data; "
                              "call it without a workspace");
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
    b.CreateCall(runtime("pit_report", b.getVoidTy(), {pointer, i32, i32, pointer, i32}),
                 {call_, b.getInt32(PIT_ERROR_MEMORY),
                  b.getInt32(static_cast<std::uint32_t>(entry_.messages.size() - 1)),
                  llvm::ConstantPointerNull::get(b.getPtrTy()), b.getInt32(0)});
    return;
  }
  Value *by_thread = i64(0);
  for (const std::vector<WorkspacePart> &loop : size.loops)
    by_thread = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, by_thread, size_of(loop));
  b.CreateStore(size_of(size.outside), field(call_, offsetof(pit_call, needed)));
  b.CreateStore(by_thread, field(call_, offsetof(pit_call, needed_by_thread)));
}

void Generator::with_workspace(llvm::Value *bytes, const std::function<void(llvm::Value *)> &body) {
  llvm::Type *pointer = b.getPtrTy();
  auto reserve = runtime("pit_workspace", pointer, {pointer, b.getInt64Ty()});
  llvm::cast<llvm::Function>(reserve.getCallee())->setReturnDoesNotAlias();
  Value *memory = b.CreateCall(reserve, {call_, bytes}, "workspace");
  // Without memory the failure has been reported, and what needs it is left out.
  when(b.CreateIsNotNull(memory), [&] {
    b.CreateAlignmentAssumption(llvm_.getDataLayout(), memory, kCacheLine);
    body(memory);
    b.CreateCall(runtime("pit_workspace_release", b.getVoidTy(), {pointer, pointer}),
                 {call_, memory});
  });
}

void Generator::with_reservations(const ir::Stmt &statements, const Body &body) {
  struct Part {
    const ir::StmtNode *owner;
    Value *bytes;
  };
  std::vector<Part> parts;
  ir::walk_statements(statements, [&](const ir::Stmt &s) {
    if (reserved_.contains(s.get())) return true;
    if (const auto *loop = s.as<ir::For>()) {
      const bool parallel =
          loop->loop_kind == ir::ForKind::Parallel || loop->loop_kind == ir::ForKind::GpuBlock;
      return !(parallel && machine_.threads);
    }
    std::optional<std::int64_t> size;
    Value *bytes = nullptr;
    if (const auto *allocate = s.as<ir::Allocate>()) {
      if (packed_operands_.contains(allocate->storage.get())) return true;
      if (!std::ranges::all_of(allocate->extents, [&](const Expr &e) { return evaluable(e); }))
        return true;
      size = static_bytes_of(*allocate);
      bytes = size ? i64(*size) : bytes_of(*allocate);
    } else if (const auto *mma = s.as<ir::Mma>()) {
      const auto plan = mma_plans_.find(mma);
      if (plan == mma_plans_.end()) return true;
      size = plan->second.bytes();
      bytes = i64(*size);
    } else {
      return true;
    }
    if (size && *size <= kMostStack - stack_bytes_) {
      stack_bytes_ += *size;
      reserved_[s.get()] =
          local(llvm::ArrayType::get(b.getInt8Ty(), static_cast<std::uint64_t>(*size)), "reserved",
                kCacheLine);
    } else {
      parts.push_back({s.get(), bytes});
    }
    return true;
  });
  if (parts.empty()) return body();
  Value *total = i64(0);
  for (const Part &part : parts) total = add_sizes(total, part.bytes);
  with_workspace(total, [&](Value *memory) {
    for (const Part &part : parts) {
      reserved_[part.owner] = memory;
      memory = b.CreateInBoundsGEP(b.getInt8Ty(), memory, part.bytes);
    }
    body();
  });
  // The memory is gone; a statement that comes again must not find it.
  for (const Part &part : parts) reserved_.erase(part.owner);
}

void Generator::emit(const ir::Allocate &s) {
  if (packed_operands_.contains(s.storage.get())) return emit(s.body);
  StorageValue v = shape_of(s);
  const auto run = [&](Value *base) {
    v.base = base;
    env_.storages[s.storage.get()] = v;
    emit(s.body);
  };
  if (const auto it = reserved_.find(&s); it != reserved_.end()) return run(it->second);
  with_workspace(bytes_of(s, v), run);
}

}  // namespace pit::host
