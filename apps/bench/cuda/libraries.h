// NVIDIA's libraries that the benchmark compares with. They are opened when they are needed: a
// machine that lacks one lacks its rows.
#pragma once

#include <pit/pit.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "driver.h"

namespace pit::bench::cuda {

/// cuBLAS on the stream of a device. Errors are std::runtime_errors.
class CuBlas {
 public:
  /// The same for all calls; null: not found.
  static const CuBlas *instance(const Device &device);

  virtual ~CuBlas() = default;
  /// Enqueues C = A B of compact row-major matrices of one type, bfloat16 or float32, summed in
  /// float32, but sums of parts may be rounded to bfloat16 before they are added. tf32: factors in
  /// float32 are rounded to that format, which the tensor cores multiply.
  virtual void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c,
                        bool tf32 = false) const = 0;
  /// What it was given to work in.
  virtual std::int64_t workspace_bytes() const = 0;
  virtual std::string version() const = 0;
};

/// A product of a sparse by a dense matrix that cuSPARSE has prepared.
class SparseProduct {
 public:
  virtual ~SparseProduct() = default;
  virtual void enqueue() const = 0;
  virtual std::int64_t workspace_bytes() const = 0;
};

/// A dense matrix to be converted to compressed rows, again and again.
class Conversion {
 public:
  virtual ~Conversion() = default;
  virtual void enqueue() const = 0;
  virtual std::int64_t workspace_bytes() const = 0;
};

/// cuSPARSE on the stream of a device.
class CuSparse {
 public:
  static const CuSparse *instance(const Device &device);  ///< null: not found

  virtual ~CuSparse() = default;
  /// C = A B; all buffers must outlive it. B and C are compact, row-major and of the type of A's
  /// values; sums are float32. std::runtime_error where the library has no such product.
  virtual std::unique_ptr<SparseProduct> product(const BlockMatrix::Compressed &a,
                                                 std::int64_t columns, const AnyBuffer &b,
                                                 const AnyBuffer &c) const = 0;
  /// Of float32 `dense` to `to`, compressed rows of elements with room for as many as there are.
  virtual std::unique_ptr<Conversion> conversion(const AnyBuffer &dense,
                                                 const BlockMatrix::Compressed &to) const = 0;
  virtual std::string version() const = 0;
};

/// All of them: name and version, for the record.
std::vector<std::pair<std::string, std::string>> library_versions(const Device &device);

}  // namespace pit::bench::cuda
