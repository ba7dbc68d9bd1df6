#include "apps/bench/eigen/module.h"

#include <Eigen/Core>
#include <Eigen/SparseCore>
#include <string>

namespace {

using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor>;
using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

const char *pit_bench_eigen_version() {
  static const std::string text =
      std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
      std::to_string(EIGEN_MINOR_VERSION) + " (" + Eigen::SimdInstructionSetsInUse() + ")";
  return text.c_str();
}

void pit_bench_eigen_set_threads(int threads) { Eigen::setNbThreads(threads); }

void *pit_bench_eigen_compress(const float *dense, long rows, long columns) {
  return new Sparse(Eigen::Map<const Dense>(dense, rows, columns).sparseView());
}

void pit_bench_eigen_release(void *matrix) { delete static_cast<Sparse *>(matrix); }

void pit_bench_eigen_multiply(const void *matrix, const float *b, long columns, float *c) {
  const Sparse &sparse = *static_cast<const Sparse *>(matrix);
  Eigen::Map<Dense>(c, sparse.rows(), columns).noalias() =
      sparse * Eigen::Map<const Dense>(b, sparse.cols(), columns);
}
