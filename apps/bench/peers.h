// Libraries that the benchmark compares with. They are opened when they are needed: a machine that
// lacks one lacks its rows.
#pragma once

#include <pit/pit.h>

#include <memory>
#include <string>
#include <vector>

namespace pit::bench {

/// OpenBLAS.
class OpenBlas {
 public:
  static const OpenBlas *instance();  ///< null: not found

  virtual ~OpenBlas() = default;
  /// C = A B, all compact, row-major and float32.
  virtual void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const = 0;
  virtual void set_threads(int threads) const = 0;
  virtual std::string version() const = 0;
  virtual std::string kernels() const = 0;  ///< the processor that they are for
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

/// Forgets the variables of the environment that choose other code or other numbers of threads in
/// the libraries than these would themselves. To be called before anything else here.
void ignore_environment();

/// All of them: name and version, for the record.
std::vector<std::pair<std::string, std::string>> peer_versions();

/// Runs `threads` threads in every library, pit's operators included, from now on.
void set_threads(int threads);

/// Waits, not for long, until the threads that libraries keep spinning after a call have stopped:
/// otherwise one library's threads would slow down the next one's.
void wait_for_quiet();

}  // namespace pit::bench
