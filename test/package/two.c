/* Two operators, of two builds of a generator, in one process. */
#include <scale_again.h>
#include <scale_rows.h>
#include <stdio.h>
#include <string.h>

typedef int32_t (*function)(const DLTensor *X, const DLTensor *keep, float factor,
                            const DLTensor *Y, const pit_options *options);

static int check(function scale, const char *name) {
  float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {0};
  uint8_t keep[3] = {1, 0, 1};
  int64_t matrix[] = {3, 2}, rows[] = {3};
  DLTensor X = {
      .data = x, .device = {kDLCPU, 0}, .ndim = 2, .dtype = {kDLFloat, 32, 1}, .shape = matrix};
  DLTensor Y = X, K = X;
  Y.data = y;
  K.data = keep;
  K.ndim = 1;
  K.dtype = (DLDataType){kDLUInt, 8, 1};
  K.shape = rows;
  if (scale(&X, &K, 2, &Y, NULL) != PIT_OK || y[1] != 4 || y[2] != 0 || y[5] != 12) return 1;
  /* Each says its own name. */
  char expected[64];
  snprintf(expected, sizeof expected, "operator %s: argument 1 'X'", name);
  X.ndim = 1;
  return scale(&X, &K, 2, &Y, NULL) != PIT_ERROR_ARGUMENT ||
         strstr(pit_last_error(), expected) == NULL;
}

int main(void) {
  for (int i = 0; i < 3; ++i) {
    if (check(scale_rows, "scale_rows") || check(scale_again, "scale_again")) return 1;
  }
  printf("two operators of two builds are right\n");
  return 0;
}
