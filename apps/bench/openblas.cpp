#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "peers.h"

namespace pit::bench {

namespace {

constexpr const char *kFile = "libopenblas.so.0";
constexpr const char *kCoreVariable = "OPENBLAS_CORETYPE";

// Parts of the C interface, declared here so that no header is needed.
constexpr int kRowMajor = 101, kNoTranspose = 111;
using Gemm = void(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                  const float *a, int stride_a, const float *b, int stride_b, float beta, float *c,
                  int stride_c);

class Opened : public OpenBlas {
 public:
  // `library` is never closed.
  explicit Opened(void *library)
      : gemm_(function<Gemm>(library, "cblas_sgemm")),
        set_threads_(function<void(int)>(library, "openblas_set_num_threads")),
        config_(function<char *()>(library, "openblas_get_config")),
        core_(function<char *()>(library, "openblas_get_corename")) {}

  bool complete() const {
    return gemm_ != nullptr && set_threads_ != nullptr && config_ != nullptr && core_ != nullptr;
  }

  void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const override {
    const auto m = static_cast<int>(a.extent(0)), k = static_cast<int>(a.extent(1)),
               n = static_cast<int>(b.extent(1));
    gemm_(kRowMajor, kNoTranspose, kNoTranspose, m, n, k, 1, static_cast<const float *>(a.data()),
          k, static_cast<const float *>(b.data()), n, 0, static_cast<float *>(c.data()), n);
  }
  void set_threads(int threads) const override { set_threads_(threads); }
  std::string version() const override {
    // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
    const std::string text = config_();
    const std::size_t begin = text.find(' ') + 1;
    return text.substr(begin, text.find(' ', begin) - begin);
  }
  std::string kernels() const override { return core_(); }

 private:
  Gemm *gemm_;
  void (*set_threads_)(int);
  char *(*config_)();
  char *(*core_)();

  template <class Function>
  static Function *function(void *library, const char *name) {
    return reinterpret_cast<Function *>(dlsym(library, name));
  }
};

std::unique_ptr<OpenBlas> opened(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  auto result = std::make_unique<Opened>(library);
  if (!result->complete()) return nullptr;
  return result;
}

// A second copy of the library in memory: it chooses its kernels once, when it is opened.
std::unique_ptr<OpenBlas> opened_again(const std::string &core) {
  Dl_info info{};
  void *first = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (first == nullptr || dladdr(dlsym(first, "cblas_sgemm"), &info) == 0) return nullptr;
  std::ifstream in(info.dli_fname, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const int file = memfd_create("openblas", 0);
  if (file < 0) return nullptr;
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t count = write(file, bytes.data() + written, bytes.size() - written);
    if (count <= 0) return nullptr;
    written += static_cast<std::size_t>(count);
  }
  setenv(kCoreVariable, core.c_str(), 1);
  std::unique_ptr<OpenBlas> result = opened(("/proc/self/fd/" + std::to_string(file)).c_str());
  unsetenv(kCoreVariable);
  return result;
}

bool uses_avx512(const std::string &core) {
  return core == "SkylakeX" || core == "Cooperlake" || core == "Sapphirerapids";
}

}  // namespace

const OpenBlas *OpenBlas::standard() {
  static const std::unique_ptr<OpenBlas> library = opened(kFile);
  return library.get();
}

const OpenBlas *OpenBlas::avx512() {
  static const std::unique_ptr<OpenBlas> library = []() -> std::unique_ptr<OpenBlas> {
    const OpenBlas *usual = standard();
    if (usual == nullptr || std::getenv(kCoreVariable) != nullptr) return nullptr;
    if (uses_avx512(usual->kernels()) || !__builtin_cpu_supports("avx512bw")) return nullptr;
    const bool bf16 = __builtin_cpu_supports("avx512bf16") != 0;
    std::unique_ptr<OpenBlas> again = opened_again(bf16 ? "Cooperlake" : "SkylakeX");
    if (again && !uses_avx512(again->kernels())) again.reset();
    return again;
  }();
  return library.get();
}

std::string OpenBlas::system() const {
  return this == standard() ? "OpenBLAS" : "OpenBLAS " + kernels();
}

}  // namespace pit::bench
