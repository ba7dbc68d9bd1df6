#include "kernel_emitter.h"

#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>
#include <cstddef>

#include "ahead.h"
#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"
#include "codegen/llvm/tile_nest.h"
#include "dsl/error.h"
#include "runtime/pit_cuda.h"

namespace pit::cuda {

namespace {

using code::memory_type;
using llvm::Value;
using llvm::Intrinsic::ID;

constexpr unsigned kGlobal = 1, kShared = 3;  // address spaces

}  // namespace

KernelEmitter::KernelEmitter(llvm::Module &module, const Device &device,
                             std::vector<std::string> *messages)
    : FunctionEmitter(module, {true, true}, "__nv_", code::LoopStyle::Batched),
      device_(device),
      messages_(*messages) {
  env_.in_parallel = true;
}

const ir::For *inner_parallel_loop(const ir::Launch &launch) {
  ir::Stmt s = launch.body;
  while (s.defined()) {
    if (const auto *let = s.as<ir::Let>()) {
      s = let->body;
    } else if (const auto *axes = s.as<ir::Axes>()) {
      s = axes->body;
    } else if (const auto *branch = s.as<ir::If>(); branch && !branch->else_body.defined()) {
      s = branch->then_body;
    } else {
      const auto *loop = s.as<ir::For>();
      const bool parallel = loop && (loop->loop_kind == ir::ForKind::Parallel ||
                                     loop->loop_kind == ir::ForKind::GpuBlock);
      return parallel ? loop : nullptr;
    }
  }
  return nullptr;
}

// --- the kernel ---

std::vector<llvm::Value *> KernelEmitter::emit_kernel(const ir::Launch &launch,
                                                      const std::string &name,
                                                      const Placement &placement,
                                                      KernelArguments arguments) {
  placement_ = &placement;
  arguments_ = std::move(arguments);
  env_ = std::move(arguments_.environment);
  env_.in_parallel = true;
  threads_ = launch.threads;
  if (launch.cluster.var) is_const_int(launch.cluster.extent, &cluster_);
  shared_loop_ = arguments_.parts ? inner_parallel_loop(launch) : nullptr;
  staged_ = ir::is_staged(launch.body);
  ir::walk_statements(launch.body, [&](const ir::Stmt &s) {
    sums_ = sums_ || s.as<ir::SumBefore>() || s.as<ir::FetchAdd>();
    const auto *allocate = s.as<ir::Allocate>();
    if (allocate && allocate->placement.layout.is_fragment())
      fragment_allocates_[allocate->storage.get()] = allocate;
    return true;
  });
  // Every value that is no constant becomes a parameter.
  std::vector<Value **> places = code::values_of(&env_);
  const auto visit = [&](Value *&v) {
    if (v && !llvm::isa<llvm::Constant>(v)) places.push_back(&v);
  };
  for (Value *&v : arguments_.extents) visit(v);
  for (Value **v :
       {&arguments_.points, &arguments_.parts, &arguments_.status, &arguments_.workspace,
        &arguments_.workspace_bytes, &arguments_.bulk, &arguments_.profile}) {
    visit(*v);
  }
  for (Value *&v : arguments_.offsets) visit(v);
  std::unordered_set<Value *> maps;
  for (TensorMap &map : arguments_.maps) {
    visit(map.map);
    maps.insert(map.map);
  }
  std::vector<Value *> given;
  std::unordered_map<Value *, unsigned> number;
  std::vector<llvm::Type *> types;
  for (Value **place : places) {
    if (!number.emplace(*place, static_cast<unsigned>(given.size())).second) continue;
    given.push_back(*place);
    llvm::Type *type = (*place)->getType();
    if (type->isPointerTy() && !maps.contains(*place))
      type = llvm::PointerType::get(context_, kGlobal);
    types.push_back(type->isIntegerTy(1) ? b.getInt8Ty() : type);
  }
  auto *function = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), types, false),
                                          llvm::Function::ExternalLinkage, name, llvm_);
  function->setCallingConv(llvm::CallingConv::PTX_Kernel);
  function->addFnAttr("nvvm.maxntid", std::to_string(threads_));
  // Without it ptxas leaves the roles' numbers of registers out of account.
  if (staged_) function->addFnAttr("nvvm.minctasm", "1");
  // Blocks that wait for others, or for memory, want more blocks beside them than registers.
  if (sums_) {
    constexpr std::int64_t kBlocks = 4;
    const std::int64_t fit =
        device_.shared_bytes / std::max<std::int64_t>(placement.shared_bytes, 1);
    function->addFnAttr("nvvm.minctasm", std::to_string(std::clamp<std::int64_t>(fit, 1, kBlocks)));
  }
  function->setDoesNotThrow();
  constexpr std::uint64_t kMapBytes = 128, kMapAlignment = 64;
  for (unsigned i = 0; i < given.size(); ++i) {
    if (!maps.contains(given[i])) continue;
    llvm::AttrBuilder attributes(context_);
    attributes.addByValAttr(llvm::ArrayType::get(b.getInt8Ty(), kMapBytes));
    attributes.addAlignmentAttr(kMapAlignment);
    attributes.addAttribute("nvvm.grid_constant");
    function->addParamAttrs(i, attributes);
  }
  b.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function));
  std::vector<Value *> received;
  for (unsigned i = 0; i < given.size(); ++i) {
    function->getArg(i)->setName(given[i]->getName());
    Value *v = function->getArg(i);
    if (given[i]->getType()->isIntegerTy(1)) v = b.CreateTrunc(v, b.getInt1Ty());
    received.push_back(v);
  }
  for (Value **place : places) *place = received[number.at(*place)];
  // Elements lie at multiples of their size: the caller has seen to it.
  for (auto &[storage, v] : env_.storages) v.alignment = static_cast<unsigned>(v.type.bytes());
  const auto special = [&](ID id) {
    return b.CreateZExt(b.CreateIntrinsic(id, {}), b.getInt64Ty());
  };
  thread_ = special(llvm::Intrinsic::nvvm_read_ptx_sreg_tid_x);
  lane_ = b.CreateAnd(thread_, i64(31));
  warp_ = b.CreateLShr(thread_, i64(5));
  if (waits_for_kernels(device_)) {
    assembly("griddepcontrol.launch_dependents;", "");
    ahead_ = arguments_.failed_before && !arguments_.workspace && !arguments_.clears_status &&
             may_run_ahead(launch, arguments_.written);
    if (ahead_) {
      // The role that stores waits: see learn_status.
    } else if (arguments_.failed_before || arguments_.workspace || arguments_.clears_status) {
      // Memory of blocks may have been another kernel's.
      wait_for_kernels();
    } else {
      first_after_kernels_ = first_after_kernels(launch.body);
    }
  }
  if (arguments_.clears_status)
    clear_status();
  else if (!ahead_)
    return_after_failure();
  if (!staged_) arguments_.profile = nullptr;
  begin_profile();
  {
    const Memo memo(*this, true);
    for_each_point(launch);
  }
  end_profile(true);
  b.CreateRetVoid();
  return given;
}

