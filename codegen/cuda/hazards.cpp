#include "hazards.h"

#include <algorithm>

#include "codegen/ir/mutator.h"

namespace pit::cuda {
namespace {

bool meet(const Hazards::Storages &a, const Hazards::Storages &b) {
  return std::ranges::any_of(a, [&](const StorageNode *s) { return b.contains(s); });
}

}  // namespace

void Hazards::Accesses::add(const Expr &e) {
  walk(e, [&](const Expr &part) {
    if (const auto *load = part.as<Load>()) reads.insert(load->storage.get());
    return true;
  });
}

void Hazards::Accesses::add(const ir::Stmt &s) {
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    ir::walk_expressions(part, [&](const Expr &e) { add(e); });
    if (const auto *store = part.as<ir::Store>()) {
      writes.insert(store->storage.get());
      if (store->combiner != Combiner::Assign) reads.insert(store->storage.get());
    } else if (const auto *mma = part.as<ir::Mma>()) {
      reads.insert(mma->a.tile.get());
      reads.insert(mma->b.tile.get());
      reads.insert(mma->accumulator.tile.get());
      writes.insert(mma->accumulator.tile.get());
    } else if (const auto *prefix = part.as<ir::Prefix>()) {
      reads.insert(prefix->source.get());
      writes.insert(prefix->destination.get());
    } else if (const auto *compact = part.as<ir::Compact>()) {
      reads.insert(compact->marks.get());
      writes.insert(compact->list.get());
      writes.insert(compact->count.get());
    } else if (const auto *sum = part.as<ir::SumBefore>()) {
      writes.insert(sum->sum.get());
    } else if (const auto *fetch = part.as<ir::FetchAdd>()) {
      reads.insert(fetch->counters.get());
      writes.insert(fetch->counters.get());
      writes.insert(fetch->destination.get());
    }
    return true;
  });
}

bool Hazards::need_barrier(const Accesses &next) const {
  return meet(next.reads, pending_.writes) || meet(next.writes, pending_.writes) ||
         meet(next.writes, pending_.reads);
}

void Hazards::add(const Accesses &done) {
  pending_.reads.insert(done.reads.begin(), done.reads.end());
  pending_.writes.insert(done.writes.begin(), done.writes.end());
}

void Hazards::join(const Hazards &other) { add(other.pending_); }

}  // namespace pit::cuda
