#include <dlfcn.h>

#include <stdexcept>

#include "libraries.h"

namespace pit::bench::cuda {

namespace {

// Parts of the C interface, declared here so that no header is needed. Handles and descriptors are
// pointers, enumerations are ints, results are 0 for success.
constexpr int kNoTranspose = 0;              // CUSPARSE_OPERATION_NON_TRANSPOSE
constexpr int kFloat32 = 0, kBfloat16 = 14;  // cudaDataType
constexpr int kRowMajor = 2;                 // CUSPARSE_ORDER_ROW
constexpr int kInt32 = 2;                    // CUSPARSE_INDEX_32I
constexpr int kFromZero = 0;                 // CUSPARSE_INDEX_BASE_ZERO
constexpr int kElements = 6;                 // CUSPARSE_SPMM_CSR_ALG2: the one for row-major B
constexpr int kBlocks = 14;                  // CUSPARSE_SPMM_BSR_ALG1
constexpr int kConversion = 0;               // CUSPARSE_DENSETOSPARSE_ALG_DEFAULT
#define PIT_BENCH_CUSPARSE(X)                                                                    \
  X(create, "cusparseCreate", (void **))                                                         \
  X(set_stream, "cusparseSetStream", (void *, void *))                                           \
  X(get_version, "cusparseGetVersion", (void *, int *))                                          \
  X(make_dense, "cusparseCreateDnMat",                                                           \
    (void **, std::int64_t, std::int64_t, std::int64_t, void *, int, int))                       \
  X(make_elements, "cusparseCreateCsr",                                                          \
    (void **, std::int64_t, std::int64_t, std::int64_t, void *, void *, void *, int, int, int,   \
     int))                                                                                       \
  X(destroy_dense, "cusparseDestroyDnMat", (void *))                                             \
  X(destroy_sparse, "cusparseDestroySpMat", (void *))                                            \
  X(product_size, "cusparseSpMM_bufferSize",                                                     \
    (void *, int, int, const void *, void *, void *, const void *, void *, int, int,             \
     std::size_t *))                                                                             \
  X(product_prepare, "cusparseSpMM_preprocess",                                                  \
    (void *, int, int, const void *, void *, void *, const void *, void *, int, int, void *))    \
  X(product, "cusparseSpMM",                                                                     \
    (void *, int, int, const void *, void *, void *, const void *, void *, int, int, void *))    \
  X(conversion_size, "cusparseDenseToSparse_bufferSize",                                         \
    (void *, void *, void *, int, std::size_t *))                                                \
  X(conversion_analyse, "cusparseDenseToSparse_analysis", (void *, void *, void *, int, void *)) \
  X(conversion_convert, "cusparseDenseToSparse_convert", (void *, void *, void *, int, void *))  \
  X(set_pointers, "cusparseCsrSetPointers", (void *, void *, void *, void *))

struct Functions {
#define X(member, symbol, parameters) int(*member) parameters = nullptr;
  PIT_BENCH_CUSPARSE(X)
#undef X
  // Younger than the others.
  int (*make_blocks)(void **, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                     void *, void *, void *, int, int, int, int, int) = nullptr;
  const Device *device = nullptr;
  void *handle = nullptr;

  bool find(void *library) {
#define X(member, symbol, parameters)                                   \
  member = reinterpret_cast<int(*) parameters>(dlsym(library, symbol)); \
  if (member == nullptr) return false;
    PIT_BENCH_CUSPARSE(X)
#undef X
    make_blocks = reinterpret_cast<decltype(make_blocks)>(dlsym(library, "cusparseCreateBsr"));
    return true;
  }
};

void require(int status, const char *what) {
  constexpr int kNotSupported = 10;
  if (status == kNotSupported) throw std::runtime_error("has no such product");
  if (status != 0) {
    throw std::runtime_error(std::string(what) + " failed: status " + std::to_string(status));
  }
}

int code_of(Type type) { return type == float32 ? kFloat32 : kBfloat16; }

// A descriptor that is destroyed with this.
class Descriptor {
 public:
  explicit Descriptor(int (*destroy)(void *)) : destroy_(destroy) {}
  ~Descriptor() {
    if (made_ != nullptr) destroy_(made_);
  }
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  void **place() { return &made_; }
  void *get() const { return made_; }

