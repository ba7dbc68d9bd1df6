/* Ranges for NVIDIA's profilers. A profiler names a library in NVTX_INJECTION64_PATH; its function
 * InitializeInjectionNvtx2 asks for tables of pointers and puts its own functions there. That is
 * the whole of NVTX's binary interface, so no NVTX header or library is needed. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_call.h"

/* Numbers of NVTX's interface. */
enum { kTableCallbacks = 1, kTableVersion = 3, kModuleCore = 1 };
enum { kRangePushA = 9, kRangePop = 11, kCoreFunctions = 16 };

typedef void (*function)(void);

static function slots[kCoreFunctions];
static function *core_table[kCoreFunctions + 1]; /* core_table[0] and the last are null */

static int get_module_table(int module, function ***table, unsigned *size) {
  if (module != kModuleCore) return 0;
  if (table) *table = core_table;
  if (size) *size = kCoreFunctions;
  return 1;
}

static void set_injection_version(uint32_t version) { (void)version; }

static const struct {
  size_t bytes;
  int (*get_module_table)(int, function ***, unsigned *);
} callbacks = {sizeof callbacks, get_module_table};

static const struct {
  size_t bytes;
  uint32_t version, reserved;
  void (*set_injection_version)(uint32_t);
} version_table = {sizeof version_table, 3, 0, set_injection_version};

static const void *get_export_table(uint32_t id) {
  if (id == kTableCallbacks) return &callbacks;
  if (id == kTableVersion) return &version_table;
  return NULL;
}

static int (*push)(const char *); /* null: no profiler */
static int (*pop)(void);

static void find_profiler(void) {
  const char *path = getenv("NVTX_INJECTION64_PATH");
  if (!path || !*path) return;
  void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (!library) return; /* a profiler that is not there must not stop the program */
  void *symbol = dlsym(library, "InitializeInjectionNvtx2");
  int (*initialise)(const void *(*)(uint32_t)) = NULL;
  memcpy(&initialise, &symbol, sizeof symbol);
  for (int i = 1; i < kCoreFunctions; ++i) core_table[i] = &slots[i];
  if (!initialise || !initialise(get_export_table)) return;
  if (!slots[kRangePushA] || !slots[kRangePop]) return;
  memcpy(&push, &slots[kRangePushA], sizeof push);
  memcpy(&pop, &slots[kRangePop], sizeof pop);
}

int pit_range_begin(const char *name) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, find_profiler);
  if (!push) return 0;
  push(name);
  return 1;
}

void pit_range_end(void) { pop(); }
