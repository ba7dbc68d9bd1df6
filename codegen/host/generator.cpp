#include "generator.h"

#include <llvm/IR/MDBuilder.h>

#include <cstddef>

#include "codegen/ir/mutator.h"
#include "conversions.h"
#include "runtime/pit_runtime.h"

namespace pit::host {

Generator::Generator(const ir::Module &module, const Machine &machine, const Variant &variant,
                     GeneratedModule &result)
    : module_(module),
      machine_(machine),
      variant_(variant),
      result_(result),
      context_(*result.context),
      llvm_(*result.module),
      b(*result.context) {}

llvm::Value *Generator::field(llvm::Value *structure, std::size_t offset) {
  return b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), structure, offset);
}

llvm::FunctionCallee Generator::runtime(const char *name, llvm::Type *result,
                                        std::vector<llvm::Type *> parameters) {
  auto callee = llvm_.getOrInsertFunction(name, llvm::FunctionType::get(result, parameters, false));
  llvm::cast<llvm::Function>(callee.getCallee())->setDoesNotThrow();
  return callee;
}

llvm::Function *Generator::make_function(llvm::FunctionType *type, const std::string &name,
                                         bool external) {
  return host::make_function(
      llvm_, machine_, type, name,
      external ? llvm::Function::ExternalLinkage : llvm::Function::InternalLinkage);
}

llvm::Function *Generator::kernel(const Kernel &kernel) {
  if (!llvm_.getFunction(kernel.name)) result_.kernels.push_back(kernel);
  return declare_kernel(llvm_, machine_, kernel);
}

// One scope a storage. Inputs are only read, so they may share memory with each other.
void Generator::make_alias_scopes() {
  std::vector<const StorageNode *> storages;
  for (const StoragePtr &s : module_.inputs) storages.push_back(s.get());
  for (const StoragePtr &s : module_.outputs) storages.push_back(s.get());
  const std::size_t tensors = storages.size();
  ir::walk_statements(module_.body, [&](const ir::Stmt &s) {
    if (const auto *allocate = s.as<ir::Allocate>()) storages.push_back(allocate->storage.get());
    if (const auto mma = mma_plans_.find(s.get()); mma != mma_plans_.end()) {
      const MmaPlan &plan = mma->second;
      for (const StoragePtr &packed : {plan.packed_left, plan.few_left, plan.buffer}) {
        if (packed) storages.push_back(packed.get());
      }
    }
    return true;
  });
  llvm::MDBuilder metadata(context_);
  llvm::MDNode *domain = metadata.createAnonymousAliasScopeDomain("storages");
  std::vector<llvm::MDNode *> scopes;
  for (const StorageNode *s : storages) {
    const bool shared =
        variant_.outputs_overlap_inputs && !scopes.empty() && scopes.size() < tensors;
    scopes.push_back(shared ? scopes.front() : metadata.createAnonymousAliasScope(domain, s->name));
  }
  for (std::size_t i = 0; i < storages.size(); ++i) {
    llvm::SmallVector<llvm::Metadata *, 16> others;
    for (llvm::MDNode *scope : scopes) {
      if (scope != scopes[i] && !llvm::is_contained(others, scope)) others.push_back(scope);
    }
    alias_scopes_[storages[i]] = {llvm::MDNode::get(context_, {scopes[i]}),
                                  llvm::MDNode::get(context_, others)};
  }
  for (const StoragePtr &s : module_.inputs) is_input_[s.get()] = true;
}

// Null strides mean compact and row-major.
StorageValue Generator::bind_tensor(llvm::Value *tensor, const StoragePtr &storage,
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

void Generator::emit_entry() {
  llvm::Type *pointer = b.getPtrTy();
  auto *function =
      make_function(llvm::FunctionType::get(b.getInt32Ty(), {pointer, pointer, pointer}, false),
                    result_.symbol, true);
  b.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function));
  env_.call = function->getArg(0);
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
    env_.parameters[p.get()] = from_memory(b, machine_, p->type, bits);
  }
  if (module_.statistics) {
    StorageValue v;
    v.type = float64;
    v.base = field(env_.call, offsetof(pit_call, statistics));
    v.extents = {i64(PIT_MAX_STAGES)};
    v.strides = {i64(1)};
    v.unit_dimension = 0;
    v.alignment = 8;
    env_.storages[module_.statistics.get()] = v;
  }
  emit(module_.body);
  b.CreateRet(status());
}

llvm::Value *Generator::status() {
  auto *status = b.CreateAlignedLoad(b.getInt32Ty(), field(env_.call, offsetof(pit_call, status)),
                                     llvm::Align(4));
  status->setAtomic(llvm::AtomicOrdering::Monotonic);
  return status;
}

void Generator::emit_module() {
  packed_operands_ = find_packed_operands(module_.body);
  mma_plans_ = plan_mmas(module_, machine_, variant_);
  make_alias_scopes();
  llvm::FastMathFlags flags;
  flags.setAllowContract(true);
  b.setFastMathFlags(flags);
  emit_entry();
}

GeneratedModule::GeneratedModule() : context(std::make_unique<llvm::LLVMContext>()) {}
GeneratedModule::GeneratedModule(GeneratedModule &&) noexcept = default;
GeneratedModule::~GeneratedModule() {
  module.reset();  // before its context
}

Variant row_major_variant(const ir::Module &module) {
  Variant variant;
  for (const StoragePtr &s : module.inputs) variant.unit_dimension.push_back(s->rank - 1);
  for (const StoragePtr &s : module.outputs) variant.unit_dimension.push_back(s->rank - 1);
  return variant;
}

GeneratedModule generate(const ir::Module &module, const Machine &machine, const Variant &variant) {
  GeneratedModule result;
  result.symbol = "pit_" + module.name;
  for (char &c : result.symbol) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  result.module = std::make_unique<llvm::Module>(module.name, *result.context);
  result.module->setTargetTriple(llvm::Triple(machine.triple));
  Generator(module, machine, variant, result).emit_module();
  return result;
}

}  // namespace pit::host
