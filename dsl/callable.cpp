#include "callable.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <memory_resource>
#include <string>

#include "error.h"

namespace pit {
namespace {

bool is_scalar(const Argument &a) { return a.kind == Argument::Kind::Scalar; }

/// What is not the memory of a tensor: the number of arguments, which are tensors, and scalars.
void check_arguments(const CompiledOperator &op, std::span<const CallArgument> arguments) {
  const auto &signature = op.signature();
  if (arguments.size() != signature.size()) {
    std::string names;
    for (const Argument &a : signature) names += (names.empty() ? "" : ", ") + a.name;
    throw RuntimeError("operator " + op.name() + ": wrong number of arguments; expected " +
                       std::to_string(signature.size()) + " (" + names + "); got " +
                       std::to_string(arguments.size()));
  }
  for (std::size_t i = 0; i < signature.size(); ++i) {
    const Type type = signature[i].type, got = arguments[i].scalar_type();
    const bool tensor = arguments[i].tensor() != nullptr;
    if (is_scalar(signature[i]) ? !tensor && got == type : tensor) continue;
    std::string what = "wrong scalar type; expected " + to_string(type) + "; got " + to_string(got);
    if (tensor) what = "is a scalar; expected " + to_string(type) + "; got a tensor";
    if (!is_scalar(signature[i])) {
      what = "is a tensor; expected " + to_string(type) + " of rank " +
             std::to_string(signature[i].rank) + "; got a scalar " + to_string(got);
    }
    throw RuntimeError("operator " + op.name() + ": argument " + std::to_string(i + 1) + " '" +
                       signature[i].name + "': " + what);
  }
}

double microseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

const CompiledOperator &Callable::compiled() const {
  if (compiled_ == nullptr)
    throw RuntimeError("this Callable is empty; it gets its code from Pipeline::compile");
  return *compiled_;
}

Callable Callable::on(void *stream, std::source_location where) const {
  if (!compiled().info().on_cuda) {
    throw CompileError("operator " + name() +
                           ": it runs on the host, where there are no streams; " +
                           "compile it for a CUDA target",
                       where);
  }
  Callable result = *this;
  result.stream_ = stream;
  return result;
}

void Callable::call(std::span<const CallArgument> arguments, RunStatistics *statistics) const {
  const CompiledOperator &op = compiled();
  const auto start = statistics != nullptr ? std::chrono::steady_clock::now()
                                           : std::chrono::steady_clock::time_point{};
  check_arguments(op, arguments);

  std::array<std::byte, 512> storage;  // a call of the usual size allocates nothing
  std::pmr::monotonic_buffer_resource memory(storage.data(), storage.size());
  std::pmr::vector<const DLTensor *> tensors(&memory);
  std::pmr::vector<const void *> scalars(&memory);
  tensors.reserve(arguments.size());
  scalars.reserve(arguments.size());
  for (const CallArgument &a : arguments) {
    if (a.tensor() != nullptr) {
      tensors.push_back(a.tensor());
    } else {
      scalars.push_back(a.scalar());
    }
  }
  Place place;
  if (op.info().on_cuda) place = {tensors.empty() ? 0 : tensors.front()->device.device_id, stream_};
  op.run(tensors, scalars, place, statistics);
  if (statistics != nullptr) statistics->total_us += microseconds_since(start);
}

}  // namespace pit
