// Calls with arguments that an operator refuses: the message, outputs as they were, and the next
// call as if nothing had been.
#include <doctest/doctest.h>
#include <pit/pit.h>

#include <atomic>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "dsl/error.h"

namespace pit::test {
namespace {

constexpr float kPoison = -77;

/// out(m, n) = sum over k of A(m, k) B(k, n) where A(m, k) != 0, plus s.
struct Scene {
  Callable f;
  Buffer<float> a{{4, 5}}, b{{5, 6}}, out{{4, 6}};
  float s = 1;

  explicit Scene(bool scheduled) {
    Var m("m"), n("n"), kt("kt");
    TensorParam A(float32, 2, "A"), B(float32, 2, "B");
    Param<float> shift("shift");
    RDom k(0, A.extent(1), "k");
    k.where(A(m, k) != 0);
    Func C("C"), Out("Out");
    C(m, n) += A(m, k) * B(k, n);
    Out(m, n) = C(m, n) + shift;
    if (scheduled) {
      C.update().pit_tile(kt, {.axis = k, .micro = {{m, 2}}, .dense = {{k, 4}}});
    }
    f = Pipeline({Out}, {}, "spmm").compile();
    a.fill(2);
    b.fill(3);
    out.fill(kPoison);
  }
  void good() const { f(a, b, s, out); }
  /// A's memory, to be spoilt.
  DLTensor tensor() const { return a.dl_tensor(); }
};

struct Case {
  std::string name;
  std::vector<std::string> parts;
  std::function<void(Scene &)> call;
};

const std::vector<Case> kCases = {
    {"too few arguments",
     {"wrong number of arguments; expected 4 (A, B, shift, Out); got 2"},
     [](Scene &s) { s.f(s.a, s.b); }},
    {"too many arguments",
     {"expected 4 (A, B, shift, Out); got 5"},
     [](Scene &s) { s.f(s.a, s.b, 1.f, s.out, s.out); }},
    {"a scalar for a tensor",
     {"argument 1 'A': is a tensor; expected float32 of rank 2; got a scalar int32"},
     [](Scene &s) { s.f(1, s.b, 1.f, s.out); }},
    {"a tensor for a scalar",
     {"argument 3 'shift': is a scalar; expected float32; got a tensor"},
     [](Scene &s) { s.f(s.a, s.b, s.b, s.out); }},
    {"a scalar of another type",
     {"argument 3 'shift': wrong scalar type; expected float32; got float64"},
     [](Scene &s) { s.f(s.a, s.b, 1.0, s.out); }},
    {"element type",
     {"argument 1 'A': wrong element type; expected float32; got float64"},
     [](Scene &s) { s.f(Buffer<double>({4, 5}), s.b, 1.f, s.out); }},
    {"element type of as many bytes",
     {"argument 2 'B': wrong element type; expected float32; got int32"},
     [](Scene &s) { s.f(s.a, Buffer<int>({5, 6}), 1.f, s.out); }},
    {"element type of the output",
     {"argument 4 'Out': wrong element type; expected float32; got bfloat16"},
     [](Scene &s) { s.f(s.a, s.b, 1.f, Buffer<bfloat16_t>({4, 6})); }},
    {"vectors of elements",
     {"argument 1 'A': wrong element type", "DLPack type code 2 of 32 bits and 4 lanes"},
     [](Scene &s) {
       DLTensor t = s.tensor();
       t.dtype.lanes = 4;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"rank",
     {"argument 1 'A': wrong rank; expected 2; got 1, extents (20)"},
     [](Scene &s) { s.f(s.a.reshaped({20}), s.b, 1.f, s.out); }},
    {"negative rank",
     {"argument 1 'A': wrong rank; expected 2; got -1"},
     [](Scene &s) {
       DLTensor t = s.tensor();
       t.ndim = -1;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"no shape",
     {"argument 1 'A': null shape; expected an extent for each dimension"},
     [](Scene &s) {
       DLTensor t = s.tensor();
       t.shape = nullptr;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"no tensor",
     {"argument 1 'A': wrong element type"},
     [](Scene &s) { s.f(static_cast<const DLTensor *>(nullptr), s.b, 1.f, s.out); }},
    {"a buffer without memory",
     {"argument 1 'A': wrong rank; expected 2; got 0"},
     [](Scene &s) { s.f(AnyBuffer(), s.b, 1.f, s.out); }},
    {"negative extent",
     {"argument 1 'A': negative extent; expected 0 or more; got extents (-1, 5)"},
     [](Scene &s) {
       std::int64_t shape[] = {-1, 5};
       DLTensor t = s.tensor();
       t.shape = shape;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"extents beyond the address space",
     {"argument 1 'A': elements out of the address space; expected smaller extents or strides"},
     [](Scene &s) {
       std::int64_t shape[] = {1LL << 40, 1LL << 40};
       DLTensor t = s.tensor();
       t.shape = shape, t.strides = nullptr;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"strides beyond the address space",
     {"argument 1 'A': elements out of the address space"},
     [](Scene &s) {
       std::int64_t strides[] = {std::numeric_limits<std::int64_t>::min() / 4, 1};
       DLTensor t = s.tensor();
       t.strides = strides;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"null data",
     {"argument 1 'A': null data; expected memory for extents (4, 5); got a null pointer"},
     [](Scene &s) {
       DLTensor t = s.tensor();
       t.data = nullptr;
       s.f(t, s.b, 1.f, s.out);
     }},
    {"null data of the output",
     {"argument 4 'Out': null data"},
     [](Scene &s) {
       DLTensor t = s.out.dl_tensor();
       t.data = nullptr;
       s.f(s.a, s.b, 1.f, t);
     }},
    {"memory of a GPU",
     {"argument 1 'A': not in the host's memory; expected a host tensor: copy it to the host "
      "first; "
      "got CUDA device 3"},
     [](Scene &s) {
       DLTensor t = s.tensor();
       t.device = {kDLCUDA, 3};
       s.f(t, s.b, 1.f, s.out);
     }},
    {"memory of another accelerator",
     {"argument 4 'Out': not in the host's memory", "got ROCm device 1"},
     [](Scene &s) {
       DLTensor t = s.out.dl_tensor();
       t.device = {kDLROCM, 1};
       s.f(s.a, s.b, 1.f, t);
     }},
    {"a reduction longer than an input",
     {"C.update(0) reads input 'B'", "dimension 0", "4", "3"},
     [](Scene &s) { s.f(s.a, Buffer<float>({4, 6}), 1.f, s.out); }},
    {"an output wider than an input",
     {"C.update(0) reads input 'B'", "dimension 1"},
     [](Scene &s) { s.f(s.a, Buffer<float>({5, 5}), 1.f, s.out); }},
    {"an output higher than an input",
     {"reads input 'A'", "dimension 0", "goes from 0 to 2"},
     [](Scene &s) { s.f(s.a.sliced(0, 0, 3), s.b, 1.f, s.out); }},
    {"an empty input that is needed",
     {"reads input 'A'", "dimension 0"},
     [](Scene &s) { s.f(Buffer<float>({0, 5}), s.b, 1.f, s.out); }},
    {"an output over an input",
     {"argument 4 'Out': overlaps argument 1 'A'; expected memory of its own; got shared memory"},
     [](Scene &s) { s.f(s.out.sliced(1, 0, 5), s.b, 1.f, s.out); }},
    {"an output over a part of an input",
     {"argument 4 'Out': overlaps argument 2 'B'"},
     [](Scene &s) {
       const Buffer<float> both({9, 6});
       s.f(s.a, both.sliced(0, 0, 5), 1.f, both.sliced(0, 4, 8));
     }},
    {"an output whose elements are one",
     {"argument 4 'Out': elements of an output overlap", "strides (0, 1) for extents (4, 6)"},
     [](Scene &s) { s.f(s.a, s.b, 1.f, Buffer<float>({1, 6}).broadcast(0, 4)); }},
};

void check_case(const Case &c, Scene &scene) {
  std::string message = "no error";
  try {
    c.call(scene);
  } catch (const RuntimeError &error) {
    message = error.what();
  } catch (const std::exception &error) {
    message = std::string("not a RuntimeError: ") + error.what();
  }
  INFO(c.name << ": " << message);
  CHECK(message.starts_with("operator spmm: "));
  for (const std::string &part : c.parts) {
    INFO("expected: " << part);
    CHECK(message.find(part) != std::string::npos);
  }
  int changed = 0;
  for_each_coordinate(scene.out.extents(),
                      [&](const Shape &at) { changed += scene.out.number(at) != kPoison; });
  CHECK(changed == 0);
  scene.good();
  CHECK(scene.out(3, 5) == 31);
  scene.out.fill(kPoison);
}

TEST_CASE("errors: a refused call names operator and argument and leaves outputs; the next works") {
  for (const bool scheduled : {false, true}) {
    CAPTURE(scheduled);
    Scene scene(scheduled);
    for (const Case &c : kCases) check_case(c, scene);
  }
}

TEST_CASE("errors: an empty Callable") {
  const Callable f;
  for (const auto &use : std::vector<std::function<void()>>{
           [&] { f(); }, [&] { (void)f.name(); }, [&] { (void)f.signature(); },
           [&] { (void)f.typed<In<float, 1>>(); }}) {
    CHECK_THROWS_WITH_AS(use(), "this Callable is empty; it gets its code from Pipeline::compile",
                         RuntimeError);
  }
}

TEST_CASE("errors: a typed signature that is another") {
  const Scene s(false);
  const auto refused = [](const std::function<void()> &use, const std::string &part) {
    std::string message = "no error";
    try {
      use();
    } catch (const CompileError &error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find("call_errors.cpp:") != std::string::npos);
    CHECK(message.find("operator spmm: typed(): " + part) != std::string::npos);
  };
  using A = In<float, 2>;
  refused([&] { (void)s.f.typed<A, A, Out<float, 2>>(); }, "expected 4 arguments; got 3");
  refused([&] { (void)s.f.typed<A, In<double, 2>, Scalar<float>, Out<float, 2>>(); },
          "argument 2 'B'; expected In<float32, 2>; got In<float64, 2>");
  refused([&] { (void)s.f.typed<A, A, Scalar<int>, Out<float, 2>>(); },
          "argument 3 'shift'; expected Scalar<float32>; got Scalar<int32>");
  refused([&] { (void)s.f.typed<A, A, Scalar<float>, A>(); },
          "argument 4 'Out'; expected Out<float32, 2>; got In<float32, 2>");
  refused([&] { (void)s.f.typed<In<float, 3>, A, Scalar<float>, Out<float, 2>>(); },
          "argument 1 'A'; expected In<float32, 2>; got In<float32, 3>");
  // What C++ types leave open is checked at the call.
  const auto typed = s.f.typed<A, A, Scalar<float>, Out<float, 2>>();
  CHECK_THROWS_AS(typed(AnyBuffer(float32, {4}), s.b, 1.f, s.out), RuntimeError);
  CHECK(s.out(0, 0) == kPoison);
  typed(s.a, s.b, 1.f, s.out);
  CHECK(s.out(0, 0) == 31);
}

TEST_CASE("errors: refused calls do not disturb others at the same time") {
  for (const bool scheduled : {false, true}) {
    const Scene s(scheduled);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        const bool fails = t % 2 == 0;
        const Buffer<float> mine({4, 6}), narrow({5, 5});
        for (int n = 0; n < 50; ++n) {
          mine.fill(kPoison);
          try {
            s.f(s.a, fails ? narrow : s.b, static_cast<float>(t), mine);
            if (fails || mine(3, 5) != 30 + static_cast<float>(t)) ++wrong;
          } catch (const RuntimeError &) {
            if (!fails || mine(3, 5) != kPoison) ++wrong;
          }
        }
      });
    }
    for (std::thread &thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("errors: an operator for a CPU that this is not") {
  Var i("i");
  TensorParam x(float32, 1, "x");
  Func F("F");
  F(i) = x(i) + 1;
  const Buffer<float> in({3}), out({3});
  Pipeline({F}).compile(Target("x86-64-linux"))(in, out);
  CHECK(out(2) == 1);
  for (const char *feature : {"avx2", "avx512", "avx512_bf16", "avx512_vnni"}) {
    if (Target().has(feature)) continue;
    out.fill(kPoison);
    std::string message = "no error";
    try {
      Pipeline({F}, {}, "plus").compile(Target("x86-64-linux").with(feature))(in, out);
    } catch (const RuntimeError &error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find("operator plus: it was compiled for a CPU with avx") == 0);
    CHECK(message.find("compile for the target \"host\"") != std::string::npos);
    CHECK(out(2) == kPoison);
  }
}

TEST_CASE("errors: operators for CUDA take tensors on one CUDA device") {
  Var i("i");
  TensorParam A(float32, 1, "A");
  Func F("F");
  F(i) = A(i) + 1.f;
  const Callable f = Pipeline({F}, {}, "plus").compile("x86-64-linux-cuda-sm_80");
  const Buffer<float> in({3}), out({3});
  const auto message = [&](const DLTensor &a, const DLTensor &b) -> std::string {
    try {
      f(a, b);
    } catch (const RuntimeError &error) {
      return error.what();
    }
    return "";
  };
  const auto on_device = [](const Buffer<float> &b, int device, std::uint64_t offset) {
    DLTensor t = b.dl_tensor();
    t.device = {kDLCUDA, device};
    t.byte_offset = offset;
    return t;
  };
  CHECK(message(in.dl_tensor(), out.dl_tensor())
            .find("operator plus: argument 1 'A': not in the memory of a CUDA device") == 0);
  CHECK(message(on_device(in, 0, 0), out.dl_tensor())
            .find("argument 2 'F': not in the memory of a CUDA device") != std::string::npos);
  CHECK(message(on_device(in, 0, 0), on_device(out, 1, 0))
            .find("argument 2 'F': on another device than argument 1") != std::string::npos);
  CHECK(message(on_device(in, 0, 2), on_device(out, 0, 0))
            .find("argument 1 'A': misaligned; expected elements at multiples of their size") !=
        std::string::npos);
  CHECK_THROWS_WITH_AS(
      Pipeline({F}, {}, "plus").compile().on(nullptr),
      doctest::Contains("operator plus: it runs on the host, where there are no streams"),
      CompileError);
}

TEST_CASE("errors: no CUDA driver is a message that says so") {
  // Read when the driver is first asked for, which no other test of this program does.
  ::setenv("PIT_CUDA_DRIVER", "/nowhere/libcuda.so.1", 1);
  CHECK_THROWS_WITH_AS(Buffer<float>({3}).to_cuda(), doctest::Contains("/nowhere/libcuda.so.1"),
                       RuntimeError);
  CHECK_THROWS_WITH_AS(pit::check(), doctest::Contains("/nowhere/libcuda.so.1"), RuntimeError);
  Var i("i");
  TensorParam A(float32, 1, "A");
  Func F("F");
  F(i) = A(i) + 1.f;
  Buffer<float> in({3}), out({3});
  out.fill(kPoison);
  DLTensor a = in.dl_tensor(), b = out.dl_tensor();
  a.device = b.device = {kDLCUDA, 0};
  CHECK_THROWS_WITH_AS(Pipeline({F}, {}, "plus").compile("x86-64-linux-cuda-sm_80")(a, b),
                       doctest::Contains("operator plus"), RuntimeError);
  CHECK(out(2) == kPoison);
}

}  // namespace
}  // namespace pit::test
