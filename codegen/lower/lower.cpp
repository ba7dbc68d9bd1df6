#include "lower.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>

#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "dsl/error.h"
#include "emit.h"
#include "form_mma.h"
#include "legality.h"
#include "plan.h"

namespace pit::lower {
namespace {

/// Verifies the module after each pass, writes it where PIT_DUMP asks for it, and times it for
/// PIT_TIME.
class Passes {
 public:
  ir::Module run(const char *name, const std::function<ir::Module()> &pass) {
    const auto start = std::chrono::steady_clock::now();
    ir::Module module = pass();
    const auto end = std::chrono::steady_clock::now();
    if (std::getenv("PIT_TIME")) {
      std::fprintf(stderr, "pit: %-12s %8.3f ms\n", name,
                   std::chrono::duration<double, std::milli>(end - start).count());
    }
    dump(module, name);
    ir::verify(module, name);
    ++number_;
    return module;
  }

 private:
  int number_ = 1;

  void dump(const ir::Module &module, const std::string &pass) const {
    const char *wanted = std::getenv("PIT_DUMP");
    if (!wanted) return;
    const std::string words = "," + std::string(wanted) + ",";
    if (words != ",all," && words.find("," + pass + ",") == std::string::npos) return;
    const char *folder = std::getenv("PIT_DUMP_DIR");
    const std::string path = std::string(folder ? folder : ".") + "/" + module.name + "." +
                             std::to_string(number_) + "." + pass + ".pit";
    std::ofstream file(path);
    file << ir::print(module);
    if (!file) throw RuntimeError("PIT_DUMP: cannot write " + path);
  }
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
  Passes passes;
  Emitter emitter(&plan);
  ir::Module module = passes.run("emit", [&] { return emitter.run(); });
  module = passes.run("mma", [&] { return form_mma(module, emitter.sum_choices()); });
  if (explanation) group_by_subject(explanation);
  return module;
}

}  // namespace pit::lower
