#include "generate.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/TargetParser/Host.h>

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/profile.h"
#include "codegen/llvm/entry_emitter.h"
#include "dsl/error.h"
#include "kernel_emitter.h"
#include "runtime/pit_cuda.h"

namespace pit::cuda {

namespace {

using llvm::Value;

/// The kernel that is launched before all others in every call, or null when that is not known.
const ir::Launch *first_launch(const ir::Stmt &s) {
  if (!s.defined()) return nullptr;
  if (const auto *launch = s.as<ir::Launch>()) return launch;
  if (const auto *stage = s.as<ir::Stage>()) return first_launch(stage->body);
  if (const auto *let = s.as<ir::Let>()) return first_launch(let->body);
  if (const auto *allocate = s.as<ir::Allocate>()) return first_launch(allocate->body);
  const auto *block = s.as<ir::Block>();
  for (const ir::Stmt &part : block ? block->stmts : std::vector<ir::Stmt>{}) {
    bool launches = false;
    ir::walk_statements(part, [&](const ir::Stmt &inner) {
      return !(launches = launches || inner.as<ir::Launch>());
    });
    if (launches) return first_launch(part);
  }
  return nullptr;
}

// The workspace that blocks share out: its parts are aligned so.
constexpr std::int64_t kPartAlignment = kAlignment;

// Blocks that take the places of another kernel's as these end come to them in any order. Then
// neighbouring points, which share operands, are worked on by distant multiprocessors, whose reads
// of the cache are not joined. A kernel of more turns than this begins when the one before it has
// ended: it loses a microsecond, and its blocks lie side by side.
constexpr std::int64_t kShortTurns = 32;

class Launcher final : public code::EntryEmitter {
 public:
  Launcher(const ir::Module &module, const Device &device, const code::Variant &variant,
           GeneratedModules &result)
      : EntryEmitter(module, variant, &result.entry, *result.host, {}),
        device_(device),
        result_(result) {}

  void emit_module() {
    image_ =
        new llvm::GlobalVariable(llvm_, b.getInt8Ty(), false, llvm::GlobalValue::ExternalLinkage,
                                 nullptr, result_.image_symbol);
    ir::walk_statements(module_.body, [&](const ir::Stmt &s) {
      if (const auto *launch = s.as<ir::Launch>()) reports_ = reports_ || has_checks(*launch);
      return true;
    });
    const ir::Launch *first = first_launch(module_.body);
    if (reports_ && first && may_clear_status(*first)) clears_status_ = first;
    for (const StoragePtr &s : module_.outputs) written_.insert(s.get());
    if (variant_.outputs_overlap_inputs) {
      for (const StoragePtr &s : module_.inputs) written_.insert(s.get());
    }
    emit_entry(llvm::Function::Create(entry_type(context_), llvm::Function::ExternalLinkage,
                                      entry_.symbol, llvm_));
  }

 private:
  using EntryEmitter::emit;

  void emit_body() override {
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
    auto begin = runtime("pit_cuda_begin", i32, {pointer, pointer, i32});
    const std::uint32_t needs_status = !reports_ ? 0 : clears_status_ == nullptr ? 1 : 2;
    Value *begun = b.CreateCall(begin, {call_, image_, b.getInt32(needs_status)});
    when(b.CreateICmpEQ(begun, b.getInt32(PIT_OK)), [&] {
      status_ = b.CreateLoad(pointer, field(call_, offsetof(pit_call, device_status)), "status");
      with_statistics([&] { EntryEmitter::emit(module_.body); });
      b.CreateCall(runtime("pit_cuda_end", b.getVoidTy(), {pointer}), {call_});
    });
  }

  static bool has_checks(const ir::Launch &launch) {
    bool found = false;
    ir::walk_statements(launch.body, [&](const ir::Stmt &part) {
      return !(found = found || part.as<ir::Check>() != nullptr);
    });
    return found;
  }

