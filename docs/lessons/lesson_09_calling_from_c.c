/* Lesson 9: calling an operator from C, without allocation, and what becomes of mistakes. */
#include <lesson_scale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kRows = 4, kColumns = 3 };

/* Hears of every failure, beside the status. */
static void count(void *user, int32_t status, const char *message) {
  (void)status, (void)message;
  ++*(int *)user;
}

int main(void) {
  float x[kRows * kColumns], y[kRows * kColumns];
  uint8_t keep[kRows] = {1, 0, 1, 1};
  int64_t matrix[] = {kRows, kColumns}, rows[] = {kRows};
  for (int i = 0; i < kRows * kColumns; ++i) {
    x[i] = (float)i;
    y[i] = -1;
  }
  DLTensor X = {
      .data = x, .device = {kDLCPU, 0}, .ndim = 2, .dtype = {kDLFloat, 32, 1}, .shape = matrix};
  DLTensor Y = X, K = X;
  Y.data = y;
  K.data = keep;
  K.ndim = 1;
  K.dtype = (DLDataType){kDLUInt, 8, 1};
  K.shape = rows;

  /* The last argument says how the call runs; null: as usual. */
  if (lesson_scale(&X, &K, 10, &Y, NULL) != PIT_OK) {
    fprintf(stderr, "%s\n", pit_last_error());
    return 1;
  }
  if (y[2 * kColumns] != 60 || y[kColumns] != -1) return 1;

  /* Workspaces may be the caller's. What a call takes follows from extents, not from elements, so
   * it may be asked for once, and then no call allocates. */
  int64_t bytes = 0;
  if (lesson_scale_workspace_size(&X, &K, 10, &Y, NULL, &bytes) != PIT_OK) return 1;
  printf("a call takes at most %lld bytes\n", (long long)bytes);
  pit_options options = {0};
  options.workspace = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
  options.workspace_bytes = bytes;
  for (int i = 0; i < 3; ++i) {
    if (lesson_scale(&X, &K, (float)i, &Y, &options) != PIT_OK || y[3 * kColumns] != 9 * (float)i) {
      return 1;
    }
  }
  options.workspace_bytes = 1;
  if (lesson_scale(&X, &K, 5, &Y, &options) != PIT_ERROR_MEMORY || y[3 * kColumns] != 18) return 1;
  printf("%s\n", pit_last_error());
  free(options.workspace);

  /* Mistakes are named, and outputs stay as they are. */
  int failures = 0;
  pit_set_error_handler(count, &failures);
  K.ndim = 2;
  K.shape = matrix;
  const int32_t status = lesson_scale(&X, &K, 10, &Y, NULL);
  printf("%d: %s\n", status, pit_last_error());
  return status == PIT_ERROR_ARGUMENT && failures == 1 && strstr(pit_last_error(), "'keep'") ? 0
                                                                                             : 1;
}
