#include "tensor.h"

#include <bit>
#include <utility>

#include "error.h"

namespace pit {

namespace {

constexpr int kMaxRank = 6;

}  // namespace

TensorParam::TensorParam(Type type, int rank, std::string name, Location where)
    : node_(std::make_shared<StorageNode>(StorageNode{std::move(name), type, rank})) {
  check_name("TensorParam", node_->name, where);
  if (rank < 0 || rank > kMaxRank) {
    throw CompileError("TensorParam " + node_->name + " has rank " + std::to_string(rank) +
                           "; ranks are 0 to " + std::to_string(kMaxRank),
                       where);
  }
  node_->declared_strides.assign(static_cast<std::size_t>(rank), -1);
  node_->declared_extents.assign(static_cast<std::size_t>(rank), -1);
}

namespace {

void check_dimension(const StorageNode &storage, int d, std::source_location where) {
  if (d >= 0 && d < storage.rank) return;
  throw CompileError(
      "TensorParam " + storage.name + " has rank " + std::to_string(storage.rank) +
          " and no dimension " + std::to_string(d) +
          (storage.rank > 0 ? "; its dimensions are 0 to " + std::to_string(storage.rank - 1) : ""),
      where);
}

Expr access(const StoragePtr &storage, std::vector<Expr> indices, std::source_location where) {
  if (static_cast<int>(indices.size()) != storage->rank) {
    throw CompileError("TensorParam " + storage->name + " has rank " +
                           std::to_string(storage->rank) + " and is accessed with " +
                           std::to_string(indices.size()) + " indices",
                       where);
  }
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::string which = "index " + std::to_string(i) + " of TensorParam " + storage->name;
    if (!indices[i].defined())
      throw CompileError(which + " is an undefined Expr; give it a value first", where);
    if (!indices[i].type().is_integral()) {
      throw CompileError(which + ", " + to_string(indices[i]) + ", is " +
                             to_string(indices[i].type()) +
                             "; an index is an integer: cast it, e.g. i64(...)",
                         where);
    }
  }
  return Expr(make_load(storage, std::move(indices)).node(), where);
}

}  // namespace

Expr TensorParam::extent(int d, Location where) const {
  check_dimension(*node_, d, where);
  return Expr(make_extent(node_, d).node(), where);
}

Expr TensorParam::operator()(Location where) const { return access(node_, {}, where); }
Expr TensorParam::operator()(Expr a, Location where) const { return access(node_, {a}, where); }
Expr TensorParam::operator()(Expr a, Expr b, Location where) const {
  return access(node_, {a, b}, where);
}
Expr TensorParam::operator()(Expr a, Expr b, Expr c, Location where) const {
  return access(node_, {a, b, c}, where);
}
Expr TensorParam::operator()(Expr a, Expr b, Expr c, Expr d, Location where) const {
  return access(node_, {a, b, c, d}, where);
}
Expr TensorParam::operator()(Expr a, Expr b, Expr c, Expr d, Expr e, Location where) const {
  return access(node_, {a, b, c, d, e}, where);
}
Expr TensorParam::operator()(Expr a, Expr b, Expr c, Expr d, Expr e, Expr f, Location where) const {
  return access(node_, {a, b, c, d, e, f}, where);
}

TensorParam::Dim &TensorParam::Dim::stride(std::int64_t elements) {
  storage_->declared_strides[static_cast<std::size_t>(dimension_)] = elements;
  return *this;
}

TensorParam::Dim &TensorParam::Dim::extent(std::int64_t elements, Location where) {
  if (elements < 0) {
    throw CompileError("TensorParam " + storage_->name + ": the extent of dimension " +
                           std::to_string(dimension_) + " is declared as " +
                           std::to_string(elements) + "; an extent is 0 or more",
                       where);
  }
  storage_->declared_extents[static_cast<std::size_t>(dimension_)] = elements;
  return *this;
}

TensorParam::Dim TensorParam::dim(int d, Location where) {
  check_dimension(*node_, d, where);
  return {node_.get(), d};
}

TensorParam &TensorParam::alignment(int bytes, Location where) {
  if (bytes < node_->type.bytes() || !std::has_single_bit(static_cast<unsigned>(bytes))) {
    throw CompileError("the alignment of TensorParam " + node_->name + " is " +
                           std::to_string(bytes) + " bytes; it is a power of two, at least the " +
                           std::to_string(node_->type.bytes()) + " bytes of one element",
                       where);
  }
  node_->alignment = bytes;
  return *this;
}

}  // namespace pit
