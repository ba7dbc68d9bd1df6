#include "schedule.h"

#include "error.h"
#include "func.h"

namespace pit {

VarOrRVar::VarOrRVar(const Var &v) : node_(v.node()) {}

VarOrRVar::VarOrRVar(const RVar &v) : node_(v.node()) {}

VarOrRVar::VarOrRVar(const RDom &r, std::source_location where) {
  if (r.dimensions() != 1) {
    throw CompileError("RDom " + r.node()->name + " has " + std::to_string(r.dimensions()) +
                           " dimensions and names no single loop; write " + r.node()->name +
                           ".x, " + r.node()->name + ".y ...",
                       where);
  }
  node_ = r.x.node();
}

std::string to_string(DirectiveKind kind) {
  switch (kind) {
    case DirectiveKind::Index:
      return "index";
    case DirectiveKind::PitTile:
      return "pit_tile";
    case DirectiveKind::SRead:
      return "sread";
    case DirectiveKind::SWrite:
      return "swrite";
    case DirectiveKind::Split:
      return "split";
    case DirectiveKind::Tile:
      return "tile";
    case DirectiveKind::Fuse:
      return "fuse";
    case DirectiveKind::Reorder:
      return "reorder";
    case DirectiveKind::Vectorize:
      return "vectorize";
    case DirectiveKind::Unroll:
      return "unroll";
    case DirectiveKind::Parallel:
      return "parallel";
    case DirectiveKind::GpuBlocks:
      return "gpu_blocks";
    case DirectiveKind::GpuThreads:
      return "gpu_threads";
    case DirectiveKind::SoftwarePipeline:
      return "software_pipeline";
    case DirectiveKind::WarpSpecialize:
      return "warp_specialize";
    case DirectiveKind::Cluster:
      return "cluster";
    case DirectiveKind::Persistent:
      return "persistent";
    case DirectiveKind::TileOrder:
      return "tile_order";
    case DirectiveKind::SplitReduction:
      return "split_reduction";
    case DirectiveKind::Atom:
      return "atom";
    case DirectiveKind::Atomic:
      return "atomic";
    case DirectiveKind::Strict:
      return "strict";
    case DirectiveKind::Specialize:
      return "specialize";
    case DirectiveKind::ComputeWith:
      return "compute_with";
    case DirectiveKind::Bound:
      return "bound";
    case DirectiveKind::ComputeAt:
      return "compute_at";
    case DirectiveKind::ComputeRoot:
      return "compute_root";
    case DirectiveKind::ComputeInline:
      return "compute_inline";
    case DirectiveKind::StoreCompact:
      return "store_compact";
    case DirectiveKind::ReorderStorage:
      return "reorder_storage";
  }
  throw InternalError("unknown kind of directive");
}

}  // namespace pit
