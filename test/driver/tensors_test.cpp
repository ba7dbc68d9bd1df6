// Calls of operators with tensors on a device: where their memory is, and what is measured. See
// fake_cuda.h.

#include <doctest/doctest.h>
#include <pit/pit.h>

#include <array>

#include "runtime/pit_runtime.h"
#include "test/driver/child.h"
#include "test/driver/image.h"

using namespace pit_test;  // NOLINT: the test's own words

namespace {

Image *image_of_code;
int runs;

std::int32_t run_code(pit_call *call, const DLTensor *const * /*tensors*/,
                      const void *const * /*scalars*/) {
  runs += call->sizing == 0 ? 1 : 0;
  if (pit_cuda_begin(call, image_of_code->get(), 0) != PIT_OK) return call->status;
  pit_cuda_launch(call, image_of_code->get(), 0, 7, 128, 0, 1, 0, nullptr);
  pit_cuda_end(call);
  return call->status;
}

/// scale(X, Y), matrices of float32, with code for devices alone.
class Operator {
 public:
  Operator() {
    image_of_code = &image_;
    runs = 0;
    for (DLTensor &t : tensors) {
      t.dtype = {kDLFloat, 32, 1};
      t.ndim = 2;
      t.shape = extents_.data();
    }
    tensors[0].data = allocate(kBytes, FAKE_MEMORY_DEVICE, 0);
    tensors[1].data = allocate(kBytes, FAKE_MEMORY_DEVICE, 0);
  }
  std::int32_t call() { return operator_.call(tensors[0], tensors[1]); }
  std::int32_t size(std::int64_t *bytes) {
    const DLTensor *pointers[] = {tensors.data(), &tensors[1]};
    return pit_operator_workspace_size(operator_.get(), pointers, nullptr, nullptr, bytes);
  }
  void make_empty(int tensor) { tensors.at(static_cast<std::size_t>(tensor)).shape = none_.data(); }

  static constexpr std::size_t kBytes = std::size_t{4} * 5 * 4;
  std::array<DLTensor, 2> tensors{DLTensor{.device = {kDLCUDA, 0}},
                                  DLTensor{.device = {kDLCUDA, 0}}};

 private:
  std::array<std::int64_t, 2> extents_ = {4, 5}, none_ = {0, 5};
  Image image_{"scale"};
  OneCode operator_{"scale", 2, true, run_code};
};

char memory_of_host[Operator::kBytes];

}  // namespace

TEST_CASE("memory that is not where its tensor says is refused before anything runs") {
  struct Case {
    void *(*make)();
    const char *got;  // null: it is accepted
  };
  const Case cases[] = {
      {[]() -> void * { return memory_of_host; }, "the host's memory, or memory that was freed"},
      {[] { return allocate(Operator::kBytes, FAKE_MEMORY_PINNED, 0); },
       "the host's memory, pinned by CUDA"},
      {[] { return allocate(Operator::kBytes, FAKE_MEMORY_DEVICE, 1); }, "memory of CUDA device 1"},
      {[]() -> void * {
         void *memory = pit_cuda_allocate(0, Operator::kBytes);
         pit_cuda_free(0, memory);
         return memory;
       },
       "the host's memory, or memory that was freed"},
      {[] { return pit_cuda_allocate(0, Operator::kBytes); }, nullptr},
      {[] { return allocate(Operator::kBytes, FAKE_MEMORY_MANAGED, 0); }, nullptr},
      {[] { return allocate(Operator::kBytes, FAKE_MEMORY_MANAGED, 1); }, nullptr},
  };
  for (const Case &c : cases) {
    for (const int at : {0, 1}) {
      CAPTURE(std::string(c.got != nullptr ? c.got : ""));
      CAPTURE(at);
      CHECK(in_child([&] {
              Operator scale;
              scale.tensors[static_cast<std::size_t>(at)].data = c.make();
              if (c.got == nullptr) {
                EXPECT(scale.call() == PIT_OK);
                EXPECT(runs == 1);
                return;
              }
              std::int64_t bytes = 0;
              for (const std::int32_t status : {scale.call(), scale.size(&bytes)}) {
                EXPECT(status == PIT_ERROR_ARGUMENT);
                EXPECT_PART(
                    pit_last_error(),
                    std::string("operator scale: argument ") + (at == 0 ? "1 'X'" : "2 'Y'") +
                        ": not in the memory of CUDA device 0, as the tensor says; expected memory "
                        "of that device, or managed memory: copy it there first (pit_cuda_copy, "
                        "AnyBuffer::to_cuda); got " +
                        c.got);
              }
              EXPECT(runs == 0);
              EXPECT(count("cuLaunchKernelEx") == 0);
            }) == "");
    }
  }
}

