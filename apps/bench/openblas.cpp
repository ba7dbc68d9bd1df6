#include <dlfcn.h>

#include "peers.h"

namespace pit::bench {

namespace {

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

}  // namespace

const OpenBlas *OpenBlas::instance() {
  static const std::unique_ptr<OpenBlas> library = []() -> std::unique_ptr<OpenBlas> {
    void *opened = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) return nullptr;
    auto result = std::make_unique<Opened>(opened);
    if (!result->complete()) return nullptr;
    return result;
  }();
  return library.get();
}

}  // namespace pit::bench
