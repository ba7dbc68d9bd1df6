// Inputs of a pipeline: tensors and scalars.
#pragma once

#include <source_location>
#include <string>
#include <type_traits>

#include "expr.h"
#include "half.h"

namespace pit {

template <class T>
constexpr Type type_of();

/// An input tensor with declared element type and rank. Extents, and strides not declared here, are
/// known at run time. Data that does not meet a declared stride or alignment is refused at the
/// call; with nothing declared any strides (transposed, sliced, broadcast) and any alignment are
/// accepted.
class TensorParam {
 public:
  using Location = std::source_location;
  TensorParam(Type type, int rank, std::string name, Location where = Location::current());

  Type type() const { return node_->type; }
  int rank() const { return node_->rank; }
  const std::string &name() const { return node_->name; }

  /// Extent of dimension d: int64, not negative.
  Expr extent(int d, Location where = Location::current()) const;

  Expr operator()(Location where = Location::current()) const;
  Expr operator()(Expr a, Location where = Location::current()) const;
  Expr operator()(Expr a, Expr b, Location where = Location::current()) const;
  Expr operator()(Expr a, Expr b, Expr c, Location where = Location::current()) const;
  Expr operator()(Expr a, Expr b, Expr c, Expr d, Location where = Location::current()) const;
  Expr operator()(Expr a, Expr b, Expr c, Expr d, Expr e,
                  Location where = Location::current()) const;
  Expr operator()(Expr a, Expr b, Expr c, Expr d, Expr e, Expr f,
                  Location where = Location::current()) const;

  /// A dimension's declared constraints.
  class Dim {
   public:
    Dim(StorageNode *storage, int dimension) : storage_(storage), dimension_(dimension) {}
    /// Declares the stride in elements.
    Dim &stride(std::int64_t elements);
    /// Declares the extent: extent(d) is then that number wherever the tensor is used, before or
    /// after, and a tensor with another one is refused. Code for one size can be faster: registers
    /// hold only what is known when compiling.
    Dim &extent(std::int64_t elements, Location where = Location::current());

   private:
    StorageNode *storage_;
    int dimension_;
  };
  Dim dim(int d, Location where = Location::current());
  /// Declares the alignment of the data pointer in bytes (a power of two).
  TensorParam &alignment(int bytes, Location where = Location::current());

  StoragePtr storage() const { return node_; }

 private:
  std::shared_ptr<StorageNode> node_;
};

/// A scalar input of type T.
template <class T>
class Param {
 public:
  explicit Param(std::string name, std::source_location where = std::source_location::current())
      : node_(std::make_shared<ParamNode>(ParamNode{std::move(name), type_of<T>()})) {
    check_name("Param", node_->name, where);
  }
  operator Expr() const {
    return Expr(std::make_shared<ParamRef>(node_), {});
  }  // NOLINT: a value in expressions
  const ParamPtr &node() const { return node_; }

 private:
  ParamPtr node_;
};

template <class T>
constexpr Type type_of() {
  if constexpr (std::is_same_v<T, bool>)
    return boolean;
  else if constexpr (std::is_same_v<T, float16_t>)
    return float16;
  else if constexpr (std::is_same_v<T, bfloat16_t>)
    return bfloat16;
  else if constexpr (std::is_same_v<T, float>)
    return float32;
  else if constexpr (std::is_same_v<T, double>)
    return float64;
  else {
    static_assert(std::is_integral_v<T>, "not an element type of pit");
    return Type{std::is_signed_v<T> ? Type::Kind::Int : Type::Kind::UInt, sizeof(T) * 8};
  }
}

}  // namespace pit
