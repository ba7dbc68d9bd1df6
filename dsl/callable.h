// Compiled operators as callable values: what a call is checked for, and what a run tells about
// itself.
//
// A call whose argument types are known to the compiler can be checked by it: see typed_callable.h.
#pragma once

#include <dlpack/dlpack.h>

#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "buffer.h"
#include "pipeline.h"
#include "run_statistics.h"

namespace pit {

/// What the compiler says of an operator.
struct OperatorInfo {
  std::string name;
  std::vector<Argument> signature;  ///< in the order of a call
  /// Every output element depends only on the input elements at its own coordinate, which are read
  /// before it is written: an output may then be an input, whole.
  bool elementwise = false;
  bool on_cuda = false;  ///< tensors are in the memory of a CUDA device, else in the host's
};

/// Where a call runs.
struct Place {
  int device = -1;         ///< the number of a CUDA device; -1: the host
  void *stream = nullptr;  ///< a CUstream of the device; null: the legacy default stream
};

/// A compiled pipeline. Immutable: `run` may be called from several threads at once.
class CompiledOperator {
 public:
  explicit CompiledOperator(OperatorInfo info) : info_(std::move(info)) {}
  virtual ~CompiledOperator() = default;
  CompiledOperator(const CompiledOperator &) = delete;
  CompiledOperator &operator=(const CompiledOperator &) = delete;

  const std::string &name() const { return info_.name; }
  const std::vector<Argument> &signature() const { return info_.signature; }
  const OperatorInfo &info() const { return info_; }

  /// Checks the tensors as Callable says, and runs. Tensors and scalars come in the order of the
  /// signature, as many as it has, scalars of its types; strides may be null and byte_offset
  /// non-zero. `statistics` may be null; run adds its own parts to it.
  virtual void run(std::span<const DLTensor *const> tensors, std::span<const void *const> scalars,
                   const Place &place, RunStatistics *statistics) const = 0;

 private:
  OperatorInfo info_;
};

/// One argument of a call: a tensor, which is referred to, or a scalar, which is copied.
class CallArgument {
 public:
  CallArgument(const AnyBuffer &buffer)
      : tensor_(buffer.dl_tensor()), is_tensor_(true) {}  // NOLINT: an argument
  CallArgument(const DLTensor &tensor) : tensor_(tensor), is_tensor_(true) {}  // NOLINT
  CallArgument(const DLTensor *tensor)                                         // NOLINT
      : tensor_(tensor != nullptr ? *tensor : DLTensor{}), is_tensor_(true) {}
  template <class T>
    requires(std::is_arithmetic_v<T> || std::same_as<T, float16_t> || std::same_as<T, bfloat16_t>)
  CallArgument(T scalar) : type_(type_of<T>()) {  // NOLINT
    std::memcpy(scalar_, &scalar, sizeof(T));
  }

  const DLTensor *tensor() const { return is_tensor_ ? &tensor_ : nullptr; }
  const void *scalar() const { return scalar_; }
  Type scalar_type() const { return type_; }

 private:
  DLTensor tensor_{};
  alignas(8) unsigned char scalar_[8]{};
  Type type_{};
  bool is_tensor_ = false;
};

template <class... Signature>
class TypedCallable;

/// A compiled operator as a value. Copies share the compiled code. Defined when it comes from
/// Pipeline::compile.
///
/// `f(a, b, bias, out)`: buffers (or DLPack tensors) and scalars in the order of signature().
/// Checked at each call, before anything is written: the number of arguments; of every tensor its
/// element type (exactly), rank, extents (not negative), device (the host, or for a CUDA target one
/// CUDA device for all), data (null only if empty), declared strides and alignment; of every scalar
/// its type (exactly); that no two elements of an output are one, and that no output overlaps
/// another argument, except an elementwise operator's output that is an input whole. What relates
/// extents of different tensors, and the data itself, is checked by the operator.
///
/// With no alignment declared any data pointer is accepted: generated code then assumes no
/// alignment, not even that of the element.
///
/// A call of an operator for CUDA returns when its kernels are in the stream. What they find wrong
/// with the data (a key out of range, an index that does not fit) check(stream) throws. A measured
/// call waits.
///
/// Errors: RuntimeError "operator spmm: argument 2 'B': ...; expected ...; got ...", arguments
/// counted from 1. Outputs are untouched.
///
/// Thread safety: one Callable may be called from several threads at once.
class Callable {
 public:
  Callable() = default;
  explicit Callable(std::shared_ptr<const CompiledOperator> compiled)
      : compiled_(std::move(compiled)) {}

  bool defined() const { return compiled_ != nullptr; }
  const std::string &name() const { return compiled().name(); }
  const std::vector<Argument> &signature() const { return compiled().signature(); }
  const CompiledOperator &compiled() const;

  template <class... Arguments>
    requires(std::convertible_to<const Arguments &, CallArgument> && ...)
  void operator()(const Arguments &...arguments) const {
    const CallArgument list[sizeof...(Arguments) + 1] = {CallArgument(arguments)...,
                                                         CallArgument(0)};
    call({list, sizeof...(Arguments)});
  }

  /// The same call, measured.
  template <class... Arguments>
    requires(std::convertible_to<const Arguments &, CallArgument> && ...)
  RunStatistics measured(const Arguments &...arguments) const {
    RunStatistics statistics;
    const CallArgument list[sizeof...(Arguments) + 1] = {CallArgument(arguments)...,
                                                         CallArgument(0)};
    call({list, sizeof...(Arguments)}, &statistics);
    return statistics;
  }

  /// The same operator for CUDA, whose calls go to `stream`, a CUstream (cudaStream_t) of the
  /// device that the tensors are on. Without it they go to the legacy default stream. CompileError
  /// for an operator for the host.
  Callable on(void *stream, std::source_location where = std::source_location::current()) const;

  /// The call with a list of arguments made at run time. `statistics` may be null.
  void call(std::span<const CallArgument> arguments, RunStatistics *statistics = nullptr) const;

  /// This operator with its signature written in C++, e.g. typed<In<bfloat16_t, 2>, Scalar<float>,
  /// Out<float, 2>>(); see typed_callable.h. CompileError when that is not its signature.
  template <class... Signature>
  TypedCallable<Signature...> typed(
      std::source_location where = std::source_location::current()) const;

 private:
  std::shared_ptr<const CompiledOperator> compiled_;
  void *stream_ = nullptr;
};

/// A CUDA device that the driver offers.
struct CudaDevice {
  int number = 0;
  std::string name;  ///< "NVIDIA H100 80GB HBM3"
  Target target;     ///< the one whose code suits it best
};
/// None where there is no driver. A device older than sm_80 is not among them.
std::vector<CudaDevice> cuda_devices();

/// Waits for a stream of a CUDA device. RuntimeError with the first failure that operators have met
/// on it since the last check.
void check(void *stream = nullptr, int device = 0);

}  // namespace pit
