// Emits a kernel: the statements of a Launch as the threads of a block execute them together.
//
// Between two barriers the threads run on their own. A statement with axes is shared out: each
// thread takes some of the iterations. What has no axes every thread computes, so that conditions
// and loops are the same for all; memory that it stores to is written by one thread alone, unless
// each has its own.
//   kernel_emitter.cpp  the kernel, loops, memory     block_statements.cpp  statements that are
//   shared out
#pragma once

#include <string>
#include <vector>

#include "codegen/llvm/function_emitter.h"
#include "device.h"
#include "hazards.h"
#include "placement.h"

namespace pit::cuda {

/// What a kernel is given. Values of `environment`, `extents`, `points` and `offsets` are those of
/// the kernel's caller; parameters of the kernel take the places of those that are no constants.
struct KernelArguments {
  code::Environment environment;
  std::vector<llvm::Value *> extents;  ///< of the grid
  llvm::Value *points = nullptr;       ///< of the grid, times the parts
  /// So many blocks share out the iterations of inner_parallel_loop(launch) at each point; null:
  /// one.
  llvm::Value *parts = nullptr;
  llvm::Value *status = nullptr;                    ///< two pit_device_status
  llvm::Value *workspace = nullptr;                 ///< null: none
  llvm::Value *workspace_bytes = nullptr;           ///< of a block
  std::vector<llvm::Value *> offsets;               ///< in it, of placement.in_workspace
  std::unordered_set<const StorageNode *> written;  ///< tensors that are not only read
};

/// The parallel loop inside a kernel that the host cannot count, and around which nothing is done
/// but to compute: several blocks may run the kernel for one point, each some of the loop's
/// iterations. Null when there is none.
const ir::For *inner_parallel_loop(const ir::Launch &launch);

class KernelEmitter final : public code::FunctionEmitter {
 public:
  /// `messages` are those of all Checks of the operator; new ones are added.
  KernelEmitter(llvm::Module &module, const Device &device, std::vector<std::string> *messages);

  /// Emits the kernel `name`. Returns the values of its parameters in its caller, in their order.
  std::vector<llvm::Value *> emit_kernel(const ir::Launch &launch, const std::string &name,
                                         const Placement &placement, KernelArguments arguments);

 private:
  using FunctionEmitter::emit;
  void emit(const ir::Stmt &s) override;
  void emit(const ir::For &s) override;
  void emit(const ir::Allocate &s) override;
  void emit(const ir::Store &s) override;
  void emit(const ir::Check &s) override;
  void emit(const ir::Mma &s) override;
  void emit(const ir::Prefix &s) override;
  void describe_access(llvm::Instruction *access, const StorageNode *s) override;

  // kernel_emitter.cpp
  void return_after_failure();
  void for_each_point(const ir::Launch &launch);
  void barrier();
  Hazards::Accesses without_local(Hazards::Accesses accesses) const;
  /// A barrier if `next` needs one; then `next` is pending.
  void order(Hazards::Accesses next);
  bool is_local(const StoragePtr &s) const;
  void report(const ir::Check &s);

  // block_statements.cpp
  /// `body` for iterations first, first + step, ... of the axes, each of which has a value then;
  /// the last axis varies fastest.
  void share_out(const std::vector<VarPtr> &axes, llvm::Value *first, llvm::Value *step,
                 const Body &body);
  void reduce_by_block(const ir::Store &s);
  void reduce_by_warps(const ir::Store &s, const std::vector<VarPtr> &kept,
                       const std::vector<VarPtr> &reduced);
  /// The thread's share of a reduction into one element; `held`: whether there is any.
  llvm::Value *partial(const ir::Store &s, const std::vector<VarPtr> &reduced, llvm::Value *first,
                       llvm::Value *step, llvm::Value **held);
  llvm::Value *exchange(llvm::Value *v, int mask);
  llvm::Value *from_lane_below(llvm::Value *v, int distance);
  llvm::Value *combine_in_warp(const ir::Store &s, llvm::Value *v);
  llvm::Value *any_in_warp(llvm::Value *held);
  void update(const ir::Store &s, llvm::Value *v);
  /// A place of 8 bytes in shared memory for what warps tell each other.
  llvm::Value *scratch(llvm::Value *slot);

  const Device &device_;
  std::vector<std::string> &messages_;
  const Placement *placement_ = nullptr;
  KernelArguments arguments_;
  std::int64_t threads_ = 0;
  llvm::Value *thread_ = nullptr, *lane_ = nullptr, *warp_ = nullptr;  // i64
  const ir::For *shared_loop_ = nullptr;  ///< whose iterations blocks share out
  llvm::Value *part_ = nullptr;           ///< the block's share of them
  bool in_thread_ = false;                ///< inside a thread loop: statements are one thread's
  Hazards hazards_;
  bool shared_memory_used_ = false;  ///< by an Allocate before
  llvm::GlobalVariable *shared_ = nullptr, *scratch_ = nullptr;
};

}  // namespace pit::cuda
