#include "callable.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <string>

#include "error.h"

namespace pit {
namespace {

bool is_scalar(const Argument &a) { return a.kind == Argument::Kind::Scalar; }
bool is_output(const Argument &a) { return a.kind != Argument::Kind::InputTensor && !is_scalar(a); }

std::string dtype_text(DLDataType dtype) {
  Type type;
  if (from_dlpack(dtype, &type)) return to_string(type);
  return "DLPack type code " + std::to_string(dtype.code) + " of " + std::to_string(dtype.bits) +
         " bits and " + std::to_string(dtype.lanes) + " lanes";
}

std::string device_text(DLDevice device) {
  switch (device.device_type) {
    case kDLCUDA:
      return "CUDA device " + std::to_string(device.device_id);
    case kDLCUDAHost:
      return "memory pinned by CUDA";
    case kDLCUDAManaged:
      return "memory managed by CUDA";
    case kDLROCM:
      return "ROCm device " + std::to_string(device.device_id);
    default:
      return "DLPack device type " + std::to_string(static_cast<int>(device.device_type));
  }
}

std::string shape_text(const DLTensor &t) {
  return to_string(std::span<const std::int64_t>(t.shape, static_cast<std::size_t>(t.ndim)));
}

std::uintptr_t first_byte(const DLTensor &t) {
  return reinterpret_cast<std::uintptr_t>(t.data) + t.byte_offset;
}

/// The arguments of one call against one signature. Nothing is written here.
class CallCheck {
 public:
  CallCheck(const CompiledOperator &op, std::span<const CallArgument> arguments)
      : op_(op), arguments_(arguments) {}

  void run() const {
    const auto &signature = op_.signature();
    if (arguments_.size() != signature.size()) {
      std::string names;
      for (const Argument &a : signature) names += (names.empty() ? "" : ", ") + a.name;
      throw RuntimeError("operator " + op_.name() + ": wrong number of arguments; expected " +
                         std::to_string(signature.size()) + " (" + names + "); got " +
                         std::to_string(arguments_.size()));
    }
    for (std::size_t i = 0; i < signature.size(); ++i) {
      is_scalar(signature[i]) ? check_scalar(i) : check_tensor(i);
    }
    for (std::size_t i = 0; i < signature.size(); ++i) {
      if (is_output(signature[i])) check_output(i);
    }
  }

 private:
  [[noreturn]] void refuse(std::size_t i, const std::string &what, const std::string &expected,
                           const std::string &got) const {
    throw RuntimeError("operator " + op_.name() + ": argument " + std::to_string(i + 1) + " '" +
                       op_.signature()[i].name + "': " + what + "; expected " + expected +
                       "; got " + got);
  }

  void check_scalar(std::size_t i) const {
    const Type type = op_.signature()[i].type;
    const CallArgument &a = arguments_[i];
    if (a.tensor() != nullptr) refuse(i, "is a scalar", to_string(type), "a tensor");
    if (a.scalar_type() != type)
      refuse(i, "wrong scalar type", to_string(type), to_string(a.scalar_type()));
  }

  void check_tensor(std::size_t i) const {
    const Argument &expected = op_.signature()[i];
    const DLTensor *t = arguments_[i].tensor();
    if (t == nullptr) {
      refuse(i, "is a tensor",
             to_string(expected.type) + " of rank " + std::to_string(expected.rank),
             "a scalar " + to_string(arguments_[i].scalar_type()));
    }
    Type type;
    if (!from_dlpack(t->dtype, &type) || type != expected.type) {
      refuse(i, "wrong element type", to_string(expected.type), dtype_text(t->dtype));
    }
    if (t->ndim > 0 && t->shape == nullptr) {
      refuse(i, "null shape", "an extent for each dimension",
             std::to_string(t->ndim) + " dimensions and a null pointer");
    }
    if (t->ndim < 0)
      refuse(i, "wrong rank", std::to_string(expected.rank), std::to_string(t->ndim));
    if (t->ndim != expected.rank) {
      refuse(i, "wrong rank", std::to_string(expected.rank),
             std::to_string(t->ndim) + ", extents " + shape_text(*t));
    }
    check_device(i, *t);
    check_memory(i, *t);
    if (expected.tensor) check_declared(i, *t, *expected.tensor);
  }

