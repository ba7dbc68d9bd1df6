/* Calls the operator, writes its results to the file that is named, an element a line, and says
 * what a wrong call is told. Also C++. */
#include <scale_rows.h>
#include <stdio.h>

enum { kRows = 7, kColumns = 5 };

int main(int count, char **arguments) {
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
  FILE *results = count == 2 ? fopen(arguments[1], "w") : NULL;
  if (!results) {
    fprintf(stderr, "usage: %s FILE\n", arguments[0]);
    return 2;
  }
  for (int i = 0; i < kRows * kColumns; ++i) fprintf(results, "%.9g\n", (double)y[i]);
  if (fclose(results) != 0) return 1;
  if (scale_rows(&X, &K, 3, &X, NULL) != PIT_ERROR_ARGUMENT) return 1;
  printf("called; then: %s\n", pit_last_error());
  return 0;
}
