// Lesson 8: one operator for several targets. lesson_scale.a was compiled for three generations of
// CPUs; a call runs the best that this one has. This program contains no compiler.
#include <lesson_scale.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

// DLPack's description of a row-major tensor.
DLTensor tensor(void *data, DLDataType type, std::vector<std::int64_t> *shape) {
  DLTensor t{};
  t.data = data;
  t.device = {kDLCPU, 0};
  t.dtype = type;
  t.ndim = static_cast<int>(shape->size());
  t.shape = shape->data();
  return t;
}

}  // namespace

int main() {
  // What the operator is made of can be read.
  const pit_operator &op = pit_operator_lesson_scale;
  for (std::int32_t i = 0; i < op.code_count; ++i) std::printf("code for %s\n", op.codes[i].target);
  const pit_code *chosen = pit_operator_code(&op, {kDLCPU, 0});
  if (chosen == nullptr) return 1;
  std::printf("this CPU has %s and runs that for %s\n", pit_cpu_features(), chosen->target);

  std::vector<std::int64_t> matrix{100, 30}, rows{100};
  std::vector<float> x(3000, 2), y(3000, -1);
  std::vector<std::uint8_t> keep(100);
  for (std::size_t i = 0; i < 100; i += 7) keep[i] = 1;
  const DLTensor X = tensor(x.data(), {kDLFloat, 32, 1}, &matrix),
                 K = tensor(keep.data(), {kDLUInt, 8, 1}, &rows),
                 Y = tensor(y.data(), {kDLFloat, 32, 1}, &matrix);

  // A call may be measured: stages by name, and the memory that it took.
  pit_statistics statistics;
  pit_options options{};
  options.statistics = &statistics;
  if (lesson_scale(&X, &K, 1.5F, &Y, &options) != PIT_OK) {
    std::fprintf(stderr, "%s\n", pit_last_error());
    return 1;
  }
  std::printf("%.1f us, of which the index %.1f us\n", static_cast<double>(statistics.total) / 1000,
              static_cast<double>(statistics.index) / 1000);
  for (std::size_t i = 0; i < 100; ++i) {
    if (y[i * 30] != (keep[i] != 0 ? 3 : -1)) return 1;
  }
  return std::strcmp(statistics.code->target, chosen->target);
}
