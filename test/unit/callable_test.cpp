#include "dsl/callable.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "codegen/emit/description.h"
#include "dsl/error.h"
#include "dsl/typed_callable.h"

namespace pit {
namespace {

/// An operator that records what it was run with.
class Recorder final : public CompiledOperator {
 public:
  using CompiledOperator::CompiledOperator;
  void run(std::span<const DLTensor *const> tensors, std::span<const void *const> scalars,
           const Place &, RunStatistics *statistics) const override {
    const emit::Description description(info());
    if (pit_operator_check(&description.op(), 0, tensors.data()) != PIT_OK)
      throw RuntimeError(pit_last_error());
    ++runs;
    tensor_count = tensors.size();
    if (!scalars.empty()) scalar = *static_cast<const float *>(scalars[0]);
    if (statistics != nullptr) statistics->compute_us += 1;
  }
  mutable std::atomic<int> runs = 0;
  mutable std::atomic<std::size_t> tensor_count = 0;
  mutable std::atomic<float> scalar = 0;
};

struct Spmm {
  TensorParam a{bfloat16, 2, "A"}, b{float32, 2, "B"};
  std::shared_ptr<Recorder> op;
  Callable f;
  Buffer<bfloat16_t, 2> A{{4, 8}};
  Buffer<float, 2> B{{8, 6}}, Out{{4, 6}};

