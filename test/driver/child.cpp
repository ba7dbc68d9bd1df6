#include "test/driver/child.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <mutex>

namespace pit_test {

const std::string &stand_in() {
  static const std::string path =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / PIT_FAKE_CUDA;
  return path;
}

namespace {

template <typename Function>
Function function(const char *name) {
  void *library = dlopen(stand_in().c_str(), RTLD_NOW | RTLD_LOCAL);
  void *found = library ? dlsym(library, name) : nullptr;
  if (found == nullptr) {
    std::fprintf(stderr, "no %s in the stand-in for the driver: %s\n", name,
                 dlerror());  // NOLINT(concurrency-mt-unsafe): one thread opens it
    std::abort();
  }
  return reinterpret_cast<Function>(found);
}

std::string read_all(int file) {
  std::string text;
  char part[1024];
  for (ssize_t n; (n = read(file, part, sizeof part)) > 0;) {
    text.append(part, static_cast<std::size_t>(n));
  }
  return text;
}

void write_all(int file, const std::string &text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(file, text.data() + done, text.size() - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace

fake_cuda &fake() { return *function<fake_state_function>("fake_state")(); }

int count(const char *entry_point) {
  return function<fake_count_function>("fake_count")(entry_point);
}

void reset_device(int device) { function<fake_reset_function>("fake_reset_device")(device); }

void *allocate(std::size_t bytes, fake_memory kind, int device) {
  return function<fake_allocate_function>("fake_allocate")(bytes, kind, device);
}

CUcontext push_context_of(int device) {
  CUcontext context = nullptr;
  function<CUresult (*)(CUcontext *, CUdevice)>("cuDevicePrimaryCtxRetain")(&context, device);
  function<CUresult (*)(CUcontext)>("cuCtxPushCurrent_v2")(context);
  return context;
}

CUcontext current_context() {
  CUcontext context = nullptr;
  function<CUresult (*)(CUcontext *)>("cuCtxGetCurrent")(&context);
  return context;
}

std::string &failures() {
  static std::string text;
  return text;
}

void expect(bool holds, const char *text, const char *file, int line, const std::string &detail) {
  if (holds) return;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  failures() += std::string(file) + ":" + std::to_string(line) + ": " + text + "\n" + detail;
}

void expect_part(const char *text, const std::string &part, const char *file, int line) {
  const std::string whole = text ? text : "(null)";
  expect(whole.find(part) != std::string::npos, part.c_str(), file, line,
         "    is not in: " + whole + "\n");
}

std::string in_child(const std::function<void()> &body, const Environment &environment) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  std::fflush(nullptr);  // or the child writes it again
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    setenv("PIT_CUDA_DRIVER", stand_in().c_str(), 1);
    setenv("PIT_NVJITLINK", "", 1);
    setenv("PIT_CACHE_DIR", "", 1);
    unsetenv("NVTX_INJECTION64_PATH");
    for (const auto &[name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    failures().clear();
    body();
    write_all(ends[1], failures());
    _exit(0);
  }
  close(ends[1]);
  std::string found = read_all(ends[0]);
  close(ends[0]);
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    found += "the child ended with status " + std::to_string(status) + "\n";
  }
  return found;
}

}  // namespace pit_test
