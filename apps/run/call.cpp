#include "call.h"

#include <bit>
#include <stdexcept>

#include "apps/program/command_line.h"
#include "files.h"
#include "fill.h"
#include "runtime/pit_cuda.h"

namespace pit::run {

namespace {

using program::UsageError;

[[noreturn]] void fail_as_runtime() { throw std::runtime_error(pit_last_error()); }

bool is_output(const pit_argument &a) { return a.kind == PIT_OUTPUT || a.kind == PIT_OUTPUT_INDEX; }

/// Dimensions from the outermost on, so that one whose stride is declared to be 1 is innermost.
std::vector<int> order_of(const pit_argument &a) {
  std::vector<int> order;
  int innermost = a.rank - 1;
  for (int d = 0; a.strides != nullptr && d < a.rank; ++d) {
    if (a.strides[d] == 1) innermost = d;
  }
  for (int d = 0; d < a.rank; ++d) {
    if (d != innermost) order.push_back(d);
  }
  if (a.rank > 0) order.push_back(innermost);
  return order;
}

std::size_t alignment_of(const pit_argument &a) {
  return std::bit_ceil(static_cast<std::size_t>(a.alignment > 64 ? a.alignment : 64));
}

/// UsageError for a name that is none of the right arguments'.
template <class Map>
void check_names(const pit_operator &op, const Map &named, const char *option, const char *what,
                 bool (*fits)(const pit_argument &)) {
  for (const auto &[name, unused] : named) {
    bool found = false;
    std::string known;
    for (int i = 0; i < op.argument_count; ++i) {
      if (!fits(op.arguments[i])) continue;
      found = found || name == op.arguments[i].name;
      known += (known.empty() ? "" : ", ") + std::string(op.arguments[i].name);
    }
    if (found) continue;
    throw UsageError(std::string(option) + " " + name + ": operator " + op.name + " has no such " +
                     what + (known.empty() ? "" : "; it has ") + known);
  }
}

}  // namespace

struct Call::Argument {
  const pit_argument &about;
  Array array;
  DLTensor tensor{};
  void *on_device = nullptr;
};

Call::Call(const pit_operator &op, const Options &options) : op_(op) {
  const auto any_input = [](const pit_argument &a) { return a.kind == PIT_INPUT; };
  const auto any_tensor = [](const pit_argument &a) { return a.kind != PIT_SCALAR; };
  check_names(op, options.shapes, "--shape", "tensor", any_tensor);
  check_names(op, options.inputs, "--input", "input", any_input);
  check_names(op, options.ranges, "--range", "input", any_input);
  check_names(op, options.sparsity, "--sparsity", "input", any_input);
  check_names(op, options.outputs, "--output", "output", is_output);
  check_names(op, options.expected, "--expect", "output", is_output);
  check_names(op, options.scalars, "--scalar", "scalar",
              [](const pit_argument &a) { return a.kind == PIT_SCALAR; });
  if (options.device) device_ = {kDLCUDA, *options.device};
  if (pit_operator_code(&op, device_) == nullptr) fail_as_runtime();

  std::mt19937_64 generator(options.seed);
  for (int i = 0; i < op.argument_count; ++i) {
    const pit_argument &a = op.arguments[i];
    const std::string name = a.name;
    if (a.kind == PIT_SCALAR) {
      Array scalar(a.type, {});
      const auto given = options.scalars.find(name);
      scalar.set(0, given == options.scalars.end() ? 1 : given->second);
      arguments_.push_back(std::make_unique<Argument>(a, std::move(scalar)));
      continue;
    }
    const auto file = options.inputs.find(name), reference = options.expected.find(name);
    const auto shape = options.shapes.find(name);
    if (file != options.inputs.end()) {
      const Array read = read_array(file->second);
      if (shape != options.shapes.end() && read.shape() != shape->second) {
        throw UsageError("--shape " + name + ": " + file->second + " has " +
                         to_string(read.shape()));
      }
      arguments_.push_back(
          std::make_unique<Argument>(a, read.converted(a.type, order_of(a), alignment_of(a))));
      continue;
    }
    Shape extents;
    if (shape != options.shapes.end()) {
      extents = shape->second;
    } else if (reference != options.expected.end()) {
      extents = read_array(reference->second).shape();
    } else if (a.rank > 0) {
      throw UsageError("argument " + name + " has no extents: give --shape " + name + "=" +
                       to_string(Shape(static_cast<std::size_t>(a.rank), 64)) +
                       (is_output(a) ? "" : ", or a file by --input"));
    }
    Array array(a.type, extents,
                static_cast<int>(extents.size()) == a.rank ? order_of(a) : std::vector<int>(),
                alignment_of(a));
    if (!is_output(a)) {
      const auto range = options.ranges.find(name);
      const auto sparsity = options.sparsity.find(name);
      const bool real = a.type.code == kDLFloat || a.type.code == kDLBfloat;
      fill(&array, range != options.ranges.end() ? range->second : Range{real ? -1. : 0., 1},
           sparsity != options.sparsity.end() ? sparsity->second : Sparsity{}, &generator);
    }
    arguments_.push_back(std::make_unique<Argument>(a, std::move(array)));
  }

  // Tensors are in the order of the arguments: inputs, then outputs.
  for (const auto &argument : arguments_) {
    Array &array = argument->array;
    if (argument->about.kind == PIT_SCALAR) {
      scalars_.push_back(array.data());
      continue;
    }
    void *data = array.data();
    if (options.device) {
      argument->on_device = data = pit_cuda_allocate(device_.device_id, array.bytes());
      if (data == nullptr ||
          pit_cuda_copy(device_.device_id, nullptr, data, array.data(), array.bytes()) != PIT_OK) {
        fail_as_runtime();
      }
    }
    argument->tensor = array.tensor(data, device_);
    tensors_.push_back(&argument->tensor);
  }
  if (options.workspace) prepare_workspace();
}

Call::~Call() {
  for (const auto &argument : arguments_) pit_cuda_free(device_.device_id, argument->on_device);
  pit_cuda_free(device_.device_id, device_workspace_);
}

void Call::prepare_workspace() {
  constexpr std::size_t kAlignment = 64;
  if (pit_operator_workspace_size(&op_, tensors_.data(), scalars_.data(), &options_,
                                  &workspace_bytes_) != PIT_OK) {
    fail_as_runtime();
  }
  const auto bytes = static_cast<std::size_t>(workspace_bytes_);
  if (device_.device_type == kDLCUDA) {
    options_.workspace = device_workspace_ = pit_cuda_allocate(device_.device_id, bytes);
    if (device_workspace_ == nullptr) fail_as_runtime();
  } else {
    host_workspace_.resize(bytes + kAlignment);
    const auto address = std::bit_cast<std::uintptr_t>(host_workspace_.data());
    options_.workspace = host_workspace_.data() + (kAlignment - address % kAlignment) % kAlignment;
  }
  options_.workspace_bytes = workspace_bytes_;
}

void Call::run(pit_statistics *statistics) {
  options_.statistics = statistics;
  if (pit_operator_call(&op_, tensors_.data(), scalars_.data(), &options_) != PIT_OK)
    fail_as_runtime();
}

void Call::finish() {
  if (device_.device_type == kDLCUDA && pit_check(options_.stream, device_.device_id) != PIT_OK)
    fail_as_runtime();
}

void Call::fetch() {
  for (const auto &argument : arguments_) {
    Array &array = argument->array;
    if (argument->on_device == nullptr || !is_output(argument->about)) continue;
    if (pit_cuda_copy(device_.device_id, nullptr, array.data(), argument->on_device,
                      array.bytes()) != PIT_OK) {
      fail_as_runtime();
    }
  }
  finish();
}

const Array &Call::output(const std::string &name) const {
  for (const auto &argument : arguments_) {
    if (name == argument->about.name) return argument->array;
  }
  throw std::runtime_error("there is no output " + name);
}

std::string Call::shapes() const {
  std::string text;
  for (const auto &argument : arguments_) {
    if (argument->about.kind == PIT_SCALAR) continue;
    text += (text.empty() ? "" : " ") + std::string(argument->about.name) + "=" +
            to_string(argument->array.shape());
  }
  return text;
}

const pit_code &Call::code() const { return *pit_operator_code(&op_, device_); }

}  // namespace pit::run