  Value *is_profiled() {
    return b.CreateICmpNE(b.CreateLoad(b.getInt32Ty(), field(call_, offsetof(pit_call, profile))),
                          b.getInt32(0));
  }

  // Kernels write statistics into memory of the device, and only when somebody wants them.
  void with_statistics(const Body &body) {
    if (!module_.statistics) return body();
    llvm::Type *pointer = b.getPtrTy();
    const std::size_t bytes =
        sizeof(double) * std::min<std::size_t>(module_.statistic_names.size(), PIT_MAX_STAGES);
    Value *host = env_.storages.at(module_.statistics.get()).base;
    llvm::AllocaInst *place = local(pointer, "statistics");
    b.CreateStore(llvm::ConstantPointerNull::get(b.getPtrTy()), place);
    when(is_profiled(), [&] {
      Value *memory = workspace(i64(static_cast<std::int64_t>(bytes)));
      b.CreateStore(memory, place);
      when(b.CreateIsNotNull(memory), [&] { copy(memory, host, bytes); });
    });
    Value *memory = b.CreateLoad(pointer, place);
    env_.storages.at(module_.statistics.get()).base = memory;
    statistics_ = memory;
    body();
    when(b.CreateIsNotNull(memory), [&] {
      copy(host, memory, bytes);
      release(memory);
    });
  }

  void copy(Value *to, Value *from, std::size_t bytes) {
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty(), *word = b.getInt64Ty();
    Value *device = b.CreateLoad(i32, field(call_, offsetof(pit_call, device)));
    Value *stream = b.CreateLoad(pointer, field(call_, offsetof(pit_call, stream)));
    b.CreateCall(runtime("pit_cuda_copy", i32, {i32, pointer, pointer, pointer, word}),
                 {device, stream, to, from, i64(static_cast<std::int64_t>(bytes))});
  }

  void emit_timed(std::size_t stage, const Body &body) override {
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
    stage_ = stage;
    const auto mark = [&](const char *name) {
      b.CreateCall(runtime(name, b.getVoidTy(), {pointer, i32}),
                   {call_, b.getInt32(static_cast<std::uint32_t>(stage))});
    };
    mark("pit_cuda_stage_begin");
    body();
    mark("pit_cuda_stage_end");
  }

  Value *workspace(Value *bytes) {
    llvm::Type *pointer = b.getPtrTy();
    return b.CreateCall(runtime("pit_cuda_workspace", pointer, {pointer, b.getInt64Ty()}),
                        {call_, bytes}, "workspace");
  }

  void release(Value *memory) {
    llvm::Type *pointer = b.getPtrTy();
    b.CreateCall(runtime("pit_cuda_workspace_release", b.getVoidTy(), {pointer, pointer}),
                 {call_, memory});
  }

  void emit(const ir::Allocate &s) override {
    std::vector<Value *> extents;
    for (const Expr &e : s.extents) extents.push_back(not_negative(index(e)));
    code::StorageValue v = compact(s.storage->type, std::move(extents));
    v.base = workspace(bytes_of(v));
    when(b.CreateIsNotNull(v.base), [&] {
      env_.storages[s.storage.get()] = v;
      emit(s.body);
      release(v.base);
    });
  }

  bool stores_statistics(const ir::Launch &s) const {
    bool found = false;
    ir::walk_statements(s.body, [&](const ir::Stmt &part) {
      const auto *store = part.as<ir::Store>();
      found = found || (store && store->storage == module_.statistics);
      return !found;
    });
    return found;
  }

  /// Its blocks neither say nor ask what the status is. (Those of the staged level are as many as
  /// points, perhaps none.)
  bool may_clear_status(const ir::Launch &s) const {
    bool other = has_checks(s) || stores_statistics(s) || ir::is_staged(s.body);
    ir::walk_statements(s.body, [&](const ir::Stmt &part) {
      other = other || part.as<ir::SumBefore>();
      return !other;
    });
    return !other;
  }

