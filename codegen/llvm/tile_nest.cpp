#include "tile_nest.h"

#include <algorithm>

#include "access.h"
#include "conversions.h"

namespace pit::code {

namespace {

using llvm::Value;

// What a unit-stride, invariant, strided or irregular access is worth in the innermost loop.
int worth(Movement m) {
  switch (m) {
    case Movement::None:
      return 1;
    case Movement::Unit:
      return 3;
    case Movement::Strided:
      return -2;
    case Movement::Irregular:
      return -3;
  }
  return 0;
}

bool is_load_free(const Expr &e) {
  bool free = true;
  walk(e, [&](const Expr &part) {
    free = free && part->kind != ExprKind::Load;
    return free;
  });
  return free;
}

}  // namespace

// The axis along which most accesses are contiguous becomes the innermost; the others keep their
// order.
void TileNest::choose_order(const ir::Store &s) {
  std::size_t best = order_.size();
  int best_score = 0;
  for (std::size_t i = order_.size(); i-- > 0;) {
    const VarPtr &axis = order_[i];
    const Movement target = movement(s.indices, axis, g_.storage(s.storage).unit_dimension);
    int score = 2 * worth(target);
    const auto count = [&](const Expr &e) {
      walk(e, [&](const Expr &part) {
        if (const auto *load = part.as<Load>()) {
          score += worth(movement(load->indices, axis, g_.storage(load->storage).unit_dimension));
        }
        return true;
      });
    };
    count(s.value);
    for (const Expr &guard : guards_) count(guard);
    for (const Expr &index : s.indices) count(index);
    // A vector of a few elements is hardly one.
    const std::int64_t bound = g_.env_.axes.at(axis.get()).bound;
    if (bound > 0 && bound < 4) score -= 20;
    if (best == order_.size() || score > best_score) {
      best = i;
      best_score = score;
    }
  }
  if (best < order_.size()) {
    std::rotate(order_.begin() + static_cast<std::ptrdiff_t>(best),
                order_.begin() + static_cast<std::ptrdiff_t>(best) + 1, order_.end());
  }
}

void TileNest::store(const ir::Store &s) {
  store_ = &s;
  value_ = s.value;
  choose_order(s);
  start();
}

void TileNest::run(Body body) {
  body_ = std::move(body);
  start();
}

// Extents read no axis. Once all are known to be positive, what is moved out of a loop is certain
// to be wanted.
void TileNest::start() {
  if (order_.empty()) return level(0);
  Value *some = nullptr;
  for (const VarPtr &axis : order_) {
    Value *positive = g_.b.CreateICmpSGT(g_.env_.axes.at(axis.get()).extent, g_.i64(0));
    some = some ? g_.b.CreateAnd(some, positive) : positive;
  }
  g_.when(some, [&] { level(0); });
}

// True when e reads an axis whose loop is not yet open.
bool TileNest::depends(const Expr &e, std::size_t depth) const {
  return std::any_of(order_.begin() + static_cast<std::ptrdiff_t>(depth), order_.end(),
                     [&](const VarPtr &v) { return uses(e, v); });
}

// Computes the loads in e that are certain to be wanted and do not change in the loops to come.
void TileNest::preload(const Expr &e, std::size_t depth) {
  if (const auto *load = e.as<Load>()) {
    const bool own = store_ && load->storage == store_->storage;
    if (!own && !depends(e, depth)) {
      g_.value(e);
      return;
    }
    for (const Expr &index : load->indices) preload(index, depth);
    return;
  }
  if (const auto *select = e.as<Select>()) return preload(select->condition, depth);
  if (const auto *binary = e.as<Binary>();
      binary && (binary->op == BinaryOp::And || binary->op == BinaryOp::Or)) {
    return preload(binary->a, depth);
  }
  for (const Expr &operand : operands(e)) preload(operand, depth);
}

// True when all loops to come are reduced into one element.
bool TileNest::may_reduce(std::size_t depth) const {
  return store_ && !reducing_ && store_->combiner != Combiner::Assign &&
         std::ranges::none_of(store_->indices, [&](const Expr &e) { return depends(e, depth); });
}

void TileNest::level(std::size_t depth) {
  if (!guards_.empty()) {
    if (depth < order_.size() && depends(guards_.front(), depth)) {
      if (may_reduce(depth)) return reduce(depth);
      preload(guards_.front(), depth);
      return iterate(depth);
    }
    const Expr guard = guards_.front();
    guards_.erase(guards_.begin());
    g_.when(g_.value(guard), [&] { level(depth); });
    guards_.insert(guards_.begin(), guard);
    return;
  }
  if (depth == order_.size()) return innermost();
  if (store_) {
    if (may_reduce(depth)) return reduce(depth);
    for (const Expr &index : store_->indices) preload(index, depth);
    if (const auto *select = value_.as<Select>(); select && !depends(select->condition, depth)) {
      const Expr whole = value_;
      const auto side = [&](const Expr &e) {
        value_ = e;
        level(depth);
        value_ = whole;
      };
      const bool trivial = is_load_free(select->true_value) && is_load_free(select->false_value);
      if (!trivial) {
        g_.when(
            g_.value(select->condition), [&] { side(select->true_value); },
            [&] { side(select->false_value); });
        return;
      }
    }
    preload(value_, depth);
  }
  iterate(depth);
}

void TileNest::iterate(std::size_t depth) {
  const VarPtr &axis = order_[depth];
  const LoopStyle style = depth + 1 == order_.size() ? g_.innermost_ : LoopStyle::NotVectorized;
  g_.loop(g_.env_.axes.at(axis.get()).extent, axis->name, style, [&](Value *i) {
    g_.env_.variables[axis.get()] = i;
    level(depth + 1);
  });
}

// Every loop from here on is reduced into one element, which stays in a register meanwhile. With
// guards the element is touched only if they held once.
void TileNest::reduce(std::size_t depth) {
  llvm::IRBuilder<> &b = g_.b;
  const ir::Store &s = *store_;
  const Type type = s.storage->type;
  const bool guarded = !guards_.empty();
  llvm::Type *register_t = register_type(g_.context_, type);
  llvm::AllocaInst *sum = g_.local(register_t, "sum");
  llvm::AllocaInst *held = guarded ? g_.local(b.getInt8Ty(), "held") : nullptr;
  // -0 is the number that every sum leaves as it is.
  Value *start = s.combiner == Combiner::Sum && type.is_float()
                     ? llvm::ConstantFP::getNegativeZero(register_t)
                     : g_.value(identity_of(s.combiner, type));
  b.CreateStore(start, sum);
  if (guarded) b.CreateStore(b.getInt8(0), held);
  const Body outer_body = std::exchange(body_, [&] {
    if (guarded) b.CreateStore(b.getInt8(1), held);
    b.CreateStore(
        g_.combine(s.combiner, type, b.CreateLoad(register_t, sum), g_.value(value_), true), sum);
  });
  reducing_ = true;
  level(depth);
  reducing_ = false;
  body_ = outer_body;
  const auto finish = [&] {
    Value *at = g_.address(s.storage, s.indices);
    Value *result = b.CreateLoad(register_t, sum);
    if (s.atomic && g_.env_.in_parallel) {
      g_.update_atomically(s, at, result);
    } else {
      g_.store(s.storage, at, g_.combine(s.combiner, type, g_.load(s.storage, at), result, false));
    }
  };
  if (!guarded) return finish();
  g_.when(b.CreateICmpNE(b.CreateLoad(b.getInt8Ty(), held), b.getInt8(0)), finish);
}

void TileNest::innermost() {
  if (body_) return body_();
  const ir::Store &s = *store_;
  Value *v = g_.value(value_);
  Value *at = g_.address(s.storage, s.indices);
  if (s.atomic && g_.env_.in_parallel) {
    g_.update_atomically(s, at, v);
  } else if (s.combiner == Combiner::Assign) {
    g_.store(s.storage, at, v);
  } else {
    g_.store(s.storage, at,
             g_.combine(s.combiner, s.storage->type, g_.load(s.storage, at), v, true));
  }
}

}  // namespace pit::code