TEST_CASE("the driver is asked once a call and tensor, also while a stream is captured") {
  CHECK(in_child([] {
          Operator scale;
          for (const int capturing : {0, 1}) {
            fake().capturing = capturing;
            const int before = count("cuPointerGetAttributes");
            EXPECT(scale.call() == PIT_OK);
            EXPECT(count("cuPointerGetAttributes") == before + 2);
          }
          scale.tensors[0].data = memory_of_host;
          EXPECT(scale.call() == PIT_OK);  // the graph might allocate it
          fake().capturing = 0;
          EXPECT(scale.call() == PIT_ERROR_ARGUMENT);
        }) == "");
}

TEST_CASE("a tensor's first element decides where it is, and one without elements is nowhere") {
  CHECK(in_child([] {
          Operator scale;
          auto *memory = static_cast<char *>(allocate(2 * Operator::kBytes, FAKE_MEMORY_DEVICE, 0));
          DLTensor &x = scale.tensors[0];
          x.data = memory;
          x.byte_offset = Operator::kBytes;
          EXPECT(scale.call() == PIT_OK);
          x.byte_offset = 2 * Operator::kBytes;
          EXPECT(scale.call() == PIT_ERROR_ARGUMENT);
          scale.make_empty(0);
          x.data = nullptr;
          x.byte_offset = 0;
          const int before = count("cuPointerGetAttributes");
          EXPECT(scale.call() == PIT_OK);
          EXPECT(count("cuPointerGetAttributes") == before + 1);
          scale.make_empty(1);
          scale.tensors[1].data = memory_of_host;
          EXPECT(scale.call() == PIT_OK);
          EXPECT(count("cuPointerGetAttributes") == before + 1);
        }) == "");
}

TEST_CASE("without a driver, on no such device and in a lost context that is what the call says") {
  CHECK(in_child([] {
          Operator scale;
          for (DLTensor &t : scale.tensors) t.device.device_id = 7;
          EXPECT(scale.call() == PIT_ERROR_DEVICE);
          EXPECT_PART(pit_last_error(), "operator scale: there is no CUDA device 7");
          for (DLTensor &t : scale.tensors) t.device.device_id = 0;
          EXPECT(scale.call() == PIT_OK);
          fake().failing = "cuPointerGetAttributes";
          fake().result = CUDA_ERROR_ILLEGAL_ADDRESS;
          EXPECT(scale.call() == PIT_OK);  // the stand-in fails in nothing else
          // What drivers say of an address that is none of theirs.
          fake().result = CUDA_ERROR_INVALID_VALUE;
          EXPECT(scale.call() == PIT_ERROR_ARGUMENT);
        }) == "");
  CHECK(in_child(
            [] {
              Operator scale;
              EXPECT(scale.call() == PIT_ERROR_DEVICE);
              EXPECT_PART(pit_last_error(), "operator scale: there is no CUDA driver");
            },
            {{"PIT_CUDA_DRIVER", "/nowhere/libcuda.so.1"}}) == "");
}

TEST_CASE("a measured call that is captured puts nothing of the measuring into the graph") {
  CHECK(in_child([] {
          using namespace pit;  // NOLINT
          Var m("m"), n("n"), kt("kt");
          TensorParam A(float32, 2, "A"), B(float32, 2, "B");
          RDom k(0, A.extent(1), "k");
          k.where(A(m, k) != 0);
          Func C("C");
          C(m, n) += A(m, k) * B(k, n);
          C.update().pit_tile(kt, {.axis = k, .micro = {{m, 1}, {k, 1}}, .dense = {{k, 8}}});
          const Callable call = Pipeline({C}, {}, "measured").compile("x86-64-linux-cuda-sm_80");
          const AnyBuffer a = AnyBuffer(float32, {9, 40}).to_cuda(),
                          b = AnyBuffer(float32, {40, 7}).to_cuda(),
                          c = AnyBuffer(float32, {9, 7}).to_cuda();
          call(a, b, c);  // loads the kernels
          const auto enqueued = [&](const auto &work) {
            const int copies = count("cuMemcpyAsync"), launches = count("cuLaunchKernelEx"),
                      events = count("cuEventRecord");
            work();
            return std::array{count("cuMemcpyAsync") - copies, count("cuLaunchKernelEx") - launches,
                              count("cuEventRecord") - events};
          };
          const auto plain = enqueued([&] { call(a, b, c); });
          const auto measured = enqueued([&] { call.measured(a, b, c); });
          EXPECT(plain[0] == 0);
          EXPECT(plain[1] > 0);
          EXPECT(plain[2] == 0);
          EXPECT(measured[0] == 2);  // the statistics, there and back
          EXPECT(measured[1] > plain[1]);
          EXPECT(measured[2] > 0);
          fake().capturing = 1;
          RunStatistics statistics;
          EXPECT(enqueued([&] { statistics = call.measured(a, b, c); }) == plain);
          for (const auto &[name, value] : statistics.statistics) EXPECT(value == 0);
          for (const auto &[name, us] : statistics.stages) EXPECT(us == 0);
          EXPECT(!statistics.statistics.empty());
        }) == "");
}