  explicit Spmm(bool elementwise = false) {
    using Kind = Argument::Kind;
    OperatorInfo info{.name = "spmm", .signature = {}, .elementwise = elementwise};
    info.signature.push_back({.kind = Kind::InputTensor,
                              .name = "A",
                              .type = bfloat16,
                              .rank = 2,
                              .tensor = a.storage()});
    info.signature.push_back({.kind = Kind::InputTensor,
                              .name = "B",
                              .type = float32,
                              .rank = 2,
                              .tensor = b.storage()});
    info.signature.push_back({.kind = Kind::Scalar, .name = "scale", .type = float32});
    info.signature.push_back(
        {.kind = Kind::OutputTensor, .name = "Out", .type = float32, .rank = 2});
    op = std::make_shared<Recorder>(std::move(info));
    f = Callable(op);
  }
};

TEST_CASE("callable: a legal call runs with tensors and scalars in the order of the signature") {
  const Spmm s;
  s.f(s.A, s.B, 0.5f, s.Out);
  CHECK(s.op->runs == 1);
  CHECK(s.op->tensor_count == 3);
  CHECK(s.op->scalar == 0.5f);
  const AnyBuffer any = s.A;
  const DLTensor raw = s.B.dl_tensor();
  s.f(any, raw, 2.f, s.Out);
  s.f(any, &raw, 2.f, s.Out);
  CHECK(s.op->runs == 3);
}

TEST_CASE("callable: every wrong argument is named with what was expected and what came") {
  const Spmm s;
  const auto message = [&](const auto &...arguments) -> std::string {
    try {
      s.f(arguments...);
    } catch (const RuntimeError &error) {
      return error.what();
    }
    return "no error";
  };
  CHECK(message(s.A, s.B, s.Out) ==
        "operator spmm: wrong number of arguments; expected 4 (A, B, scale, Out); got 3");
  CHECK(message(s.A, s.A, 1.f, s.Out) ==
        "operator spmm: argument 2 'B': wrong element type; expected float32; got bfloat16");
  CHECK(message(s.A, Buffer<float, 1>({3}), 1.f, s.Out) ==
        "operator spmm: argument 2 'B': wrong rank; expected 2; got 1, extents (3)");
  CHECK(message(s.A, s.B, 1.0, s.Out) ==
        "operator spmm: argument 3 'scale': wrong scalar type; expected float32; got float64");
  CHECK(message(s.A, s.B, s.B, s.Out) ==
        "operator spmm: argument 3 'scale': is a scalar; expected float32; got a tensor");
  CHECK(message(1.f, s.B, 1.f, s.Out) ==
        "operator spmm: argument 1 'A': is a tensor; expected bfloat16 of rank 2; got a scalar "
        "float32");

  DLTensor t = s.B.dl_tensor();
  t.device = {kDLCUDA, 0};
  CHECK(message(s.A, t, 1.f, s.Out) ==
        "operator spmm: argument 2 'B': not in the host's memory; expected a host tensor: "
        "copy it to the host first; got CUDA device 0");
  t = s.B.dl_tensor();
  t.data = nullptr;
  CHECK(message(s.A, t, 1.f, s.Out).find("argument 2 'B': null data") != std::string::npos);
  std::int64_t negative[] = {-1, 6}, empty[] = {0, 6},
               huge[] = {std::int64_t{1} << 40, std::int64_t{1} << 40};
  t.shape = empty;
  CHECK(message(s.A, t, 1.f, s.Out) == "no error");
  t.shape = negative;
  CHECK(message(s.A, t, 1.f, s.Out)
            .find("negative extent; expected 0 or more; got extents (-1, 6)") != std::string::npos);
  t = s.B.dl_tensor();
  t.shape = huge;
  t.strides = nullptr;
  CHECK(message(s.A, t, 1.f, s.Out).find("address space") != std::string::npos);
  t = s.B.dl_tensor();
  t.dtype.lanes = 4;
  CHECK(message(s.A, t, 1.f, s.Out)
            .find("wrong element type; expected float32; got DLPack type code 2 of 32 bits") !=
        std::string::npos);
  const DLTensor *null = nullptr;
  CHECK(message(s.A, null, 1.f, s.Out).find("argument 2 'B'") != std::string::npos);
  CHECK(s.op->runs == 1);
}

TEST_CASE("callable: an empty Callable says so") {
  CHECK_THROWS_WITH_AS(Callable()(1), doctest::Contains("Pipeline::compile"), RuntimeError);
}

TEST_CASE("callable: declared strides and alignment are required, anything else is accepted") {
  Spmm s;
  s.f(s.A, s.B.transposed().copy().transposed(), 1.f, s.Out);
  alignas(64) unsigned char memory[sizeof(float) * 48 + 64] = {};
  std::int64_t shape[] = {8, 6};
  DLTensor odd{memory, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, nullptr, 2};
  s.f(s.A, odd, 1.f, s.Out);  // not even element alignment

  s.b.alignment(16);
  CHECK_THROWS_WITH_AS(
      s.f(s.A, odd, 1.f, s.Out),
      doctest::Contains(
          "alignment is declared; expected data at a multiple of 16 bytes; got 2 bytes past"),
      RuntimeError);
  odd.byte_offset = 16;
  s.f(s.A, odd, 1.f, s.Out);
  s.b.dim(0).stride(6);
  s.b.dim(1).stride(1);
  s.f(s.A, odd, 1.f, s.Out);
  CHECK_THROWS_WITH_AS(
      s.f(s.A, Buffer<float, 2>({6, 8}).transposed(), 1.f, s.Out),
      doctest::Contains("stride of dimension 1 is declared; expected 1 elements; got 8"),
      RuntimeError);
  s.b.dim(0).extent(8).stride(6);
  s.f(s.A, odd, 1.f, s.Out);
  s.b.dim(1).extent(7);
  CHECK_THROWS_WITH_AS(s.f(s.A, odd, 1.f, s.Out),
                       doctest::Contains("extent of dimension 1 is declared; expected 7; got 6"),
                       RuntimeError);
  CHECK_THROWS_WITH_AS(s.b.dim(1).extent(-1),
                       doctest::Contains("TensorParam B: the extent of dimension 1 is declared as "
                                         "-1; an extent is 0 or more"),
                       CompileError);
}

TEST_CASE("callable: an output may overlap nothing") {
  const Spmm s;
  const Buffer<float, 2> big({8, 12});
  s.f(s.A, big.sliced(1, 0, 6), 1.f,
      big.sliced(0, 0, 4).sliced(1, 6, 12));  // interleaved rows share no element
  CHECK_THROWS_WITH_AS(
      s.f(s.A, big.sliced(1, 0, 6), 1.f, big.sliced(0, 4, 8).sliced(1, 5, 11)),
      doctest::Contains("argument 4 'Out': overlaps argument 2 'B'; expected memory of its own"),
      RuntimeError);
  CHECK_THROWS_WITH_AS(s.f(s.A, s.B, 1.f, Buffer<float, 2>({4, 1}).broadcast(1, 6)),
                       doctest::Contains("elements of an output overlap"), RuntimeError);
  CHECK(s.op->runs == 1);
}

TEST_CASE("callable: an elementwise operator may write over an input, whole") {
  const Spmm s(true);
  s.f(s.A, s.Out, 1.f, s.Out);
  s.f(s.A, s.Out.transposed(), 1.f, s.Out.transposed());
  const Buffer<float, 2> big({4, 6});
  CHECK_THROWS_WITH_AS(s.f(s.A, big, 1.f, big.sliced(0, 1, 4)),
                       doctest::Contains("exactly that argument's elements"), RuntimeError);
  const Buffer<float, 2> square({4, 4});
  CHECK_THROWS_AS(s.f(s.A, square, 1.f, square.transposed()), RuntimeError);
  CHECK(s.op->runs == 2);
}

TEST_CASE("callable: a measured call reports the operator's times inside the total") {
  const Spmm s;
  const RunStatistics statistics = s.f.measured(s.A, s.B, 1.f, s.Out);
  CHECK(statistics.compute_us == 1);
  CHECK(statistics.check_us >= 0);
  CHECK(statistics.total_us >= statistics.check_us);
}

TEST_CASE("callable: concurrent calls of one Callable") {
  const Spmm s;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&s] {
      const Buffer<float, 2> out({4, 6});
      for (int n = 0; n < 500; ++n) s.f(s.A, s.B, 1.f, out);
    });
  }
  for (std::thread &t : threads) t.join();
  CHECK(s.op->runs == 2000);
}

