// Loops of a GPU: iterations that do not depend on each other are spread over blocks and threads.
//
// What the schedule says stands. Where it says nothing a loop that may run in any order is
// Parallel, so that a definition without directives does not run on one thread.

#include <algorithm>
#include <set>

#include "codegen/ir/mutator.h"
#include "dsl/analysis/races.h"
#include "emit.h"
#include "interval.h"
#include "job.h"

namespace pit::lower {

using ir::Stmt;

namespace {

/// Iterations of a loop that one block shares out among its threads.
constexpr std::int64_t kThreadStrip = 256;
/// Tile statements of so few iterations are one thread's work.
constexpr std::int64_t kThreadTile = 32;

Expr constant(std::int64_t c) { return make_int(int64, c); }

}  // namespace

/// for var < extent: body, whose iterations do not depend on each other. On a GPU each is a
/// thread's; elsewhere the loop is `otherwise`. An extent that is data cannot be cut into blocks,
/// which the host counts: its threads are those of one block.
Stmt Emitter::spread(const VarPtr &var, const Expr &extent, ir::ForKind otherwise,
                     const Stmt &body) const {
  if (!on_gpu()) return ir::make<ir::For>(var, constant(0), extent, otherwise, body);
  // Loops around scalar statements become threads together: see form_launches.
  if (!reads_data(extent) && is_scalar(body))
    return ir::make<ir::For>(var, constant(0), extent, ir::ForKind::Parallel, body);
  std::int64_t c = 0;
  if (reads_data(extent) || (is_const_int(extent, &c) && c <= kThreadStrip))
    return ir::make<ir::For>(var, constant(0), extent, ir::ForKind::GpuThread, body);
  const VarPtr strip = ir::make_loop_variable(var->name + ".strip");
  const Expr first = make_variable(strip) * constant(kThreadStrip);
  const Stmt threads = ir::make<ir::For>(var, first, min(constant(kThreadStrip), extent - first),
                                         ir::ForKind::GpuThread, body);
  return ir::make<ir::For>(strip, constant(0),
                           (extent + constant(kThreadStrip - 1)) / constant(kThreadStrip),
                           ir::ForKind::Parallel, threads);
}

/// A nest of such loops with their extents, outermost first; elsewhere than on a GPU the outermost
/// is `outermost` and the others are serial.
Stmt Emitter::spread(const std::vector<std::pair<VarPtr, Expr>> &loops, ir::ForKind outermost,
                     Stmt body) const {
  std::size_t blocks = 0;  // loops that the host can count
  while (blocks < loops.size() && !reads_data(loops[blocks].second)) ++blocks;
  for (std::size_t i = loops.size(); i-- > 0;) {
    const auto &[var, extent] = loops[i];
    if (!on_gpu()) {
      body = ir::make<ir::For>(var, constant(0), extent, i == 0 ? outermost : ir::ForKind::Serial,
                               body);
    } else if (i + 1 == loops.size() && i <= blocks) {
      body = spread(var, extent, outermost, body);
    } else if (i + 1 == loops.size()) {
      body = ir::make<ir::For>(var, constant(0), extent, ir::ForKind::GpuThread, body);
    } else {
      body = ir::make<ir::For>(var, constant(0), extent,
                               i < blocks ? ir::ForKind::Parallel : ir::ForKind::Serial, body);
    }
  }
  return body;
}

/// Whether the definition's updates of memory are atomic: its schedule says so, and blocks of a GPU
/// make them. One component is updated, by what it does not hold itself.
bool Emitter::adds_atomically(const PlannedStage &stage, const PlannedDefinition &def,
                              const std::vector<Directive> &directives) const {
  const bool said = std::any_of(directives.begin(), directives.end(),
                                [](const Directive &d) { return d.kind == DirectiveKind::Atomic; });
  return said && on_gpu() && def.number > 0 && stage.level == Level::Root &&
         def.values.size() == 1 && def.combiner != Combiner::Assign &&
         def.combiner != Combiner::Softmax && !self_reads(*stage.func, def.number).read.defined();
}

/// Whether there is nothing in it that the threads of a block could share out.
bool Emitter::is_scalar(const Stmt &body) {
  bool scalar = true;
  ir::walk_statements(body, [&](const Stmt &s) {
    const auto *loop = s.as<ir::For>();
    const auto *tile = s.as<ir::Allocate>();
    const auto *store = s.as<ir::Store>();
    scalar &= !s.as<ir::Axes>() && !s.as<ir::Mma>() && !(store && !store->axes.empty()) &&
              !(loop && loop->loop_kind == ir::ForKind::GpuThread) &&
              !(tile && tile->storage->rank > 0);
    return scalar;
  });
  return scalar;
}

/// if condition: stmts. On a GPU what is data is tested inside the loops: around them it would make
/// one block of all.
Stmt Emitter::where(const Expr &condition, const Stmt &stmts) const {
  if (!stmts.defined()) return stmts;
  if (on_gpu() && reads_data(condition)) {
    if (const auto *block = stmts.as<ir::Block>()) {
      std::vector<Stmt> parts;
      for (const Stmt &part : block->stmts) parts.push_back(where(condition, part));
      return ir::make_block(parts);
    }
    if (const auto *loop = stmts.as<ir::For>();
        loop && !reads_data(loop->extent) &&
        (loop->loop_kind == ir::ForKind::Parallel || loop->loop_kind == ir::ForKind::GpuBlock)) {
      return ir::make<ir::For>(loop->var, loop->min, loop->extent, loop->loop_kind,
                               where(condition, loop->body));
    }
  }
  return ir::make<ir::If>(condition, stmts);
}

/// As one kernel: on a GPU its statements follow each other without going back to the host.
Stmt Emitter::together(const Stmt &stmts) const {
  if (!on_gpu() || !stmts.defined()) return stmts;
  return ir::make<ir::For>(ir::make_loop_variable("once"), constant(0), constant(1),
                           ir::ForKind::Parallel, stmts);
}

/// Whether what is inside of a loop, of the job if there is one, is little enough for one thread:
/// no loops, and no tile statement that is large or of unknown size. Lanes of the job that are
/// declared outside of its loops count as if they were declared inside.
bool Emitter::is_work_of_a_thread(const Stmt &body, const Job *job) {
  bool little = true;
  std::set<const VarNode *> inside;
  std::int64_t outside = 1;
  for (std::size_t k = job ? job->loops : 0; job && k < job->nest.dims.size(); ++k) {
    const Dim &lane = job->nest.dims[k];
    if (lane.maximum <= 0 || lane.maximum > kThreadTile / outside) continue;
    outside *= lane.maximum;
    inside.insert(lane.var.get());
  }
  ir::walk_statements(body, [&](const Stmt &s) {
    if (const auto *axes = s.as<ir::Axes>()) {
      std::int64_t size = 1;
      for (const ir::AxisBinding &axis : axes->axes) {
        size *= axis.maximum;
        inside.insert(axis.var.get());
      }
      little &= size > 0 && size <= kThreadTile;
    }
    // These are blocks' work.
    little &= !s.as<ir::Compact>() && !s.as<ir::SumBefore>() && !s.as<ir::FetchAdd>();
    if (const auto *store = s.as<ir::Store>()) {
      for (const VarPtr &axis : store->axes) little &= inside.contains(axis.get());
    }
    return little;
  });
  return little;
}

/// Loops over pure Vars of a stage at root whose iterations touch elements of their own.
void Emitter::choose_gpu_parallel(Job &job) const {
  std::vector<Dim> &dims = job.nest.dims;
  for (std::size_t i = 0; i < job.loops; ++i) {
    if (dims[i].kind != ir::ForKind::Serial && dims[i].kind != ir::ForKind::Unrolled) return;
  }
  const auto &args = job.stage->func->args;
  const bool pure = job.def->number == 0;
  const std::vector<VarPtr> determined = pure ? args : determined_variables(*job.def->source);
  const SelfReads self = self_reads(*job.stage->func, job.def->number);
  auto independent = [&](const VarPtr &v) {
    auto in = [&](const std::vector<VarPtr> &list) {
      return std::find(list.begin(), list.end(), v) != list.end();
    };
    return in(args) && in(determined) && (pure || !self.read.defined() || in(self.apart));
  };
  for (std::size_t i = 0; i < job.loops; ++i) {
    bool all = !dims[i].reduction && dims[i].kind == ir::ForKind::Serial;
    for (std::size_t k = 0; k < job.nest.from.size() && all; ++k) {
      if (uses(job.nest.to[k], dims[i].var)) all = independent(job.nest.from[k]);
    }
    if (all) dims[i].kind = ir::ForKind::Parallel;
  }
}

bool Emitter::is_innermost_parallel(const Job &job, std::size_t i) {
  const std::vector<Dim> &dims = job.nest.dims;
  for (std::size_t k = i + 1; k < job.loops; ++k) {
    if (dims[k].kind != ir::ForKind::Serial && dims[k].kind != ir::ForKind::Unrolled) return false;
  }
  return dims[i].kind == ir::ForKind::Parallel;
}

}  // namespace pit::lower
