// Generators: pipelines with parameters, described once, for programs that compile operators ahead
// of time. Not part of <pit/pit.h>.
//
//     struct Scale {
//       pit::Input<float, 2> X;
//       pit::ScalarInput<float> factor;
//       pit::Parameter<int> lanes{8, "rows at a time", pit::range(1, 64)};
//       pit::Output<float, 2> Y;
//
//       void generate() { Y(i, j) = factor * X(i, j); }
//       void schedule() { Y.parallel(i); }  // may be absent
//
//       pit::Var i{"i"}, j{"j"};
//     };
//     PIT_GENERATOR(Scale, "scale", X, factor, lanes, Y)
//
// Boost.Hana sees the members that the macro lists: their names are those of the arguments, their
// types the signature, their order the order of a call. A program of such files and of
// pit::generator (which brings main) lists, describes and compiles them: see generator_main.
#pragma once

#include <boost/hana/accessors.hpp>
#include <boost/hana/adapt_struct.hpp>
#include <boost/hana/core/to.hpp>
#include <boost/hana/first.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/second.hpp>
#include <charconv>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <vector>

#include "error.h"
#include "func.h"
#include "pipeline.h"
#include "tensor.h"

namespace pit {

// --- members ---

/// An input tensor of elements T. Constraints (dim, alignment) are declared in generate().
template <class T, int Rank>
class Input : public TensorParam {
 public:
  Input() : TensorParam(type_of<T>(), Rank, "input") {}
  void name_as(const std::string &name) { TensorParam::operator=(TensorParam(type(), Rank, name)); }
};

/// A scalar input.
template <class T>
class ScalarInput : public Param<T> {
 public:
  ScalarInput() : Param<T>("input") {}
  void name_as(const std::string &name) { Param<T>::operator=(Param<T>(name)); }
};

/// An output, which generate() defines with elements T and Rank arguments.
template <class T, int Rank>
class Output : public Func {
 public:
  Output() : Func("output") {}
  void name_as(const std::string &name) { Func::operator=(Func(name)); }
  static constexpr Type kType = type_of<T>();
  static constexpr int kRank = Rank;
};

/// What values of a parameter are legal: with nothing said, all.
template <class T>
struct Legal {
  std::optional<T> least, most;
  std::vector<T> choices;  ///< if any: one of these
};
template <class T>
Legal<T> at_least(T least) {
  return {least, {}, {}};
}
/// From `least` to `most`, both legal.
template <class T>
Legal<T> range(T least, T most) {
  return {least, most, {}};
}
template <class T, class... More>
Legal<T> one_of(T first, More... more) {
  return {{}, {}, {first, T(more)...}};
}

/// A compile-time parameter: bool, an integer or floating-point type, or std::string. A value in
/// generate() and schedule(); the command line sets it.
template <class T>
class Parameter {
 public:
  Parameter(T value, std::string help, Legal<T> legal = {})
      : value_(std::move(value)), help_(std::move(help)), legal_(std::move(legal)) {}
  operator const T &() const { return value_; }  // NOLINT: it stands for its value
  const T &value() const { return value_; }
  const std::string &help() const { return help_; }

  /// What is wrong with the text as a value; "" after it has become the value.
  std::string set(const std::string &text) {
    T value{};
    if (!read(text, &value)) return "is no " + kind();
    if (legal_.least && value < *legal_.least) return "is less than " + write(*legal_.least);
    if (legal_.most && value > *legal_.most) return "is more than " + write(*legal_.most);
    bool chosen = legal_.choices.empty();
    for (const T &choice : legal_.choices) chosen = chosen || choice == value;
    if (!chosen) return "is not one of " + choices();
    value_ = std::move(value);
    return "";
  }
  std::string text() const { return write(value_); }
  /// "integer", "one of a, b", "integer from 1 to 64"
  std::string legal() const {
    if (!legal_.choices.empty()) return "one of " + choices();
    std::string text = kind();
    if (legal_.least) text += " from " + write(*legal_.least);
    if (legal_.most) text += " to " + write(*legal_.most);
    return text;
  }

 private:
  T value_;
  std::string help_;
  Legal<T> legal_;

  static std::string kind() {
    if constexpr (std::is_same_v<T, bool>)
      return "bool";
    else if constexpr (std::is_integral_v<T>)
      return "integer";
    else if constexpr (std::is_floating_point_v<T>)
      return "number";
    else
      return "text";
  }
  static bool read(const std::string &text, T *value) {
    if constexpr (std::is_same_v<T, bool>) {
      *value = text == "true" || text == "1";
      return *value || text == "false" || text == "0";
    } else if constexpr (std::is_arithmetic_v<T>) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
      return error == std::errc() && end == text.data() + text.size();
    } else {
      *value = text;
      return true;
    }
  }
  static std::string write(const T &value) {
    if constexpr (std::is_same_v<T, bool>)
      return value ? "true" : "false";
    else if constexpr (std::is_integral_v<T>)
      return std::to_string(value);
    else if constexpr (std::is_floating_point_v<T>) {
      char text[64];
      return {text, std::to_chars(text, text + sizeof text, value).ptr};
    } else {
      return value;
    }
  }
  std::string choices() const {
    std::string text;
    for (const T &choice : legal_.choices) text += (text.empty() ? "" : ", ") + write(choice);
    return text;
  }
};

// --- descriptions ---

/// A member as people see it.
struct GeneratorMember {
  enum class Kind : std::uint8_t { Input, Scalar, Output, Parameter };
  Kind kind;
  std::string name;
  Type type{};          ///< not of parameters
  int rank = 0;         ///< of tensors
  std::string value{};  ///< of parameters: the default
  std::string legal{}, help{};
};

