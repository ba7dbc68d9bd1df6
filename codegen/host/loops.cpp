#include <llvm/IR/Metadata.h>

#include <algorithm>

#include "codegen/ir/mutator.h"
#include "generator.h"
#include "runtime/pit_runtime.h"

namespace pit::host {

namespace {

using llvm::BasicBlock;
using llvm::Value;

constexpr std::int64_t kMostChunks = 1024;

bool is_parallel(ir::ForKind kind) {
  return kind == ir::ForKind::Parallel || kind == ir::ForKind::GpuBlock;
}

// True when nothing would be missed if a Check that fails left `s` at once.
bool only_checks(const ir::Stmt &s) {
  bool only = true;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    only = only && (part.as<ir::Block>() || part.as<ir::Let>() || part.as<ir::If>() ||
                    part.as<ir::For>() || part.as<ir::Axes>() || part.as<ir::Check>());
    return only;
  });
  return only;
}

llvm::MDNode *loop_metadata(llvm::LLVMContext &context, LoopStyle style) {
  llvm::SmallVector<llvm::Metadata *, 4> list{nullptr};
  const auto add = [&](const char *name) {
    list.push_back(llvm::MDNode::get(context, llvm::MDString::get(context, name)));
  };
  add("llvm.loop.mustprogress");
  if (style == LoopStyle::Unrolled) add("llvm.loop.unroll.enable");
  if (style == LoopStyle::NotVectorized) {
    list.push_back(
        llvm::MDNode::get(context, {llvm::MDString::get(context, "llvm.loop.vectorize.width"),
                                    llvm::ConstantAsMetadata::get(llvm::ConstantInt::get(
                                        llvm::Type::getInt32Ty(context), 1))}));
    add("llvm.loop.unroll.disable");
  }
  llvm::MDNode *node = llvm::MDNode::getDistinct(context, list);
  node->replaceOperandWith(0, node);
  return node;
}

}  // namespace

Generator::Memo::Memo(Generator &g, bool fresh) : g_(g), fresh_(fresh) {
  if (fresh_) outside_.swap(g_.memo_);
  g_.memo_.emplace_back();
}

Generator::Memo::~Memo() {
  g_.memo_.pop_back();
  if (fresh_) outside_.swap(g_.memo_);
}

// Local variables live in the entry block, where LLVM turns them into registers.
llvm::AllocaInst *Generator::local(llvm::Type *type, const char *name, unsigned alignment) {
  BasicBlock &entry = b.GetInsertBlock()->getParent()->getEntryBlock();
  llvm::IRBuilder<> at(&entry, entry.begin());
  llvm::AllocaInst *place = at.CreateAlloca(type, nullptr, name);
  if (alignment) place->setAlignment(llvm::Align(alignment));
  return place;
}

void Generator::when(Value *condition, const Body &then_body, const Body &else_body) {
  llvm::Function *function = b.GetInsertBlock()->getParent();
  auto *then_block = BasicBlock::Create(context_, "then", function);
  auto *else_block = else_body ? BasicBlock::Create(context_, "else", function) : nullptr;
  auto *end = BasicBlock::Create(context_, "end", function);
  b.CreateCondBr(condition, then_block, else_block ? else_block : end);
  b.SetInsertPoint(then_block);
  {
    const Memo memo(*this);
    then_body();
  }
  b.CreateBr(end);
  if (else_block) {
    b.SetInsertPoint(else_block);
    const Memo memo(*this);
    else_body();
    b.CreateBr(end);
  }
  b.SetInsertPoint(end);
}

void Generator::loop(Value *extent, const std::string &name, LoopStyle style,
                     const std::function<void(Value *)> &body) {
  llvm::Function *function = b.GetInsertBlock()->getParent();
  auto *head = BasicBlock::Create(context_, name, function);
  auto *end = BasicBlock::Create(context_, name + ".end", function);
  BasicBlock *before = b.GetInsertBlock();
  b.CreateCondBr(b.CreateICmpSGT(extent, i64(0)), head, end);
  b.SetInsertPoint(head);
  auto *i = b.CreatePHI(b.getInt64Ty(), 2, name);
  i->addIncoming(i64(0), before);
  {
    const Memo memo(*this);
    body(i);
  }
  Value *next = b.CreateAdd(i, i64(1), name + ".next", true, true);
  i->addIncoming(next, b.GetInsertBlock());
  auto *branch = b.CreateCondBr(b.CreateICmpSLT(next, extent), head, end);
  branch->setMetadata(llvm::LLVMContext::MD_loop, loop_metadata(context_, style));
  b.SetInsertPoint(end);
}

