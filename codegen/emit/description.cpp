#include "description.h"

#include <algorithm>

#include "codegen/cuda/device.h"
#include "dsl/buffer.h"
#include "written_outputs.h"

namespace pit::emit {

namespace {

std::int32_t size_of(const auto &list) { return static_cast<std::int32_t>(list.size()); }

std::int32_t kind_of(Argument::Kind kind) {
  switch (kind) {
    case Argument::Kind::InputTensor:
      return PIT_INPUT;
    case Argument::Kind::Scalar:
      return PIT_SCALAR;
    case Argument::Kind::OutputTensor:
      return PIT_OUTPUT;
    default:
      return PIT_OUTPUT_INDEX;
  }
}

std::int32_t kind_of(ir::StageKind kind) {
  switch (kind) {
    case ir::StageKind::Check:
      return PIT_STAGE_CHECK;
    case ir::StageKind::Index:
      return PIT_STAGE_INDEX;
    case ir::StageKind::Compute:
      break;
  }
  return PIT_STAGE_COMPUTE;
}

// Features of a target that its CPU must have.
std::string cpu_features(const Target &target) {
  std::string features;
  for (const char *feature : {"avx2", "avx512", "avx512_bf16", "avx512_vnni"}) {
    if (target.has(feature)) features += (features.empty() ? "" : ",") + std::string(feature);
  }
  return features;
}

}  // namespace

Description::Description(const OperatorInfo &info) {
  for (const Argument &a : info.signature) {
    pit_argument c{keep(a.name), kind_of(a.kind), a.rank, to_dlpack(a.type), 1, nullptr, nullptr};
    if (a.tensor) {
      c.alignment = a.tensor->alignment > 1 ? a.tensor->alignment : 1;
      c.strides = keep_declared(a.tensor->declared_strides, a.rank);
      c.extents = keep_declared(a.tensor->declared_extents, a.rank);
    }
    arguments_.push_back(c);
  }
  op_.abi_version = PIT_ABI_VERSION;
  op_.flags = info.elementwise ? PIT_ELEMENTWISE : 0;
  op_.name = keep(info.name);
  op_.arguments = arguments_.data();
  op_.argument_count = size_of(arguments_);
}

const std::int64_t *Description::keep_declared(std::vector<std::int64_t> numbers,
                                               std::int32_t rank) {
  static_assert(PIT_ANY_STRIDE == -1 && PIT_ANY_EXTENT == -1);
  if (std::ranges::all_of(numbers, [](std::int64_t n) { return n == -1; })) return nullptr;
  numbers.resize(static_cast<std::size_t>(rank), -1);
  return declared_.emplace_back(std::move(numbers)).data();
}

void Description::add(const Target &target, const ir::Module &module, const code::Entry &entry,
                      pit_function row_major, pit_function any) {
  const WrittenOutputs written(module);
  pit_code c{};
  c.target = keep(target.to_string());
  c.cpu_features = keep(target.is_cuda() ? "" : cpu_features(target));
  if (target.is_cuda()) {
    const cuda::Device device = cuda::device_of(target);
    c.architecture = device.architecture;
    c.architecture_specific = device.specific ? 1 : 0;
  }
  c.row_major = row_major;
  c.any = any;
  auto &messages = lists_.emplace_back();
  for (const std::string &message : entry.messages)
    messages.push_back(keep(message + written.after_check(message)));
  c.messages = messages.data();
  c.message_count = size_of(messages);
  auto &stages = stages_.emplace_back();
  for (const auto &[name, kind] : entry.stages) stages.push_back({keep(name), kind_of(kind)});
  c.stages = stages.data();
  c.stage_count = size_of(stages);
  auto &statistics = lists_.emplace_back();
  for (const std::string &name : module.statistic_names) statistics.push_back(keep(name));
  c.statistics = statistics.data();
  c.statistic_count = size_of(statistics);
  auto &notes = notes_.emplace_back();
  for (const auto &[index, text] : written.after_indices())
    notes.push_back({keep(index), keep(text)});
  c.notes = notes.data();
  c.note_count = size_of(notes);
  c.memory_note = keep(written.after_memory());
  codes_.push_back(c);
  op_.codes = codes_.data();
  op_.code_count = size_of(codes_);
}

}  // namespace pit::emit
