#include "buffer.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "error.h"

namespace pit {
namespace {

constexpr std::size_t kAlignment = 64;

/// Product of the extents; RuntimeError when one is negative or the memory cannot be addressed.
std::int64_t checked_size(const Shape &extents, Type type) {
  std::int64_t elements = 1, bytes = 0;
  bool empty = false, overflow = false;
  for (const std::int64_t e : extents) {
    if (e < 0)
      throw RuntimeError("buffer: extents " + to_string(extents) +
                         " are negative; expected 0 or more");
    empty |= e == 0;
    if (e != 0) overflow |= __builtin_mul_overflow(elements, e, &elements);
  }
  if (empty) return 0;
  if (overflow || __builtin_mul_overflow(elements, std::int64_t{type.bytes()}, &bytes)) {
    throw RuntimeError("buffer: extents " + to_string(extents) + " of " + to_string(type) +
                       " exceed the address space");
  }
  return elements;
}

Shape compact_strides(const Shape &extents) {
  Shape strides(extents.size());
  std::int64_t stride = 1;
  for (std::size_t d = extents.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= extents[d] > 0 ? extents[d] : 1;
  }
  return strides;
}

/// A memory exported by to_dlpack: the tensor's shape and strides are those of the handle that it
/// keeps.
struct Exported {
  AnyBuffer keep;
  DLManagedTensor tensor;
};

double load_number(Type type, const char *from) {
  const auto as = [&]<class T>(T value) {
    std::memcpy(static_cast<void *>(&value), from, sizeof(T));
    return static_cast<double>(value);
  };
  switch (type.kind) {
    case Type::Kind::Bool:
      return *from != 0 ? 1 : 0;
    case Type::Kind::BFloat:
      return as(bfloat16_t{});
    case Type::Kind::Float:
      return type.bits == 16 ? as(float16_t{}) : type.bits == 32 ? as(float{}) : as(double{});
    case Type::Kind::Int:
      return type.bits == 8    ? as(std::int8_t{})
             : type.bits == 16 ? as(std::int16_t{})
             : type.bits == 32 ? as(std::int32_t{})
                               : as(std::int64_t{});
    case Type::Kind::UInt:
      return type.bits == 8    ? as(std::uint8_t{})
             : type.bits == 16 ? as(std::uint16_t{})
             : type.bits == 32 ? as(std::uint32_t{})
                               : as(std::uint64_t{});
  }
  throw InternalError("element type without a C++ type");
}

void store_number(Type type, char *to, double value) {
  const auto as = [&](auto element) { std::memcpy(to, &element, sizeof(element)); };
  if (type.kind == Type::Kind::BFloat) return as(float_to_bfloat16_bits(static_cast<float>(value)));
  if (type.is_bool()) return as(static_cast<std::uint8_t>(value != 0));
  if (type.is_float()) {
    if (type.bits == 16) return as(float_to_float16_bits(static_cast<float>(value)));
    if (type.bits == 32) return as(static_cast<float>(value));
    return as(value);
  }
  // Through 64 bits, so that the narrower types wrap; the range is clamped where C++ leaves it
  // undefined.
  std::uint64_t bits = 0;
  if (value >= 0x1p63) {
    bits = value >= 0x1p64 ? std::numeric_limits<std::uint64_t>::max()
                           : static_cast<std::uint64_t>(value);
  } else if (value >= -0x1p63) {
    bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  } else if (!std::isnan(value)) {
    bits = std::uint64_t{1} << 63;
  }
  if (type.bits == 8) return as(static_cast<std::uint8_t>(bits));
  if (type.bits == 16) return as(static_cast<std::uint16_t>(bits));
  if (type.bits == 32) return as(static_cast<std::uint32_t>(bits));
  return as(bits);
}

}  // namespace

std::string to_string(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t d = 0; d < shape.size(); ++d)
    text += (d == 0 ? "" : ", ") + std::to_string(shape[d]);
  return text + ")";
}

