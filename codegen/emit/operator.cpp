#include "operator.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>

#include "codegen/host/machine.h"
#include "codegen/host/parallel.h"
#include "codegen/ir/text.h"
#include "codegen/lower/dump.h"
#include "description.h"
#include "dsl/error.h"
#include "jit.h"
#include "runtime/operator.h"

namespace pit::emit {

namespace {

// The code of one module for one target: a function for each layout of tensors that was met.
class Code {
 public:
  Code(ir::Module module, Target target)
      : module_(std::move(module)),
        target_(std::move(target)),
        usual_(code::row_major_variant(module_)) {
    usual_code_ = find(usual_);
  }

  const JitFunction &usual() const { return *usual_code_; }

  std::shared_ptr<const JitFunction> find(const code::Variant &variant) const {
    const std::scoped_lock lock(mutex_);
    std::shared_ptr<const JitFunction> &function = functions_[variant];
    if (function) return function;
    if (target_.is_cuda()) {
      function = std::make_shared<const CudaFunction>(module_, cuda::device_of(target_), variant);
    } else {
      function = std::make_shared<const HostFunction>(module_, host::machine_of(target_), variant);
    }
    return function;
  }

 private:
  ir::Module module_;
  Target target_;
  code::Variant usual_;
  std::shared_ptr<const JitFunction> usual_code_;
  mutable std::mutex mutex_;
  mutable std::map<code::Variant, std::shared_ptr<const JitFunction>> functions_;
};

// The code made last in this process, by what it was made from.
class Cache {
 public:
  static Cache &instance() {
    static auto *cache =
        new Cache;  // NOLINT: never destroyed, as the linker that its code belongs to
    return *cache;
  }

  std::shared_ptr<const Code> find(const ir::Module &module, const Target &target) {
    // A dump is of code that is made, not of code that is there.
    if (lower::dump_wanted("llvm") || lower::dump_wanted("asm") || lower::dump_wanted("ptx"))
      return std::make_shared<const Code>(module, target);
    const std::string key = target.to_string() + "\n" + ir::print(module);
    {
      const std::scoped_lock lock(mutex_);
      if (const auto it = entries_.find(key); it != entries_.end()) {
        order_.splice(order_.begin(), order_, it->second);
        return it->second->second;
      }
    }
    auto code = std::make_shared<const Code>(module, target);
    const std::scoped_lock lock(mutex_);
    if (const auto it = entries_.find(key); it != entries_.end()) return it->second->second;
    order_.emplace_front(key, code);
    entries_[key] = order_.begin();
    if (order_.size() > kMost) {
      entries_.erase(order_.back().first);
      order_.pop_back();
    }
    return code;
  }

 private:
  static constexpr std::size_t kMost = 128;
  using Entry = std::pair<std::string, std::shared_ptr<const Code>>;
  std::mutex mutex_;
  std::list<Entry> order_;  // last used first
  std::map<std::string, std::list<Entry>::iterator> entries_;
};

class JitOperator final : public CompiledOperator {
 public:
  JitOperator(OperatorInfo info, std::shared_ptr<const Code> code, const ir::Module &module,
              const Target &target)
      : CompiledOperator(std::move(info)),
        code_(std::move(code)),
        inputs_(module.inputs.size()),
        missing_feature_(target.is_cuda() ? "" : host::missing_feature(target)),
        description_(this->info()) {
    const JitFunction &usual = code_->usual();
    description_.add(target, module, usual.description(), usual.entry());
  }

  void run(std::span<const DLTensor *const> tensors, std::span<const void *const> scalars,
           const Place &place, RunStatistics *statistics) const override {
    const pit_operator &op = description_.op();
    const std::int64_t start = statistics ? pit_nanoseconds() : 0;
    if (pit_operator_check(&op, info().on_cuda, tensors.data()) != PIT_OK ||
        (info().on_cuda && pit_check_places(&op, tensors.data(), place.stream) != PIT_OK)) {
      throw RuntimeError(pit_last_error());
    }
    if (statistics) statistics->check_us += static_cast<double>(pit_nanoseconds() - start) / 1000;
    if (!missing_feature_.empty()) {
      throw RuntimeError("operator " + name() + ": it was compiled for a CPU with " +
                         missing_feature_ +
                         ", which this CPU has not; compile for the target \"host\"");
    }
    std::shared_ptr<const JitFunction> other;
    const JitFunction *function = &code_->usual();
    if (!pit_is_row_major(&op, tensors.data())) {
      other = code_->find(variant_of(tensors));
      function = other.get();
    }
    pit_call call;
    pit_call_initialise(&call);
    call.parallel = host::tbb_parallel_for;
    call.device = place.device;
    call.stream = place.stream;
    call.profile = statistics != nullptr;
    if (pit_operator_run(&op, op.codes, function->entry(), &call, tensors.data(), scalars.data()) !=
        PIT_OK) {
      throw RuntimeError(pit_last_error());
    }
    if (statistics) add_statistics(call, op.codes[0], statistics);
  }

 private:
  // The dimension with stride 1; an extent of one or less makes any stride good.
  static int unit_dimension(const DLTensor &t) {
    const int last = t.ndim - 1;
    if (last < 0 || !t.strides || t.strides[last] == 1 || t.shape[last] <= 1) return last;
    for (int d = last; d-- > 0;) {
      if (t.strides[d] == 1) return d;
    }
    return -1;
  }

  static const char *begin(const DLTensor &t) {
    return static_cast<const char *>(t.data) + t.byte_offset;
  }

  // Outputs overlap inputs only whole: see Callable.
  bool overlap(std::span<const DLTensor *const> tensors) const {
    if (!info().elementwise) return false;
    for (std::size_t o = inputs_; o < tensors.size(); ++o) {
      for (std::size_t i = 0; i < inputs_; ++i) {
        if (begin(*tensors[o]) == begin(*tensors[i])) return true;
      }
    }
    return false;
  }

  code::Variant variant_of(std::span<const DLTensor *const> tensors) const {
    code::Variant variant;
    for (const DLTensor *t : tensors) variant.unit_dimension.push_back(unit_dimension(*t));
    variant.outputs_overlap_inputs = overlap(tensors);
    return variant;
  }

  static void add_statistics(const pit_call &call, const pit_code &code,
                             RunStatistics *statistics) {
    for (std::int32_t i = 0; i < code.stage_count && i < PIT_MAX_STAGES; ++i) {
      const double us = static_cast<double>(call.stage_nanoseconds[i]) / 1000;
      statistics->stages.emplace_back(code.stages[i].name, us);
      (code.stages[i].kind == PIT_STAGE_CHECK   ? statistics->check_us
       : code.stages[i].kind == PIT_STAGE_INDEX ? statistics->index_us
                                                : statistics->compute_us) += us;
    }
    for (std::int32_t i = 0; i < code.statistic_count && i < PIT_MAX_STAGES; ++i)
      statistics->statistics.emplace_back(code.statistics[i], call.statistics[i]);
    statistics->peak_workspace_bytes =
        std::max(statistics->peak_workspace_bytes, call.peak_workspace_bytes);
  }

  std::shared_ptr<const Code> code_;
  std::size_t inputs_;
  std::string missing_feature_;
  Description description_;
};

}  // namespace

std::shared_ptr<const CompiledOperator> make_operator(OperatorInfo info, const ir::Module &module,
                                                      const Target &target) {
  return std::make_shared<const JitOperator>(
      std::move(info), Cache::instance().find(module, target), module, target);
}

}  // namespace pit::emit
