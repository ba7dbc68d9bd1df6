// The loop nest of a statement with axes.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "function_emitter.h"

namespace pit::code {

/// Emits loops over axes in an order of its own choice. Guards are tested in their order, each as
/// far out as the axes it reads allow; what does not change in the inner loops is loaded outside of
/// them; a select whose condition does not change becomes a branch outside of them.
class TileNest {
 public:
  using Body = std::function<void()>;

  TileNest(FunctionEmitter &emitter, std::vector<VarPtr> axes, std::vector<Expr> guards)
      : g_(emitter), order_(std::move(axes)), guards_(std::move(guards)) {}

  /// storage[indices] combiner= value.
  void store(const ir::Store &s);
  /// The axes, outermost first, in the order in which `store(s)` would open their loops.
  std::vector<VarPtr> order_for(const ir::Store &s) {
    choose_order(s);
    return order_;
  }
  /// `body` for every iteration.
  void run(Body body);

 private:
  void choose_order(const ir::Store &s);
  void start();
  void level(std::size_t depth);
  void innermost();
  bool may_reduce(std::size_t depth) const;
  void reduce(std::size_t depth);
  void iterate(std::size_t depth);
  bool depends(const Expr &e, std::size_t depth) const;
  void preload(const Expr &e, std::size_t depth);

  FunctionEmitter &g_;
  std::vector<VarPtr> order_;
  std::vector<Expr> guards_;
  const ir::Store *store_ = nullptr;
  Expr value_;
  Body body_;
  bool reducing_ = false;
};

}  // namespace pit::code