// Kernels before it on the stream are done, and it reports nothing itself.
void KernelEmitter::clear_status() {
  Value *block = b.CreateZExt(b.CreateIntrinsic(llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x, {}),
                              b.getInt64Ty());
  when(b.CreateICmpEQ(b.CreateOr(block, thread_), i64(0)),
       [&] { b.CreateAlignedStore(b.getInt32(PIT_OK), arguments_.status, llvm::Align(4)); });
}

bool waits_for_kernels(const Device &device) { return device.architecture >= 90; }

// Until kernels before it have ended, and what they stored can be seen.
void KernelEmitter::wait_for_kernels() { assembly("griddepcontrol.wait;", ""); }

// The first statement that accesses what another kernel of the call may access too, tensors that
// are only read apart; null: there is none.
const ir::StmtNode *KernelEmitter::first_after_kernels(const ir::Stmt &s) const {
  const auto meets = [&](const ir::Accesses &accesses) {
    const auto shared = [](const StorageNode *storage) { return storage->space != Space::Tile; };
    return std::ranges::any_of(accesses.writes, shared) ||
           std::ranges::any_of(accesses.reads, [&](const StorageNode *storage) {
             return shared(storage) &&
                    (storage->space != Space::Tensor || arguments_.written.contains(storage));
           });
  };
  ir::Accesses all;
  all.add(s);
  bool sums = false;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    return !(sums = sums || part.as<ir::SumBefore>() || part.as<ir::Check>());
  });
  if (!sums && !meets(all)) return nullptr;
  if (const auto *block = s.as<ir::Block>()) {
    for (const ir::Stmt &part : block->stmts) {
      if (const ir::StmtNode *found = first_after_kernels(part)) return found;
    }
  }
  ir::Stmt body;
  ir::Accesses own;
  if (const auto *let = s.as<ir::Let>()) {
    own.add(let->value);
    body = let->body;
  } else if (const auto *axes = s.as<ir::Axes>()) {
    for (const ir::AxisBinding &axis : axes->axes) own.add(axis.extent);
    body = axes->body;
  } else if (const auto *allocate = s.as<ir::Allocate>()) {
    for (const Expr &extent : allocate->extents) own.add(extent);
    body = allocate->body;
  } else if (const auto *barriers = s.as<ir::Barriers>()) {
    body = barriers->body;
  }
  return !body.defined() || meets(own) ? s.get() : first_after_kernels(body);
}

