/* PTX to machine code. */
#include "cuda_compile.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pit_cuda.h"

/* --- nvJitLink, of the CUDA Toolkit --- */

enum { NVJITLINK_INPUT_PTX = 2 };

typedef void *nvJitLinkHandle;

static struct {
  int (*create)(nvJitLinkHandle *, uint32_t, const char **);
  int (*destroy)(nvJitLinkHandle *);
  int (*add_data)(nvJitLinkHandle, int, const void *, size_t, const char *);
  int (*complete)(nvJitLinkHandle);
  int (*get_cubin_size)(nvJitLinkHandle, size_t *);
  int (*get_cubin)(nvJitLinkHandle, void *);
  int (*get_error_log_size)(nvJitLinkHandle, size_t *);
  int (*get_error_log)(nvJitLinkHandle, char *);
} nvjitlink;
static int has_nvjitlink;
static pthread_once_t nvjitlink_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t nvjitlink_mutex = PTHREAD_MUTEX_INITIALIZER; /* one link at a time */

/* Version 12 exports its functions with the version's name only; each 12.x all since 12.0. */
static int find_function(void *library, const char *name, void *to) {
  static const char *const suffixes[] = {"13_0", "12_0"};
  void *symbol = dlsym(library, name);
  for (int i = 0; i < 2 && !symbol; ++i) {
    char versioned[96];
    snprintf(versioned, sizeof versioned, "__%s_%s", name, suffixes[i]);
    symbol = dlsym(library, versioned);
  }
  memcpy(to, &symbol, sizeof symbol);
  return symbol != NULL;
}

static void open_nvjitlink(void) {
  const char *path = getenv("PIT_NVJITLINK");
  if (path && !*path) return;
  void *library = dlopen(path ? path : "libnvJitLink.so.13", RTLD_NOW | RTLD_LOCAL);
  if (!library && !path) library = dlopen("libnvJitLink.so.12", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  has_nvjitlink =
      find_function(library, "nvJitLinkCreate", &nvjitlink.create) &&
      find_function(library, "nvJitLinkDestroy", &nvjitlink.destroy) &&
      find_function(library, "nvJitLinkAddData", &nvjitlink.add_data) &&
      find_function(library, "nvJitLinkComplete", &nvjitlink.complete) &&
      find_function(library, "nvJitLinkGetLinkedCubinSize", &nvjitlink.get_cubin_size) &&
      find_function(library, "nvJitLinkGetLinkedCubin", &nvjitlink.get_cubin) &&
      find_function(library, "nvJitLinkGetErrorLogSize", &nvjitlink.get_error_log_size) &&
      find_function(library, "nvJitLinkGetErrorLog", &nvjitlink.get_error_log);
}

/* The end of a log without what is no text. */
static void copy_log(const char *from, char *log, size_t log_bytes) {
  snprintf(log, log_bytes, "%s", from);
  size_t length = strlen(log);
  while (length > 0 && (unsigned char)log[length - 1] <= ' ') log[--length] = 0;
}

static void read_error_log(nvJitLinkHandle handle, int error, char *log, size_t log_bytes) {
  snprintf(log, log_bytes, "nvJitLink error %d", error);
  size_t bytes = 0;
  if (!handle || nvjitlink.get_error_log_size(handle, &bytes) != 0 || bytes <= 1) return;
  char *text = malloc(bytes + 1);
  if (text && nvjitlink.get_error_log(handle, text) == 0) {
    text[bytes] = 0;
    copy_log(text, log, log_bytes);
  }
  free(text);
}

int pit_wants_whole_program(const char *ptx) { return strstr(ptx, "setmaxnreg") != NULL; }

pit_cubin pit_compile_with_nvjitlink(const char *ptx, pit_architecture architecture, char *log,
                                     size_t log_bytes) {
  pthread_once(&nvjitlink_once, open_nvjitlink);
  pit_cubin cubin = {NULL, 0};
  log[0] = 0;
  if (!has_nvjitlink) return cubin;
  char option[32];
  snprintf(option, sizeof option, "-arch=sm_%d%s", architecture.number,
           architecture.specific ? "a" : "");
  const char *options[] = {option};
  nvJitLinkHandle handle = NULL;
  pthread_mutex_lock(&nvjitlink_mutex);
  int error = nvjitlink.create(&handle, 1, options);
  if (error == 0) {
    error = nvjitlink.add_data(handle, NVJITLINK_INPUT_PTX, ptx, strlen(ptx) + 1, "pit");
  }
  if (error == 0) error = nvjitlink.complete(handle);
  if (error == 0) error = nvjitlink.get_cubin_size(handle, &cubin.bytes);
  if (error == 0) {
    cubin.data = malloc(cubin.bytes);
    if (cubin.data) error = nvjitlink.get_cubin(handle, cubin.data);
  }
  if (error != 0) {
    free(cubin.data);
    cubin.data = NULL;
    read_error_log(handle, error, log, log_bytes);
  }
  if (handle) nvjitlink.destroy(&handle);
  pthread_mutex_unlock(&nvjitlink_mutex);
  return cubin;
}

/* --- the driver's linker, which unlike the loading of PTX gives the machine code --- */

pit_cubin pit_compile_with_driver(const char *ptx, pit_architecture architecture, char *log,
                                  size_t log_bytes, CUresult *result) {
  const pit_driver *d = pit_opened_driver();
  char errors[8192] = "", notes[1024] = "";
  int options[5] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                    CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, CU_JIT_TARGET};
  void *values[5] = {errors, (void *)(uintptr_t)sizeof errors, notes,
                     (void *)(uintptr_t)sizeof notes,
                     (void *)(uintptr_t)(CU_COMPUTE_ACCELERATED_TARGET_BASE + architecture.number)};
  pit_cubin cubin = {NULL, 0};
  CUlinkState link = NULL;
  /* The target of the context is the general one of its device. */
  *result = d->link_create(architecture.specific ? 5 : 4, options, values, &link);
  if (*result == CUDA_SUCCESS) {
    union {
      const char *constant;
      void *data; /* as the driver takes it; it does not write */
    } text = {.constant = ptx};
    *result =
        d->link_add_data(link, CU_JIT_INPUT_PTX, text.data, strlen(ptx) + 1, "pit", 0, NULL, NULL);
  }
  void *data = NULL;
  size_t bytes = 0;
  if (*result == CUDA_SUCCESS) *result = d->link_complete(link, &data, &bytes);
  if (*result == CUDA_SUCCESS) {
    cubin.data = malloc(bytes);
    cubin.bytes = bytes;
    if (cubin.data) {
      memcpy(cubin.data, data, bytes); /* the link state owns `data` */
    } else {
      *result = CUDA_ERROR_OUT_OF_MEMORY;
    }
  }
  copy_log(errors, log, log_bytes);
  if (link) d->link_destroy(link);
  return cubin;
}
