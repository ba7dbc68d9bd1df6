// Buffers: the memory that operators read and write, as a value with element type, extents and
// strides.
#pragma once

#include <dlpack/dlpack.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor.h"
#include "type.h"

namespace pit {

/// Extents, strides or coordinates, one number per dimension, outermost first.
using Shape = std::vector<std::int64_t>;

/// "(3, 4)".
std::string to_string(std::span<const std::int64_t> shape);

/// The type code of bool in DLPack (kDLBool), which headers before version 0.8 do not name.
inline constexpr std::uint8_t kDLPackBool = 6;
/// The DLPack element type of `type`.
DLDataType to_dlpack(Type type);
/// The element type of a DLPack type; false when pit has none (vectors, complex numbers, 4-bit
/// integers).
bool from_dlpack(DLDataType dlpack, Type *type);

/// A dense, strided array of any element type: a handle on memory that it owns or borrows.
///
/// Shapes: extents are not negative; strides count elements and may be zero (broadcast) or
/// negative. Element (i, j, ...) is at data() + (i * stride(0) + j * stride(1) + ...) *
/// type().bytes().
///
/// Ownership: copying a buffer, and making a view of it, copies the handle: all share one memory,
/// which lives as long as the last of them. Borrowed memory must outlive every buffer that refers
/// to it. `copy()` copies the elements. A const buffer is a constant handle; the elements stay
/// writable.
///
/// Thread safety: distinct handles on one memory may be used from several threads; concurrent
/// accesses to one element where one of them writes are the caller's to order.
///
/// Errors: RuntimeError for wrong shapes and coordinates.
class AnyBuffer {
 public:
  AnyBuffer() = default;  ///< no memory: `defined()` is false
  /// Owns compact row-major memory of these extents, 64-byte aligned and zeroed.
  AnyBuffer(Type type, Shape extents);
  /// Borrows `data`. Without strides the memory is compact and row-major.
  AnyBuffer(void *data, Type type, Shape extents, Shape strides = {});
  /// Borrows compact row-major `data` on a device; `owner` lives as long as the last handle.
  AnyBuffer(void *data, Type type, Shape extents, DLDevice device, std::shared_ptr<void> owner);

  /// Takes over a DLPack tensor: its deleter runs when the last handle goes. On an error the tensor
  /// stays the caller's.
  static AnyBuffer from_dlpack(DLManagedTensor *tensor);
  /// Borrows a DLPack tensor's memory; extents and strides are copied. Null strides: compact and
  /// row-major.
  static AnyBuffer from_dlpack(const DLTensor *tensor);
  /// A DLPack tensor that keeps this memory alive until its deleter is called, by whoever receives
  /// it.
  DLManagedTensor *to_dlpack() const;
  /// This buffer as a DLPack tensor whose shape and strides point into this handle: valid while the
  /// handle is.
  DLTensor dl_tensor() const;

  bool defined() const { return defined_; }
  void *data() const { return data_; }
  Type type() const { return type_; }
  DLDevice device() const { return device_; }
  int rank() const { return static_cast<int>(extents_.size()); }
  std::int64_t extent(int dimension) const {
    if (dimension < 0 || dimension >= rank()) refuse_dimension(dimension);
    return extents_[static_cast<std::size_t>(dimension)];
  }
  std::int64_t stride(int dimension) const {
    if (dimension < 0 || dimension >= rank()) refuse_dimension(dimension);
    return strides_[static_cast<std::size_t>(dimension)];
  }
  const Shape &extents() const { return extents_; }
  const Shape &strides() const { return strides_; }
  std::int64_t size() const;  ///< number of elements
  bool is_compact() const;    ///< elements follow each other in row-major order
  bool is_on_host() const { return device_.device_type == kDLCPU; }

  // Views: other handles on the same memory.
  AnyBuffer transposed() const;  ///< dimensions in reverse order
  /// Dimension d of the result is dimension order[d] of this buffer.
  AnyBuffer transposed(const std::vector<int> &order) const;
  /// Coordinates [begin, end) of one dimension; 0 <= begin <= end <= extent.
  AnyBuffer sliced(int dimension, std::int64_t begin, std::int64_t end) const;
  /// The same elements in row-major order under other extents of equal size. Only for compact
  /// buffers.
  AnyBuffer reshaped(Shape extents) const;
  /// A dimension of extent 1 repeated `extent` times, with stride 0.
  AnyBuffer broadcast(int dimension, std::int64_t extent) const;

  /// An owning, compact copy in the memory of a CUDA device, or of the host; from whichever of them
  /// this buffer is in (it must be compact when that is a device). RuntimeError where there is no
  /// device. Waits for the copy.
  AnyBuffer to_cuda(int device = 0) const;
  AnyBuffer to_host() const;
  AnyBuffer copy() const;  ///< owning and compact
  void copy_from(
      const AnyBuffer &from) const;  ///< equal type and extents; the memories do not overlap
  void fill_bytes(int byte) const;   ///< every byte of every element