  void emit(const ir::Launch &s) override {
    if (!stores_statistics(s)) return launch(s);
    when(b.CreateIsNotNull(statistics_), [&] { launch(s); });
  }

  void launch(const ir::Launch &s) {
    const Placement placement = place_memory(s, device_.shared_bytes);
    const auto number = static_cast<std::uint32_t>(result_.kernels.size());
    result_.kernels.push_back(kernel_name(s));
    if (s.resident) {
      std::int64_t blocks = 1;
      if (s.cluster.var) is_const_int(s.cluster.extent, &blocks);
      env_.variables[s.resident.get()] = b.CreateBinaryIntrinsic(
          llvm::Intrinsic::smax, b.CreateUDiv(resident_blocks(s, placement, number), i64(blocks)),
          i64(1), {}, s.resident->name);
    }
    begins_early_ = b.getInt1(waits_for_kernels(device_));
    if (s.resident && waits_for_kernels(device_)) {
      begins_early_ = b.CreateICmpSLE(
          most_points(s), b.CreateMul(env_.variables.at(s.resident.get()), i64(kShortTurns)));
    }
    KernelArguments arguments;
    arguments.environment = captured({s.body}, {});
    std::erase_if(arguments.environment.variables,
                  [](const auto &entry) { return entry.first->role == VarRole::Axis; });
    arguments.written = written_;
    arguments.profile = profile_of_stage();
    arguments.points = i64(1);
    for (const ir::GridAxis &axis : s.grid) {
      arguments.extents.push_back(not_negative(index(axis.extent)));
      arguments.points = b.CreateMul(arguments.points, arguments.extents.back());
    }
    const bool reports = has_checks(s);
    arguments.clears_status = &s == clears_status_;
    if (reports || failed_before_ || arguments.clears_status) arguments.status = status_;
    arguments.failed_before = failed_before_;
    failed_before_ = failed_before_ || reports;
    Value *bytes = i64(0);
    for (const ir::Allocate *allocate : placement.in_workspace) {
      arguments.offsets.push_back(bytes);
      bytes =
          b.CreateAnd(add_sizes(add_sizes(bytes, size_of(*allocate, s)), i64(kPartAlignment - 1)),
                      i64(-kPartAlignment));
    }
    describe_tensors(s, &arguments);
    const bool shares = inner_parallel_loop(s) != nullptr;
    if (placement.in_workspace.empty() && !shares) {
      Value *points = arguments.points;
      return start(s, placement, std::move(arguments), number, points);
    }
    Value *resident = resident_blocks(s, placement, number);
    if (shares) {
      // Enough blocks to fill the device twice, however few points there are.
      Value *points = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, arguments.points, i64(1));
      arguments.parts = b.CreateUDiv(
          b.CreateAdd(b.CreateMul(resident, i64(2)), b.CreateSub(points, i64(1))), points);
      arguments.parts =
          b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, arguments.parts, i64(1), {}, "parts");
      arguments.points = b.CreateMul(arguments.points, arguments.parts);
    }
    if (placement.in_workspace.empty()) {
      Value *points = arguments.points;
      return start(s, placement, std::move(arguments), number, points);
    }
    // Each block has a part of the workspace: no more blocks than run at once.
    Value *blocks = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, arguments.points, resident);
    arguments.workspace_bytes = bytes;
    arguments.workspace = workspace(multiply_sizes(bytes, blocks));
    Value *memory = arguments.workspace;
    when(b.CreateIsNotNull(memory), [&] {
      start(s, placement, std::move(arguments), number, blocks);
      release(memory);
    });
  }

  /// How many points a persistent kernel has at most, where their tiles are full and do not meet:
  /// how often what one stores fits into what is stored to. The number itself may be data.
  Value *most_points(const ir::Launch &s) {
    std::unordered_map<const VarNode *, std::int64_t> maxima;
    std::vector<const ir::Store *> stores;
    ir::walk_statements(s.body, [&](const ir::Stmt &part) {
      if (const auto *axes = part.as<ir::Axes>()) {
        for (const ir::AxisBinding &each : axes->axes) maxima[each.var.get()] = each.maximum;
      }
      const auto *store = part.as<ir::Store>();
      if (store && store->storage->space != Space::Tile) stores.push_back(store);
      return true;
    });
    Value *most = i64(0);
    for (const ir::Store *store : stores) {
      Value *elements = i64(1), *stored = i64(1);
      for (Value *extent : storage(store->storage).extents)
        elements = multiply_sizes(elements, not_negative(extent));
      for (const VarPtr &axis : store->axes)
        stored = multiply_sizes(stored, i64(std::max<std::int64_t>(maxima[axis.get()], 1)));
      most = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, most, b.CreateUDiv(elements, stored));
    }
    return most;
  }

  static std::int32_t cluster_of(const ir::Launch &s) {
    std::int64_t blocks = 0;
    if (s.cluster.var) is_const_int(s.cluster.extent, &blocks);
    return static_cast<std::int32_t>(blocks);
  }

  Value *resident_blocks(const ir::Launch &s, const Placement &placement, std::uint32_t number) {
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty(), *word = b.getInt64Ty();
    return b.CreateCall(
        runtime("pit_cuda_resident_blocks", word, {pointer, pointer, i32, i32, word, i32}),
        {call_, image_, b.getInt32(number), b.getInt32(static_cast<std::uint32_t>(s.threads)),
         i64(placement.shared_bytes), b.getInt32(static_cast<std::uint32_t>(cluster_of(s)))});
  }

  static int element_type(Type type) {
    if (type == bfloat16) return PIT_CUDA_BFLOAT16;
    if (type == float16) return PIT_CUDA_FLOAT16;
    if (type == float32) return PIT_CUDA_FLOAT32;
    const bool wide = type.bytes() == 4;
    internal_check(wide || type.bytes() == 2, "a bulk copy of elements that are not its");
    return wide ? PIT_CUDA_UINT32 : PIT_CUDA_UINT16;
  }

  /// Tensor maps for the kernel's bulk copies, or none when one of the tensors cannot have one.
  void describe_tensors(const ir::Launch &s, KernelArguments *arguments) {
    std::unordered_map<const StorageNode *, const ir::Allocate *> tiles;
    std::vector<const ir::Copy *> copies;
    ir::walk_statements(s.body, [&](const ir::Stmt &part) {
      if (const auto *allocate = part.as<ir::Allocate>()) tiles[allocate->storage.get()] = allocate;
      const auto *copy = part.as<ir::Copy>();
      if (copy && copy->engine == ir::CopyEngine::Bulk) copies.push_back(copy);
      return true;
    });
    if (copies.empty()) return;
    arguments->bulk = b.getTrue();
    std::vector<std::function<void()>> fill;
    for (const ir::Copy *copy : copies) {
      BulkBox box = bulk_box(*copy, *tiles.at(copy->storage.get()), std::max(cluster_of(s), 1));
      const auto &source = *copy->value.as<Load>();
      const code::StorageValue from = storage(source.storage);
      const std::int64_t element = source.storage->type.bytes();
      std::vector<Value *> extents, strides;
      const auto require = [&](Value *condition) {
        arguments->bulk = b.CreateAnd(arguments->bulk, condition);
      };
      require(b.getInt1(from.unit_dimension == static_cast<int>(box.sizes.size()) - 1));
      require(is_multiple(b.CreatePtrToInt(from.base, b.getInt64Ty())));
      constexpr std::int64_t kMostElements = std::int64_t{1} << 31,
                             kMostBytes = std::int64_t{1} << 40;
      for (std::size_t d = 0; d < box.sizes.size(); ++d) {
        extents.push_back(box.extents[d].defined() ? index(box.extents[d]) : from.extents[d]);
        strides.push_back(b.CreateMul(from.strides[d], i64(element)));
        require(b.CreateICmpSGT(extents[d], i64(0)));
        require(b.CreateICmpSLT(extents[d], i64(kMostElements)));
        if (d + 1 == box.sizes.size()) continue;
        // The stride of a single element is never used.
        Value *good = b.CreateAnd(is_multiple(strides[d]),
                                  b.CreateAnd(b.CreateICmpSGT(strides[d], i64(0)),
                                              b.CreateICmpSLT(strides[d], i64(kMostBytes))));
        require(b.CreateOr(good, b.CreateICmpEQ(extents[d], i64(1))));
      }
      constexpr unsigned kMapBytes = 128, kMapAlignment = 64;
      Value *map =
          local(llvm::ArrayType::get(b.getInt8Ty(), kMapBytes), "tensor.map", kMapAlignment);
      fill.push_back([this, box, map, extents, strides, from, type = source.storage->type] {
        fill_map(box, map, extents, strides, from.base, type);
      });
      arguments->maps.push_back({copy, std::move(box), map});
    }
    when(arguments->bulk, [&] {
      for (const auto &each : fill) each();
    });
  }

  Value *is_multiple(Value *bytes) {
    constexpr std::int64_t kBulkAlignment = 16;
    return b.CreateICmpEQ(b.CreateAnd(bytes, i64(kBulkAlignment - 1)), i64(0));
  }

  void fill_map(const BulkBox &box, Value *map, const std::vector<Value *> &extents,
                const std::vector<Value *> &strides, Value *base, Type type) {
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
    const auto list = [&](llvm::Type *element, const char *name, const auto &value_at) {
      auto *array = llvm::ArrayType::get(element, box.sizes.size());
      Value *place = local(array, name);
      for (unsigned d = 0; d < box.sizes.size(); ++d)
        b.CreateStore(value_at(d), b.CreateConstInBoundsGEP2_32(array, place, 0, d));
      return place;
    };
    Value *sizes = list(b.getInt64Ty(), "extents", [&](unsigned d) { return extents[d]; });
    Value *steps = list(b.getInt64Ty(), "strides", [&](unsigned d) { return strides[d]; });
    Value *boxes = list(i32, "box", [&](unsigned d) {
      return b.getInt32(static_cast<std::uint32_t>(box.sizes[d]));
    });
    b.CreateCall(runtime("pit_cuda_tensor_map", b.getVoidTy(),
                         {pointer, pointer, pointer, i32, i32, pointer, pointer, pointer, i32}),
                 {call_, map, base, b.getInt32(static_cast<std::uint32_t>(element_type(type))),
                  b.getInt32(static_cast<std::uint32_t>(box.sizes.size())), sizes, steps, boxes,
                  b.getInt32(static_cast<std::uint32_t>(box.swizzle))});
  }

  Value *size_of(const ir::Allocate &allocate, const ir::Launch &s) {
    std::vector<Value *> extents;
    for (const Expr &e : allocate.extents) {
      if (!evaluable(e)) {
        throw CompileError("kernel " + s.name + ": the size of '" + allocate.storage->name + "', " +
                               to_string(e) +
                               ", is known only on the device; bound() the loops it depends on",
                           {});
      }
      extents.push_back(not_negative(index(e)));
    }
    return bytes_of(compact(allocate.storage->type, std::move(extents)));
  }

  void start(const ir::Launch &s, const Placement &placement, KernelArguments arguments,
             std::uint32_t number, Value *blocks) {
    if (arguments.clears_status)
      blocks = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, blocks, i64(1));
    std::unordered_set<Value *> maps;
    for (const TensorMap &map : arguments.maps) maps.insert(map.map);
    KernelEmitter kernel(*result_.device, device_, &entry_.messages);
    const std::vector<Value *> given =
        kernel.emit_kernel(s, result_.kernels.at(number), placement, std::move(arguments));
    llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty(), *word = b.getInt64Ty();
    auto *list_type = llvm::ArrayType::get(pointer, std::max<std::size_t>(given.size(), 1));
    Value *list = local(list_type, "arguments");
    for (unsigned i = 0; i < given.size(); ++i) {
      Value *v = given[i];
      if (maps.contains(v)) {
        b.CreateStore(v, b.CreateConstInBoundsGEP2_32(list_type, list, 0, i));
        continue;
      }
      if (v->getType()->isIntegerTy(1)) v = b.CreateZExt(v, b.getInt8Ty());
      Value *place = local(v->getType(), "argument");
      b.CreateStore(v, place);
      b.CreateStore(place, b.CreateConstInBoundsGEP2_32(list_type, list, 0, i));
    }
    b.CreateCall(
        runtime("pit_cuda_launch", b.getVoidTy(),
                {pointer, pointer, i32, word, i32, word, i32, i32, pointer}),
        {call_, image_, b.getInt32(number), b.CreateMul(blocks, i64(std::max(cluster_of(s), 1))),
         b.getInt32(static_cast<std::uint32_t>(s.threads)), i64(placement.shared_bytes),
         b.getInt32(static_cast<std::uint32_t>(cluster_of(s))), b.CreateZExt(begins_early_, i32),
         list});
  }

  // Names of kernels are what profilers show.
  std::string kernel_name(const ir::Launch &s) const {
    std::string name = s.name;
    for (char &c : name) {
      if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    }
    name = entry_.symbol + "_" + name;
    while (std::ranges::find(result_.kernels, name) != result_.kernels.end()) name += "_";
    return name;
  }

  // Where the kernel adds what it is busy with; null: nobody asks.
  Value *profile_of_stage() {
    const int slot = ir::profile_slot(module_, entry_.stages.at(stage_).first);
    if (slot < 0 || slot + kKindsOfWork >= PIT_MAX_STAGES) return nullptr;
    Value *own = field(statistics_, sizeof(double) * static_cast<std::size_t>(slot));
    return b.CreateSelect(b.CreateIsNull(statistics_), statistics_, own);
  }

  const Device &device_;
  GeneratedModules &result_;
  std::size_t stage_ = 0;          // whose kernels are launched
  Value *begins_early_ = nullptr;  // whether the one that is launched may
  std::unordered_set<const StorageNode *> written_;
  llvm::GlobalVariable *image_ = nullptr;
  Value *status_ = nullptr, *statistics_ = nullptr;
  bool reports_ = false;                       // some kernel may
  bool failed_before_ = false;                 // a kernel before may have
  const ir::Launch *clears_status_ = nullptr;  // a kernel does; else the runtime
};

}  // namespace