// All threads of a block leave or none does: others may report a failure meanwhile.
void KernelEmitter::return_after_failure() {
  if (!arguments_.failed_before) return;
  auto *status = b.CreateLoad(b.getInt32Ty(), arguments_.status, true);
  Value *failed = b.CreateICmpNE(status, b.getInt32(PIT_OK));
  Value *any = b.CreateIntrinsic(llvm::Intrinsic::nvvm_barrier_cta_red_or_aligned_all, {},
                                 {b.getInt32(0), failed});
  llvm::Function *function = b.GetInsertBlock()->getParent();
  auto *leave = llvm::BasicBlock::Create(context_, "failed", function);
  auto *go_on = llvm::BasicBlock::Create(context_, "go_on", function);
  b.CreateCondBr(any, leave, go_on);
  b.SetInsertPoint(leave);
  b.CreateRetVoid();
  b.SetInsertPoint(go_on);
}

// Of a kernel that runs ahead: once in each thread that stores, before the first store.
void KernelEmitter::learn_status() {
  if (!failed_) return;
  when(b.CreateNot(b.CreateLoad(b.getInt1Ty(), status_known_)), [&] {
    wait_for_kernels();
    auto *status = b.CreateLoad(b.getInt32Ty(), arguments_.status, true);
    b.CreateStore(b.CreateICmpNE(status, b.getInt32(PIT_OK)), failed_);
    b.CreateStore(b.getTrue(), status_known_);
  });
}

void KernelEmitter::for_each_point(const ir::Launch &launch) {
  const auto special = [&](ID id) {
    return b.CreateZExt(b.CreateIntrinsic(id, {}), b.getInt64Ty());
  };
  Value *block = special(llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x);
  const auto at_point = [&](Value *rest) {
    for (std::size_t d = launch.grid.size(); d-- > 0;) {
      Value *extent = arguments_.extents[d];
      env_.variables[launch.grid[d].var.get()] = d == 0 ? rest : b.CreateURem(rest, extent);
      if (d > 0) rest = b.CreateUDiv(rest, extent);
    }
    emit(launch.body);
  };
  if (staged_ && !arguments_.workspace) {
    // There are as many blocks as points: barriers are made once.
    if (launch.cluster.var) {
      block = b.CreateUDiv(block, i64(cluster_));
      env_.variables[launch.cluster.var.get()] =
          special(llvm::Intrinsic::nvvm_read_ptx_sreg_cluster_ctarank);
    }
    return at_point(block);
  }
  Value *blocks = special(llvm::Intrinsic::nvvm_read_ptx_sreg_nctaid_x);
  if (arguments_.workspace) {
    arguments_.workspace =
        b.CreateInBoundsGEP(b.getInt8Ty(), arguments_.workspace,
                            b.CreateMul(block, arguments_.workspace_bytes), "own.workspace");
  }
  loop(block, arguments_.points, blocks, "point", code::LoopStyle::NotVectorized,
       [&](Value *point) {
         Value *rest = point;
         if (arguments_.parts) {
           part_ = b.CreateURem(point, arguments_.parts, "part");
           rest = b.CreateUDiv(point, arguments_.parts);
         }
         at_point(rest);
       });
}