// --- typed calls ---

using Typed = TypedCallable<In<bfloat16_t, 2>, In<float, 2>, Scalar<float>, Out<float, 2>>;
using BufferA = Buffer<bfloat16_t, 2>;
using BufferB = Buffer<float, 2>;

static_assert(Typed::accepts<BufferA, BufferB, float, BufferB>());
static_assert(Typed::accepts<AnyBuffer, Buffer<float>, float, DLTensor>(),
              "types and ranks known only at run time");
static_assert(Typed::accepts<BufferA, const DLTensor *, float, BufferB>());
static_assert(!Typed::accepts<BufferA, BufferB, BufferB>(), "a scalar is missing");
static_assert(!Typed::accepts<BufferA, BufferB, float, BufferB, BufferB>(), "one too many");
static_assert(!Typed::accepts<>());
static_assert(!Typed::accepts<BufferB, BufferB, float, BufferB>(), "element type");
static_assert(!Typed::accepts<Buffer<bfloat16_t, 3>, BufferB, float, BufferB>(), "rank");
static_assert(!Typed::accepts<BufferA, Buffer<double>, float, BufferB>(),
              "element type of a dynamic rank");
static_assert(!Typed::accepts<BufferA, BufferB, double, BufferB>(), "a narrowed scalar");
static_assert(!Typed::accepts<BufferA, BufferB, int, BufferB>(), "a narrowed scalar");
static_assert(!Typed::accepts<BufferA, BufferB, BufferB, BufferB>(), "a buffer for a scalar");
static_assert(!Typed::accepts<BufferA, float, float, BufferB>(), "a scalar for a buffer");
static_assert(!Typed::accepts<BufferA, BufferB, const char *, BufferB>(), "no scalar at all");
static_assert(TypedCallable<Scalar<std::int64_t>>::accepts<int>(), "widening loses nothing");
static_assert(!TypedCallable<Scalar<int>>::accepts<std::int64_t>());
static_assert(TypedCallable<>::accepts<>());

TEST_CASE("callable: a typed call runs and is still checked at run time") {
  const Spmm s;
  const Typed f = s.f.typed<In<bfloat16_t, 2>, In<float, 2>, Scalar<float>, Out<float, 2>>();
  f(s.A, s.B, 0.25f, s.Out);
  CHECK(s.op->scalar == 0.25f);
  CHECK(f.measured(s.A, s.B, 0.25f, s.Out).compute_us == 1);
  const AnyBuffer wrong(float64, {8, 6});
  CHECK_THROWS_WITH_AS(f(s.A, wrong, 1.f, s.Out),
                       doctest::Contains("argument 2 'B': wrong element type"), RuntimeError);
  CHECK_THROWS_AS(f(s.A, Buffer<float>({3}), 1.f, s.Out), RuntimeError);
}

TEST_CASE("callable: a typed signature that is not the operator's is a CompileError") {
  const Spmm s;
  CHECK_THROWS_WITH_AS((s.f.typed<In<bfloat16_t, 2>, In<float, 2>, Out<float, 2>>()),
                       doctest::Contains("expected 4 arguments; got 3"), CompileError);
  CHECK_THROWS_WITH_AS(
      (s.f.typed<In<bfloat16_t, 2>, In<float, 3>, Scalar<float>, Out<float, 2>>()),
      doctest::Contains("argument 2 'B'; expected In<float32, 2>; got In<float32, 3>"),
      CompileError);
  CHECK_THROWS_WITH_AS(
      (s.f.typed<In<bfloat16_t, 2>, In<float, 2>, Scalar<float>, In<float, 2>>()),
      doctest::Contains("argument 4 'Out'; expected Out<float32, 2>; got In<float32, 2>"),
      CompileError);
  CHECK_THROWS_WITH_AS(
      (s.f.typed<In<bfloat16_t, 2>, In<float, 2>, Scalar<double>, Out<float, 2>>()),
      doctest::Contains("expected Scalar<float32>; got Scalar<float64>"), CompileError);
}

}  // namespace
}  // namespace pit
