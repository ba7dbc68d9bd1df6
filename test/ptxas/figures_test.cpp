// What ptxas makes of every kernel of the tests' programs, of the demonstration with its schedules
// for CUDA, of the benchmark and of the generators: registers and shared memory as recorded in
// figures.txt, no spills where there are matrix products, no warnings. A schedule or an emitter
// that gets worse shows here without a device.
//
// PIT_RECORD_FIGURES=1 writes figures.txt anew, in the source folder.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "apps/bench/cuda/operators.h"
// A program's parts are in no library.
#include "apps/demo/feed_forward.cpp"    // NOLINT(bugprone-suspicious-include)
#include "apps/demo/moe.cpp"             // NOLINT(bugprone-suspicious-include)
#include "apps/demo/spmm.cpp"            // NOLINT(bugprone-suspicious-include)
#include "apps/operators/attention.cpp"  // NOLINT(bugprone-suspicious-include)
#include "apps/operators/moe.cpp"        // NOLINT(bugprone-suspicious-include)
#include "apps/operators/spmm.cpp"       // NOLINT(bugprone-suspicious-include)
#include "codegen/cuda/placement.h"
#include "codegen/emit/listing.h"
#include "codegen/ir/mutator.h"
#include "codegen/lower/lower.h"
#include "dsl/error.h"
#include "test/operators/increment.cpp"  // NOLINT(bugprone-suspicious-include)
#include "test/operators/lengths.cpp"    // NOLINT(bugprone-suspicious-include)
#include "test/programs.h"
#include "test/ptxas.h"
#include "test/unit/attention.h"

namespace pit::test {
namespace {

const char *const kFile = PIT_SOURCE_DIR "/test/ptxas/figures.txt";

struct Operator {
  std::string name;
  Pipeline pipeline;
};

std::vector<Operator> of_programs(const Target &) {
  std::vector<Operator> all;
  for (const Program &program : programs())
    all.push_back({"test/" + program.name, program.build(true)});
  for (const std::int64_t channels : {64, 128}) {
    all.push_back({"test/vertical_slash/" + std::to_string(channels),
                   vertical_slash({.channels = channels}, "")});
  }
  return all;
}

std::vector<Operator> of_demonstration(const Target &target) {
  std::vector<Operator> all;
  for (const Type type : {float32, bfloat16}) {
    const auto add = [&](const std::string &name, const Pipeline &pipeline) {
      all.push_back({"demo/" + name + "/" + to_string(type), pipeline});
    };
    add("spmm/32x1", demo::sparse_matmul(type, 32, 1, target));
    add("spmm/64x64", demo::sparse_matmul(type, 64, 64, target));
    add("dense_matmul", demo::dense_matmul(type, target));
    for (const int slots : {1, 2}) {
      const std::string of = "/top" + std::to_string(slots);
      add("moe" + of, demo::sparse_moe(type, slots, target));
      add("dense_moe" + of, demo::dense_moe(type, slots, target));
    }
    add("feed_forward", demo::sparse_feed_forward(type, target));
    add("dense_feed_forward", demo::dense_feed_forward(type, target));
  }
  return all;
}

std::vector<Operator> of_generators(const Target &) {
  std::vector<Operator> all;
  for (const RegisteredGenerator &generator : registered_generators())
    all.push_back({"generator/" + generator.name, generator.make()->build(generator.name)});
  // Tensor cores need to know the channels, and weights as short as the values.
  for (const RegisteredGenerator &generator : registered_generators()) {
    if (generator.name != "block_attention") continue;
    const std::unique_ptr<GeneratorInstance> attention = generator.make();
    attention->set("channels", "128");
    attention->set("rounded", "true");
    all.push_back({"generator/block_attention/128", attention->build("rounded_attention")});
  }
  return all;
}

std::vector<Operator> of_benchmark(const Target &) {
  using namespace bench::cuda;
  std::vector<Operator> all;
  all.push_back({"bench/dense", dense_product(bfloat16)});
  all.push_back({"bench/dense/float32", dense_product(float32)});
  for (const Micro micro :
       {Micro{128, 1}, Micro{128, 128}, Micro{64, 64}, Micro{64, 1}, Micro{32, 1}, Micro{1, 64}})
    all.push_back({"bench/spmm/" + micro.text(), sparse_product(bfloat16, micro)});
  all.push_back({"bench/spmm/32x1/float32", sparse_product(float32, {32, 1})});
  all.push_back({"bench/spmm/32x1/tf32", tf32_product({32, 1})});
  all.push_back({"bench/gather", gathered_rows(Rows::Marked)});
  all.push_back({"bench/gather/given", gathered_rows(Rows::Given)});
  all.push_back({"bench/moe", gated_experts(8)});
  all.push_back({"bench/moe/switch", switch_experts()});
  all.push_back({"bench/activations", sparse_activations()});
  all.push_back({"bench/attention", block_attention(128)});
  for (const Micro micro : {Micro{64, 64}, Micro{32, 1}, Micro{1, 64}, Micro{1, 1}})
    all.push_back({"bench/index/" + micro.text(), indexed_sum(micro, true)});
  all.push_back({"bench/index/1x1/unordered", indexed_sum({1, 1}, false)});
  all.push_back({"bench/routing", routed_rows(true)});
  all.push_back({"bench/routing/unordered", routed_rows(false)});
  return all;
}

/// A kernel as figures.txt has it: shared memory is what a launch asks for and what it always has.
struct Figures {
  int registers = 0;
  std::int64_t shared_bytes = 0;
};
/// By target, operator and kernel.
using Table = std::map<std::string, Figures>;

Table recorded() {
  Table table;
  std::ifstream file(kFile);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    std::string target, name, kernel;
    Figures figures;
    words >> target >> name >> kernel >> figures.registers >> figures.shared_bytes;
    REQUIRE_MESSAGE(words, line);
    table[target.append(" ").append(name).append(" ").append(kernel)] = figures;
  }
  return table;
}

/// The launches of a module by the names of their kernels.
std::map<std::string, const ir::Launch *> launches_of(const ir::Module &module,
                                                      const std::vector<std::string> &kernels) {
  std::map<std::string, const ir::Launch *> launches;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    const auto *launch = s.as<ir::Launch>();
    if (launch == nullptr) return true;
    REQUIRE(launches.size() < kernels.size());
    launches[kernels[launches.size()]] = launch;
    return false;
  });
  return launches;
}

