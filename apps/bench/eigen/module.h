// The interface of the shared libraries that hold Eigen's code, one for each generation of
// processors: Eigen chooses its instructions when it is compiled.
#pragma once

extern "C" {

/// "3.4.0, AVX512, ...".
const char *pit_bench_eigen_version();
void pit_bench_eigen_set_threads(int threads);
/// The non-zero elements of a row-major matrix, to be freed by `release`.
void *pit_bench_eigen_compress(const float *dense, long rows, long columns);
void pit_bench_eigen_release(void *matrix);
/// c = matrix b; b and c are row-major and have `columns` columns.
void pit_bench_eigen_multiply(const void *matrix, const float *b, long columns, float *c);
}