GeneratedModules::GeneratedModules() : context(std::make_unique<llvm::LLVMContext>()) {}
GeneratedModules::GeneratedModules(GeneratedModules &&) noexcept = default;
GeneratedModules::~GeneratedModules() {
  host.reset();  // before their context
  device.reset();
}

GeneratedModules generate(const ir::Module &module, const Device &device,
                          const code::Variant &variant) {
  GeneratedModules result;
  result.entry.symbol = code::symbol_of(module);
  result.image_symbol = result.entry.symbol + "_image";
  result.host = std::make_unique<llvm::Module>(module.name, *result.context);
  result.host->setTargetTriple(llvm::Triple(llvm::sys::getProcessTriple()));
  result.device = std::make_unique<llvm::Module>(module.name + ".cuda", *result.context);
  result.device->setTargetTriple(llvm::Triple("nvptx64-nvidia-cuda"));
  constexpr unsigned kGlobal = 1;
  auto *number = llvm::Type::getInt64Ty(*result.context);
  new llvm::GlobalVariable(*result.device, number, false, llvm::GlobalValue::ExternalLinkage,
                           llvm::ConstantInt::get(number, 0), PIT_CUDA_IMAGE_VARIABLE, nullptr,
                           llvm::GlobalValue::NotThreadLocal, kGlobal, true);
  Launcher(module, device, variant, result).emit_module();
  return result;
}

}  // namespace pit::cuda
