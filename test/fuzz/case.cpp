#include "case.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>

#include "codegen/emit/listing.h"
#include "codegen/ir/atoms.h"
#include "codegen/ir/block_memory.h"
#include "codegen/ir/interpret.h"
#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "data.h"
#include "test/harness.h"

namespace pit::fuzz {

const char *to_string(Outcome outcome) {
  static constexpr const char *kNames[] = {
      "passed",       "refused algorithm", "invalid case",   "wrong result", "round trip",
      "late refusal", "data error",        "internal error", "crash",        "timeout"};
  return kNames[static_cast<std::size_t>(outcome)];
}

namespace {

template <std::size_t N>
void put(char (&to)[N], const std::string &text) {
  const std::size_t n = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), n);
  to[n] = 0;
}

struct Failure {
  Outcome outcome;
  std::string message;
};

class Case {
 public:
  Case(Choices *choices, CaseRecord *record) : choices_(*choices), record_(*record) {}

  void run() {
    phase("algorithm");
    program_ = draw_program(&choices_);
    record_.exact = program_.exact;
    show();
    const Data data = draw_data(&choices_, program_);
    for (const auto &[name, b] : data.inputs) problem_.inputs.emplace(name, b.view);
    problem_.scalars = data.scalars;
    allocate_outputs();
    phase("lowering with no schedule");
    lower::lower(program_.pipeline(), Target());
    run_reference();
    declare_extents();
    phase("schedule");
    std::string refusals;
    const auto try_lower = [&] {
      show();
      lower::lower(program_.pipeline(), Target());
    };
    const auto refused = [&](Step step, const CompileError &e) {
      refusals += std::string(to_string(step)) + ": " + e.what() + "\n";
      put(record_.refusals, refusals);
    };
    draw_schedule(&choices_, &program_, {try_lower, refused, &record_.steps});
    show();
    if (changes_signature()) {
      allocate_outputs();
      run_reference();
    }
    run_engines();
  }

 private:
  void phase(const char *name) { put(record_.phase, name); }
  void show() { put(record_.program, to_text(program_)); }

  void allocate_outputs() {
    expected_.clear();
    expected_views_.clear();
    bounds_.clear();
    const std::vector<Argument> signature = program_.pipeline().signature();
    for (const Argument &a : signature) {
      if (a.kind == Argument::Kind::InputTensor || a.kind == Argument::Kind::Scalar) continue;
      const GuardedBuffer b = allocate(&choices_, a.type, program_.argument_extents(a));
      expected_.emplace(a.name, b);
      expected_views_.emplace(a.name, b.view);
    }
  }

  /// As part of the schedule, of some dimensions of some tensors.
  void declare_extents() {
    for (DrawnTensor &t : program_.tensors) {
      for (std::size_t d = 0; d < t.extents.size(); ++d) {
        if (choices_.chance(10)) t.param.dim(static_cast<int>(d)).extent(t.extents[d]);
      }
    }
  }

  // Compact outputs have another layout, indices are outputs too.
  bool changes_signature() const {
    if (!program_.output_indices.empty()) return true;
    return std::ranges::any_of(program_.outputs, [&](std::size_t o) {
      const auto &directives = program_.funcs[o].func.func()->directives;
      return std::ranges::find(directives, DirectiveKind::StoreCompact, &Directive::kind) !=
             directives.end();
    });
  }

  void run_reference() {
    phase("reference");
    Reference reference(program_.pipeline(), problem_.inputs, problem_.scalars);
    reference.run(expected_views_, &bounds_);
  }

