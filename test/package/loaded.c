/* Operators of two builds in shared objects, each with a runtime of its own: loaded into one
 * process they are right, and an error of one is not the other's. Arguments: pairs of a shared
 * object and an operator in it. */
#include <dlfcn.h>
#include <pit_runtime.h>
#include <stdio.h>
#include <string.h>

typedef int32_t (*function)(const DLTensor *X, const DLTensor *keep, float factor,
                            const DLTensor *Y, const pit_options *options);

int main(int count, char **arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    void *library = dlopen(arguments[i], RTLD_NOW | RTLD_LOCAL);
    function scale = NULL;
    if (library) *(void **)&scale = dlsym(library, arguments[i + 1]);
    if (!scale) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    float x[2] = {1, 2}, y[2] = {0};
    uint8_t keep[1] = {1};
    int64_t matrix[] = {1, 2}, rows[] = {1};
    DLTensor X = {
        .data = x, .device = {kDLCPU, 0}, .ndim = 2, .dtype = {kDLFloat, 32, 1}, .shape = matrix};
    DLTensor Y = X, K = X;
    Y.data = y;
    K.data = keep;
    K.ndim = 1;
    K.dtype = (DLDataType){kDLUInt, 8, 1};
    K.shape = rows;
    if (scale(&X, &K, 2, &Y, NULL) != PIT_OK || y[1] != 4) return 1;
    if (scale(&X, &K, 2, NULL, NULL) != PIT_ERROR_ARGUMENT) return 1;
  }
  printf("two shared objects with operators and runtimes are right\n");
  return 0;
}