/// One use of a generator: parameters are set, then it is built, once.
class GeneratorInstance {
 public:
  virtual ~GeneratorInstance() = default;
  virtual std::vector<GeneratorMember> members() const = 0;
  /// CompileError for an unknown parameter or an illegal value.
  virtual void set(const std::string &parameter, const std::string &text) = 0;
  /// The pipeline, named `name`: its inputs are in the order of the members (see inputs()).
  /// CompileError when generate() leaves an output undefined or defines it with another type or
  /// rank, and for what generate() and schedule() do wrong.
  virtual Pipeline build(const std::string &name) = 0;

  /// Names of tensors and scalars, in the order of a call.
  std::vector<std::string> inputs() const;
};

/// A generator that a program knows.
struct RegisteredGenerator {
  std::string name;
  std::function<std::unique_ptr<GeneratorInstance>()> make;
  std::source_location where;
};

/// All that the program's files registered, by name.
const std::vector<RegisteredGenerator> &registered_generators();

/// Registers before main. InternalError text on standard error and exit for a name taken twice.
struct GeneratorRegistration {
  explicit GeneratorRegistration(RegisteredGenerator generator);
};

/// The command line of a program of generators: see its --help. Returns the exit status: 0, 1 after
/// an error of compilation, 2 after one of usage. Defined in codegen/emit.
int generator_main(int count, char **arguments);

namespace generators {

template <class M>
constexpr bool is_parameter = false;
template <class T>
constexpr bool is_parameter<Parameter<T>> = true;

template <class M>
constexpr GeneratorMember::Kind kind_of =
    std::is_base_of_v<TensorParam, M> ? GeneratorMember::Kind::Input
    : std::is_base_of_v<Func, M>      ? GeneratorMember::Kind::Output
    : is_parameter<M>                 ? GeneratorMember::Kind::Parameter
                                      : GeneratorMember::Kind::Scalar;

/// CompileError unless the output has one value of the type and so many arguments.
void check_output(const std::string &generator, const Func &output, Type type, int rank);
[[noreturn]] void refuse_parameter(const std::string &generator, const std::string &parameter,
                                   const std::string &problem,
                                   const std::vector<GeneratorMember> &members);
/// A pipeline of these outputs.
Pipeline make_pipeline(const std::string &name, const std::vector<Func> &outputs);

template <class G>
class Instance final : public GeneratorInstance {
 public:
  explicit Instance(std::string name) : name_(std::move(name)) {
    each([](const std::string &member_name, auto &member) {
      if constexpr (!is_parameter<std::decay_t<decltype(member)>>) member.name_as(member_name);
    });
  }

  std::vector<GeneratorMember> members() const override {
    std::vector<GeneratorMember> list;
    each_of(generator_, [&](const std::string &name, const auto &member) {
      using M = std::decay_t<decltype(member)>;
      GeneratorMember m{kind_of<M>, name};
      if constexpr (is_parameter<M>) {
        m.value = member.text();
        m.legal = member.legal();
        m.help = member.help();
      } else if constexpr (kind_of<M> == GeneratorMember::Kind::Input) {
        m.type = member.type();
        m.rank = member.rank();
      } else if constexpr (kind_of<M> == GeneratorMember::Kind::Output) {
        m.type = M::kType;
        m.rank = M::kRank;
      } else {
        m.type = member.node()->type;
      }
      list.push_back(std::move(m));
    });
    return list;
  }

  void set(const std::string &parameter, const std::string &text) override {
    bool known = false;
    std::string problem;
    each([&](const std::string &member_name, auto &member) {
      if constexpr (is_parameter<std::decay_t<decltype(member)>>) {
        if (member_name != parameter) return;
        known = true;
        problem = member.set(text);
      }
    });
    if (!known) refuse_parameter(name_, parameter, "", members());
    if (!problem.empty())
      refuse_parameter(name_, parameter, "'" + text + "' " + problem, members());
  }

  Pipeline build(const std::string &name) override {
    generator_.generate();
    std::vector<Func> outputs;
    each([&](const std::string &, auto &member) {
      using M = std::decay_t<decltype(member)>;
      if constexpr (kind_of<M> == GeneratorMember::Kind::Output) {
        check_output(name_, member, M::kType, M::kRank);
        outputs.push_back(member);
      }
    });
    if constexpr (requires(G &g) { g.schedule(); }) generator_.schedule();
    return make_pipeline(name, outputs);
  }

 private:
  std::string name_;
  G generator_;

  template <class Generator, class F>
  static void each_of(Generator &generator, const F &visit) {
    boost::hana::for_each(boost::hana::accessors<G>(), [&](const auto &pair) {
      visit(std::string(boost::hana::to<const char *>(boost::hana::first(pair))),
            boost::hana::second(pair)(generator));
    });
  }
  template <class F>
  void each(const F &visit) {
    each_of(generator_, visit);
  }
};

template <class G>
GeneratorRegistration registration(const std::string &name, std::source_location where) {
  return GeneratorRegistration(
      {name, [name] { return std::make_unique<Instance<G>>(name); }, where});
}

}  // namespace generators
}  // namespace pit

/// Registers the struct `type` as the generator `name` ("an_identifier"); the rest are its members,
/// arguments in the order of a call. At global scope.
#define PIT_GENERATOR(type, name, ...)                                              \
  BOOST_HANA_ADAPT_STRUCT(type, __VA_ARGS__);                                       \
  namespace {                                                                       \
  const ::pit::GeneratorRegistration kPitGenerator_##type =                         \
      ::pit::generators::registration<type>(name, std::source_location::current()); \
  }