bool has_products(const ir::Launch &launch) {
  bool found = false;
  ir::walk_statements(launch.body, [&](const ir::Stmt &s) {
    const auto *product = s.as<ir::Mma>();
    found = found || (product && !product->atom.empty());
    return !found;
  });
  return found;
}

/// Operators whose names begin alike, with their schedules for a target.
struct Group {
  std::string prefix;
  std::vector<Operator> (*operators)(const Target &target);
};

/// Nothing where there is no ptxas.
Table figures_of(const Group &group, const std::string &architecture) {
  Table table;
  const Target target("x86-64-linux-cuda-" + architecture);
  const cuda::Device device = cuda::device_of(target);
  for (const Operator &each : group.operators(target)) {
    CAPTURE(each.name);
    ir::Module module;
    try {
      module = lower::lower(each.pipeline, target);
    } catch (const CompileError &) {
      // The schedule asks for more shared memory than this device has.
      table[architecture + " " + each.name + " refused"] = {};
      continue;
    }
    const emit::Ptx ptx = emit::ptx_of(module, device);
    const auto cubin = assembled(ptx.text, architecture);
    if (!cubin) {
      MESSAGE("skipped: there is no ptxas");
      return {};
    }
    CAPTURE(cubin->said);
    CHECK(cubin->status == 0);
    CHECK(!cubin->warns());
    const auto launches = launches_of(module, ptx.kernels);
    for (const KernelFigures &kernel : cubin->kernels()) {
      CAPTURE(kernel.name);
      const ir::Launch &launch = *launches.at(kernel.name);
      if (has_products(launch)) CHECK(kernel.spilled == 0);
      table[architecture + " " + each.name + " " + kernel.name] = {
          kernel.registers,
          kernel.shared_bytes + cuda::place_memory(launch, device.shared_bytes).shared_bytes};
    }
  }
  return table;
}

void check(const Group &group, const std::string &architecture) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  const bool records = std::getenv("PIT_RECORD_FIGURES") != nullptr;
  if (!records && !std::filesystem::exists(kFile)) {
    MESSAGE("skipped: there is no " << std::string(kFile) << ", which the source folder has");
    return;
  }
  const Table found = figures_of(group, architecture);
  const std::string prefix = architecture + " " + group.prefix;
  if (found.empty()) return;
  Table wanted = recorded();
  if (records) {
    std::erase_if(wanted, [&](const auto &row) { return row.first.starts_with(prefix); });
    wanted.insert(found.begin(), found.end());
    std::ofstream file(kFile);
    file << "# target, operator, kernel, registers of a thread, bytes of shared memory of a block; "
            "written by\n# PIT_RECORD_FIGURES=1 test_ptxas.\n";
    for (const auto &[key, figures] : wanted)
      file << key << ' ' << figures.registers << ' ' << figures.shared_bytes << '\n';
    return;
  }
  // Another version of ptxas shares out registers a little differently.
  constexpr int kRegisters = 8;
  constexpr std::int64_t kSharedBytes = 1024;
  for (const auto &[key, figures] : found) {
    CAPTURE(key);
    const auto row = wanted.find(key);
    CHECK_MESSAGE(row != wanted.end(), "not in figures.txt");
    if (row == wanted.end()) continue;
    CHECK(figures.registers <= row->second.registers + kRegisters);
    CHECK(figures.registers >= row->second.registers - kRegisters);
    CHECK(figures.shared_bytes <= row->second.shared_bytes + kSharedBytes);
    CHECK(figures.shared_bytes >= row->second.shared_bytes - kSharedBytes);
  }
  for (const auto &[key, figures] : wanted) {
    if (key.starts_with(prefix))
      CHECK_MESSAGE(found.contains(key), key, " is in figures.txt, and there is no such kernel");
  }
}

}  // namespace

// Each a test of its own, so that they run at once and none takes minutes.
TEST_CASE("registers and shared memory of the programs' kernels for sm_80") {
  check({"test/", of_programs}, "sm_80");
}

TEST_CASE("registers and shared memory of the programs' kernels for sm_90a") {
  check({"test/", of_programs}, "sm_90a");
}

TEST_CASE("registers and shared memory of the demonstration's kernels for sm_80") {
  check({"demo/", of_demonstration}, "sm_80");
}

TEST_CASE("registers and shared memory of the demonstration's kernels for sm_90a") {
  check({"demo/", of_demonstration}, "sm_90a");
}

TEST_CASE("registers and shared memory of the benchmark's kernels for sm_80") {
  check({"bench/", of_benchmark}, "sm_80");
}

TEST_CASE("registers and shared memory of the benchmark's kernels for sm_90a") {
  check({"bench/", of_benchmark}, "sm_90a");
}

TEST_CASE("registers and shared memory of the generators' kernels for sm_80") {
  check({"generator/", of_generators}, "sm_80");
}

TEST_CASE("registers and shared memory of the generators' kernels for sm_90a") {
  check({"generator/", of_generators}, "sm_90a");
}

}  // namespace pit::test