DLDataType to_dlpack(Type type) {
  const auto code = [&]() -> std::uint8_t {
    switch (type.kind) {
      case Type::Kind::Int:
        return kDLInt;
      case Type::Kind::UInt:
        return kDLUInt;
      case Type::Kind::Bool:
        return kDLPackBool;
      case Type::Kind::Float:
        return kDLFloat;
      case Type::Kind::BFloat:
        return kDLBfloat;
    }
    throw InternalError("element type without a DLPack code");
  };
  return {code(), type.bits, 1};
}

bool from_dlpack(DLDataType dlpack, Type *type) {
  using Kind = Type::Kind;
  static constexpr std::pair<std::uint8_t, Kind> kKinds[] = {
      {kDLInt, Kind::Int},       {kDLUInt, Kind::UInt},     {kDLFloat, Kind::Float},
      {kDLBfloat, Kind::BFloat}, {kDLPackBool, Kind::Bool},
  };
  for (const auto &[code, kind] : kKinds) {
    if (code != dlpack.code) continue;
    const int bits = dlpack.bits;
    const bool known = kind == Kind::Bool     ? bits == 8
                       : kind == Kind::BFloat ? bits == 16
                       : kind == Kind::Float  ? bits == 16 || bits == 32 || bits == 64
                                              : bits == 8 || bits == 16 || bits == 32 || bits == 64;
    if (!known || dlpack.lanes != 1) return false;
    *type = Type{kind, dlpack.bits};
    return true;
  }
  return false;
}

AnyBuffer::AnyBuffer(Type type, Shape extents)
    : type_(type), defined_(true), extents_(std::move(extents)) {
  const std::size_t bytes = static_cast<std::size_t>(checked_size(extents_, type)) *
                            static_cast<std::size_t>(type.bytes());
  strides_ = compact_strides(extents_);
  const std::size_t rounded = (bytes / kAlignment + 1) * kAlignment;
  data_ = std::aligned_alloc(kAlignment, rounded);
  if (data_ == nullptr)
    throw RuntimeError("buffer: no memory for " + std::to_string(bytes) + " bytes");
  owner_ = std::shared_ptr<void>(data_, std::free);
  std::memset(data_, 0, rounded);
}

AnyBuffer::AnyBuffer(void *data, Type type, Shape extents, DLDevice device,
                     std::shared_ptr<void> owner)
    : AnyBuffer(data, type, std::move(extents)) {
  device_ = device;
  owner_ = std::move(owner);
}

AnyBuffer::AnyBuffer(void *data, Type type, Shape extents, Shape strides)
    : data_(data),
      type_(type),
      defined_(true),
      extents_(std::move(extents)),
      strides_(std::move(strides)) {
  const std::int64_t elements = checked_size(extents_, type);
  if (strides_.empty()) strides_ = compact_strides(extents_);
  if (strides_.size() != extents_.size()) {
    throw RuntimeError("buffer: strides " + to_string(strides_) + " do not belong to extents " +
                       to_string(extents_) + "; expected one per dimension");
  }
  if (data_ == nullptr && elements > 0) {
    throw RuntimeError("buffer: the data pointer is null; expected memory for extents " +
                       to_string(extents_));
  }
}

AnyBuffer AnyBuffer::from_dlpack(const DLTensor *tensor) {
  if (tensor == nullptr) throw RuntimeError("buffer: the DLPack tensor is null");
  Type type;
  if (!pit::from_dlpack(tensor->dtype, &type)) {
    throw RuntimeError("buffer: DLPack element type (code " + std::to_string(tensor->dtype.code) +
                       ", " + std::to_string(tensor->dtype.bits) + " bits, " +
                       std::to_string(tensor->dtype.lanes) + " lanes) is not one of pit's");
  }
  if (tensor->ndim < 0 || (tensor->ndim > 0 && tensor->shape == nullptr)) {
    throw RuntimeError("buffer: the DLPack tensor has " + std::to_string(tensor->ndim) +
                       " dimensions" + (tensor->ndim > 0 ? " and no shape" : "") +
                       "; expected a shape with one extent per dimension");
  }
  const Shape extents(tensor->shape, tensor->shape + tensor->ndim);
  const Shape strides =
      tensor->strides == nullptr ? Shape{} : Shape(tensor->strides, tensor->strides + tensor->ndim);
  char *data = static_cast<char *>(tensor->data);
  AnyBuffer result(data == nullptr ? nullptr : data + tensor->byte_offset, type, extents, strides);
  result.device_ = tensor->device;
  return result;
}

