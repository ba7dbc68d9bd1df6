// Tiles that layouts distribute over the registers of a role's threads: what a thread holds of
// them, and which of them a statement is over.
//
// A fragment is an array of each thread, and every index into it is a constant: LLVM then makes
// registers of it.
#include <algorithm>

#include "codegen/ir/mutator.h"
#include "dsl/error.h"
#include "fragment_shape.h"
#include "kernel_emitter.h"
#include "wgmma.h"

namespace pit::cuda {

namespace {

using Kind = ir::Layout::Kind;
using llvm::Value;

constexpr int kBeside = 2;  // elements of a word

/// Whether the same threads hold the same rows, and an element of both has one number.
bool held_alike(const ir::Layout &a, const ir::Layout &b) {
  const auto blocked = [](const ir::Layout &layout) { return layout.kind == Kind::Blocked; };
  return blocked(a) == blocked(b) && a.warps_m == b.warps_m && a.warps_n == b.warps_n &&
         a.together == b.together && a.beside == b.beside;
}

}  // namespace

// --- what a thread holds ---

void KernelEmitter::allocate_fragment(const ir::Allocate &s) {
  Fragment f{s.placement.layout, {}, nullptr, 0, s.storage->type};
  for (const Expr &e : s.extents) is_const_int(e, &f.extents.emplace_back());
  const Kind kind = f.layout.kind;
  const bool small = f.type == bfloat16 || f.type == float16;
  const bool held = kind == Kind::Accumulator || kind == Kind::Rows ? f.type == float32
                    : kind == Kind::OperandA ? small
                                             : kind == Kind::Blocked && f.type.is_float();
  internal_check(held && f.extents.size() == (kind == Kind::Rows ? 1 : 2) && !s.placement.buffered,
                 "the fragment " + s.storage->name +
                     " is no matrix of accumulators or of a left operand, and no values of rows");
  f.count = ir::elements_per_thread(f.layout, f.extents) / (f.in_words() ? kBeside : 1);
  f.elements = local(llvm::ArrayType::get(register_of(f), static_cast<std::uint64_t>(f.count)),
                     s.storage->name.c_str());
  // Nothing of what a step of a loop around left there is kept.
  for (int i = 0; i < f.count; ++i)
    b.CreateStore(llvm::UndefValue::get(register_of(f)), fragment_register(f, i));
  fragments_[s.storage.get()] = f;
  fresh_.insert(s.storage.get());
}

llvm::Type *KernelEmitter::register_of(const Fragment &fragment) {
  return fragment.in_words() ? b.getInt32Ty() : code::register_type(context_, fragment.type);
}

llvm::Value *KernelEmitter::fragment_register(const Fragment &fragment, int number) {
  return b.CreateConstInBoundsGEP2_32(fragment.elements->getAllocatedType(), fragment.elements, 0,
                                      static_cast<unsigned>(number));
}

llvm::Value *KernelEmitter::load_register(const Fragment &fragment, int number) {
  return b.CreateLoad(register_of(fragment), fragment_register(fragment, number));
}

llvm::Value *KernelEmitter::read_fragment(const Fragment &fragment) {
  const int number = fragment.layout.kind == Kind::Rows ? element_.row_number : element_.number;
  internal_check(number >= 0, "a fragment is read outside of its statements");
  if (!fragment.in_words()) {
    Value *v = load_register(fragment, number);
    // Else what both versions compute would be computed before it is known which one runs, and kept
    // for all elements at once.
    return ragged_ && v->getType()->isFloatTy() ? in_own_register(v) : v;
  }
  Value *half = b.CreateExtractElement(halves_of(load_register(fragment, number / kBeside)),
                                       static_cast<std::uint64_t>(number % kBeside));
  return code::from_memory(b, floats_, fragment.type, half);
}

void KernelEmitter::write_fragment(const Fragment &fragment, Value *v) {
  const int number = fragment.layout.kind == Kind::Rows ? element_.row_number : element_.number;
  if (!fragment.in_words()) {
    b.CreateStore(v, fragment_register(fragment, number));
    return;
  }
  Value *halves = halves_of(load_register(fragment, number / kBeside));
  halves = b.CreateInsertElement(halves, code::to_memory(b, floats_, fragment.type, v),
                                 static_cast<std::uint64_t>(number % kBeside));
  b.CreateStore(b.CreateBitCast(halves, b.getInt32Ty()),
                fragment_register(fragment, number / kBeside));
}

llvm::Value *KernelEmitter::halves_of(Value *word) {
  return b.CreateBitCast(word, llvm::FixedVectorType::get(b.getInt16Ty(), kBeside));
}

llvm::Value *KernelEmitter::load_element(const Load &e) {
  if (const auto known = row_values_.find(&e); known != row_values_.end()) return known->second;
  if (const auto tile = lane_tiles_.find(e.storage.get()); tile != lane_tiles_.end())
    return look_up(tile->second, e.storage->type, e.indices[0]);
  if (const auto it = wide_.find(&e); it != wide_.end()) return it->second;
  const auto it = fragments_.find(e.storage.get());
  if (it == fragments_.end() && wanted_ && reads_where_wanted(e)) {
    const Type type = e.storage->type;
    Value *v = load_where(wanted_, address(e.storage, e.indices),
                          b.getIntNTy(static_cast<unsigned>(8 * type.bytes())));
    return code::from_memory(b, floats_, type,
                             b.CreateBitCast(v, code::memory_type(context_, type)));
  }
  if (it == fragments_.end()) return FunctionEmitter::load_element(e);
  return read_fragment(it->second);
}

/// The index, an axis or a part of one, is below this; 0: not known.
std::int64_t KernelEmitter::end_of(const Expr &index) const {
  if (const auto *variable = index.as<Variable>()) {
    const auto axis = env_.axes.find(variable->var.get());
    return axis == env_.axes.end() ? 0 : axis->second.bound;
  }
  const auto *part = index.as<Binary>();
  std::int64_t by = 0;
  const std::int64_t end = part && is_const_int(part->b, &by) && by > 0 ? end_of(part->a) : 0;
  if (end > 0 && part->op == BinaryOp::Div) return (end + by - 1) / by;
  return end > 0 && part->op == BinaryOp::Mod ? std::min(end, by) : 0;
}

bool KernelEmitter::is_at_hand(const Load &e) {
  if (fragments_.contains(e.storage.get())) return true;
  // A role's lists in shared memory are there to read whatever they hold.
  if (!lists_.contains(e.storage.get())) return false;
  const auto *extent = llvm::dyn_cast<llvm::ConstantInt>(storage(e.storage).extents[0]);
  const std::int64_t end = end_of(e.indices[0]);
  return extent && end > 0 && end <= extent->getSExtValue();
}

llvm::Value *KernelEmitter::forgotten(Value *v) {
  return assembly("mov.b64 $0, $1;", "=l,l", {v}, b.getInt64Ty());
}

llvm::Value *KernelEmitter::forgotten_column(Value *first, const FragmentShape &shape) {
  return b.CreateAnd(forgotten(first), i64(shape.column_bits));
}

llvm::Value *KernelEmitter::in_own_register(Value *v) {
  return assembly("mov.b32 $0, $1;", "=f,f", {v}, b.getFloatTy());
}

// --- what matrix instructions use while they are under way ---

namespace {

void add(const StorageNode *tile, std::vector<const StorageNode *> *tiles) {
  if (std::ranges::find(*tiles, tile) == tiles->end()) tiles->push_back(tile);
}

}  // namespace

void KernelEmitter::follow_products(const ir::Stmt &s, Tiles *tiles) {
  if (!s.defined()) return;
  const auto *drain = s.as<ir::Drain>();
  if (drain && drain->engine == ir::Engine::Matrix && drain->pending == 0) tiles->clear();
  if (const auto *product = s.as<ir::Mma>(); product && product->asynchronous) {
    add(product->accumulator.tile.get(), tiles);
    add(product->a.tile.get(), tiles);
  }
  // What is in s may be skipped, but for the parts of a sequence.
  const bool sequence = s.as<ir::Block>() || s.as<ir::Let>() || s.as<ir::Axes>() ||
                        s.as<ir::Allocate>() || s.as<ir::Barriers>();
  const Tiles before = *tiles;
  bool first = true;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    if (std::exchange(first, false)) return true;
    if (sequence) {
      follow_products(part, tiles);
    } else {
      Tiles own = before;
      follow_products(part, &own);
      for (const StorageNode *tile : own) add(tile, tiles);
    }
    return false;
  });
}

