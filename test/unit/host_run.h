// Runs modules by the JIT and by the interpreter, and compares.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "codegen/emit/jit.h"
#include "codegen/host/parallel.h"
#include "codegen/ir/interpret.h"
#include "codegen/ir/text.h"
#include "dsl/arithmetic.h"
#include "dsl/half.h"

namespace pit::host {

/// A tensor with its own elements, of any type and with any strides.
struct TestTensor {
  Type type;
  std::vector<std::int64_t> extents, strides;
  std::vector<std::byte> bytes;

  TestTensor(Type t, std::vector<std::int64_t> e, std::vector<std::int64_t> s = {})
      : type(t), extents(std::move(e)), strides(std::move(s)) {
    if (strides.empty()) {
      strides.assign(extents.size(), 1);
      for (std::size_t d = extents.size(); d-- > 1;) strides[d - 1] = strides[d] * extents[d];
    }
    std::int64_t size = 1;
    for (std::size_t d = 0; d < extents.size(); ++d)
      size += std::max<std::int64_t>(extents[d] - 1, 0) * strides[d];
    bytes.resize(static_cast<std::size_t>(size * type.bytes()));
  }

  std::int64_t places() const { return static_cast<std::int64_t>(bytes.size()) / type.bytes(); }

  double get(std::int64_t place) const {
    const std::byte *at = bytes.data() + place * type.bytes();
    const auto read = [&]<class T>(T value) {
      std::memcpy(&value, at, sizeof value);
      return value;
    };
    if (type == float64) return read(0.0);
    if (type == float32) return read(0.0f);
    if (type == float16) return float16_bits_to_float(read(std::uint16_t{}));
    if (type == bfloat16) return bfloat16_bits_to_float(read(std::uint16_t{}));
    std::uint64_t bits = 0;
    std::memcpy(&bits, at, static_cast<std::size_t>(type.bytes()));
    return int_to_float(type, wrap(type, static_cast<std::int64_t>(bits)));
  }

  void set(std::int64_t place, double v) {
    std::byte *at = bytes.data() + place * type.bytes();
    const auto write = [&]<class T>(T value) { std::memcpy(at, &value, sizeof value); };
    if (type == float64) return write(v);
    if (type == float32) return write(static_cast<float>(v));
    if (type == float16) return write(float_to_float16_bits(static_cast<float>(v)));
    if (type == bfloat16) return write(float_to_bfloat16_bits(static_cast<float>(v)));
    const std::int64_t bits = float_to_int(type, v);
    std::memcpy(at, &bits, static_cast<std::size_t>(type.bytes()));
  }

  TestTensor &fill(double v) {
    for (std::int64_t i = 0; i < places(); ++i) set(i, v);
    return *this;
  }
  /// Whole numbers of [low, high].
  TestTensor &fill_random(std::mt19937 &random, int low, int high) {
    std::uniform_int_distribution<int> pick(low, high);
    for (std::int64_t i = 0; i < places(); ++i) set(i, pick(random));
    return *this;
  }
  ir::TensorArgument argument() { return {bytes.data(), extents, strides}; }
};

struct HostRun {
  int status = 0;
  int check = -1;
  std::vector<std::int64_t> values;
  std::int64_t leaked_bytes = 0;
};

/// Calls the function; scalars are converted to their types.
inline HostRun call(const emit::JitFunction &function, const ir::Module &module,
                    std::vector<TestTensor> &inputs, const std::vector<double> &scalars,
                    std::vector<TestTensor> &outputs) {
  std::vector<DLTensor> tensors;
  for (auto *list : {&inputs, &outputs}) {
    for (TestTensor &t : *list) {
      DLTensor d{};
      d.data = t.bytes.data();
      d.ndim = static_cast<int>(t.extents.size());
      d.shape = t.extents.data();
      d.strides = t.strides.data();
      tensors.push_back(d);
    }
  }
  std::vector<const DLTensor *> pointers;
  for (const DLTensor &t : tensors) pointers.push_back(&t);
  std::vector<TestTensor> scalar_memory;
  for (std::size_t i = 0; i < scalars.size(); ++i) {
    scalar_memory.emplace_back(module.scalars[i]->type, std::vector<std::int64_t>{1})
        .set(0, scalars[i]);
  }
  std::vector<const void *> scalar_pointers;
  for (TestTensor &t : scalar_memory) scalar_pointers.push_back(t.bytes.data());
  pit_call state;
  pit_call_initialise(&state);
  state.parallel = tbb_parallel_for;
  HostRun run;
  run.status = function.entry()(&state, pointers.data(), scalar_pointers.data());
  run.leaked_bytes = state.workspace_bytes;
  run.check = state.check;
  run.values.assign(state.values, state.values + PIT_MAX_VALUES);
  return run;
}

inline Variant variant_for(const std::vector<TestTensor> &inputs,
                           const std::vector<TestTensor> &outputs) {
  Variant variant;
  for (const auto *list : {&inputs, &outputs}) {
    for (const TestTensor &t : *list) {
      int unit = -1;
      for (std::size_t d = 0; d < t.strides.size(); ++d) {
        if (t.strides[d] == 1) unit = static_cast<int>(d);
      }
      variant.unit_dimension.push_back(unit);
    }
  }
  return variant;
}

inline const std::vector<std::string> &tested_targets() {
  static const std::vector<std::string> targets = [] {
    std::vector<std::string> list;
    for (const char *name : {"x86-64-linux", "x86-64-linux-avx2", "x86-64-linux-avx512",
                             "x86-64-linux-avx512_bf16-avx512_vnni"}) {
      if (missing_feature(Target(name)).empty()) list.emplace_back(name);
    }
    return list;
  }();
  return targets;
}

/// Runs the module by the interpreter and, for every target, by the JIT; outputs agree within
/// `tolerance` (relative to 1 + |expected|). Outputs keep what the interpreter wrote.
inline void check_against_interpreter(const ir::Module &module, std::vector<TestTensor> inputs,
                                      const std::vector<double> &scalars,
                                      std::vector<TestTensor> &outputs, double tolerance = 0) {
  std::vector<TestTensor> expected = outputs;
  std::vector<ir::TensorArgument> in, out;
  for (TestTensor &t : inputs) in.push_back(t.argument());
  for (TestTensor &t : expected) out.push_back(t.argument());
  ir::interpret(module, in, scalars, out);
  for (const std::string &target : tested_targets()) {
    INFO("target ", target);
    const emit::HostFunction function(module, machine_of(Target(target)),
                                      variant_for(inputs, outputs));
    std::vector<TestTensor> found = outputs;
    const HostRun run = call(function, module, inputs, scalars, found);
    REQUIRE(run.status == PIT_OK);
    CHECK(run.leaked_bytes == 0);
    for (std::size_t o = 0; o < found.size(); ++o) {
      int wrong = 0;
      for (std::int64_t i = 0; i < found[o].places() && wrong < 3; ++i) {
        const double a = found[o].get(i), e = expected[o].get(i);
        const bool same = (std::isnan(a) && std::isnan(e)) || a == e ||
                          std::abs(a - e) <= tolerance * (1 + std::abs(e));
        if (!same) {
          ++wrong;
          INFO("output ", o, " place ", i, ": found ", a, ", expected ", e);
          CHECK(same);
        }
      }
      CHECK(wrong == 0);
    }
  }
  outputs = expected;
}

}  // namespace pit::host
