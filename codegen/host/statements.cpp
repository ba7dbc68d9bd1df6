#include <cstddef>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/conversions.h"
#include "codegen/llvm/tile_nest.h"
#include "dsl/error.h"
#include "generator.h"
#include "runtime/pit_call.h"

namespace pit::host {

using llvm::Value;

void Generator::emit(const ir::Store &s) {
  if (packed_operands_.contains(s.storage.get())) return;
  EntryEmitter::emit(s);
}

namespace {

// The argument of a storage that may be missing.
Value *pointer_or_null(llvm::IRBuilder<> &b, const StorageValue *v) {
  return v ? v->base : llvm::ConstantPointerNull::get(b.getPtrTy());
}

}  // namespace

// Entries ascend, whatever order is allowed.
void Generator::emit(const ir::IndexPlace &s) {
  internal_check(!s.spacing.defined(), "groups of " + s.index_name + " are spaced on a CPU");
  llvm::Type *pointer = b.getPtrTy(), *word = b.getInt64Ty();
  const auto at = [&](const StoragePtr &p) {
    return pointer_or_null(b, p ? &storage(p) : nullptr);
  };
  std::vector<llvm::Type *> types{pointer, pointer, pointer, pointer, pointer};
  types.insert(types.end(), 5, word);
  types.insert(types.end(), 5, pointer);
  b.CreateCall(runtime("pit_index_place", word, types),
               {call_, b.CreateGlobalString(s.index_name), at(s.marks), at(s.mark_offsets),
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
               {call_, b.CreateGlobalString(s.index_name), at(s.keys), index(s.length),
                index(s.groups), i64(s.align), storage(s.coordinates).extents.at(0), at(s.offsets),
                at(s.counts), at(s.coordinates), at(s.position)});
}

void Generator::emit(const ir::Prefix &s) {
  llvm::Type *pointer = b.getPtrTy();
  b.CreateCall(runtime("pit_prefix", b.getVoidTy(), {pointer, pointer, b.getInt64Ty()}),
               {storage(s.destination).base, storage(s.source).base, index(s.length)});
}

}  // namespace pit::host
