#include "function_emitter.h"

#include <llvm/IR/Metadata.h>

#include "access.h"
#include "dsl/error.h"
#include "tile_nest.h"

namespace pit::code {

namespace {

using llvm::BasicBlock;
using llvm::Value;

llvm::MDNode *loop_metadata(llvm::LLVMContext &context, LoopStyle style) {
  llvm::SmallVector<llvm::Metadata *, 4> list{nullptr};
  const auto add = [&](const char *name) {
    list.push_back(llvm::MDNode::get(context, llvm::MDString::get(context, name)));
  };
  add("llvm.loop.mustprogress");
  if (style == LoopStyle::Unrolled) add("llvm.loop.unroll.enable");
  const auto set = [&](const char *name, std::uint32_t value) {
    list.push_back(llvm::MDNode::get(context, {llvm::MDString::get(context, name),
                                               llvm::ConstantAsMetadata::get(llvm::ConstantInt::get(
                                                   llvm::Type::getInt32Ty(context), value))}));
  };
  constexpr std::uint32_t kBatch = 8;
  if (style == LoopStyle::NotVectorized || style == LoopStyle::Batched)
    set("llvm.loop.vectorize.width", 1);
  if (style == LoopStyle::NotVectorized) add("llvm.loop.unroll.disable");
  if (style == LoopStyle::Batched) set("llvm.loop.unroll.count", kBatch);
  llvm::MDNode *node = llvm::MDNode::getDistinct(context, list);
  node->replaceOperandWith(0, node);
  return node;
}

[[noreturn]] void refuse(const char *statement) {
  throw InternalError(std::string("the statement ") + statement + " cannot be here");
}

}  // namespace

FunctionEmitter::FunctionEmitter(llvm::Module &module, FloatUnit floats, std::string library_prefix,
                                 LoopStyle innermost)
    : context_(module.getContext()),
      llvm_(module),
      b(module.getContext()),
      floats_(floats),
      library_prefix_(std::move(library_prefix)),
      innermost_(innermost) {
  llvm::FastMathFlags flags;
  flags.setAllowContract(true);
  b.setFastMathFlags(flags);
}

FunctionEmitter::Memo::Memo(FunctionEmitter &g, bool fresh) : g_(g), fresh_(fresh) {
  if (fresh_) outside_.swap(g_.memo_);
  g_.memo_.emplace_back();
}

FunctionEmitter::Memo::~Memo() {
  g_.memo_.pop_back();
  if (fresh_) outside_.swap(g_.memo_);
}

// Local variables live in the entry block, where LLVM turns them into registers.
llvm::AllocaInst *FunctionEmitter::local(llvm::Type *type, const char *name, unsigned alignment) {
  BasicBlock &entry = b.GetInsertBlock()->getParent()->getEntryBlock();
  llvm::IRBuilder<> at(&entry, entry.begin());
  llvm::AllocaInst *place = at.CreateAlloca(type, nullptr, name);
  if (alignment) place->setAlignment(llvm::Align(alignment));
  return place;
}

void FunctionEmitter::when(Value *condition, const Body &then_body, const Body &else_body) {
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

void FunctionEmitter::loop(Value *extent, const std::string &name, LoopStyle style,
                           const std::function<void(Value *)> &body) {
  loop(i64(0), extent, i64(1), name, style, body);
}

void FunctionEmitter::loop(Value *first, Value *extent, Value *step, const std::string &name,
                           LoopStyle style, const std::function<void(Value *)> &body) {
  llvm::Function *function = b.GetInsertBlock()->getParent();
  auto *head = BasicBlock::Create(context_, name, function);
  auto *end = BasicBlock::Create(context_, name + ".end", function);
  BasicBlock *before = b.GetInsertBlock();
  b.CreateCondBr(b.CreateICmpSGT(extent, first), head, end);
  b.SetInsertPoint(head);
  auto *i = b.CreatePHI(first->getType(), 2, name);
  i->addIncoming(first, before);
  {
    const Memo memo(*this);
    body(i);
  }
  Value *next = b.CreateAdd(i, step, name + ".next", true, true);
  i->addIncoming(next, b.GetInsertBlock());
  auto *branch = b.CreateCondBr(b.CreateICmpSLT(next, extent), head, end);
  branch->setMetadata(llvm::LLVMContext::MD_loop, loop_metadata(context_, style));
  b.SetInsertPoint(end);
}

void FunctionEmitter::emit(const ir::Stmt &s) {
  if (!s.defined()) return;
  // What an earlier statement loaded may have changed.
  const Memo memo(*this, true);
  switch (s->kind) {
    case ir::StmtKind::Block:
      for (const ir::Stmt &part : s.as<ir::Block>()->stmts) emit(part);
      return;
    case ir::StmtKind::Let:
      env_.variables[s.as<ir::Let>()->var.get()] = value(s.as<ir::Let>()->value);
      return emit(s.as<ir::Let>()->body);
    case ir::StmtKind::If: {
      const auto *node = s.as<ir::If>();
      Body else_body;
      if (node->else_body.defined()) else_body = [this, node] { emit(node->else_body); };
      return when(value(node->condition), [&] { emit(node->then_body); }, else_body);
    }
    case ir::StmtKind::For:
      return emit(*s.as<ir::For>());
    case ir::StmtKind::Axes:
      return emit(*s.as<ir::Axes>());
    case ir::StmtKind::Allocate:
      return emit(*s.as<ir::Allocate>());
    case ir::StmtKind::Store:
      return emit(*s.as<ir::Store>());
    case ir::StmtKind::Mma:
      return emit(*s.as<ir::Mma>());
    case ir::StmtKind::Check:
      return emit(*s.as<ir::Check>());
    case ir::StmtKind::IndexPlace:
      return emit(*s.as<ir::IndexPlace>());
    case ir::StmtKind::IndexSort:
      return emit(*s.as<ir::IndexSort>());
    case ir::StmtKind::Prefix:
      return emit(*s.as<ir::Prefix>());
    case ir::StmtKind::Compact:
      return emit(*s.as<ir::Compact>());
    case ir::StmtKind::SumBefore:
      return emit(*s.as<ir::SumBefore>());
    case ir::StmtKind::FetchAdd:
      return emit(*s.as<ir::FetchAdd>());
    case ir::StmtKind::Stage:
      return emit(*s.as<ir::Stage>());
    case ir::StmtKind::Launch:
      return emit(*s.as<ir::Launch>());
    case ir::StmtKind::Barriers:
    case ir::StmtKind::Arrive:
    case ir::StmtKind::Wait:
    case ir::StmtKind::Copy:
    case ir::StmtKind::Commit:
    case ir::StmtKind::Drain:
    case ir::StmtKind::Sync:
    case ir::StmtKind::Fence:
    case ir::StmtKind::Roles:
      return refuse("of the staged level");
  }
}

void FunctionEmitter::emit(const ir::For &s) {
  Value *min = index(s.min);
  const LoopStyle style =
      s.loop_kind == ir::ForKind::Unrolled ? LoopStyle::Unrolled : LoopStyle::Plain;
  loop(index(s.extent), s.var->name, style, [&](Value *i) {
    env_.variables[s.var.get()] = b.CreateNSWAdd(min, i, s.var->name);
    emit(s.body);
  });
}

void FunctionEmitter::emit(const ir::Axes &s) {
  for (const ir::AxisBinding &axis : s.axes) {
    env_.axes[axis.var.get()] = {index(axis.extent), bound_of(axis)};
  }
  emit(s.body);
}

void FunctionEmitter::emit(const ir::Store &s) { TileNest(*this, s.axes, s.guards).store(s); }

// As the definition says, with the loops of a Store.
void FunctionEmitter::emit(const ir::Mma &s) {
  const Type type = s.accumulator.tile->type;
  const auto element = [&](const ir::TileOperand &operand) {
    std::vector<Expr> indices;
    for (const VarPtr &v : operand.axes) indices.push_back(make_variable(v));
    return cast(type, make_load(operand.tile, indices));
  };
  std::vector<VarPtr> axes = s.batch;
  for (const auto *list : {&s.m, &s.n, &s.k}) axes.insert(axes.end(), list->begin(), list->end());
  std::vector<Expr> indices;
  for (const VarPtr &v : s.accumulator.axes) indices.push_back(make_variable(v));
  emit(ir::make<ir::Store>(axes, std::vector<Expr>{}, s.accumulator.tile, indices, Combiner::Sum,
                           element(s.a) * element(s.b)));
}

void FunctionEmitter::emit(const ir::IndexPlace &) { refuse("index_place"); }
void FunctionEmitter::emit(const ir::IndexSort &) { refuse("index_sort"); }
void FunctionEmitter::emit(const ir::Prefix &) { refuse("prefix"); }
void FunctionEmitter::emit(const ir::Compact &) { refuse("compact"); }
void FunctionEmitter::emit(const ir::SumBefore &) { refuse("sum_before"); }
void FunctionEmitter::emit(const ir::FetchAdd &) { refuse("fetch_add"); }
void FunctionEmitter::emit(const ir::Stage &) { refuse("stage"); }
void FunctionEmitter::emit(const ir::Launch &) { refuse("launch"); }

}  // namespace pit::code
