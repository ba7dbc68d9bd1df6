#include "peers.h"

#ifdef PIT_BENCH_ONEDNN

#include <dlfcn.h>
#include <dnnl.h>

#include <map>
#include <stdexcept>
#include <tuple>

namespace pit::bench {

namespace {

// The functions of the C interface that are used, by their names.
// clang-format off
#define PIT_BENCH_DNNL_FUNCTIONS(X) \
  X(dnnl_version) X(dnnl_engine_create) X(dnnl_stream_create) \
  X(dnnl_stream_wait) X(dnnl_memory_desc_init_by_tag) X(dnnl_memory_create) \
  X(dnnl_memory_destroy) X(dnnl_matmul_desc_init) X(dnnl_primitive_desc_create) \
  X(dnnl_primitive_desc_destroy) X(dnnl_primitive_create) X(dnnl_primitive_execute)
// clang-format on

struct Functions {
#define PIT_BENCH_DECLARE(name) decltype(&::name) name = nullptr;
  PIT_BENCH_DNNL_FUNCTIONS(PIT_BENCH_DECLARE)
#undef PIT_BENCH_DECLARE
  void (*set_threads)(int) = nullptr;
};

// All functions, or nothing.
std::unique_ptr<Functions> open_library() {
  const std::string file = "libdnnl.so." + std::to_string(DNNL_VERSION_MAJOR);
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  auto functions = std::make_unique<Functions>();
  bool complete = true;
  const auto find = [&](auto &function, const char *name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    complete = complete && function != nullptr;
  };
#define PIT_BENCH_FIND(name) find(functions->name, #name);
  PIT_BENCH_DNNL_FUNCTIONS(PIT_BENCH_FIND)
#undef PIT_BENCH_FIND
  find(functions->set_threads, "omp_set_num_threads");
  return complete ? std::move(functions) : nullptr;
}

dnnl_data_type_t data_type(Type type) {
  if (type == float32) return dnnl_f32;
  if (type == bfloat16) return dnnl_bf16;
  if (type == float16) return dnnl_f16;
  if (type == int8) return dnnl_s8;
  if (type == int32) return dnnl_s32;
  return dnnl_data_type_undef;
}

class Opened : public OneDnn {
 public:
  explicit Opened(std::unique_ptr<Functions> functions) : f_(std::move(functions)) {
    check(f_->dnnl_engine_create(&engine_, dnnl_cpu, 0));
    check(f_->dnnl_stream_create(&stream_, engine_, dnnl_stream_default_flags));
  }

  bool can_multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const override {
    return product(a, b, c) != nullptr;
  }

  void multiply(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const override {
    dnnl_primitive_t primitive = product(a, b, c);
    if (primitive == nullptr) throw std::runtime_error("oneDNN cannot compute this product");
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, memory(a)}, {DNNL_ARG_WEIGHTS, memory(b)}, {DNNL_ARG_DST, memory(c)}};
    const dnnl_status_t status = f_->dnnl_primitive_execute(primitive, stream_, 3, arguments);
    check(f_->dnnl_stream_wait(stream_));
    for (const dnnl_exec_arg_t &argument : arguments) f_->dnnl_memory_destroy(argument.memory);
    check(status);
  }

  void set_threads(int threads) const override {
    threads_ = threads;
    f_->set_threads(threads);
  }

  std::string version() const override {
    const dnnl_version_t *v = f_->dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
           std::to_string(v->patch);
  }

 private:
  // A primitive is made for a number of threads.
  using Key = std::tuple<int, Shape, Shape, std::string, std::string>;

  std::unique_ptr<Functions> f_;
  dnnl_engine_t engine_ = nullptr;
  dnnl_stream_t stream_ = nullptr;
  mutable int threads_ = 1;
  mutable std::map<Key, dnnl_primitive_t> products_;

  static void check(dnnl_status_t status) {
    if (status != dnnl_success) {
      throw std::runtime_error("oneDNN fails with status " + std::to_string(status));
    }
  }

  dnnl_memory_desc_t description(const AnyBuffer &buffer) const {
    dnnl_memory_desc_t result;
    const dnnl_dims_t extents = {buffer.extent(0), buffer.extent(1)};
    check(f_->dnnl_memory_desc_init_by_tag(&result, 2, extents, data_type(buffer.type()), dnnl_ab));
    return result;
  }

  dnnl_memory_t memory(const AnyBuffer &buffer) const {
    const dnnl_memory_desc_t layout = description(buffer);
    dnnl_memory_t result = nullptr;
    check(f_->dnnl_memory_create(&result, &layout, engine_, buffer.data()));
    return result;
  }

  // Null where oneDNN has no code for it.
  dnnl_primitive_t product(const AnyBuffer &a, const AnyBuffer &b, const AnyBuffer &c) const {
    const Key key{threads_, a.extents(), b.extents(), to_string(a.type()), to_string(c.type())};
    if (const auto found = products_.find(key); found != products_.end()) return found->second;
    const dnnl_memory_desc_t left = description(a), right = description(b), out = description(c);
    dnnl_matmul_desc_t operation;
    dnnl_primitive_desc_t plan = nullptr;
    dnnl_primitive_t result = nullptr;
    check(f_->dnnl_matmul_desc_init(&operation, &left, &right, nullptr, &out));
    if (f_->dnnl_primitive_desc_create(&plan, &operation, nullptr, engine_, nullptr) ==
        dnnl_success) {
      check(f_->dnnl_primitive_create(&result, plan));
      f_->dnnl_primitive_desc_destroy(plan);
    }
    return products_[key] = result;
  }
};

}  // namespace

const OneDnn *OneDnn::instance() {
  static const std::unique_ptr<OneDnn> library = []() -> std::unique_ptr<OneDnn> {
    std::unique_ptr<Functions> functions = open_library();
    if (!functions) return nullptr;
    return std::make_unique<Opened>(std::move(functions));
  }();
  return library.get();
}

}  // namespace pit::bench

#else

namespace pit::bench {

const OneDnn *OneDnn::instance() { return nullptr; }

}  // namespace pit::bench

#endif