  /// Where element `coordinates` lies. RuntimeError when out of range or not in the host's memory.
  void *address(std::span<const std::int64_t> coordinates) const {
    std::int64_t offset = 0;
    bool inside = data_ != nullptr && is_on_host() && coordinates.size() == extents_.size();
    for (std::size_t d = 0; inside && d < coordinates.size(); ++d) {
      inside = static_cast<std::uint64_t>(coordinates[d]) < static_cast<std::uint64_t>(extents_[d]);
      offset += coordinates[d] * strides_[d];
    }
    if (!inside) refuse_access(coordinates);
    return static_cast<char *>(data_) + offset * type_.bytes();
  }
  /// Element of any type as a number (64-bit integers beyond 2^53 are rounded). Any alignment.
  double number(std::span<const std::int64_t> coordinates) const;
  /// Stores a number: integers truncate and wrap, floats round to nearest even. Any alignment.
  void set_number(std::span<const std::int64_t> coordinates, double value) const;

 protected:
  /// RuntimeError unless the type is `type` and the rank is `rank` (-1 = any).
  void expect(Type type, int rank) const;

 private:
  [[noreturn]] void refuse_access(std::span<const std::int64_t> coordinates) const;
  [[noreturn]] void refuse_dimension(int dimension) const;

  void *data_ = nullptr;
  Type type_ = float32;
  bool defined_ = false;
  DLDevice device_{kDLCPU, 0};
  Shape extents_, strides_;
  std::shared_ptr<void> owner_;
};

/// Calls visit(coordinates) for every coordinate of a box, the last dimension fastest.
template <class Visit>
void for_each_coordinate(const Shape &extents, const Visit &visit) {
  for (const std::int64_t e : extents) {
    if (e <= 0) return;
  }
  Shape at(extents.size(), 0);
  for (;;) {
    visit(static_cast<const Shape &>(at));
    std::size_t d = extents.size();
    while (d > 0 && ++at[d - 1] == extents[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

/// A buffer of elements T. `Rank` is checked at compile time where it is known (-1: at run time
/// only). See AnyBuffer for shapes, ownership and thread safety.
template <class T, int Rank = -1>
class Buffer : public AnyBuffer {
 public:
  using Element = T;
  static constexpr int kRank = Rank;

  Buffer() : AnyBuffer(type_of<T>(), Shape(Rank < 0 ? 1 : Rank, 0)) {}
  /// Owns zeroed compact memory.
  explicit Buffer(Shape extents) : Buffer(AnyBuffer(type_of<T>(), std::move(extents))) {}
  /// Owns compact memory with these elements, in row-major order.
  Buffer(Shape extents, std::initializer_list<T> values) : Buffer(std::move(extents)) {
    const AnyBuffer from(const_cast<T *>(values.begin()), type_of<T>(),
                         {static_cast<std::int64_t>(values.size())});
    reshaped({size()}).copy_from(from);
  }
  /// Borrows `data`.
  Buffer(T *data, Shape extents, Shape strides = {})
      : Buffer(AnyBuffer(data, type_of<T>(), std::move(extents), std::move(strides))) {}
  /// The same memory; RuntimeError when type or rank differ.
  explicit Buffer(AnyBuffer buffer) : AnyBuffer(std::move(buffer)) { expect(type_of<T>(), Rank); }

  T *data() const { return static_cast<T *>(AnyBuffer::data()); }

  /// The element at these coordinates, which are checked. data() must be aligned for T.
  template <std::convertible_to<std::int64_t>... I>
  T &operator()(I... coordinates) const {
    static_assert(Rank < 0 || sizeof...(I) == Rank,
                  "pit: this buffer has another number of dimensions");
    const std::array<std::int64_t, sizeof...(I)> at{static_cast<std::int64_t>(coordinates)...};
    return *static_cast<T *>(address(at));
  }

  Buffer transposed() const { return Buffer(AnyBuffer::transposed()); }
  Buffer transposed(const std::vector<int> &order) const {
    return Buffer(AnyBuffer::transposed(order));
  }
  Buffer sliced(int dimension, std::int64_t begin, std::int64_t end) const {
    return Buffer(AnyBuffer::sliced(dimension, begin, end));
  }
  template <int NewRank = -1>
  Buffer<T, NewRank> reshaped(Shape extents) const {
    return Buffer<T, NewRank>(AnyBuffer::reshaped(std::move(extents)));
  }
  Buffer broadcast(int dimension, std::int64_t extent) const {
    return Buffer(AnyBuffer::broadcast(dimension, extent));
  }
  Buffer to_cuda(int device = 0) const { return Buffer(AnyBuffer::to_cuda(device)); }
  Buffer to_host() const { return Buffer(AnyBuffer::to_host()); }
  Buffer copy() const { return Buffer(AnyBuffer::copy()); }

  void fill(T value) const {
    for_each_coordinate(extents(),
                        [&](const Shape &at) { *static_cast<T *>(address(at)) = value; });
  }
};

}  // namespace pit
