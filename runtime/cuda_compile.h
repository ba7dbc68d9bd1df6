/* PTX to machine code: nvJitLink where it can be opened, else the driver; and the folder where the
 * result is kept. */
#ifndef PIT_RUNTIME_CUDA_COMPILE_H
#define PIT_RUNTIME_CUDA_COMPILE_H

#include "cuda_driver.h"

/* Machine code for one device; free with free(). */
typedef struct pit_cubin {
  void *data; /* null: none */
  size_t bytes;
} pit_cubin;

/* How the code of a device is named: 90 and whether features of exactly that one are used. */
typedef struct pit_architecture {
  int32_t number;
  int32_t specific;
} pit_architecture;

/* Linkers compile PTX as one unit of several, and ptxas then ignores setmaxnreg (its note C7504):
 * warps of a kernel that move registers to each other have too few. Such PTX is compiled as a
 * whole. */
int pit_wants_whole_program(const char *ptx);

/* By nvJitLink. No data if there is no nvJitLink or it refuses; `log` (log_bytes, NUL-terminated)
 * then says why, "" for the former. Thread-safe. */
pit_cubin pit_compile_with_nvjitlink(const char *ptx, pit_architecture architecture, char *log,
                                     size_t log_bytes);
/* By the driver, for the current context's device. `log` as above, `result` the driver's. */
pit_cubin pit_compile_with_driver(const char *ptx, pit_architecture architecture, char *log,
                                  size_t log_bytes, CUresult *result);

/* The folder of compiled PTX. A file that cannot be read, is damaged or is not ours counts as none;
 * one that cannot be written is not written. Processes may share the folder. */
pit_cubin pit_read_cache(const char *ptx, pit_architecture architecture);
void pit_write_cache(const char *ptx, pit_architecture architecture, const pit_cubin *cubin);

#endif