void Generator::until_failure(const Body &loops) {
  if (left_) return loops();
  left_ = BasicBlock::Create(context_, "left", b.GetInsertBlock()->getParent());
  loops();
  b.CreateBr(left_);
  b.SetInsertPoint(std::exchange(left_, nullptr));
}

// The part of the environment that `statements` and `expressions` use.
Environment Generator::captured(const std::vector<ir::Stmt> &statements,
                                const std::vector<Expr> &expressions) const {
  Environment used;
  const auto copy = [](const auto &from, auto &to, const auto *key) {
    if (const auto it = from.find(key); it != from.end()) to.insert(*it);
  };
  const auto use_storage = [&](const StoragePtr &s) {
    if (s) copy(env_.storages, used.storages, s.get());
  };
  const auto use_axis = [&](const VarPtr &v) { copy(env_.axes, used.axes, v.get()); };
  const auto use_expression = [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *v = part.as<Variable>()) copy(env_.variables, used.variables, v->var.get());
      if (const auto *p = part.as<ParamRef>())
        copy(env_.parameters, used.parameters, p->param.get());
      if (const auto *x = part.as<Extent>()) use_storage(x->storage);
      if (const auto *l = part.as<Load>()) use_storage(l->storage);
      return true;
    });
  };
  for (const Expr &e : expressions) use_expression(e);
  for (const ir::Stmt &statement : statements) {
    ir::walk_statements(statement, [&](const ir::Stmt &s) {
      ir::walk_expressions(s, use_expression);
      if (const auto *store = s.as<ir::Store>()) {
        use_storage(store->storage);
        for (const VarPtr &v : store->axes) use_axis(v);
      } else if (const auto *check = s.as<ir::Check>()) {
        for (const VarPtr &v : check->axes) use_axis(v);
      } else if (const auto *mma = s.as<ir::Mma>()) {
        for (const ir::TileOperand *operand : {&mma->accumulator, &mma->a, &mma->b}) {
          use_storage(operand->tile);
          for (const VarPtr &v : operand->axes) use_axis(v);
        }
      } else if (const auto *place = s.as<ir::IndexPlace>()) {
        for (const StoragePtr &p :
             {place->marks, place->mark_offsets, place->first, place->offsets, place->counts,
              place->coordinates, place->position, place->full}) {
          use_storage(p);
        }
      } else if (const auto *sort = s.as<ir::IndexSort>()) {
        for (const StoragePtr &p :
             {sort->keys, sort->offsets, sort->counts, sort->coordinates, sort->position}) {
          use_storage(p);
        }
      } else if (const auto *prefix = s.as<ir::Prefix>()) {
        use_storage(prefix->destination);
        use_storage(prefix->source);
      }
      return true;
    });
  }
  return used;
}

