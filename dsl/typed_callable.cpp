#include "typed_callable.h"

#include <string>

namespace pit {
namespace {

std::string descriptor_text(bool scalar, bool output, Type type, int rank) {
  if (scalar) return "Scalar<" + to_string(type) + ">";
  return (output ? "Out<" : "In<") + to_string(type) + ", " + std::to_string(rank) + ">";
}

}  // namespace

void check_descriptor(const CompiledOperator &op, std::size_t position, bool scalar, bool output,
                      Type type, int rank, std::source_location where) {
  const Argument &a = op.signature()[position];
  const bool is_scalar = a.kind == Argument::Kind::Scalar;
  const bool is_output = !is_scalar && a.kind != Argument::Kind::InputTensor;
  if (is_scalar == scalar && is_output == output && a.type == type && (scalar || a.rank == rank))
    return;
  throw CompileError("operator " + op.name() + ": typed(): argument " +
                         std::to_string(position + 1) + " '" + a.name + "'; expected " +
                         descriptor_text(is_scalar, is_output, a.type, a.rank) + "; got " +
                         descriptor_text(scalar, output, type, rank),
                     where);
}

void check_descriptor_count(const CompiledOperator &op, std::size_t count,
                            std::source_location where) {
  if (count == op.signature().size()) return;
  throw CompileError("operator " + op.name() + ": typed(): expected " +
                         std::to_string(op.signature().size()) + " arguments; got " +
                         std::to_string(count),
                     where);
}

}  // namespace pit
