#include <dlfcn.h>

#include <filesystem>

#include "apps/bench/eigen/module.h"
#include "peers.h"

namespace pit::bench {

namespace {

class Opened;

class Compressed : public EigenMatrix {
 public:
  Compressed(const Opened &library, const AnyBuffer &dense);
  ~Compressed() override;
  Compressed(const Compressed &) = delete;
  Compressed &operator=(const Compressed &) = delete;
  void multiply(const AnyBuffer &b, const AnyBuffer &c) const override;

 private:
  const Opened &library_;
  void *matrix_;
};

class Opened : public EigenSparse {
 public:
  decltype(&pit_bench_eigen_version) version_;
  decltype(&pit_bench_eigen_set_threads) set_threads_;
  decltype(&pit_bench_eigen_compress) compress_;
  decltype(&pit_bench_eigen_release) release_;
  decltype(&pit_bench_eigen_multiply) multiply_;

  // `library` is never closed.
  explicit Opened(void *library) {
    find(library, version_, "pit_bench_eigen_version");
    find(library, set_threads_, "pit_bench_eigen_set_threads");
    find(library, compress_, "pit_bench_eigen_compress");
    find(library, release_, "pit_bench_eigen_release");
    find(library, multiply_, "pit_bench_eigen_multiply");
  }

  std::unique_ptr<EigenMatrix> compressed(const AnyBuffer &dense) const override {
    return std::make_unique<Compressed>(*this, dense);
  }
  void set_threads(int threads) const override { set_threads_(threads); }
  std::string version() const override { return version_(); }

 private:
  template <class Function>
  static void find(void *library, Function &function, const char *name) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) throw std::runtime_error(std::string("Eigen's library lacks ") + name);
  }
};

Compressed::Compressed(const Opened &library, const AnyBuffer &dense)
    : library_(library),
      matrix_(library.compress_(static_cast<const float *>(dense.data()), dense.extent(0),
                                dense.extent(1))) {}

Compressed::~Compressed() { library_.release_(matrix_); }

void Compressed::multiply(const AnyBuffer &b, const AnyBuffer &c) const {
  library_.multiply_(matrix_, static_cast<const float *>(b.data()), b.extent(1),
                     static_cast<float *>(c.data()));
}

}  // namespace

const EigenSparse *EigenSparse::instance() {
  static const std::unique_ptr<EigenSparse> library = []() -> std::unique_ptr<EigenSparse> {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return nullptr;
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
    std::error_code error;
    const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
    const std::string file = folder / (wide ? "pit_bench_eigen_v4.so" : "pit_bench_eigen_v3.so");
    void *opened = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) return nullptr;
    return std::make_unique<Opened>(opened);
  }();
  return library.get();
}

}  // namespace pit::bench