void KernelEmitter::barrier() {
  if (role_ == 0) {
    b.CreateIntrinsic(llvm::Intrinsic::nvvm_barrier_cta_sync_aligned_all, {}, {b.getInt32(0)});
  } else {
    b.CreateIntrinsic(llvm::Intrinsic::nvvm_barrier_cta_sync_aligned_count, {},
                      {b.getInt32(role_), b.getInt32(static_cast<std::uint32_t>(threads_))});
  }
}

bool KernelEmitter::is_local(const StoragePtr &s) const {
  return s->space == Space::Tile && s->rank == 0;
}

// --- statements around others ---

void KernelEmitter::emit(const ir::Stmt &s) {
  if (s.defined() && s.get() == first_after_kernels_) wait_for_kernels();
  if (!s.defined() || in_thread_) return FunctionEmitter::emit(s);
  if (emit_staged(s)) return;
  const auto *branch = s.as<ir::If>();
  if (!branch) return FunctionEmitter::emit(s);
  const Memo memo(*this, true);
  Tiles under_way = under_way_;
  follow_products(s, &under_way);
  const Tiles under_way_before = under_way_;
  const auto fresh = fresh_;
  auto fresh_after = fresh_;
  const auto side = [&](const ir::Stmt &body) {
    under_way_ = under_way_before;
    forget_zeros();
    fresh_ = fresh;
    emit(body);
    std::erase_if(fresh_after, [&](const StorageNode *tile) { return !fresh_.contains(tile); });
  };
  Body else_body;
  if (branch->else_body.defined()) else_body = [&] { side(branch->else_body); };
  when(value(branch->condition), [&] { side(branch->then_body); }, else_body);
  under_way_ = std::move(under_way);
  forget_zeros();
  fresh_ = std::move(fresh_after);
}

void KernelEmitter::emit(const ir::For &s) {
  if (in_thread_) return FunctionEmitter::emit(s);
  if (s.loop_kind == ir::ForKind::GpuThread) {
    Value *min = index(s.min);
    in_thread_ = true;
    loop(thread_, index(s.extent), i64(threads_), s.var->name, code::LoopStyle::Plain,
         [&](Value *i) {
           env_.variables[s.var.get()] = b.CreateNSWAdd(min, i, s.var->name);
           emit(s.body);
         });
    in_thread_ = false;
    return;
  }
  Value *min = index(s.min);
  if (staged_) {
    // A step begins with what the step before it left under way.
    follow_products(ir::make<ir::For>(s), &under_way_);
    const Tiles under_way = under_way_;
    prepare_copies(s);
    prepare_products(s);
    forget_zeros();
    fresh_.clear();
    loop(index(s.extent), s.var->name, code::LoopStyle::NotVectorized, [&](Value *i) {
      env_.variables[s.var.get()] = b.CreateNSWAdd(min, i, s.var->name);
      emit(s.body);
      advance_copies(s);
      start_products(s);
    });
    under_way_ = under_way;
    forget_zeros();
    return;
  }
  const bool shared = &s == shared_loop_;
  loop(shared ? part_ : i64(0), index(s.extent), shared ? arguments_.parts : i64(1), s.var->name,
       code::LoopStyle::NotVectorized, [&](Value *i) {
         env_.variables[s.var.get()] = b.CreateNSWAdd(min, i, s.var->name);
         emit(s.body);
       });
}

