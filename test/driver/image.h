// An image of an operator whose kernels the stand-in runs, and operators that are called by their
// tensors.
#pragma once

#include <array>
#include <string>

#include "runtime/pit_cuda.h"

namespace pit_test {

inline constexpr const char *kPtx =
    ".version 8.6 .target sm_80 pit_cuda_image_number first second heavy static";

class Image {
 public:
  explicit Image(const char *name = "spmm", const char *ptx = kPtx) {
    image_.name = name;
    image_.ptx = ptx;
    image_.architecture = 80;
    image_.kernels = kernels_.data();
    image_.kernel_count = static_cast<int>(kernels_.size());
    image_.messages = messages_.data();
    image_.message_count = static_cast<int>(messages_.size());
    image_.index_names = index_names_.data();
    image_.index_count = static_cast<int>(index_names_.size());
  }
  Image(const Image &) = delete;
  Image &operator=(const Image &) = delete;
  pit_cuda_image *get() { return &image_; }
  pit_cuda_image *operator->() { return &image_; }

 private:
  std::array<const char *, 4> kernels_ = {"first", "second", "heavy", "static"};
  std::array<const char *, 2> messages_ = {"rows of A are {0}, of B {1}", "k is {0}"};
  std::array<const char *, 2> index_names_ = {"live", "experts"};
  pit_cuda_image image_{};
};

// name(X, Y), of float32, with one code: for devices from sm_80 on, or for the host.
class OneCode {
 public:
  OneCode(const char *name, std::int32_t rank, bool on_device, pit_function code)
      : arguments_{{{"X", PIT_INPUT, rank, {kDLFloat, 32, 1}, 1, nullptr},
                    {"Y", PIT_OUTPUT, rank, {kDLFloat, 32, 1}, 1, nullptr}}} {
    code_.target = on_device ? "x86-64-linux-cuda-sm_80" : "x86-64-linux";
    code_.cpu_features = code_.memory_note = "";
    code_.architecture = on_device ? 80 : 0;
    code_.row_major = code_.any = code;
    operator_.abi_version = PIT_ABI_VERSION;
    operator_.name = name;
    operator_.arguments = arguments_.data();
    operator_.argument_count = 2;
    operator_.codes = &code_;
    operator_.code_count = 1;
  }
  OneCode(const OneCode &) = delete;
  OneCode &operator=(const OneCode &) = delete;
  const pit_operator *get() const { return &operator_; }
  std::int32_t call(const DLTensor &x, const DLTensor &y) const {
    const DLTensor *tensors[] = {&x, &y};
    return pit_operator_call(&operator_, tensors, nullptr, nullptr);
  }

 private:
  std::array<pit_argument, 2> arguments_;
  pit_code code_{};
  pit_operator operator_{};
};

inline pit_call call_on(std::int32_t device, void *stream = nullptr) {
  pit_call call;
  pit_call_initialise(&call);
  call.device = device;
  call.stream = stream;
  return call;
}

// begin, one launch, end.
inline pit_call run(pit_cuda_image *image, std::int32_t device = 0, void *stream = nullptr,
                    std::int32_t kernel = 0) {
  pit_call call = call_on(device, stream);
  pit_cuda_begin(&call, image, 1);
  pit_cuda_launch(&call, image, kernel, 7, 128, 0, 1, 0, nullptr);
  pit_cuda_end(&call);
  return call;
}

}  // namespace pit_test
