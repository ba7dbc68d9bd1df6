// Callables whose signature is written in C++: calls are checked by the compiler.
//
//     auto spmm = pipeline.compile().typed<In<bfloat16_t, 2>, In<bfloat16_t, 2>, In<float, 1>,
//     Out<bfloat16_t, 2>>(); spmm(a, b, bias, out);  // Buffer<float, 2> for `a` does not compile
#pragma once

#include <boost/hana/all_of.hpp>
#include <boost/hana/integral_constant.hpp>
#include <boost/hana/range.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "buffer.h"
#include "callable.h"
#include "error.h"

namespace pit {

// Argument descriptors: one for each argument of a signature, in its order.

/// An input tensor of elements T.
template <class T, int Rank>
struct In {
  using Element = T;
  static constexpr int kRank = Rank;
  static constexpr bool kScalar = false, kOutput = false;
};
/// An output tensor of elements T, or (int32, rank 1) a part of an index that is an output.
template <class T, int Rank>
struct Out {
  using Element = T;
  static constexpr int kRank = Rank;
  static constexpr bool kScalar = false, kOutput = true;
};
/// A scalar parameter.
template <class T>
struct Scalar {
  using Element = T;
  static constexpr int kRank = 0;
  static constexpr bool kScalar = true, kOutput = false;
};

namespace typed_call {

/// What an argument's C++ type says: a buffer's element type (void: any) and rank (-1: any).
template <class A>
struct BufferTraits {
  static constexpr bool kBuffer = std::is_base_of_v<AnyBuffer, A> ||
                                  std::is_convertible_v<A, const DLTensor *> ||
                                  std::is_same_v<A, DLTensor>;
  using Element = void;
  static constexpr int kRank = -1;
};
template <class T, int Rank>
struct BufferTraits<Buffer<T, Rank>> {
  static constexpr bool kBuffer = true;
  using Element = T;
  static constexpr int kRank = Rank;
};

/// A scalar that converts to T without narrowing, as T{scalar} does.
template <class A, class T>
concept ConvertsExactly =
    std::is_same_v<A, T> ||
    (std::is_arithmetic_v<A> && std::is_arithmetic_v<T> && requires(const A &a) { T{a}; });

template <class Descriptor, class A>
constexpr bool kind_matches =
    Descriptor::kScalar ? !BufferTraits<A>::kBuffer : BufferTraits<A>::kBuffer;

template <class Descriptor, class A>
constexpr bool element_matches() {
  if constexpr (!kind_matches<Descriptor, A>)
    return true;  // reported as a wrong kind
  else if constexpr (Descriptor::kScalar)
    return ConvertsExactly<A, typename Descriptor::Element>;
  else
    return std::is_void_v<typename BufferTraits<A>::Element> ||
           std::is_same_v<typename BufferTraits<A>::Element, typename Descriptor::Element>;
}

template <class Descriptor, class A>
constexpr bool rank_matches() {
  if constexpr (!kind_matches<Descriptor, A> || Descriptor::kScalar)
    return true;
  else
    return BufferTraits<A>::kRank < 0 || BufferTraits<A>::kRank == Descriptor::kRank;
}

}  // namespace typed_call

/// A Callable with the signature that the descriptors In, Out and Scalar spell out. Made by
/// Callable::typed. At compile time a call is refused for a wrong number of arguments, a scalar in
/// place of a buffer or the reverse, another element type, another rank, or a scalar that would be
/// narrowed; AnyBuffer, DLTensor and buffers of dynamic rank are checked at the call, as are
/// extents and memory (see Callable).
template <class... Signature>
class TypedCallable {
 public:
  /// One descriptor per argument, as types.
  static constexpr auto kSignature = boost::hana::tuple_t<Signature...>;

  /// Whether a call with arguments of these types compiles.
  template <class... Arguments>
  static constexpr bool accepts() {
    if constexpr (sizeof...(Arguments) != sizeof...(Signature)) {
      return false;
    } else {
      return every<Arguments...>([](auto descriptor, auto argument) {
        using D = typename decltype(descriptor)::type;
        using A = typename decltype(argument)::type;
        return boost::hana::bool_c < typed_call::kind_matches<D, A> &&
               typed_call::element_matches<D, A>() && typed_call::rank_matches<D, A>() > ;
      });
    }
  }

  template <class... Arguments>
  void operator()(const Arguments &...arguments) const {
    check_types<Arguments...>();
    if constexpr (accepts<Arguments...>()) callable_(converted<Signature>(arguments)...);
  }

  /// The same call, measured.
  template <class... Arguments>
  RunStatistics measured(const Arguments &...arguments) const {
    check_types<Arguments...>();
    if constexpr (accepts<Arguments...>())
      return callable_.measured(converted<Signature>(arguments)...);
    else
      return {};
  }

  const Callable &callable() const { return callable_; }

 private:
  friend class Callable;
  explicit TypedCallable(Callable callable) : callable_(std::move(callable)) {}

  /// `holds(descriptor, argument type)` at every position; both are hana types.
  template <class... Arguments, class Holds>
  static constexpr bool every(Holds holds) {
    constexpr auto kArguments = boost::hana::tuple_t<Arguments...>;
    auto at = [&](auto i) { return holds(kSignature[i], decltype(kArguments){}[i]); };
    return decltype(boost::hana::all_of(
        boost::hana::to_tuple(boost::hana::make_range(boost::hana::size_c<0>,
                                                      boost::hana::size_c<sizeof...(Signature)>)),
        at))::value;
  }

  template <class... Arguments>
  static constexpr void check_types() {
    static_assert(sizeof...(Arguments) == sizeof...(Signature),
                  "pit: wrong number of arguments for this operator");
    if constexpr (sizeof...(Arguments) == sizeof...(Signature)) {
      static_assert((typed_call::kind_matches<Signature, Arguments> && ...),
                    "pit: an argument is a scalar where the operator takes a buffer, or a buffer "
                    "where it takes a scalar");
      static_assert((typed_call::element_matches<Signature, Arguments>() && ...),
                    "pit: an argument's element type differs from the operator's, or a scalar "
                    "would be narrowed");
      static_assert((typed_call::rank_matches<Signature, Arguments>() && ...),
                    "pit: a buffer's rank differs from the operator's");
    }
  }

  template <class Descriptor, class A>
  static decltype(auto) converted(const A &argument) {
    if constexpr (Descriptor::kScalar)
      return static_cast<typename Descriptor::Element>(argument);
    else
      return static_cast<const A &>(argument);
  }

  Callable callable_;
};

/// Throws CompileError unless argument `position` (from 0) of the operator is what its descriptor
/// says.
void check_descriptor(const CompiledOperator &op, std::size_t position, bool scalar, bool output,
                      Type type, int rank, std::source_location where);
/// Throws CompileError unless the operator has `count` arguments.
void check_descriptor_count(const CompiledOperator &op, std::size_t count,
                            std::source_location where);

template <class... Signature>
TypedCallable<Signature...> Callable::typed(std::source_location where) const {
  check_descriptor_count(compiled(), sizeof...(Signature), where);
  std::size_t position = 0;
  (check_descriptor(compiled(), position++, Signature::kScalar, Signature::kOutput,
                    type_of<typename Signature::Element>(), Signature::kRank, where),
   ...);
  return TypedCallable<Signature...>(*this);
}

}  // namespace pit
