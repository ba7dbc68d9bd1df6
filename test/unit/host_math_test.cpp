#include <bit>

#include "host_run.h"

namespace pit::host {
namespace {

using namespace ir;  // NOLINT

// Y[i] = op(X[i]).
Module map_module(Type type, Type result, const std::function<Expr(Expr)> &op) {
  Module module;
  module.name = "map";
  const StoragePtr x = make_storage("X", type, 1, Space::Tensor),
                   y = make_storage("Y", result, 1, Space::Tensor);
  module.inputs = {x};
  module.outputs = {y};
  const VarPtr i = make_axis_variable("i");
  module.body = make<Axes>(std::vector<AxisBinding>{{i, make_extent(y, 0)}},
                           make<Store>(std::vector<VarPtr>{i}, std::vector<Expr>{}, y,
                                       std::vector<Expr>{make_variable(i)}, Combiner::Assign,
                                       op(make_load(x, {make_variable(i)}))));
  return module;
}

std::vector<double> apply(Type type, Type result, const std::function<Expr(Expr)> &op,
                          const std::vector<double> &xs, const std::string &target) {
  const Module module = map_module(type, result, op);
  std::vector<TestTensor> inputs{TestTensor(type, {static_cast<std::int64_t>(xs.size())})};
  std::vector<TestTensor> outputs{TestTensor(result, {static_cast<std::int64_t>(xs.size())})};
  for (std::size_t i = 0; i < xs.size(); ++i) inputs[0].set(static_cast<std::int64_t>(i), xs[i]);
  const emit::HostFunction function(module, machine_of(Target(target)), row_major_variant(module));
  REQUIRE(call(function, module, inputs, {}, outputs).status == PIT_OK);
  std::vector<double> ys;
  for (std::size_t i = 0; i < xs.size(); ++i)
    ys.push_back(outputs[0].get(static_cast<std::int64_t>(i)));
  return ys;
}

std::vector<double> floats_of_all_sizes() {
  std::vector<double> xs{
      0.0,       -0.0,           INFINITY,     -INFINITY,     NAN,         1,         -1,
      0.5,       88.7,           88.8,         -87.4,         -100,        -103.9,    -104,
      1e-45,     1.17549435e-38, 3.4028235e38, -3.4028235e38, 0.70710677,  1.4142135, 0.99999994,
      1.0000001, 0.625,          9.1,          1073741824.0,  1073741760.0};
  std::mt19937 random(5);
  for (int i = 0; i < 20000; ++i) {
    const float any = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    xs.push_back(any);
    xs.push_back(std::uniform_real_distribution<float>(-20, 20)(random));
    xs.push_back(std::uniform_real_distribution<float>(-1, 1)(random));
    xs.push_back(std::uniform_real_distribution<float>(0.5, 2)(random));
    xs.push_back(std::uniform_real_distribution<float>(-110, 95)(random));
    xs.push_back(std::uniform_real_distribution<float>(-1e6, 1e6)(random));
  }
  return xs;
}

// Distance in units of the last place of the float nearest to the exact value.
double error_in_ulps(double found, double exact) {
  const auto nearest = static_cast<float>(exact);
  if (std::isnan(exact)) return std::isnan(found) ? 0 : 1e9;
  if (std::isinf(nearest) || std::isinf(found)) {
    return static_cast<double>(nearest) == found || std::abs(found) == 3.4028234663852886e38 ? 0
                                                                                             : 1e9;
  }
  const double size = std::max(std::abs(static_cast<double>(nearest)), 1.1754943508222875e-38);
  const double ulp = std::ldexp(1.0, std::ilogb(size) - 23);
  return std::abs(found - exact) / ulp;
}

TEST_CASE("float32 functions are within 2 units in the last place") {
  const std::vector<double> xs = floats_of_all_sizes();
  struct Function {
    const char *name;
    Expr (*op)(const Expr &);
    double (*exact)(double);
  };
  const Function functions[] = {
      {"exp", [](const Expr &x) { return exp(x); }, [](double x) { return std::exp(x); }},
      {"exp2", [](const Expr &x) { return exp2(x); }, [](double x) { return std::exp2(x); }},
      {"log", [](const Expr &x) { return log(x); }, [](double x) { return std::log(x); }},
      {"tanh", [](const Expr &x) { return tanh(x); }, [](double x) { return std::tanh(x); }},
      {"erf", [](const Expr &x) { return erf(x); }, [](double x) { return std::erf(x); }},
      {"sin", [](const Expr &x) { return sin(x); }, [](double x) { return std::sin(x); }},
      {"cos", [](const Expr &x) { return cos(x); }, [](double x) { return std::cos(x); }},
      {"sqrt", [](const Expr &x) { return sqrt(x); }, [](double x) { return std::sqrt(x); }},
      {"rsqrt", [](const Expr &x) { return rsqrt(x); }, [](double x) { return 1 / std::sqrt(x); }}};
  for (const std::string &target : tested_targets()) {
    for (const Function &f : functions) {
      const std::vector<double> ys = apply(float32, float32, f.op, xs, target);
      double worst = 0, where = 0;
      for (std::size_t i = 0; i < xs.size(); ++i) {
        const auto x = static_cast<double>(static_cast<float>(xs[i]));
        const double error = error_in_ulps(ys[i], f.exact(x));
        if (error > worst) worst = error, where = x;
      }
      INFO(std::string(f.name), " on ", target, " at ", where);
      CHECK(worst <= 2.0);
    }
  }
}

TEST_CASE("float64 functions are the C library's") {
  const std::vector<double> xs{0.1, -0.3, 2.5, 700, -700, 1e300, INFINITY};
  for (const auto &[op, exact] : std::vector<std::pair<Expr (*)(const Expr &), double (*)(double)>>{
           {[](const Expr &x) { return exp(x); }, [](double x) { return std::exp(x); }},
           {[](const Expr &x) { return exp2(x); }, [](double x) { return std::exp2(x); }},
           {[](const Expr &x) { return tanh(x); }, [](double x) { return std::tanh(x); }},
           {[](const Expr &x) { return sin(x); }, [](double x) { return std::sin(x); }}}) {
    const std::vector<double> ys = apply(float64, float64, op, xs, "host");
    for (std::size_t i = 0; i < xs.size(); ++i) {
      const double e = exact(xs[i]);
      CHECK((ys[i] == e || (std::isnan(ys[i]) && std::isnan(e))));
    }
  }
}

TEST_CASE("16-bit floats widen exactly and narrow to nearest even") {
  for (const std::string &target : tested_targets()) {
    CAPTURE(target);
    for (const Type half : {float16, bfloat16}) {
      // All 65536 numbers through float and back.
      const Module module =
          map_module(half, float32, [](const Expr &x) { return cast(float32, x); });
      const Module back = map_module(float32, half, [&](const Expr &x) { return cast(half, x); });
      std::vector<TestTensor> bits{TestTensor(half, {65536})}, wide{TestTensor(float32, {65536})};
      for (std::uint32_t i = 0; i < 65536; ++i) {
        const auto word = static_cast<std::uint16_t>(i);
        std::memcpy(bits[0].bytes.data() + static_cast<std::size_t>(2 * i), &word, 2);
      }
      const emit::HostFunction widen(module, machine_of(Target(target)), row_major_variant(module));
      call(widen, module, bits, {}, wide);
      std::vector<TestTensor> again{TestTensor(half, {65536})};
      const emit::HostFunction narrow(back, machine_of(Target(target)), row_major_variant(back));
      call(narrow, back, wide, {}, again);
      int wrong = 0;
      for (std::int64_t i = 0; i < 65536; ++i) {
        const double w = wide[0].get(i), e = bits[0].get(i), a = again[0].get(i);
        if (std::isnan(e) ? !(std::isnan(w) && std::isnan(a)) : !(w == e && a == e)) ++wrong;
      }
      CHECK(wrong == 0);
      // Any float and any double.
      std::vector<double> xs;
      std::mt19937_64 random(7);
      for (int i = 0; i < 20000; ++i) {
        xs.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
        xs.push_back(std::ldexp(1.0 + static_cast<double>(random() % 4096) / 2048.0,
                                static_cast<int>(random() % 44) - 28));
      }
      for (const double x :
           {65519.0, 65520.0, 65536.0, 3.39e38, 3.4028235e38, 5.96e-8, 2.98e-8, 2.99e-8})
        xs.push_back(x);
      const std::vector<double> ys =
          apply(float32, half, [&](const Expr &x) { return cast(half, x); }, xs, target);
      wrong = 0;
      for (std::size_t i = 0; i < xs.size(); ++i) {
        const double e = round_to(half, static_cast<double>(static_cast<float>(xs[i])));
        if (std::isnan(e) ? !std::isnan(ys[i]) : ys[i] != e) ++wrong;
      }
      CHECK(wrong == 0);
    }
    // A double just above the middle of two bfloat16 rounds up, which two roundings would not.
    const std::vector<double> tie = apply(
        float64, bfloat16, [](const Expr &x) { return cast(bfloat16, x); },
        {1.00390625 + 1e-12, 1.00390625, 1.00390625 - 1e-12}, target);
    CHECK(tie == std::vector<double>{1.0078125, 1.0, 1.0});
  }
}

}  // namespace
}  // namespace pit::host
