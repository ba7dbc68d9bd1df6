// Rules that hold between directives of several definitions: what they name exists in the end.
#include <algorithm>
#include <map>

#include "error.h"
#include "func.h"
#include "loop_names.h"
#include "schedule.h"

namespace pit {

namespace {

class ScheduleCheck {
 public:
  explicit ScheduleCheck(const Schedule &schedule) : all_(schedule.directives) {}

  void run() const {
    std::vector<Directive> before;
    for (const Directive &d : all_) {
      check_directive(d, before);
      before.push_back(d);
    }
    index_names();
    for (const Directive &d : all_) {
      if (d.kind == DirectiveKind::ComputeAt) consumer_loop(d);
      if (d.kind == DirectiveKind::ComputeWith) compute_with(d);
      if (d.kind == DirectiveKind::SRead || d.kind == DirectiveKind::SWrite) gathered_somewhere(d);
      if (d.kind == DirectiveKind::Index) mark_place(d);
    }
    for (const Directive &d : all_) not_inside_itself(d);
  }

 private:
  [[noreturn]] static void fail(const Directive &d, const std::string &problem) {
    const FuncPtr func = d.func.lock();
    throw CompileError(
        definition_name(*func, d.definition) + "." + to_string(d.kind) + ": " + problem, d.where);
  }

  // The loops of each definition of `func`, for messages.
  std::string loops_text(const FuncNode &func) const {
    std::string text;
    for (int i = 0; i < static_cast<int>(func.definitions.size()); ++i) {
      std::string loops;
      for (const VarPtr &v : loops_of(func, i, all_))
        loops += (loops.empty() ? "" : ", ") + v->name;
      text += (text.empty() ? "" : "; ") + ("the loops of " + definition_name(func, i)) + " are " +
              (loops.empty() ? "none" : loops);
    }
    return text;
  }

  void index_names() const {
    std::map<std::string, const IndexNode *> declared;
    for (const Directive &d : all_) {
      if (d.kind == DirectiveKind::Index) {
        const std::string &name = d.index->name;
        if (name.empty()) fail(d, "the index has no name; give it one by named()");
        if (!declared.emplace(name, identity_of(d.index)).second) {
          fail(d, "there is another index named " + name + "; give them distinct names by named()");
        }
      } else if (d.index && (d.index_named || d.kind == DirectiveKind::StoreCompact)) {
        const auto it = declared.find(d.index->name);
        if (it == declared.end() || it->second != identity_of(d.index)) {
          fail(d, "the index " + d.index->name +
                      " is not declared before; indices are made by F.index({.axis = ...})");
        }
      }
    }
  }

  void consumer_loop(const Directive &d) const {
    const FuncPtr consumer = d.other.lock();
    if (!consumer) fail(d, "the consumer is gone; compute at a loop of a Func of the pipeline");
    if (definition_with_loop(*consumer, d.vars[0], all_, d.other_definition) < 0) {
      fail(d, d.vars[0]->name + " is not a loop of the consumer " + consumer->name + "; " +
                  loops_text(*consumer));
    }
  }

  void compute_with(const Directive &d) const {
    const FuncPtr func = d.func.lock();
    const FuncPtr other = d.other.lock();
    if (!other) fail(d, "the other Func is gone; share the loops of a Func of the pipeline");
    const std::vector<VarPtr> loops = loops_of(*other, d.other_definition, all_);
    const auto last = std::ranges::find(loops, d.vars[0]);
    if (last == loops.end()) {
      fail(d, d.vars[0]->name + " is not a loop of " + definition_name(*other, d.other_definition) +
                  "; " + loops_text(*other));
    }
    const std::vector<VarPtr> variables = variables_of(*func, d.definition);
    for (auto loop = loops.begin(); loop != last + 1; ++loop) {
      for (const VarPtr &v : originals_of(*loop, *other, d.other_definition, all_)) {
        if (std::ranges::find(variables, v) == variables.end()) {
          fail(d, "the loop " + (*loop)->name + " of " +
                      definition_name(*other, d.other_definition) + " runs over " + v->name +
                      ", which " + definition_name(*func, d.definition) +
                      " does not have; definitions share the loops of Vars that both have");
        }
      }
    }
  }

  // The directive that puts `func` into the loops of another.
  const Directive *placed(const FuncPtr &func) const {
    const auto it = std::ranges::find_if(all_, [&](const Directive &d) {
      return (d.kind == DirectiveKind::ComputeAt || d.kind == DirectiveKind::ComputeWith) &&
             d.func.lock() == func && d.other.lock() != func;
    });
    return it == all_.end() ? nullptr : &*it;
  }

  // Following compute_at and compute_with from Func to Func ends at a Func with loops of its own.
  void not_inside_itself(const Directive &d) const {
    if (d.kind != DirectiveKind::ComputeAt && d.kind != DirectiveKind::ComputeWith) return;
    const FuncPtr start = d.func.lock();
    std::string way = start->name;
    std::size_t steps = 0;
    for (const Directive *at = placed(start); at != nullptr && steps <= all_.size(); ++steps) {
      const FuncPtr next = at->other.lock();
      way += " in " + next->name;
      if (next == start) {
        fail(d, "Funcs are computed inside each other in a circle: " + way +
                    "; one of them needs loops of its own: leave its directive out");
      }
      at = placed(next);
    }
  }

  // sread and swrite speak of a tile: the definition's own, or one of a consumer that it is
  // computed in.
  void gathered_somewhere(const Directive &d) const {
    std::vector<const FuncNode *> seen;
    FuncPtr func = d.func.lock();
    int definition = d.definition;
    while (func && std::ranges::find(seen, func.get()) == seen.end()) {
      const bool tiled = std::ranges::any_of(all_, [&](const Directive &other) {
        return other.kind == DirectiveKind::PitTile && other.func.lock() == func &&
               (!seen.empty() || other.definition == definition);
      });
      if (tiled) return;
      seen.push_back(func.get());
      const auto at = std::ranges::find_if(all_, [&](const Directive &other) {
        return other.kind == DirectiveKind::ComputeAt && other.func.lock() == func;
      });
      func = at == all_.end() ? nullptr : at->other.lock();
    }
    fail(d,
         "neither this definition nor one that it is computed in has a pit_tile, so nothing is " +
             std::string(d.kind == DirectiveKind::SRead ? "gathered" : "scattered") +
             "; say pit_tile, or leave the directive out");
  }

  void mark_place(const Directive &d) const {
    if (!d.index->mark_loop) return;
    const FuncPtr producer = d.index->mark_func.lock();
    if (!producer) {
      fail(d, "compute_at of the index " + d.index->name +
                  ": the Func that it is marked in is gone; name a Func of the pipeline");
    }
    if (definition_with_loop(*producer, d.index->mark_loop, all_) < 0) {
      fail(d, "compute_at of the index " + d.index->name + ": " + d.index->mark_loop->name +
                  " is not a loop of " + producer->name + "; " + loops_text(*producer));
    }
  }

  const std::vector<Directive> &all_;
};

}  // namespace

void check_schedule(const Schedule &schedule) { ScheduleCheck(schedule).run(); }

}  // namespace pit
