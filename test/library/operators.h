// What tests of emitted operators share: tensors, data, and the operators' results computed here.
#pragma once

#include <pit_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

namespace library {

std::uint16_t bfloat16(float value);
float number(std::uint16_t bits);

inline constexpr DLDataType kBfloat16{kDLBfloat, 16, 1}, kFloat{kDLFloat, 32, 1},
    kInt{kDLInt, 32, 1}, kByte{kDLUInt, 8, 1};

/// A row-major tensor of the host with its memory.
template <class T>
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<T> data;
  DLTensor tensor{.device = {kDLCPU, 0}};

  Tensor(DLDataType type, std::vector<std::int64_t> extents) : shape(std::move(extents)) {
    std::int64_t size = 1;
    for (const std::int64_t extent : shape) size *= extent;
    data.resize(static_cast<std::size_t>(size));
    tensor.data = data.data();
    tensor.ndim = static_cast<int>(shape.size());
    tensor.dtype = type;
    tensor.shape = shape.data();
  }
  Tensor(const Tensor &) = delete;
  Tensor &operator=(const Tensor &) = delete;
  T &operator()(std::int64_t i, std::int64_t j) {
    return data[static_cast<std::size_t>(i * shape[1] + j)];
  }
  T operator()(std::int64_t h, std::int64_t i, std::int64_t j) const {
    return data[static_cast<std::size_t>((h * shape[1] + i) * shape[2] + j)];
  }
  const DLTensor *operator&() const { return &tensor; }  // NOLINT: what operators take
};

using Half = Tensor<std::uint16_t>;

/// Small whole numbers, whose products and sums are exact; `zeros` of them are 0.
void fill(std::vector<std::uint16_t> *data, unsigned seed, double zeros = 0);

/// Arguments of a generated operator and its results, as they are to be.
struct Case {
  virtual ~Case() = default;
  /// Inputs, then the output.
  virtual std::vector<const DLTensor *> tensors() const = 0;
  virtual std::vector<const void *> scalars() const { return {}; }
  /// Elements of the output that are wrong.
  virtual std::int64_t wrong() const = 0;
  virtual Half &output() = 0;
  /// Every byte of the output becomes 0xff, which no result is.
  void poison();
  bool untouched();
  std::int32_t call(const pit_operator &op, const pit_options *options = nullptr) const {
    return pit_operator_call(&op, tensors().data(), scalars().data(), options);
  }
};

/// Out = relu(A B + bias), 90% of A are 0.
struct Product final : Case {
  Half a, b, out;
  Tensor<float> bias;

  explicit Product(unsigned seed = 1, std::int64_t rows = 100, std::int64_t inner = 70,
                   std::int64_t columns = 50);
  std::vector<const DLTensor *> tensors() const override { return {&a, &b, &bias, &out}; }
  std::int64_t wrong() const override;
  Half &output() override { return out; }

 private:
  std::vector<std::uint16_t> expected_;
};

/// Tokens of two experts each, SwiGLU.
struct Experts final : Case {
  Half x, w1, w3, w2, out;
  Tensor<std::int32_t> expert;
  Tensor<float> weight;

  explicit Experts(unsigned seed = 1, std::int64_t tokens = 37, std::int64_t experts = 5,
                   std::int64_t in = 24, std::int64_t hidden = 40);
  std::vector<const DLTensor *> tensors() const override {
    return {&x, &expert, &weight, &w1, &w3, &w2, &out};
  }
  std::int64_t wrong() const override;
  Half &output() override { return out; }

 private:
  std::vector<double> expected_, magnitude_;  // a sum, and that of its terms' magnitudes
};

/// Causal attention of two heads over blocks of 64 that a mask keeps.
struct Attention final : Case {
  Half q, k, v, out;
  Tensor<std::uint8_t> mask;
  float scale = 0.25F;

  explicit Attention(unsigned seed = 6, std::int64_t length = 130, std::int64_t channels = 16);
  std::vector<const DLTensor *> tensors() const override { return {&q, &k, &v, &mask, &out}; }
  std::vector<const void *> scalars() const override { return {&scale}; }
  std::int64_t wrong() const override;
  Half &output() override { return out; }

 private:
  std::vector<double> expected_;
};

/// Seconds that PIT_TEST_SECONDS gives tests that run for a time; else one second or less.
double test_seconds();

}  // namespace library
