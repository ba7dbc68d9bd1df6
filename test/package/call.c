/* Calls the operator, checks it, and says so. Also C++. */
#include <scale_rows.h>
#include <stdio.h>

enum { kRows = 7, kColumns = 5 };

int main(void) {
  float x[kRows * kColumns], y[kRows * kColumns];
  uint8_t keep[kRows];
  int64_t matrix[] = {kRows, kColumns}, vector[] = {kRows};
  DLTensor X = {0}, K = {0}, Y = {0};
  for (int i = 0; i < kRows * kColumns; ++i) {
    x[i] = (float)i;
    y[i] = -1;
  }
  for (int i = 0; i < kRows; ++i) keep[i] = i % 3 != 0;
  X.data = x;
  X.device.device_type = kDLCPU;
  X.ndim = 2;
  X.dtype.code = kDLFloat;
  X.dtype.bits = 32;
  X.dtype.lanes = 1;
  X.shape = matrix;
  Y = X;
  Y.data = y;
  K = X;
  K.data = keep;
  K.ndim = 1;
  K.dtype.code = kDLUInt;
  K.dtype.bits = 8;
  K.shape = vector;
  if (scale_rows(&X, &K, 3, &Y, NULL) != PIT_OK) {
    fprintf(stderr, "%s\n", pit_last_error());
    return 1;
  }
  for (int i = 0; i < kRows * kColumns; ++i) {
    const float wanted = keep[i / kColumns] ? 3 * x[i] : -1;
    if (y[i] == wanted) continue;
    fprintf(stderr, "element %d is %g, not %g\n", i, (double)y[i], (double)wanted);
    return 1;
  }
  if (scale_rows(&X, &K, 3, &X, NULL) != PIT_ERROR_ARGUMENT) return 1;
  printf("right; then: %s\n", pit_last_error());
  return 0;
}
