#include "evaluate.h"

#include "dsl/error.h"

namespace pit::ir {

Evaluator::Shared::~Shared() = default;

const Evaluator::Code &Evaluator::compiled(const Expr &e) {
  std::unique_ptr<const Code> &code = shared_->codes[e.get()];
  if (code == nullptr) code = compile(e);
  return *code;
}

std::unique_ptr<const Evaluator::Code> Evaluator::compile(const Expr &e) {
  internal_check(e.defined(), "interpret: a null expression is evaluated");
  auto code = std::make_unique<Code>();
  code->kind = e->kind;
  code->type = e.type();
  switch (e->kind) {
    case ExprKind::IntImm:
      code->constant = integer_value(e.as<IntImm>()->value);
      break;
    case ExprKind::FloatImm:
      code->constant = float_value(e.as<FloatImm>()->value);
      break;
    case ExprKind::Variable:
      code->slot = slot(&shared_->variable_slots, e.as<Variable>()->var.get());
      break;
    case ExprKind::Param:
      code->slot = slot(&shared_->parameter_slots, e.as<ParamRef>()->param.get());
      break;
    case ExprKind::Extent:
      code->storage = e.as<Extent>()->storage.get();
      code->dimension = e.as<Extent>()->dimension;
      break;
    case ExprKind::Load:
      code->storage = e.as<Load>()->storage.get();
      internal_check(e.as<Load>()->indices.size() <= kMaxRank,
                     "interpret: the rank of a load is too large");
      break;
    case ExprKind::Unary:
      code->unary = e.as<Unary>()->op;
      code->operand_type = e.as<Unary>()->a.type();
      break;
    case ExprKind::Binary:
      code->binary = e.as<Binary>()->op;
      code->operand_type = e.as<Binary>()->a.type();
      break;
    case ExprKind::Cast:
      code->operand_type = e.as<Cast>()->a.type();
      break;
    case ExprKind::Select:
      break;
    case ExprKind::Call:
    case ExprKind::IndexQuery:
      throw InternalError("interpret: lowering has left " + to_string(e));
  }
  if (code->storage != nullptr) code->slot = slot(&shared_->buffer_slots, code->storage);
  for (const Expr &operand : operands(e)) code->operands.push_back(compile(operand));
  return code;
}

Buffer &Evaluator::existing(std::size_t slot, const StorageNode &storage) {
  if (slot >= buffers_.size() || buffers_[slot] == nullptr)
    throw AccessError("the storage " + storage.name + " does not exist here");
  return *buffers_[slot];
}

Buffer &Evaluator::buffer(const StoragePtr &storage) {
  return existing(slot(&shared_->buffer_slots, storage.get()), *storage);
}

Place Evaluator::place(Buffer &buffer, const std::vector<const Code *> &indices) {
  if (indices.size() != buffer.extents().size() || indices.size() > kMaxRank) {
    throw AccessError("the number of indices of " + buffer.storage().name + " is not its rank");
  }
  std::int64_t values[kMaxRank];
  for (std::size_t d = 0; d < indices.size(); ++d) values[d] = evaluate(*indices[d]).i;
  return buffer.at(values);
}

Value Evaluator::load(const Code &code) {
  Buffer &buffer = existing(code.slot, *code.storage);
  if (code.operands.size() != buffer.extents().size()) {
    throw AccessError("the number of indices of " + buffer.storage().name + " is not its rank");
  }
  std::int64_t values[kMaxRank];
  for (std::size_t d = 0; d < code.operands.size(); ++d) values[d] = evaluate(*code.operands[d]).i;
  const Place place = buffer.at(values);
  if (&buffer == stored_buffer && place.element != stored_element &&
      !buffer.read_apart(store_execution, place)) {
    throw AccessError("an iteration of a tile statement reads an element of " +
                      buffer.storage().name + " that another stores");
  }
  if (allow_undefined && !buffer.ever_written(place)) return buffer.peek(place);
  return buffer.read(place, iterations);
}

Value Evaluator::evaluate(const Code &code) {
  const auto operand = [&](std::size_t i) { return evaluate(*code.operands[i]); };
  switch (code.kind) {
    case ExprKind::IntImm:
    case ExprKind::FloatImm:
      return code.constant;
    case ExprKind::Variable:
      return at(&variables_, code.slot);
    case ExprKind::Param:
      return at(&parameters_, code.slot);
    case ExprKind::Extent: {
      const auto &extents = existing(code.slot, *code.storage).extents();
      return integer_value(extents.at(static_cast<std::size_t>(code.dimension)));
    }
    case ExprKind::Load:
      return load(code);
    case ExprKind::Unary:
      return apply(code.unary, code.operand_type, operand(0));
    case ExprKind::Binary: {
      const Value a = operand(0);
      if (code.binary == BinaryOp::And && a.i == 0) return a;
      if (code.binary == BinaryOp::Or && a.i != 0) return a;
      return apply(code.binary, code.operand_type, a, operand(1));
    }
    case ExprKind::Select:
      return operand(operand(0).i != 0 ? 1 : 2);
    case ExprKind::Cast:
      return convert(code.operand_type, code.type, operand(0));
    case ExprKind::Call:
    case ExprKind::IndexQuery:
      break;
  }
  throw InternalError("interpret: an expression of an unknown kind");
}

}  // namespace pit::ir