  void check_device(std::size_t i, const DLTensor &t) const {
    if (!op_.info().on_cuda) {
      if (t.device.device_type == kDLCPU) return;
      refuse(i, "not in the host's memory", "a host tensor: copy it to the host first",
             device_text(t.device));
    }
    if (t.device.device_type != kDLCUDA) {
      refuse(i, "not in the memory of a CUDA device", "a tensor on one: see AnyBuffer::to_cuda",
             device_text(t.device));
    }
    for (std::size_t first = 0; first < i; ++first) {
      const DLTensor *other = arguments_[first].tensor();
      if (other == nullptr || other->device.device_id == t.device.device_id) continue;
      refuse(i, "on another device than argument " + std::to_string(first + 1),
             device_text(other->device), device_text(t.device));
    }
    const auto bytes = static_cast<std::uintptr_t>(std::max(t.dtype.bits / 8, 1));
    if (first_byte(t) % bytes != 0) {
      refuse(i, "misaligned", "elements at multiples of their size on a CUDA device",
             "data " + std::to_string(first_byte(t) % bytes) + " bytes past one");
    }
  }

  /// More than an address space holds: only a broadcast or an empty tensor can have such extents.
  /// Lowering relies on the limit (see cannot_wrap).
  static constexpr std::int64_t kLargestExtent = std::int64_t{1} << 47;

  /// Extents are not negative, every element has an address, and there is data if there is an
  /// element.
  void check_memory(std::size_t i, const DLTensor &t) const {
    bool empty = false, overflow = false;
    for (int d = 0; d < t.ndim; ++d) {
      if (t.shape[d] < 0) refuse(i, "negative extent", "0 or more", "extents " + shape_text(t));
      if (t.shape[d] > kLargestExtent)
        refuse(i, "an extent is too large", "extents up to 2^47", "extents " + shape_text(t));
      empty |= t.shape[d] == 0;
    }
    if (empty) return;
    std::int64_t elements = 1, span = t.dtype.bits / 8;
    for (int d = t.ndim; d-- > 0;) {
      std::int64_t bytes = 0;
      const std::int64_t stride = t.strides != nullptr ? t.strides[d] : elements;
      overflow |= __builtin_mul_overflow(stride, std::int64_t{t.dtype.bits / 8}, &bytes);
      overflow |= __builtin_mul_overflow(bytes, t.shape[d] - 1, &bytes);
      overflow |= bytes == std::numeric_limits<std::int64_t>::min();  // it has no opposite
      if (overflow) break;
      overflow |= __builtin_add_overflow(span, bytes < 0 ? -bytes : bytes, &span);
      overflow |= __builtin_mul_overflow(elements, t.shape[d], &elements);
    }
    if (overflow)
      refuse(i, "elements out of the address space", "smaller extents or strides", shape_text(t));
    if (t.data == nullptr)
      refuse(i, "null data", "memory for extents " + shape_text(t), "a null pointer");
  }

  void check_declared(std::size_t i, const DLTensor &t, const StorageNode &declared) const {
    std::int64_t compact = 1;
    for (int d = t.ndim; d-- > 0;) {
      const std::int64_t stride = t.strides != nullptr ? t.strides[d] : compact;
      // Extents of an empty tensor may be any; their product counts for no element.
      if (__builtin_mul_overflow(compact, std::max<std::int64_t>(t.shape[d], 1), &compact))
        compact = 0;
      const auto u = static_cast<std::size_t>(d);
      const std::int64_t wanted =
          u < declared.declared_strides.size() ? declared.declared_strides[u] : -1;
      if (wanted != -1 && stride != wanted && t.shape[d] > 1) {
        refuse(i, "stride of dimension " + std::to_string(d) + " is declared",
               std::to_string(wanted) + " elements", std::to_string(stride));
      }
    }
    const auto alignment = static_cast<std::uintptr_t>(std::max(declared.alignment, 1));
    if (first_byte(t) % alignment != 0) {
      refuse(i, "alignment is declared",
             "data at a multiple of " + std::to_string(alignment) + " bytes",
             std::to_string(first_byte(t) % alignment) + " bytes past one");
    }
  }

