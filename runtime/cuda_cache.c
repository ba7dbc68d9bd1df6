/* The folder of compiled PTX: a file for each text, architecture and driver. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cuda_compile.h"

/* Stands before the machine code in a file. */
typedef struct file_header {
  char magic[8];
  uint64_t ptx_bytes, cubin_bytes, cubin_hash;
} file_header;

static const char kMagic[8] = {'p', 'i', 't', 'c', 'u', 'b', 'n', '1'};

/* FNV-1a over words, mixed; two seeds give 128 bits together. */
static uint64_t hash(const void *data, size_t bytes, uint64_t seed) {
  const unsigned char *p = data;
  uint64_t h = 0xcbf29ce484222325u ^ seed;
  for (size_t i = 0; i < bytes; ++i) h = (h ^ p[i]) * 0x100000001b3u;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93u;
  return h ^ h >> 32;
}

int32_t pit_cache_folder(char *path, size_t bytes) {
  const char *given = getenv("PIT_CACHE_DIR"), *base = getenv("XDG_CACHE_HOME"),
             *home = getenv("HOME");
  int length;
  if (given) {
    length = snprintf(path, bytes, "%s", given);
  } else if (base && *base) {
    length = snprintf(path, bytes, "%s/pit", base);
  } else if (home && *home) {
    length = snprintf(path, bytes, "%s/.cache/pit", home);
  } else {
    return 0;
  }
  return length > 0 && (size_t)length < bytes;
}

static int find_file(const char *ptx, pit_architecture architecture, char *path, size_t bytes) {
  char folder[PATH_MAX - 128];
  if (!pit_cache_folder(folder, sizeof folder)) return 0;
  const size_t length = strlen(ptx);
  const int written =
      snprintf(path, bytes, "%s/%016" PRIx64 "%016" PRIx64 "-sm_%d%s-%d.cubin", folder,
               hash(ptx, length, 0), hash(ptx, length, 0x9e3779b97f4a7c15u), architecture.number,
               architecture.specific ? "a" : "", pit_opened_driver()->version);
  return written > 0 && (size_t)written < bytes;
}

static int read_all(int file, void *to, size_t bytes) {
  char *p = to;
  while (bytes > 0) {
    const ssize_t n = read(file, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    p += n;
    bytes -= (size_t)n;
  }
  return 1;
}

static int write_all(int file, const void *from, size_t bytes) {
  const char *p = from;
  while (bytes > 0) {
    const ssize_t n = write(file, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    p += n;
    bytes -= (size_t)n;
  }
  return 1;
}

pit_cubin pit_read_cache(const char *ptx, pit_architecture architecture) {
  pit_cubin cubin = {NULL, 0};
  char path[PATH_MAX];
  if (!find_file(ptx, architecture, path, sizeof path)) return cubin;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return cubin;
  struct stat status;
  file_header header;
  /* Code that someone else could have put there is not run. */
  if (fstat(file, &status) == 0 && status.st_uid == geteuid() &&
      read_all(file, &header, sizeof header) && memcmp(header.magic, kMagic, sizeof kMagic) == 0 &&
      header.ptx_bytes == strlen(ptx) &&
      (uint64_t)status.st_size == header.cubin_bytes + sizeof header) {
    cubin.bytes = header.cubin_bytes;
    cubin.data = malloc(cubin.bytes);
  }
  if (cubin.data && (!read_all(file, cubin.data, cubin.bytes) ||
                     hash(cubin.data, cubin.bytes, 0) != header.cubin_hash)) {
    free(cubin.data);
    cubin.data = NULL;
  }
  close(file);
  return cubin;
}

/* The folders of a file's path. */
static void make_folders(char *path) {
  for (char *p = path + 1; *p; ++p) {
    if (*p != '/') continue;
    *p = 0;
    mkdir(path, 0700); /* what is missing shows when the file is opened */
    *p = '/';
  }
}

void pit_write_cache(const char *ptx, pit_architecture architecture, const pit_cubin *cubin) {
  static int32_t written; /* two threads write two files */
  char path[PATH_MAX], temporary[PATH_MAX + 64];
  if (!find_file(ptx, architecture, path, sizeof path)) return;
  make_folders(path);
  snprintf(temporary, sizeof temporary, "%s.%ld.%d", path, (long)getpid(),
           __atomic_fetch_add(&written, 1, __ATOMIC_RELAXED));
  const int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return;
  file_header header = {.ptx_bytes = strlen(ptx),
                        .cubin_bytes = cubin->bytes,
                        .cubin_hash = hash(cubin->data, cubin->bytes, 0)};
  memcpy(header.magic, kMagic, sizeof kMagic);
  int good = write_all(file, &header, sizeof header) && write_all(file, cubin->data, cubin->bytes);
  good = close(file) == 0 && good;
  if (!good || rename(temporary, path) != 0) unlink(temporary);
}
