// Libraries that the benchmark compares with. They are opened when they are needed: a machine that
// lacks one lacks its rows.
#pragma once

#include <pit/pit.h>

#include <memory>
#include <string>
#include <vector>

namespace pit::bench {

/// OpenBLAS with the kernels of one kind of processor.
class OpenBlas {
 public:
  /// The library as it is, which chooses the kernels itself; null: not found.
  static const OpenBlas *standard();
  /// With AVX-512 kernels, where the processor has AVX-512 and the library does not choose them
  /// itself: releases choose old kernels for processors that are younger than they. Null: there is
  /// no such difference.
  static const OpenBlas *avx512();

  virtual ~OpenBlas() = default;
  /// C = A B, all compact, row-major and float32.
  virtual void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const = 0;
  virtual void set_threads(int threads) const = 0;
  virtual std::string version() const = 0;
  virtual std::string kernels() const = 0;  ///< the processor that they are for
  std::string system() const;               ///< "OpenBLAS", "OpenBLAS Cooperlake"
};

/// oneDNN.
class OneDnn {
 public:
  static const OneDnn *instance();  ///< null: not found

  virtual ~OneDnn() = default;
  /// Whether there is code for such a product on this machine.
  virtual bool can_multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const = 0;
  /// C = A B, all compact and row-major, of the types that can_multiply accepts.
  virtual void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const = 0;
  virtual void set_threads(int threads) const = 0;
  virtual std::string version() const = 0;
};

/// A float32 matrix in Eigen's compressed sparse rows.
class EigenMatrix {
 public:
  virtual ~EigenMatrix() = default;
  /// C = this B, all compact and row-major.
  virtual void multiply(const AnyBuffer &b, const AnyBuffer &c) const = 0;
};

/// Eigen's sparse matrices.
class EigenSparse {
 public:
  static const EigenSparse *instance();  ///< null: not found

  virtual ~EigenSparse() = default;
  /// The non-zero elements of a compact row-major float32 matrix.
  virtual std::unique_ptr<EigenMatrix> compressed(const AnyBuffer &dense) const = 0;
  virtual void set_threads(int threads) const = 0;
  virtual std::string version() const = 0;
};

/// All of them: name and version, for the record.
std::vector<std::pair<std::string, std::string>> peer_versions();

/// Runs `threads` threads in every library, pit's operators included, from now on.
void set_threads(int threads);

/// Waits, not for long, until the threads that libraries keep spinning after a call have stopped:
/// otherwise one library's threads would slow down the next one's.
void wait_for_quiet();

}  // namespace pit::bench