AnyBuffer AnyBuffer::from_dlpack(DLManagedTensor *tensor) {
  AnyBuffer result =
      from_dlpack(tensor == nullptr ? nullptr : static_cast<const DLTensor *>(&tensor->dl_tensor));
  result.owner_ = std::shared_ptr<void>(tensor, [](void *managed) {
    auto *t = static_cast<DLManagedTensor *>(managed);
    if (t->deleter != nullptr) t->deleter(t);
  });
  return result;
}

DLManagedTensor *AnyBuffer::to_dlpack() const {
  if (!defined_) throw RuntimeError("buffer: it has no memory to export; give it extents first");
  auto *exported = new Exported{*this, {}};
  exported->tensor.dl_tensor = exported->keep.dl_tensor();
  exported->tensor.manager_ctx = exported;
  exported->tensor.deleter = [](DLManagedTensor *t) {
    delete static_cast<Exported *>(t->manager_ctx);
  };
  return &exported->tensor;
}

DLTensor AnyBuffer::dl_tensor() const {
  // DLPack has no constant tensors; nothing writes to shape and strides.
  return {.data = data_,
          .device = device_,
          .ndim = rank(),
          .dtype = pit::to_dlpack(type_),
          .shape = const_cast<std::int64_t *>(extents_.data()),
          .strides = const_cast<std::int64_t *>(strides_.data()),
          .byte_offset = 0};
}

std::int64_t AnyBuffer::size() const {
  std::int64_t elements = 1;
  for (const std::int64_t e : extents_) elements *= e;
  return elements;
}

bool AnyBuffer::is_compact() const {
  std::int64_t expected = 1;
  if (size() == 0) return true;
  for (std::size_t d = extents_.size(); d-- > 0;) {
    if (extents_[d] != 1 && strides_[d] != expected) return false;
    expected *= extents_[d];
  }
  return true;
}

AnyBuffer AnyBuffer::transposed() const {
  std::vector<int> order(extents_.size());
  for (std::size_t d = 0; d < order.size(); ++d) order[d] = static_cast<int>(order.size() - 1 - d);
  return transposed(order);
}

AnyBuffer AnyBuffer::transposed(const std::vector<int> &order) const {
  std::vector<bool> seen(extents_.size(), false);
  bool legal = order.size() == extents_.size();
  for (std::size_t d = 0; legal && d < order.size(); ++d) {
    const auto from = static_cast<std::size_t>(order[d]);
    legal = from < seen.size() && !seen[from];
    if (legal) seen[from] = true;
  }
  if (!legal) {
    throw RuntimeError("buffer: transposed() needs each of the " + std::to_string(rank()) +
                       " dimensions exactly once");
  }
  AnyBuffer result = *this;
  for (std::size_t d = 0; d < order.size(); ++d) {
    result.extents_[d] = extent(order[d]);
    result.strides_[d] = stride(order[d]);
  }
  return result;
}

AnyBuffer AnyBuffer::sliced(int dimension, std::int64_t begin, std::int64_t end) const {
  if (dimension < 0 || dimension >= rank() || begin < 0 || begin > end || end > extent(dimension)) {
    throw RuntimeError("buffer: sliced(" + std::to_string(dimension) + ", " +
                       std::to_string(begin) + ", " + std::to_string(end) +
                       ") does not lie in extents " + to_string(extents_));
  }
  const auto d = static_cast<std::size_t>(dimension);
  AnyBuffer result = *this;
  if (data_ != nullptr)
    result.data_ = static_cast<char *>(data_) + begin * strides_[d] * type_.bytes();
  result.extents_[d] = end - begin;
  return result;
}