  void run_engines() {
    const Pipeline pipeline = program_.pipeline();
    phase("schedule text");
    const Schedule schedule = pipeline.schedule();
    record_.directives = static_cast<int>(schedule.directives.size());
    const std::string text = schedule.to_string();
    const Schedule parsed = Schedule::parse(pipeline, text);
    if (!(parsed == schedule))
      throw Failure{Outcome::RoundTrip, "the schedule reads back as\n" + parsed.to_string()};

    phase("IR text");
    const ir::Module module = lower::lower(pipeline, Target());
    const std::string printed = ir::print(module);
    const ir::Module again = ir::parse(printed);
    if (ir::print(again) != printed)
      throw Failure{Outcome::RoundTrip, "the module reads back as\n" + ir::print(again)};
    phase("lowering the saved schedule");
    if (ir::print(lower::lower(pipeline.with(parsed), Target())) != printed) {
      throw Failure{Outcome::RoundTrip, "the schedule that was saved gives another module"};
    }
    const bool from_text = choices_.chance(20);

    static const std::vector<const char *> features = {"", "no_threads", "avx512", "avx2"};
    Target target;
    const std::string without = choices_.pick(features);
    if (without == "no_threads") {
      target = target.with(without);
    } else if (!without.empty()) {
      target = target.without(without);
    }
    const bool profile = choices_.chance(10), believes = choices_.chance(10);
    const auto with_features = [&](Target t) {
      if (profile) t = t.with("profile");
      return believes ? t.with("no_asserts") : t;
    };

    if (const Target device = test::target_under_test(); device.is_cuda()) {
      phase("compiled for CUDA");
      as_far_as_sizes_allow([&] {
        with_atoms(device, [&](const Pipeline &p) { run_compiled(p, with_features(device)); });
      });
      return;
    }
    phase("interpreter");
    engine([&](const auto &outputs) { interpret(from_text ? again : module, pipeline, outputs); });
    phase("interpreter of the module for CUDA");
    const Target cuda(choices_.chance(30) ? "x86-64-linux-cuda-sm_80" : "x86-64-linux-cuda-sm_90a");
    as_far_as_sizes_allow([&] {
      with_atoms(cuda, [&](const Pipeline &p) { run_cuda_module(p, with_features(cuda)); });
    });
    phase("compiled");
    run_compiled(pipeline, with_features(target));
  }

  void run_cuda_module(const Pipeline &pipeline, const Target &target) {
    using enum ir::Landing;
    const ir::Module module = lower::lower(pipeline, target);
    const auto seed = choices_.below(1 << 16);
    const auto landing = choices_.pick(std::vector<ir::Landing>{Late, AtOnce, Random});
    engine([&](const auto &outputs) { interpret(module, pipeline, outputs, {seed, landing}); });
    // A text for each of the others would take most of the time.
    if (!ir::is_staged(module.body) && !choices_.chance(5)) return;
    phase("PTX of the module for CUDA");
    emit::ptx_of(module, cuda::device_of(target));
  }

  // With an instruction named for one of the sums, whose kernel may refuse it. Other targets have
  // other names, so that this is no part of the schedule that all of them follow.
  void with_atoms(const Target &target, const std::function<void(const Pipeline &)> &run) {
    const Pipeline pipeline = program_.pipeline();
    std::vector<Definition> sums;
    for (const FuncPtr &f : pipeline.funcs()) {
      for (std::size_t i = 0; i < f->definitions.size(); ++i) {
        const Combiner c = f->definitions[i].combiner;
        if (f->types[0] == float32 && (c == Combiner::Sum || c == Combiner::Softmax))
          sums.emplace_back(f, static_cast<int>(i));
      }
    }
    if (sums.empty() || !choices_.chance(15)) return run(pipeline);
    std::vector<std::string> names;
    for (const std::string &name : ir::atom_names(float32, target.has("sm_90a")))
      if (!ir::find_atom(name)->rounds) names.push_back(name);
    Definition sum = choices_.pick(sums);
    const std::vector<Directive> before = sum.func()->directives;
    sum.atom(choices_.pick(names));
    const Pipeline named = pipeline.with(pipeline.schedule());
    const std::string text = to_text(program_);
    sum.func()->directives = before;
    if (!accepts_atom(named, target)) return run(pipeline);
    put(record_.program, text);
    run(named);
    show();
  }

  static bool accepts_atom(const Pipeline &pipeline, const Target &target) {
    try {
      lower::lower(pipeline, target);
      return true;
    } catch (const CompileError &e) {
      if (std::strstr(e.what(), ".atom(\"") == nullptr) throw;
      return false;
    }
  }

  void run_compiled(const Pipeline &pipeline, const Target &target) {
    engine([&](const auto &outputs) {
      try {
        test::run(pipeline, problem_, test::Engine::Compiled, target, outputs);
      } catch (const test::WroteBeside &e) {
        throw Failure{Outcome::WrongResult, e.what()};
      }
    });
  }