void KernelEmitter::forget_zeros() {
  for (auto &[tile, fragment] : fragments_) fragment.zero = false;
}

void KernelEmitter::tie(const Tiles &tiles) {
  const auto tie_those = [&](llvm::Type *type, char constraint) {
    std::vector<Value *> places;
    for (const StorageNode *tile : tiles) {
      const auto found = fragments_.find(tile);
      if (found == fragments_.end() || register_of(found->second) != type) continue;
      for (int i = 0; i < found->second.count; ++i)
        places.push_back(fragment_register(found->second, i));
    }
    // More operands than an instruction of PTX takes: they are tied in parts.
    constexpr std::size_t kMost = 128;
    for (std::size_t first = 0; first < places.size(); first += kMost) {
      const std::size_t count = std::min(kMost, places.size() - first);
      std::vector<Value *> values;
      for (std::size_t i = 0; i < count; ++i)
        values.push_back(b.CreateLoad(type, places[first + i]));
      const std::vector<llvm::Type *> types(count, type);
      llvm::Type *all = count == 1 ? type : llvm::StructType::get(context_, types);
      Value *tied =
          assembly("", tied_registers(static_cast<std::int64_t>(count), constraint), values, all);
      for (std::size_t i = 0; i < count; ++i) {
        b.CreateStore(count == 1 ? tied : b.CreateExtractValue(tied, static_cast<unsigned>(i)),
                      places[first + i]);
      }
    }
  };
  tie_those(b.getFloatTy(), 'f');
  tie_those(b.getInt32Ty(), 'r');
}