AnyBuffer AnyBuffer::reshaped(Shape extents) const {
  if (checked_size(extents, type_) != size()) {
    throw RuntimeError("buffer: cannot reshape extents " + to_string(extents_) + " to " +
                       to_string(extents) + ", which have another number of elements");
  }
  if (!is_compact()) {
    throw RuntimeError("buffer: only a compact buffer can be reshaped; strides are " +
                       to_string(strides_) + " for extents " + to_string(extents_) +
                       "; reshape a copy()");
  }
  AnyBuffer result = *this;
  result.strides_ = compact_strides(extents);
  result.extents_ = std::move(extents);
  return result;
}

AnyBuffer AnyBuffer::broadcast(int dimension, std::int64_t extent) const {
  if (dimension < 0 || dimension >= rank() || extent < 0 ||
      extents_[static_cast<std::size_t>(dimension)] != 1) {
    throw RuntimeError("buffer: broadcast(" + std::to_string(dimension) + ", " +
                       std::to_string(extent) + ") needs a dimension of extent 1; extents are " +
                       to_string(extents_));
  }
  const auto d = static_cast<std::size_t>(dimension);
  AnyBuffer result = *this;
  result.extents_[d] = extent;
  result.strides_[d] = 0;
  return result;
}

AnyBuffer AnyBuffer::copy() const {
  if (!defined_) return {};
  AnyBuffer result(type_, extents_);
  result.copy_from(*this);
  return result;
}

void AnyBuffer::copy_from(const AnyBuffer &from) const {
  if (!defined_ || !from.defined_) {
    throw RuntimeError(std::string("buffer: the buffer to copy ") + (defined_ ? "from" : "to") +
                       " has no memory; give it extents first");
  }
  if (type_ != from.type_ || extents_ != from.extents_) {
    throw RuntimeError("buffer: cannot copy " + to_string(from.type_) + " " +
                       to_string(from.extents_) + " to " + to_string(type_) + " " +
                       to_string(extents_));
  }
  const auto bytes = static_cast<std::size_t>(type_.bytes());
  if (is_on_host() && from.is_on_host() && is_compact() && from.is_compact()) {
    if (size() > 0) std::memcpy(data_, from.data_, static_cast<std::size_t>(size()) * bytes);
    return;
  }
  for_each_coordinate(extents_,
                      [&](const Shape &at) { std::memcpy(address(at), from.address(at), bytes); });
}

void AnyBuffer::fill_bytes(int byte) const {
  const auto bytes = static_cast<std::size_t>(type_.bytes());
  for_each_coordinate(extents_, [&](const Shape &at) { std::memset(address(at), byte, bytes); });
}

double AnyBuffer::number(std::span<const std::int64_t> coordinates) const {
  return load_number(type_, static_cast<const char *>(address(coordinates)));
}

void AnyBuffer::set_number(std::span<const std::int64_t> coordinates, double value) const {
  store_number(type_, static_cast<char *>(address(coordinates)), value);
}

void AnyBuffer::expect(Type type, int rank) const {
  if (type_ != type) {
    throw RuntimeError("buffer: the element type is " + to_string(type_) + "; expected " +
                       to_string(type));
  }
  if (rank >= 0 && rank != this->rank()) {
    throw RuntimeError("buffer: extents " + to_string(extents_) + " are of rank " +
                       std::to_string(this->rank()) + "; expected rank " + std::to_string(rank));
  }
}

void AnyBuffer::refuse_dimension(int dimension) const {
  throw RuntimeError("buffer: there is no dimension " + std::to_string(dimension) +
                     "; extents are " + to_string(extents_));
}

void AnyBuffer::refuse_access(std::span<const std::int64_t> coordinates) const {
  if (!defined_) throw RuntimeError("buffer: it has no memory; give it extents first");
  if (!is_on_host()) throw RuntimeError("buffer: the elements are not in the host's memory");
  throw RuntimeError("buffer: element " + to_string(coordinates) +
                     " is out of range; extents are " + to_string(extents_));
}

}  // namespace pit
