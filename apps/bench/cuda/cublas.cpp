#include <dlfcn.h>

#include <stdexcept>

#include "libraries.h"

namespace pit::bench::cuda {

namespace {

// Parts of the C interface, declared here so that no header is needed. Results are 0 for success.
constexpr int kNoTranspose = 0;                     // CUBLAS_OP_N
constexpr int kFloat32 = 0, kBfloat16 = 14;         // cudaDataType
constexpr int kSumFloat32 = 68, kSumFastTf32 = 77;  // cublasComputeType_t
constexpr int kDefaultAlgorithm = -1;               // CUBLAS_GEMM_DEFAULT
#define PIT_BENCH_CUBLAS(X)                                                                    \
  X(create, "cublasCreate_v2", (void **))                                                      \
  X(get_version, "cublasGetVersion_v2", (void *, int *))                                       \
  X(set_stream, "cublasSetStream_v2", (void *, void *))                                        \
  X(set_workspace, "cublasSetWorkspace_v2", (void *, void *, std::size_t))                     \
  X(gemm, "cublasGemmEx",                                                                      \
    (void *, int, int, int, int, int, const void *, const void *, int, int, const void *, int, \
     int, const void *, void *, int, int, int, int))

// The library recommends so much for this architecture.
constexpr std::int64_t kWorkspace = 32 << 20;

struct Functions {
#define X(member, symbol, parameters) int(*member) parameters = nullptr;
  PIT_BENCH_CUBLAS(X)
#undef X

  bool find(void *library) {
#define X(member, symbol, parameters)                                   \
  member = reinterpret_cast<int(*) parameters>(dlsym(library, symbol)); \
  if (member == nullptr) return false;
    PIT_BENCH_CUBLAS(X)
#undef X
    return true;
  }
};

void require(int status, const char *what) {
  if (status != 0) {
    throw std::runtime_error(std::string(what) + " failed: status " + std::to_string(status));
  }
}

class Opened final : public CuBlas {
 public:
  Opened(const Functions &functions, const Device &device)
      : library_(functions), workspace_(device.allocate(uint8, {kWorkspace})) {
    require(library_.create(&handle_), "cublasCreate");
    require(library_.set_stream(handle_, device.stream()), "cublasSetStream");
    require(library_.set_workspace(handle_, workspace_.data(), kWorkspace), "cublasSetWorkspace");
  }

  void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c,
                bool tf32) const override {
    const auto m = static_cast<int>(a.extent(0)), k = static_cast<int>(a.extent(1)),
               n = static_cast<int>(b.extent(1));
    if (m == 0) return;
    const float one = 1, zero = 0;
    const int type = a.type() == float32 ? kFloat32 : kBfloat16;
    // The library's matrices are column-major: C' = B' A'.
    require(library_.gemm(handle_, kNoTranspose, kNoTranspose, n, m, k, &one, b.data(), type, n,
                          a.data(), type, k, &zero, c.data(), type, n,
                          tf32 ? kSumFastTf32 : kSumFloat32, kDefaultAlgorithm),
            "cublasGemmEx");
  }
  std::int64_t workspace_bytes() const override { return kWorkspace; }
  std::string version() const override {
    int version = 0;
    require(library_.get_version(handle_, &version), "cublasGetVersion");
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  }

 private:
  Functions library_;
  AnyBuffer workspace_;
  void *handle_ = nullptr;
};

}  // namespace

const CuBlas *CuBlas::instance(const Device &device) {
  // Never closed: the library's own clean-up may come after the driver's at the end.
  static const CuBlas *const opened = [&]() -> const CuBlas * {
    void *library = open_library({"libcublas.so.13", "libcublas.so.12"});
    Functions functions;
    if (library == nullptr || !functions.find(library)) return nullptr;
    return new Opened(functions, device);
  }();
  return opened;
}

std::vector<std::pair<std::string, std::string>> library_versions(const Device &device) {
  const CuBlas *cublas = CuBlas::instance(device);
  const CuSparse *cusparse = CuSparse::instance(device);
  return {{"cuBLAS", cublas != nullptr ? cublas->version() : "not found"},
          {"cuSPARSE", cusparse != nullptr ? cusparse->version() : "not found"}};
}

}  // namespace pit::bench::cuda