void KernelEmitter::emit(const ir::Allocate &s) {
  if (s.placement.layout.is_fragment()) {
    allocate_fragment(s);
    emit(s.body);
    fragments_.erase(s.storage.get());
    fresh_.erase(s.storage.get());
    return;
  }
  const Placement::Entry &entry = placement_->entries.at(&s);
  if (entry.place == Place::Lanes) {
    allocate_lane_tile(s);
    return emit(s.body);
  }
  std::vector<Value *> extents;
  for (const Expr &e : s.extents) extents.push_back(not_negative(index(e)));
  code::StorageValue v = compact(s.storage->type, std::move(extents));
  switch (entry.place) {
    case Place::Local: {
      const auto *bytes = llvm::dyn_cast<llvm::ConstantInt>(bytes_of(v));
      if (!bytes) {
        throw CompileError("the size of tile '" + s.storage->name +
                               "', a thread's own memory, is known only on the device; bound() its "
                               "extents, or compute it outside of gpu_threads",
                           {});
      }
      const std::uint64_t count =
          bytes->getZExtValue() / static_cast<std::uint64_t>(v.type.bytes());
      v.base = local(
          llvm::ArrayType::get(memory_type(context_, v.type), std::max<std::uint64_t>(count, 1)),
          s.storage->name.c_str());
      break;
    }
    case Place::Shared:
      v.base = field(shared_memory(), static_cast<std::size_t>(entry.offset));
      if (s.placement.memory == ir::Memory::Shared) {
        SharedTile &tile =
            tiles_[s.storage.get()] = {s.placement.layout, {}, entry.offset, s.placement.buffered};
        for (const Expr &e : s.extents) is_const_int(e, &tile.extents.emplace_back());
        if (s.placement.buffered) tile.extents.erase(tile.extents.begin());
      } else if (staged_ && s.storage->rank == 1) {
        lists_.insert(s.storage.get());
      }
      break;
    case Place::Fragment:
    case Place::Lanes:
      break;
    case Place::Workspace: {
      const auto at =
          std::ranges::find(placement_->in_workspace, &s) - placement_->in_workspace.begin();
      v.base = b.CreateInBoundsGEP(b.getInt8Ty(), arguments_.workspace,
                                   arguments_.offsets.at(static_cast<std::size_t>(at)));
      break;
    }
  }
  env_.storages[s.storage.get()] = v;
  emit(s.body);
  // Its memory is another tile's then, or nobody's.
  if (added_.erase(s.storage.get()) > 0) assembly("cp.async.bulk.wait_group.read 0;", "");
}

llvm::GlobalVariable *KernelEmitter::shared_memory() {
  if (!shared_) {
    shared_ = new llvm::GlobalVariable(llvm_, llvm::ArrayType::get(b.getInt8Ty(), 0), false,
                                       llvm::GlobalValue::ExternalLinkage, nullptr, "pit_shared",
                                       nullptr, llvm::GlobalValue::NotThreadLocal, kShared);
    shared_->setAlignment(llvm::Align(kSwizzleAlignment));
  }
  return shared_;
}

void KernelEmitter::describe_access(llvm::Instruction *access, const StorageNode *s) {
  // Nobody writes the inputs while the operator runs.
  if (s->space != Space::Tensor || !llvm::isa<llvm::LoadInst>(access)) return;
  if (arguments_.written.contains(s)) return;
  access->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
}

// --- checks ---

void KernelEmitter::emit(const ir::Check &s) {
  messages_.push_back(s.message);
  const Body test = [&] {
    code::TileNest(*this, in_thread_ ? s.axes : std::vector<VarPtr>{}, s.guards).run([&] {
      when(b.CreateNot(value(s.condition)), [&] { report(s); });
    });
  };
  if (in_thread_) return test();
  if (s.axes.empty()) return when(b.CreateICmpEQ(thread_, i64(0)), test);
  share_out(s.axes, thread_, i64(threads_), test);
}

// See pit_device_status.
void KernelEmitter::report(const ir::Check &s) {
  const auto number = static_cast<std::uint32_t>(messages_.size() - 1);
  std::vector<Value *> values;
  for (std::size_t i = 0; i < s.values.size() && i < PIT_MAX_VALUES; ++i)
    values.push_back(index(s.values[i]));
  const auto is_first = [&](Value *status) {
    auto *exchange = b.CreateAtomicCmpXchg(status, b.getInt32(PIT_OK), b.getInt32(PIT_ERROR_DATA),
                                           llvm::Align(4), llvm::AtomicOrdering::Monotonic,
                                           llvm::AtomicOrdering::Monotonic);
    return b.CreateExtractValue(exchange, 1);
  };
  when(is_first(arguments_.status), [&] {
    Value *record = field(arguments_.status, sizeof(pit_device_status));
    when(is_first(record), [&] {
      b.CreateStore(b.getInt32(number), field(record, offsetof(pit_device_status, check)));
      b.CreateStore(b.getInt32(0xffffffffU), field(record, offsetof(pit_device_status, index)));
      for (std::size_t i = 0; i < values.size(); ++i)
        b.CreateStore(values[i], field(record, offsetof(pit_device_status, values) + 8 * i));
      llvm::GlobalVariable *image = llvm_.getNamedGlobal(PIT_CUDA_IMAGE_VARIABLE);
      b.CreateStore(b.CreateLoad(b.getInt64Ty(), image, true),
                    field(record, offsetof(pit_device_status, image)));
    });
  });
}

}  // namespace pit::cuda
