#include "operator.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>

#include "codegen/host/machine.h"
#include "codegen/host/parallel.h"
#include "codegen/ir/text.h"
#include "codegen/lower/dump.h"
#include "dsl/error.h"
#include "jit.h"
#include "written_outputs.h"

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

std::string with_values(const std::string &message, const std::int64_t *values) {
  std::string text;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const bool value = message[i] == '{' && i + 2 < message.size() && message[i + 1] >= '0' &&
                       message[i + 1] < '0' + PIT_MAX_VALUES && message[i + 2] == '}';
    if (value) {
      text += std::to_string(values[message[i + 1] - '0']);
      i += 2;
    } else {
      text += message[i];
    }
  }
  return text;
}

// The message of the check that failed, with its places for values; empty when it was no check.
std::string check_message(const pit_call &call, const std::vector<std::string> &messages) {
  const bool check = call.check >= 0 && static_cast<std::size_t>(call.check) < messages.size();
  return check ? messages[static_cast<std::size_t>(call.check)] : "";
}

std::string message_of(const pit_call &call, const std::string &check) {
  const std::string index =
      call.index_name ? std::string("sparse index '") + call.index_name + "': " : "";
  switch (call.status) {
    case PIT_ERROR_CAPACITY:
      return with_values(index + "{0} entries are needed and the capacity is {1}", call.values);
    case PIT_ERROR_MEMORY:
      return with_values("no memory for a workspace of {0} bytes", call.values);
    default:
      break;
  }
  if (!check.empty()) return with_values(check, call.values);
  // To the sort -1 is no group: see ir::IndexSort.
  const std::int64_t key = call.values[0];
  const std::int64_t values[] = {key < 0 ? key + 1 : key, call.values[1], call.values[2]};
  return with_values(index +
                         "the key at position {1} is {0}, outside [0, {2}); exclude positions "
                         "of no group by a predicate, e.g. where(key >= 0)",
                     values);
}

class JitOperator final : public CompiledOperator {
 public:
  JitOperator(OperatorInfo info, std::shared_ptr<const Code> code, std::size_t inputs,
              std::string missing, WrittenOutputs written, std::vector<std::string> statistic_names)
      : CompiledOperator(std::move(info)),
        code_(std::move(code)),
        inputs_(inputs),
        missing_feature_(std::move(missing)),
        written_(std::move(written)),
        statistic_names_(std::move(statistic_names)) {}

  void run(std::span<const DLTensor *const> tensors, std::span<const void *const> scalars,
           const Place &place, RunStatistics *statistics) const override {
    if (!missing_feature_.empty()) {
      throw RuntimeError("operator " + name() + ": it was compiled for a CPU with " +
                         missing_feature_ +
                         ", which this CPU has not; compile for the target \"host\"");
    }
    std::shared_ptr<const JitFunction> other;
    const JitFunction *function = &code_->usual();
    if (!is_row_major(tensors)) {
      other = code_->find(variant_of(tensors));
      function = other.get();
    }
    pit_call call;
    pit_call_initialise(&call);
    call.parallel = host::tbb_parallel_for;
    call.device = place.device;
    call.stream = place.stream;
    call.profile = statistics != nullptr;
    if (!nothing_to_write(tensors) &&
        function->entry()(&call, tensors.data(), scalars.data()) != PIT_OK) {
      if (call.error) throw RuntimeError(call.error);
      const std::string check = check_message(call, function->messages());
      throw RuntimeError("operator " + name() + ": " + message_of(call, check) +
                         written_.text(call, check));
    }
    if (statistics) add_statistics(call, *function, statistics);
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

  // No output has an element: whatever is read on the way there need not exist.
  bool nothing_to_write(std::span<const DLTensor *const> tensors) const {
    return std::ranges::all_of(tensors.subspan(inputs_), [](const DLTensor *t) {
      return std::find(t->shape, t->shape + t->ndim, 0) != t->shape + t->ndim;
    });
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

  bool is_row_major(std::span<const DLTensor *const> tensors) const {
    for (const DLTensor *t : tensors) {
      if (unit_dimension(*t) != t->ndim - 1) return false;
    }
    return !overlap(tensors);
  }

  code::Variant variant_of(std::span<const DLTensor *const> tensors) const {
    code::Variant variant;
    for (const DLTensor *t : tensors) variant.unit_dimension.push_back(unit_dimension(*t));
    variant.outputs_overlap_inputs = overlap(tensors);
    return variant;
  }

  void add_statistics(const pit_call &call, const JitFunction &function,
                      RunStatistics *statistics) const {
    for (std::size_t i = 0; i < function.stages().size() && i < PIT_MAX_STAGES; ++i) {
      const auto &[stage, kind] = function.stages()[i];
      const double us = static_cast<double>(call.stage_nanoseconds[i]) / 1000;
      statistics->stages.emplace_back(stage, us);
      switch (kind) {
        case ir::StageKind::Check:
          statistics->check_us += us;
          break;
        case ir::StageKind::Index:
          statistics->index_us += us;
          break;
        case ir::StageKind::Compute:
          statistics->compute_us += us;
          break;
      }
    }
    for (std::size_t i = 0; i < statistic_names_.size() && i < PIT_MAX_STAGES; ++i) {
      statistics->statistics.emplace_back(statistic_names_[i], call.statistics[i]);
    }
    statistics->peak_workspace_bytes =
        std::max(statistics->peak_workspace_bytes, call.peak_workspace_bytes);
  }

  std::shared_ptr<const Code> code_;
  std::size_t inputs_;
  std::string missing_feature_;
  WrittenOutputs written_;
  std::vector<std::string> statistic_names_;
};

}  // namespace

std::shared_ptr<const CompiledOperator> make_operator(OperatorInfo info, const ir::Module &module,
                                                      const Target &target) {
  return std::make_shared<const JitOperator>(
      std::move(info), Cache::instance().find(module, target), module.inputs.size(),
      target.is_cuda() ? "" : host::missing_feature(target), WrittenOutputs(module),
      module.statistic_names);
}

}  // namespace pit::emit