 private:
  int (*destroy_)(void *);
  void *made_ = nullptr;
};

void describe(const Functions &library, const AnyBuffer &matrix, Descriptor &descriptor) {
  require(library.make_dense(descriptor.place(), matrix.extent(0), matrix.extent(1),
                             matrix.extent(1), matrix.data(), code_of(matrix.type()), kRowMajor),
          "cusparseCreateDnMat");
}

void describe(const Functions &library, const BlockMatrix::Compressed &a, std::int64_t columns,
              Descriptor &descriptor) {
  const std::int64_t rows = a.offsets.size() - 1, stored = a.columns.size();
  if (a.block_rows * a.block_columns == 1) {
    require(library.make_elements(descriptor.place(), rows, columns, stored, a.offsets.data(),
                                  a.columns.data(), a.values.data(), kInt32, kInt32, kFromZero,
                                  code_of(a.values.type())),
            "cusparseCreateCsr");
    return;
  }
  if (library.make_blocks == nullptr) throw std::runtime_error("has no such product");
  require(
      library.make_blocks(descriptor.place(), rows, columns / a.block_columns, stored, a.block_rows,
                          a.block_columns, a.offsets.data(), a.columns.data(), a.values.data(),
                          kInt32, kInt32, kFromZero, code_of(a.values.type()), kRowMajor),
      "cusparseCreateBsr");
}

class Product final : public SparseProduct {
 public:
  Product(const Functions &library, const BlockMatrix::Compressed &a, std::int64_t columns,
          const AnyBuffer &b, const AnyBuffer &c)
      : library_(library),
        algorithm_(a.block_rows * a.block_columns == 1 ? kElements : kBlocks),
        a_(library.destroy_sparse),
        b_(library.destroy_dense),
        c_(library.destroy_dense) {
    describe(library, a, columns, a_);
    describe(library, b, b_);
    describe(library, c, c_);
    std::size_t bytes = 0;
    require(library_.product_size(library_.handle, kNoTranspose, kNoTranspose, &kOne, a_.get(),
                                  b_.get(), &kZero, c_.get(), kFloat32, algorithm_, &bytes),
            "cusparseSpMM_bufferSize");
    workspace_ = library_.device->allocate(uint8, {static_cast<std::int64_t>(bytes)});
    require(library_.product_prepare(library_.handle, kNoTranspose, kNoTranspose, &kOne, a_.get(),
                                     b_.get(), &kZero, c_.get(), kFloat32, algorithm_,
                                     workspace_.data()),
            "cusparseSpMM_preprocess");
  }
  void enqueue() const override {
    require(library_.product(library_.handle, kNoTranspose, kNoTranspose, &kOne, a_.get(), b_.get(),
                             &kZero, c_.get(), kFloat32, algorithm_, workspace_.data()),
            "cusparseSpMM");
  }
  std::int64_t workspace_bytes() const override { return workspace_.size(); }

 private:
  static constexpr float kOne = 1, kZero = 0;
  const Functions &library_;
  int algorithm_;
  Descriptor a_, b_, c_;
  AnyBuffer workspace_;
};

class DenseToElements final : public Conversion {
 public:
  DenseToElements(const Functions &library, const AnyBuffer &dense,
                  const BlockMatrix::Compressed &to)
      : library_(library), to_(to), dense_(library.destroy_dense), sparse_(library.destroy_sparse) {
    describe(library, dense, dense_);
    describe(library, to, dense.extent(1), sparse_);
    std::size_t bytes = 0;
    require(
        library_.conversion_size(library_.handle, dense_.get(), sparse_.get(), kConversion, &bytes),
        "cusparseDenseToSparse_bufferSize");
    workspace_ = library_.device->allocate(uint8, {static_cast<std::int64_t>(bytes)});
  }
  void enqueue() const override {
    require(library_.conversion_analyse(library_.handle, dense_.get(), sparse_.get(), kConversion,
                                        workspace_.data()),
            "cusparseDenseToSparse_analysis");
    require(library_.set_pointers(sparse_.get(), to_.offsets.data(), to_.columns.data(),
                                  to_.values.data()),
            "cusparseCsrSetPointers");
    require(library_.conversion_convert(library_.handle, dense_.get(), sparse_.get(), kConversion,
                                        workspace_.data()),
            "cusparseDenseToSparse_convert");
  }
  std::int64_t workspace_bytes() const override { return workspace_.size(); }

 private:
  const Functions &library_;
  BlockMatrix::Compressed to_;
  Descriptor dense_, sparse_;
  AnyBuffer workspace_;
};

class Opened final : public CuSparse {
 public:
  Opened(const Functions &functions, const Device &device) : library_(functions) {
    library_.device = &device;
    require(library_.create(&library_.handle), "cusparseCreate");
    require(library_.set_stream(library_.handle, device.stream()), "cusparseSetStream");
  }
  std::unique_ptr<SparseProduct> product(const BlockMatrix::Compressed &a, std::int64_t columns,
                                         const AnyBuffer &b, const AnyBuffer &c) const override {
    return std::make_unique<Product>(library_, a, columns, b, c);
  }
  std::unique_ptr<Conversion> conversion(const AnyBuffer &dense,
                                         const BlockMatrix::Compressed &to) const override {
    return std::make_unique<DenseToElements>(library_, dense, to);
  }
  std::string version() const override {
    int version = 0;
    require(library_.get_version(library_.handle, &version), "cusparseGetVersion");
    return std::to_string(version / 1000) + "." + std::to_string(version / 100 % 10) + "." +
           std::to_string(version % 100);
  }

 private:
  Functions library_;
};

}  // namespace

const CuSparse *CuSparse::instance(const Device &device) {
  // Never closed: the library's own clean-up may come after the driver's at the end.
  static const CuSparse *const opened = [&]() -> const CuSparse * {
    void *library = open_library({"libcusparse.so.12", "libcusparse.so.11"});
    Functions functions;
    if (library == nullptr || !functions.find(library)) return nullptr;
    return new Opened(functions, device);
  }();
  return opened;
}

}  // namespace pit::bench::cuda
