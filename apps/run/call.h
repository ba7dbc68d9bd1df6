// An operator with the arguments of a call.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "options.h"

namespace pit::run {

/// Owns the arguments: on the host, and on a device copies of them.
class Call {
 public:
  /// Reads or makes up the inputs; outputs are zero. program::UsageError for options that fit no
  /// argument, and for shapes that nothing gives; std::runtime_error for files and devices.
  Call(const pit_operator &op, const Options &options);
  ~Call();
  Call(const Call &) = delete;
  Call &operator=(const Call &) = delete;

  /// Calls the operator; std::runtime_error has its message. On a device the kernels are then in
  /// the stream, unless `statistics` are wanted.
  void run(pit_statistics *statistics = nullptr);
  /// Waits for a device and tells what kernels found wrong with the data, as std::runtime_error.
  void finish();
  /// Brings outputs to the host.
  void fetch();

  /// An output, after fetch().
  const Array &output(const std::string &name) const;
  /// "A=100x70 B=70x50", in the order of the arguments.
  std::string shapes() const;
  const pit_operator &op() const { return op_; }
  /// The code that this machine and the device run.
  const pit_code &code() const;
  /// Bytes of the workspace that it is called with; 0: none.
  std::int64_t workspace_bytes() const { return workspace_bytes_; }

 private:
  struct Argument;
  const pit_operator &op_;
  DLDevice device_{kDLCPU, 0};
  std::vector<std::unique_ptr<Argument>> arguments_;
  std::vector<const DLTensor *> tensors_;
  std::vector<const void *> scalars_;
  pit_options options_{};
  std::int64_t workspace_bytes_ = 0;
  void *device_workspace_ = nullptr;
  std::vector<std::byte> host_workspace_;

  void prepare_workspace();
};

}  // namespace pit::run