// --- statements over fragments ---

std::optional<KernelEmitter::FragmentUse> KernelEmitter::fragments_of(const ir::Store &s) const {
  if (fragments_.empty()) return {};
  FragmentUse use;
  const auto visit = [&](const StorageNode *storage, const std::vector<Expr> &indices) {
    const auto it = fragments_.find(storage);
    if (it == fragments_.end()) return;
    const Fragment &fragment = it->second;
    const bool of_rows = fragment.layout.kind == Kind::Rows;
    const auto *row = indices[0].as<Variable>(),
               *column = of_rows ? nullptr : indices[1].as<Variable>();
    internal_check(row && (of_rows || column), "an index of a fragment is no axis");
    if (!use.row) use.row = row->var;
    if (column && !use.column) use.column = column->var;
    const Fragment *&same = of_rows ? use.rows : use.matrix;
    if (!same) same = &fragment;
    internal_check(row->var == use.row && (!column || column->var == use.column) &&
                       fragment.extents == same->extents &&
                       held_alike(fragment.layout, same->layout) &&
                       (!use.rows || !use.matrix ||
                        (use.rows->extents[0] == use.matrix->extents[0] &&
                         held_alike(use.rows->layout, use.matrix->layout))),
                   "fragments of different layouts meet in one statement");
  };
  visit(s.storage.get(), s.indices);
  const auto visit_loads = [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *load = part.as<Load>()) visit(load->storage.get(), load->indices);
      return true;
    });
  };
  for (const Expr &e : s.guards) visit_loads(e);
  for (const Expr &e : s.indices) visit_loads(e);
  visit_loads(s.value);
  if (!use.row) return {};
  const auto listed = [&](const VarPtr &v) { return std::ranges::find(s.axes, v) != s.axes.end(); };
  const bool whole = use.matrix != nullptr;
  internal_check(
      s.axes.size() == (whole ? 2U : 1U) && listed(use.row) && (!whole || listed(use.column)),
      "a statement over the fragment " +
          (fragments_.contains(s.storage.get()) ? s.storage->name : "of " + use.row->name) +
          " has other axes");
  return use;
}

bool KernelEmitter::reads_fragment(const Expr &e) const {
  bool reads = false;
  walk(e, [&](const Expr &part) {
    const auto *load = part.as<Load>();
    reads = reads || (load && fragments_.contains(load->storage.get()));
    return !reads;
  });
  return reads;
}

KernelEmitter::FirstElement KernelEmitter::first_element(const Fragment &fragment,
                                                         const FragmentShape &shape) {
  Value *warp = forgotten(warp_), *lane = forgotten(lane_);
  Value *warp_m = b.CreateURem(warp, i64(fragment.layout.warps_m)),
        *warp_n = b.CreateUDiv(warp, i64(fragment.layout.warps_m));
  Value *group = b.CreateUDiv(warp_m, i64(shape.together)),
        *member = b.CreateURem(warp_m, i64(shape.together));
  Value *row =
      b.CreateAdd(b.CreateMul(group, i64(shape.group_rows)),
                  b.CreateAdd(b.CreateMul(member, i64(shape.member_rows)),
                              b.CreateMul(b.CreateUDiv(lane, i64(shape.lanes)), i64(shape.run))));
  Value *lane_of_row = b.CreateURem(lane, i64(shape.lanes));
  Value *column = b.CreateAdd(b.CreateMul(warp_n, i64(shape.columns)),
                              b.CreateMul(lane_of_row, i64(shape.beside)));
  return {row, column, b.CreateICmpEQ(b.CreateOr(lane_of_row, warp_n), i64(0))};
}

void KernelEmitter::emit_over_fragments(const ir::Store &s, const FragmentUse &use) {
  const auto to = fragments_.find(s.storage.get());
  const bool fresh = fresh_.erase(s.storage.get()) > 0;
  if (to == fragments_.end()) {
    internal_check(s.storage->space != Space::Tile,
                   "the elements of a fragment are stored to the tile " + s.storage->name);
    return use.matrix ? store_fragments(s, use) : store_rows(s, use);
  }
  if (use.matrix && to->second.layout.kind == Kind::Rows) return reduce_rows(s, use);
  map_fragments(s, use, fresh);
}

}  // namespace pit::cuda