  void check_output(std::size_t i) const {
    const DLTensor &out = *arguments_[i].tensor();
    check_distinct_elements(i, out);
    for (std::size_t j = 0; j < arguments_.size(); ++j) {
      const DLTensor *other = arguments_[j].tensor();
      if (j == i || other == nullptr || (is_output(op_.signature()[j]) && j > i)) continue;
      if (!memory_overlaps(out, *other)) continue;
      const bool is_input = !is_output(op_.signature()[j]);
      if (is_input && op_.info().elementwise && same_elements(out, *other)) continue;
      refuse(i, "overlaps argument " + std::to_string(j + 1) + " '" + op_.signature()[j].name + "'",
             is_input && op_.info().elementwise
                 ? "memory of its own, or exactly that argument's elements"
                 : "memory of its own",
             "shared memory");
    }
  }

  /// Every element of an output has an address of its own: each stride steps over what the smaller
  /// ones span.
  void check_distinct_elements(std::size_t i, const DLTensor &t) const {
    if (t.strides == nullptr) return;
    std::array<std::byte, 256> storage;
    std::pmr::monotonic_buffer_resource memory(storage.data(), storage.size());
    std::pmr::vector<std::pair<std::int64_t, std::int64_t>> dims(&memory);  // |stride|, extent
    for (int d = 0; d < t.ndim; ++d) {
      if (t.shape[d] == 0) return;
      if (t.shape[d] > 1)
        dims.emplace_back(t.strides[d] < 0 ? -t.strides[d] : t.strides[d], t.shape[d]);
    }
    std::sort(dims.begin(), dims.end());
    std::int64_t span = 0;
    for (const auto &[stride, extent] : dims) {
      if (stride <= span) {
        refuse(i, "elements of an output overlap", "strides that step over the inner dimensions",
               "strides " +
                   to_string(
                       std::span<const std::int64_t>(t.strides, static_cast<std::size_t>(t.ndim))) +
                   " for extents " + shape_text(t));
      }
      span += stride * (extent - 1);
    }
  }

  static bool same_elements(const DLTensor &a, const DLTensor &b) {
    if (first_byte(a) != first_byte(b) || a.ndim != b.ndim || a.dtype.bits != b.dtype.bits)
      return false;
    std::int64_t compact = 1;
    for (int d = a.ndim; d-- > 0;) {
      const std::int64_t stride_a = a.strides != nullptr ? a.strides[d] : compact;
      const std::int64_t stride_b = b.strides != nullptr ? b.strides[d] : compact;
      if (a.shape[d] != b.shape[d] || (a.shape[d] > 1 && stride_a != stride_b)) return false;
      compact *= a.shape[d];
    }
    return true;
  }

  const CompiledOperator &op_;
  std::span<const CallArgument> arguments_;
};

double microseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

const CompiledOperator &Callable::compiled() const {
  if (compiled_ == nullptr)
    throw RuntimeError("this Callable is empty; it gets its code from Pipeline::compile");
  return *compiled_;
}

Callable Callable::on(void *stream, std::source_location where) const {
  if (!compiled().info().on_cuda) {
    throw CompileError("operator " + name() +
                           ": it runs on the host, where there are no streams; " +
                           "compile it for a CUDA target",
                       where);
  }
  Callable result = *this;
  result.stream_ = stream;
  return result;
}

void Callable::call(std::span<const CallArgument> arguments, RunStatistics *statistics) const {
  const CompiledOperator &op = compiled();
  const auto start = statistics != nullptr ? std::chrono::steady_clock::now()
                                           : std::chrono::steady_clock::time_point{};
  CallCheck(op, arguments).run();
  if (statistics != nullptr) statistics->check_us += microseconds_since(start);

  std::array<std::byte, 512> storage;  // a call of the usual size allocates nothing
  std::pmr::monotonic_buffer_resource memory(storage.data(), storage.size());
  std::pmr::vector<const DLTensor *> tensors(&memory);
  std::pmr::vector<const void *> scalars(&memory);
  tensors.reserve(arguments.size());
  scalars.reserve(arguments.size());
  for (const CallArgument &a : arguments) {
    if (a.tensor() != nullptr) {
      tensors.push_back(a.tensor());
    } else {
      scalars.push_back(a.scalar());
    }
  }
  Place place;
  if (op.info().on_cuda) place = {tensors.empty() ? 0 : tensors.front()->device.device_id, stream_};
  op.run(tensors, scalars, place, statistics);
  if (statistics != nullptr) statistics->total_us += microseconds_since(start);
}

}  // namespace pit
