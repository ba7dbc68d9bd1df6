#include "store_through.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/shared_memory.h"
#include "codegen/ir/strip.h"
#include "linear.h"
#include "matrix_units.h"

namespace pit::lower {
namespace {

using ir::Stmt;

constexpr int kLanes = 32;
/// What the back end takes besides: for reductions, and to align the first buffer.
constexpr std::int64_t kScratch = 2048;
/// Of a multiprocessor's shared memory the driver keeps so much for each block.
constexpr std::int64_t kKept = 1024;
/// The most that a block has on devices of compute capability 8.0, and of 8.6 and 8.9.
constexpr std::int64_t kSharedBytes[] = {163 * 1024, 99 * 1024};

using Fragments = std::map<const StorageNode *, const ir::Allocate *>;

/// The kinds of stores that strips are for: a line each.
bool is_of_a_kind(const ir::Store &s, bool bulk_reductions) {
  const bool plain = s.combiner == Combiner::Assign && !s.atomic;
  const int bytes = s.storage->type.bytes();
  if (plain && bytes == 2) return true;
  if (plain && bytes == 4) return true;
  if (s.atomic && s.combiner == Combiner::Sum && s.storage->type == float32) return bulk_reductions;
  return false;
}

/// The kernel accesses `storage` elsewhere, too: a bulk reduction may come later than its
/// statement ends.
bool is_accessed_beside(const ir::Store &store, const Stmt &kernel) {
  bool found = false;
  ir::walk_statements(kernel, [&](const Stmt &s) {
    if (s.as<ir::Store>() == &store) return true;
    ir::Accesses own;
    own.add_own(s);
    const StorageNode *storage = store.storage.get();
    return !(found = found || own.reads.contains(storage) || own.writes.contains(storage));
  });
  return found;
}

/// Elements of an accumulator, whose columns lie beside each other in memory, and of which whole
/// rows are stored or none.
bool fits_strip(const ir::Store &s, const Fragments &fragments) {
  if (s.storage->space == Space::Tile || s.indices.empty()) return false;
  VarPtr column;
  std::int64_t columns = 0;
  bool fits = true;
  const auto visit = [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      if (load == nullptr || load->indices.size() != 2) return true;
      const auto found = fragments.find(load->storage.get());
      if (found == fragments.end()) return true;
      const ir::Layout &layout = found->second->placement.layout;
      const auto *index = load->indices[1].as<Variable>();
      fits = fits && layout.kind == ir::Layout::Kind::Accumulator && index &&
             is_const_int(found->second->extents[1], &columns);
      if (!fits) return false;
      column = index->var;
      columns /= layout.warps_n;
      return true;
    });
  };
  visit(s.value);
  if (!fits || !column) return false;
  // Rows of 64 bytes are no more than four lanes store from registers.
  const std::int64_t bytes = s.storage->type.bytes(), least = 128, step = 64;
  if (columns * bytes < least || columns * bytes % step != 0) return false;
  for (const Expr &guard : s.guards) {
    bool of_elements = uses(guard, column);
    walk(guard, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      return !(of_elements = of_elements || (load && fragments.count(load->storage.get()) != 0));
    });
    if (of_elements) return false;
  }
  for (std::size_t d = 0; d + 1 < s.indices.size(); ++d)
    if (uses(s.indices[d], column)) return false;
  const Expr next =
      substitute(s.indices.back(), {column}, {make_variable(column) + make_int(int64, 1)});
  return constant_difference(next, s.indices.back()) == 1;
}

class Pass final : public ir::Mutator {
 public:
  explicit Pass(const Target &target) : unit_(matrix_unit_of(target)) {
    if (unit_)
      capacities_ = {unit_->shared_bytes};
    else
      capacities_.assign(std::begin(kSharedBytes), std::end(kSharedBytes));
  }

 protected:
  using Mutator::visit;

  Stmt visit(const ir::Launch &launch, const Stmt &self) override {
    if (!ir::is_staged(launch.body)) return self;
    kernel_ = &launch;
    bytes_ = ir::shared_bytes(launch.body) + kScratch;
    fragments_.clear();
    bool roles = false;
    has_registers_of_roles_ = false;
    ir::walk_statements(launch.body, [&](const Stmt &s) {
      const auto *allocate = s.as<ir::Allocate>();
      if (allocate && allocate->placement.layout.is_fragment())
        fragments_[allocate->storage.get()] = allocate;
      const auto *found = s.as<ir::Roles>();
      roles = roles || found;
      for (const ir::Role &role : found ? found->roles : std::vector<ir::Role>{})
        has_registers_of_roles_ = has_registers_of_roles_ || role.registers > 0;
      return true;
    });
    const Stmt body = roles ? mutate(launch.body)
                            : with_strips(launch.body, static_cast<int>(launch.threads / kLanes));
    if (body.same_as(launch.body)) return self;
    return ir::make<ir::Launch>(launch.name, launch.grid, launch.threads, body, launch.cluster,
                                launch.resident);
  }