  // Sizes that are data have no bound in some programs, which a GPU therefore refuses.
  static void as_far_as_sizes_allow(const std::function<void()> &run) {
    const auto of_sizes = [](const std::exception &e) {
      return std::strstr(e.what(), "memory of a GPU is allocated before") != nullptr ||
             std::strstr(e.what(), "declare how many there are at most") != nullptr ||
             std::strstr(e.what(), "is known only on the device") != nullptr ||
             std::strstr(e.what(), "bytes of shared memory, and a block has") != nullptr;
    };
    try {
      run();
    } catch (const CompileError &e) {
      if (!of_sizes(e)) throw;
    } catch (const RuntimeError &e) {
      if (!of_sizes(e)) throw;
    }
  }

  void interpret(const ir::Module &module, const Pipeline &pipeline,
                 const std::map<std::string, AnyBuffer> &outputs,
                 const ir::Interleaving &interleaving = {}) {
    std::vector<ir::TensorArgument> in, out;
    std::vector<double> scalars;
    const std::vector<Argument> signature = pipeline.signature();
    for (const Argument &a : signature) {
      if (a.kind == Argument::Kind::InputTensor) {
        in.push_back(test::tensor_argument(problem_.inputs.at(a.name)));
      } else if (a.kind == Argument::Kind::Scalar) {
        scalars.push_back(problem_.scalars.at(a.name));
      } else {
        out.push_back(test::tensor_argument(outputs.at(a.name)));
      }
    }
    ir::interpret(module, in, scalars, out, nullptr, interleaving);
  }

  // Runs into poisoned memory of the same layout and compares, the surroundings included.
  template <class Run>
  void engine(const Run &run) {
    std::map<std::string, GuardedBuffer> got;
    std::map<std::string, AnyBuffer> views;
    for (const auto &[name, b] : expected_) {
      AnyBuffer memory(uint8, b.memory.extents());
      memory.fill_bytes(0xA5);
      const auto offset =
          static_cast<const char *>(b.view.data()) - static_cast<const char *>(b.memory.data());
      const AnyBuffer view(static_cast<char *>(memory.data()) + offset, b.view.type(),
                           b.view.extents(), b.view.strides());
      got.emplace(name, GuardedBuffer{memory, view});
      views.emplace(name, view);
    }
    run(views);
    const test::Comparison c = test::compare(views, expected_views_, bounds_, program_.exact, 1024);
    if (c.different > 0) {
      throw Failure{Outcome::WrongResult, std::to_string(c.different) + " of " +
                                              std::to_string(c.elements) +
                                              " elements are wrong: " + c.first};
    }
    for (const auto &[name, b] : got) {
      const GuardedBuffer &wanted = expected_.at(name);
      b.view.copy_from(wanted.view);
      if (std::memcmp(b.memory.data(), wanted.memory.data(),
                      static_cast<std::size_t>(b.memory.size())) != 0) {
        throw Failure{Outcome::WrongResult, "bytes outside the output " + name + " were written"};
      }
    }
  }

  Choices &choices_;
  CaseRecord &record_;
  DrawnProgram program_;
  test::Problem problem_;
  std::map<std::string, GuardedBuffer> expected_;
  std::map<std::string, AnyBuffer> expected_views_, bounds_;
};

}  // namespace

void run_case(Choices *choices, CaseRecord *record) {
  const auto end = [&](Outcome outcome, const std::string &message) {
    put(record->message, message);
    record->outcome = outcome;
  };
  const auto in_phase = [&](const char *name) { return std::strcmp(record->phase, name) == 0; };
  try {
    Case(choices, record).run();
    end(Outcome::Passed, "");
  } catch (const Failure &f) {
    end(f.outcome, f.message);
  } catch (const CompileError &e) {
    const bool algorithm = in_phase("algorithm") || in_phase("lowering with no schedule");
    end(algorithm ? Outcome::Refused : Outcome::LateRefusal, e.what());
  } catch (const RuntimeError &e) {
    // Whether Funcs that share an index have one range is known at the call.
    if (std::strstr(e.what(), ", which uses it too, has ") != nullptr)
      return end(Outcome::Refused, e.what());
    end(in_phase("reference") ? Outcome::Invalid : Outcome::DataError, e.what());
  } catch (const TooManyChoices &e) {
    end(Outcome::Invalid, e.what());
  } catch (const std::exception &e) {
    end(Outcome::Internal, e.what());
  }
}

}  // namespace pit::fuzz
