#include "columns_apart.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "codegen/ir/mutator.h"
#include "linear.h"

namespace pit::lower {
namespace {

using ir::Stmt;

/// Far from 2^63 with any coefficient that is a constant of a few thousand.
bool is_small(const Expr &e) {
  if (const auto *variable = e.as<Variable>()) return variable->var->role != VarRole::Let;
  if (const auto *load = e.as<Load>()) return load->storage->type.bits <= 32;
  const auto *part = e.as<Binary>();
  std::int64_t by = 0;
  return part && (part->op == BinaryOp::Div || part->op == BinaryOp::Mod) &&
         is_const_int(part->b, &by) && by > 0 && is_small(part->a);
}

/// The sum is the same in whatever order it is made.
bool cannot_wrap(const Expr &e, const Linear &sum) {
  constexpr std::int64_t kMost = std::int64_t{1} << 12;
  bool narrow = false;
  walk(e, [&](const Expr &part) {
    const auto *binary = part.as<Binary>();
    return !(narrow = narrow || (binary && part.type().bits < 64));
  });
  return !narrow && sum.terms.size() < 8 &&
         std::ranges::all_of(
             sum.terms,
             [&](const Linear::Term &term) {
               return std::abs(term.coefficient) <= kMost && is_small(term.value);
             });
}

Expr apart(const Expr &e, const VarPtr &column) {
  const auto *compare = e.as<Binary>();
  if (!compare || compare->a.type() != int64 ||
      (compare->op != BinaryOp::Lt && compare->op != BinaryOp::Le && compare->op != BinaryOp::Gt &&
       compare->op != BinaryOp::Ge))
    return e;
  const Expr difference = compare->a - compare->b;
  const Linear sum = linearize(difference);
  if (!cannot_wrap(difference, sum)) return e;
  Linear own, others;
  bool mixed = false;
  for (const Linear::Term &term : sum.terms) {
    const bool reads = term.value.as<Load>() != nullptr;
    if (uses(term.value, column) && !reads) {
      own.terms.push_back(term);
    } else {
      mixed = mixed || uses(term.value, column);
      others.terms.push_back({term.value, -term.coefficient});
    }
  }
  others.constant = -sum.constant;
  if (own.terms.empty() || !mixed) return e;
  const Expr limit = to_expr(others);
  const bool counts = own.terms.size() == 1 && own.terms[0].coefficient == 1;
  if (!counts) return make_binary(compare->op, to_expr(own), limit);
  // A number of the tile: no limit beyond what it takes says anything else.
  const Expr most = make_int(int64, std::numeric_limits<std::int32_t>::max()),
             least = make_int(int64, -1);
  return make_binary(compare->op, cast(int32, own.terms[0].value),
                     cast(int32, max(min(limit, most), least)));
}

class ColumnsApart final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::Store &store, const Stmt &self) override {
    if (store.storage->space != Space::Tile || store.storage->rank != 2 || store.axes.size() != 2 ||
        !store.indices[1].as<Variable>())
      return self;
    bool computed = false;
    walk(store.value, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      computed =
          computed || (load && load->storage->space == Space::Tile && load->storage->rank == 2);
      return !computed;
    });
    if (!computed) return self;
    const VarPtr &column = store.indices[1].as<Variable>()->var;
    const Expr value = rewrite(store.value, [&](const Expr &part) { return apart(part, column); });
    return ir::make<ir::Store>(store.axes, store.guards, store.storage, store.indices,
                               store.combiner, value, store.atomic, store.vector_bytes);
  }
};

}  // namespace

Stmt columns_apart(const Stmt &kernel) { return ColumnsApart()(kernel); }

}  // namespace pit::lower
