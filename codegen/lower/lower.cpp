#include "lower.h"

#include <algorithm>
#include <functional>
#include <map>

#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "dump.h"
#include "emit.h"
#include "expand_index.h"
#include "form_mma.h"
#include "launches.h"
#include "legality.h"
#include "place_barriers.h"
#include "plan.h"
#include "profile_kernels.h"
#include "stage_kernels.h"
#include "store_through.h"
#include "trust_data.h"

namespace pit::lower {
namespace {

/// Verifies the module after each pass, writes it where PIT_DUMP asks for it, and times it for
/// PIT_TIME.
class Passes {
 public:
  explicit Passes(std::string pipeline) : pipeline_(std::move(pipeline)) {}

  ir::Module run(const char *name, const std::function<ir::Module()> &pass) {
    StepTimer timer(pipeline_);
    ir::Module module = pass();
    timer.step_ends(name);
    if (dump_wanted(name)) {
      write_dump(module.name + "." + std::to_string(number_) + "." + name + ".pit",
                 ir::print(module));
    }
    ir::verify(module, name);
    ++number_;
    return module;
  }

 private:
  std::string pipeline_;
  int number_ = 1;
};

/// What is said of one definition stands together, in the order in which definitions are first
/// spoken of.
void group_by_subject(std::vector<Explanation> *explanation) {
  std::map<std::string, std::size_t> place;
  for (const Explanation &line : *explanation) place.emplace(line.subject, place.size());
  std::stable_sort(explanation->begin(), explanation->end(),
                   [&](const Explanation &a, const Explanation &b) {
                     return place.at(a.subject) < place.at(b.subject);
                   });
}

}  // namespace

ir::Module lower(const Pipeline &pipeline, const Target &target,
                 std::vector<Explanation> *explanation) {
  Plan plan = make_plan(pipeline, target);
  plan.explanation = explanation;
  propagate_demand(&plan);
  infer_regions(&plan);
  plan_indices(&plan);
  check_legality(plan);
  Passes passes(pipeline.name());
  Emitter emitter(&plan);
  ir::Module module = passes.run("emit", [&] { return emitter.run(); });
  if (target.has("no_asserts")) module = passes.run("asserts", [&] { return trust_data(module); });
  ProductChoices products;
  module = passes.run(
      "mma", [&] { return form_mma(module, emitter.sum_choices(), target.is_cuda(), &products); });
  KernelChoices kernels = emitter.kernel_choices();
  if (!emitter.split_choices().empty()) {
    module = passes.run("split", [&] {
      return split_reductions(module, emitter.split_choices(), &kernels, explanation);
    });
  }
  if (target.is_cuda()) {
    module = passes.run("index", [&] { return expand_index(module); });
    module = passes.run("launches", [&] { return form_launches(module); });
    module = passes.run(
        "pipeline", [&] { return stage_kernels(module, products, kernels, target, explanation); });
    module = passes.run("strips", [&] { return store_through(module, target); });
    if (target.has("profile"))
      module = passes.run("profile", [&] { return profile_kernels(module); });
    // The statements of kernels are what they will be.
    module = passes.run("barriers", [&] { return place_barriers(module); });
  }
  if (explanation) group_by_subject(explanation);
  return module;
}

}  // namespace pit::lower