  Stmt visit(const ir::Roles &node, const Stmt &self) override {
    bool changed = false;
    std::vector<ir::Role> roles = node.roles;
    for (ir::Role &role : roles) {
      const Stmt body = with_strips(role.body, role.warps);
      changed = changed || !body.same_as(role.body);
      role.body = body;
    }
    return changed ? ir::make<ir::Roles>(std::move(roles)) : self;
  }

  Stmt visit(const ir::Store &s, const Stmt &self) override {
    const auto strip = is_wanted(s) ? strips_.find(key_of(s)) : strips_.end();
    if (strip == strips_.end()) return self;
    return ir::make<ir::Store>(s.axes, s.guards, s.storage, s.indices, s.combiner, s.value,
                               s.atomic, s.vector_bytes, strip->second);
  }

 private:
  const MatrixUnit *unit_;
  std::vector<std::int64_t> capacities_;
  const ir::Launch *kernel_ = nullptr;
  std::int64_t bytes_ = 0;  ///< of shared memory that the kernel takes
  bool has_registers_of_roles_ = false;
  Fragments fragments_;
  /// The element type, and whether sums meet: a bulk reduction may still read its strip when the
  /// statement has ended.
  using Key = std::pair<std::string, bool>;
  std::map<Key, StoragePtr> strips_;  ///< of the role that is visited

  static Key key_of(const ir::Store &s) { return {to_string(s.storage->type), s.atomic}; }

  /// How wide a strip may be, the best first. Lines of 128 bytes are what memory is written in; a
  /// bulk reduction of a short row takes longer than the instructions that add it do.
  static std::vector<std::int64_t> widths(const ir::Store &s) {
    if (s.atomic) return {128};
    return s.storage->type.bytes() == 4 ? std::vector<std::int64_t>{64, 32}
                                        : std::vector<std::int64_t>{64};
  }

  bool is_wanted(const ir::Store &s) const {
    return is_of_a_kind(s, unit_ && unit_->asynchronous) && fits_strip(s, fragments_) &&
           !(s.atomic && is_accessed_beside(s, kernel_->body));
  }

  /// Whether so many bytes more are there on each device, and leave room for as many blocks at a
  /// time. What has registers of roles has all of a multiprocessor's: one block.
  bool has_room(std::int64_t more) const {
    return std::ranges::all_of(capacities_, [&](std::int64_t capacity) {
      const auto blocks = [&](std::int64_t bytes) {
        const std::int64_t fit = (capacity + kKept) / (bytes + kKept);
        return has_registers_of_roles_ ? std::min<std::int64_t>(fit, 1) : fit;
      };
      return blocks(bytes_ + more) >= blocks(bytes_);
    });
  }

  /// The body of a role, or of a block that has none.
  Stmt with_strips(Stmt body, int warps) {
    std::vector<std::pair<StoragePtr, std::int64_t>> made;  // and its columns
    ir::walk_statements(body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (!store || strips_.count(key_of(*store)) != 0 || !is_wanted(*store)) return true;
      const Type type = store->storage->type;
      for (const std::int64_t columns : widths(*store)) {
        const std::int64_t bytes =
            ir::buffer_bytes(ir::strip_extents(warps, columns), type.bytes());
        if (!has_room(bytes)) continue;
        bytes_ += bytes;
        made.emplace_back(ir::make_storage(store->storage->name + ".strip", type, 3, Space::Tile),
                          columns);
        strips_[key_of(*store)] = made.back().first;
        break;
      }
      return true;
    });
    if (made.empty()) return body;
    body = mutate(body);
    strips_.clear();
    for (const auto &[strip, columns] : made) {
      std::vector<Expr> extents;
      for (const std::int64_t extent : ir::strip_extents(warps, columns))
        extents.push_back(make_int(int64, extent));
      body = ir::make<ir::Allocate>(strip, std::move(extents), body,
                                    ir::Placement{ir::Memory::Shared});
    }
    return body;
  }
};

}  // namespace

ir::Module store_through(const ir::Module &module, const Target &target) {
  ir::Module result = module;
  result.body = Pass(target)(module.body);
  return result;
}

}  // namespace pit::lower