// Perfectly nested parallel loops are one loop. Its body becomes a function that runs a chunk of
// the iterations; the number of chunks does not depend on the number of threads. What the body uses
// travels in a structure.
void Generator::parallel(const ir::For &s) {
  std::vector<const ir::For *> nest{&s};
  while (const auto *inner = nest.back()->body.as<ir::For>()) {
    const bool independent = std::ranges::none_of(nest, [&](const ir::For *outer) {
      return uses(inner->min, outer->var) || uses(inner->extent, outer->var);
    });
    if (!is_parallel(inner->loop_kind) || !independent) break;
    nest.push_back(inner);
  }
  std::vector<Value *> minima, extents;
  Value *total = i64(1);
  for (const ir::For *f : nest) {
    minima.push_back(index(f->min));
    extents.push_back(not_negative(index(f->extent)));
    total = b.CreateMul(total, extents.back());
  }
  Value *chunk = b.CreateSDiv(b.CreateAdd(total, i64(kMostChunks - 1)), i64(kMostChunks));
  chunk = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, chunk, i64(1));
  Value *chunks = b.CreateSDiv(b.CreateAdd(total, b.CreateSub(chunk, i64(1))), chunk);

  Environment inside = captured({nest.back()->body}, {});
  // An axis has a value in the statements of its tile only; what is left of an earlier one is dead.
  std::erase_if(inside.variables,
                [](const auto &entry) { return entry.first->role == VarRole::Axis; });
  inside.call = env_.call;
  inside.in_parallel = true;
  // Every value that is not a constant gets a field; the function's own copy of the environment
  // reads them.
  std::vector<Value **> places;
  std::vector<Value *> fields;
  const auto visit = [&](Value *&v) {
    if (v && !llvm::isa<llvm::Constant>(v)) places.push_back(&v);
  };
  visit(inside.call);
  for (auto &[name, v] : inside.variables) visit(v);
  for (auto &[name, v] : inside.parameters) visit(v);
  for (auto &[name, axis] : inside.axes) visit(axis.extent);
  for (auto &[name, v] : inside.storages) {
    visit(v.base);
    for (Value *&e : v.extents) visit(e);
    for (Value *&e : v.strides) visit(e);
  }
  for (Value *&v : minima) visit(v);
  for (Value *&v : extents) visit(v);
  visit(total);
  visit(chunk);
  std::unordered_map<Value *, unsigned> number;
  std::vector<llvm::Type *> types;
  for (Value **place : places) {
    if (number.emplace(*place, static_cast<unsigned>(fields.size())).second) {
      fields.push_back(*place);
      types.push_back((*place)->getType());
    }
  }
  auto *closure_type = llvm::StructType::get(context_, types);
  Value *closure = local(closure_type, "closure");
  for (unsigned i = 0; i < fields.size(); ++i)
    b.CreateStore(fields[i], b.CreateStructGEP(closure_type, closure, i));

  llvm::Type *pointer = b.getPtrTy();
  auto *function = make_function(
      llvm::FunctionType::get(b.getVoidTy(), {pointer, b.getInt64Ty()}, false),
      result_.symbol + ".loop" + std::to_string(bodies_++) + "." + s.var->name, false);
  b.CreateCall(
      runtime("pit_parallel_for", b.getVoidTy(), {pointer, b.getInt64Ty(), pointer, pointer}),
      {env_.call, chunks, function, closure});

  const llvm::IRBuilderBase::InsertPointGuard guard(b);
  const Memo memo(*this, true);
  b.SetInsertPoint(BasicBlock::Create(context_, "entry", function));
  std::vector<Value *> loaded;
  for (unsigned i = 0; i < fields.size(); ++i) {
    loaded.push_back(b.CreateLoad(types[i], b.CreateStructGEP(closure_type, function->getArg(0), i),
                                  fields[i]->getName()));
  }
  for (Value **place : places) *place = loaded[number.at(*place)];
  std::swap(env_, inside);
  const std::int64_t outer_stack = std::exchange(stack_bytes_, 0);
  BasicBlock *outer_left = std::exchange(left_, nullptr);
  const bool checks = only_checks(nest.back()->body);
  const auto iterations = [&] {
    Value *first = b.CreateNSWMul(function->getArg(1), chunk);
    Value *count = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, chunk, b.CreateSub(total, first));
    loop(count, s.var->name, LoopStyle::NotVectorized, [&](Value *i) {
      Value *rest = b.CreateNSWAdd(first, i);
      for (std::size_t d = nest.size(); d-- > 0;) {
        Value *position = d == 0 ? rest : b.CreateURem(rest, extents[d]);
        if (d > 0) rest = b.CreateUDiv(rest, extents[d]);
        env_.variables[nest[d]->var.get()] =
            b.CreateNSWAdd(minima[d], position, nest[d]->var->name);
      }
      emit(nest.back()->body);
    });
  };
  with_reservations(nest.back()->body, [&] {
    if (!checks) return iterations();
    until_failure([&] { when(b.CreateICmpEQ(status(), b.getInt32(PIT_OK)), iterations); });
  });
  b.CreateRetVoid();
  std::swap(env_, inside);
  stack_bytes_ = outer_stack;
  left_ = outer_left;
}

void Generator::emit(const ir::For &s) {
  if (is_parallel(s.loop_kind) && machine_.threads) return parallel(s);
  const auto run = [&] {
    Value *min = index(s.min);
    const LoopStyle style =
        s.loop_kind == ir::ForKind::Unrolled ? LoopStyle::Unrolled : LoopStyle::Plain;
    loop(index(s.extent), s.var->name, style, [&](Value *i) {
      env_.variables[s.var.get()] = b.CreateNSWAdd(min, i, s.var->name);
      emit(s.body);
    });
  };
  with_reservations(s.body, [&] { only_checks(s.body) ? until_failure(run) : run(); });
}

}  // namespace pit::host
