// Expressions: immutable, reference-counted trees shared by the language and the IR.
//
// The language builds them from Vars, RVars, tensors, parameters and Funcs; lowering replaces Func
// calls by loads. Identity is the node (VarNode, StorageNode, FuncNode), never the name: names are
// for people.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "type.h"

namespace pit {

struct ExprNode;
struct FuncNode;
struct IndexNode;
struct RDomNode;
class FuncRef;
class Var;
class RVar;
class RDom;
class Func;

/// What a variable stands for. `Loop` and `Axis` are made by lowering: an axis is a loop that has
/// become a dimension of tiles, all of whose iterations are computed by one tile statement.
enum class VarRole : std::uint8_t { Pure, Reduction, Loop, Axis, Let };

/// Identity of a variable.
struct VarNode {
  std::string name;
  VarRole role = VarRole::Pure;
  Type type = int64;                 ///< Let variables may have any type; all others are int64.
  std::weak_ptr<RDomNode> domain{};  ///< The RDom of a Reduction variable made by an RDom.
};
using VarPtr = std::shared_ptr<const VarNode>;

/// Where the elements of a storage live.
/// Tensor: the caller's memory (input or output). Heap: a workspace of the pipeline. Tile: scratch
/// of one tile of work (registers or cache on a CPU, registers or shared memory on a GPU).
enum class Space : std::uint8_t { Tensor, Heap, Tile };

/// Identity of something with elements: a tensor parameter, an intermediate buffer or a tile.
/// Indices are element coordinates from 0; a buffer whose Func starts elsewhere is shifted by
/// lowering.
struct StorageNode {
  std::string name;
  Type type;
  int rank = 0;
  Space space = Space::Tensor;
  std::vector<std::int64_t>
      declared_strides{};  ///< per dimension, in elements; -1 = known at run time.
  int alignment = 1;       ///< declared alignment of the data pointer in bytes.
  std::vector<std::int64_t> declared_extents{};  ///< per dimension; -1 = known at run time.
};
using StoragePtr = std::shared_ptr<const StorageNode>;

/// Identity of a scalar parameter of a pipeline.
struct ParamNode {
  std::string name;
  Type type;
};
using ParamPtr = std::shared_ptr<const ParamNode>;

using FuncPtr = std::shared_ptr<FuncNode>;
using IndexPtr = std::shared_ptr<IndexNode>;

/// Handle of an expression. Null when default-constructed. Carries the user's source location of
/// the place where it was written, for error messages; the location is not part of its value.
class Expr {
 public:
  using Location = std::source_location;

  Expr() = default;
  explicit Expr(std::shared_ptr<const ExprNode> n, Location where = Location::current())
      : node_(std::move(n)), where_(where) {}
  Expr(int value, Location where = Location::current());            // int32
  Expr(long value, Location where = Location::current());           // int64
  Expr(long long value, Location where = Location::current());      // int64
  Expr(unsigned value, Location where = Location::current());       // uint32
  Expr(unsigned long value, Location where = Location::current());  // uint64
  Expr(bool value, Location where = Location::current());
  Expr(float value, Location where = Location::current());   // float32
  Expr(double value, Location where = Location::current());  // float64
  Expr(const Var &var, Location where = Location::current());
  Expr(const RVar &var, Location where = Location::current());
  Expr(const RDom &domain,
       Location where = Location::current());  ///< a one-dimensional domain's variable
  Expr(const FuncRef &call, Location where = Location::current());

  bool defined() const { return node_ != nullptr; }
  const ExprNode *get() const { return node_.get(); }
  const ExprNode *operator->() const { return node_.get(); }
  const ExprNode &operator*() const { return *node_; }
  const std::shared_ptr<const ExprNode> &node() const { return node_; }
  Type type() const;
  Location where() const { return where_; }

  /// True for the same node (not for equal trees: see `equal`).
  bool same_as(const Expr &other) const { return node_ == other.node_; }

  /// The node as `T` when it is of that kind, else null.
  template <class T>
  const T *as() const;

 private:
  std::shared_ptr<const ExprNode> node_;
  Location where_{};
};

enum class ExprKind : std::uint8_t {
  IntImm,
  FloatImm,
  Variable,
  Param,
  Extent,
  Load,
  Call,
  Unary,
  Binary,
  Select,
  Cast,
  IndexQuery
};

/// The most nodes of an expression, shared parts counted as often as they are reached, and the most
/// operators inside each other: what walks expressions visits each node and recurs. Constructors of
/// nodes throw CompileError beyond.
inline constexpr std::uint32_t kMostExprNodes = 100'000, kMostExprDepth = 2'500;

/// Base of all nodes. `kind` selects the derived struct.
struct ExprNode {
  ExprKind kind;
  Type type;
  std::uint32_t nodes = 1;  ///< of the tree, itself included
  std::uint32_t depth = 1;  ///< of the tree

 protected:
  ExprNode(ExprKind k, Type t) : kind(k), type(t) {}
  ~ExprNode() = default;
  /// Counts an operand of this node.
  void add_operand(const Expr &operand);
  void add_operands(const std::vector<Expr> &operands) {
    for (const Expr &operand : operands) add_operand(operand);
  }
};

/// Integer or bool constant. Arithmetic on it wraps in its type.
struct IntImm final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::IntImm;
  std::int64_t value;  ///< uint64 constants keep their bit pattern.
  IntImm(Type t, std::int64_t v) : ExprNode(kKind, t), value(v) {}
};

/// Floating constant, already rounded to its type.
struct FloatImm final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::FloatImm;
  double value;
  FloatImm(Type t, double v) : ExprNode(kKind, t), value(v) {}
};

/// Value of a variable.
struct Variable final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Variable;
  VarPtr var;
  explicit Variable(VarPtr v) : ExprNode(kKind, v->type), var(std::move(v)) {}
};

/// Value of a scalar parameter.
struct ParamRef final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Param;
  ParamPtr param;
  explicit ParamRef(ParamPtr p) : ExprNode(kKind, p->type), param(std::move(p)) {}
};

/// Extent of one dimension of a storage, int64.
struct Extent final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Extent;
  StoragePtr storage;
  int dimension;
  Extent(StoragePtr s, int d) : ExprNode(kKind, int64), storage(std::move(s)), dimension(d) {}
};

/// One element of a storage. Indices are of any integer type.
struct Load final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Load;
  StoragePtr storage;
  std::vector<Expr> indices;
  Load(StoragePtr s, std::vector<Expr> i)
      : ExprNode(kKind, s->type), storage(std::move(s)), indices(std::move(i)) {
    add_operands(indices);
  }
};

/// Component `component` of the value of a Func at `args`. A Func's own definitions refer to it
/// weakly.
struct Call final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Call;
  FuncNode *func;  ///< never null while the expression is reachable from a live Func
  FuncPtr owner;   ///< keeps `func` alive; null in the Func's own definitions
  std::vector<Expr> args;
  int component;
  Call(Type t, FuncPtr f, std::vector<Expr> a, int c);       // strong
  Call(Type t, FuncNode *self, std::vector<Expr> a, int c);  // weak: inside self's own definitions
};

enum class UnaryOp : std::uint8_t {
  Neg,
  Not,
  Abs,
  Exp,
  Exp2,
  Log,
  Sqrt,
  Rsqrt,
  Tanh,
  Erf,
  Sin,
  Cos,
  Floor,
  Ceil,
  Round,
  IsNan,
  IsFinite
};
/// Functions of one operand. Not is of bool (logical) or integers (bitwise). Round is to even.
struct Unary final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Unary;
  UnaryOp op;
  Expr a;
  Unary(Type t, UnaryOp o, Expr x) : ExprNode(kKind, t), op(o), a(std::move(x)) { add_operand(a); }
};

enum class BinaryOp : std::uint8_t {
  Add,
  Sub,
  Mul,
  Div,
  Mod,
  Min,
  Max,
  Pow,
  BitAnd,
  BitOr,
  BitXor,
  Shl,
  Shr,
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,
  And,
  Or
};
/// Functions of two operands of one type. Integers wrap. Integer Div and Mod are Euclidean with a
/// non-negative remainder (as in Halide), and x / 0 = x % 0 = 0. Mod is of integers only. Min and
/// Max of floats propagate NaN. Shr of signed integers keeps the sign; shifting by a count outside
/// [0, bits) shifts everything out. And / Or do not evaluate their second operand when the first
/// decides.
struct Binary final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Binary;
  BinaryOp op;
  Expr a, b;
  Binary(Type t, BinaryOp o, Expr x, Expr y)
      : ExprNode(kKind, t), op(o), a(std::move(x)), b(std::move(y)) {
    add_operand(a);
    add_operand(b);
  }
};

/// condition ? true_value : false_value. Only the chosen side is evaluated: it may guard a load.
struct Select final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Select;
  Expr condition, true_value, false_value;
  Select(Expr c, Expr t, Expr f)
      : ExprNode(kKind, t.type()),
        condition(std::move(c)),
        true_value(std::move(t)),
        false_value(std::move(f)) {
    add_operand(condition);
    add_operand(true_value);
    add_operand(false_value);
  }
};

/// Conversion. Float to narrower float rounds to nearest even; float to integer truncates and
/// saturates (NaN gives 0); integer to narrower integer wraps; to bool is != 0.
struct Cast final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::Cast;
  Expr a;
  Cast(Type t, Expr x) : ExprNode(kKind, t), a(std::move(x)) { add_operand(a); }
};

/// A number that a sparse index knows at run time.
/// Density (float32): kept micro-tiles / all micro-tiles. Count (int64): kept micro-tiles in all
/// groups. Position (int64): args = {group coordinates..., axis coordinate}: place in the lists, or
/// -1.
enum class IndexQueryKind : std::uint8_t { Density, Count, Position };
struct IndexQuery final : ExprNode {
  static constexpr ExprKind kKind = ExprKind::IndexQuery;
  IndexQueryKind query;
  IndexPtr index;
  std::vector<Expr> args;
  IndexQuery(Type t, IndexQueryKind q, IndexPtr i, std::vector<Expr> a)
      : ExprNode(kKind, t), query(q), index(std::move(i)), args(std::move(a)) {
    add_operands(args);
  }
};

template <class T>
const T *Expr::as() const {
  return node_ && node_->kind == T::kKind ? static_cast<const T *>(node_.get()) : nullptr;
}
/// CompileError: an undefined Expr has no type.
[[noreturn]] void refuse_undefined(std::source_location where);
/// CompileError: the expression that `e` is an operand of is too large.
[[noreturn]] void refuse_size(const Expr &e);

inline Type Expr::type() const {
  if (!node_) refuse_undefined(where_);
  return node_->type;
}
inline void ExprNode::add_operand(const Expr &operand) {
  if (!operand.defined()) return;
  nodes += operand->nodes;
  if (depth <= operand->depth) depth = operand->depth + 1;
  if (nodes > kMostExprNodes || depth > kMostExprDepth) refuse_size(operand);
}

// --- construction: folds constants and the identities x+0 and x*0 (integers), x-0, x*1, x/1, x%1,
// true&&x ... ----

Expr make_int(Type type, std::int64_t value);
Expr make_float(Type type, double value);
Expr make_const(Type type, double value);  ///< of any type
Expr make_zero(Type type);
Expr make_variable(const VarPtr &var);
Expr make_load(const StoragePtr &storage,
               std::vector<Expr> indices);  ///< constant indices become int64
Expr make_extent(const StoragePtr &storage, int dimension);
Expr make_unary(UnaryOp op, const Expr &a);  ///< keeps a's type (bool for the tests)
Expr make_binary(BinaryOp op, const Expr &a, const Expr &b);  ///< operands must have one type
Expr make_select(const Expr &c, const Expr &t, const Expr &f);

/// Brings two operands to one type, as Halide does: a constant takes the other side's type where it
/// is representable there (floats are rounded; a float constant never becomes an integer); float
/// beats integer; the wider wins; float16 with bfloat16 gives float32; signed and unsigned give
/// signed of the wider; bool takes the other side's type.
void match_types(Expr *a, Expr *b);

// --- operators and mathematics (namespace scope, found by argument-dependent lookup) ---

#define PIT_BINARY_OPERATORS(X) \
  X(+) X(-) X(*) X(/) X(%) X(<) X(<=) X(>) X(>=) X(==) X(!=) X(&&) X(||) X(&) X(|) X(^) X(<<) X(>>)
#define PIT_DECLARE(op) Expr operator op(const Expr &a, const Expr &b);
PIT_BINARY_OPERATORS(PIT_DECLARE)
#undef PIT_DECLARE
Expr operator-(const Expr &a);
Expr operator!(const Expr &a);
Expr operator~(const Expr &a);

Expr cast(Type type, const Expr &a);
Expr f16(const Expr &a);
Expr bf16(const Expr &a);
Expr f32(const Expr &a);
Expr f64(const Expr &a);
Expr i32(const Expr &a);
Expr i64(const Expr &a);

Expr min(const Expr &a, const Expr &b);
Expr max(const Expr &a, const Expr &b);
Expr clamp(const Expr &a, const Expr &low, const Expr &high);
Expr pow(const Expr &a, const Expr &b);
Expr abs(const Expr &a);
Expr exp(const Expr &a);
/// 2^a. The instruction for it where a device has one: float32 results below 2^-126 may be 0.
Expr exp2(const Expr &a);
Expr log(const Expr &a);
Expr sqrt(const Expr &a);
Expr rsqrt(const Expr &a);
Expr tanh(const Expr &a);
Expr erf(const Expr &a);
Expr sin(const Expr &a);
Expr cos(const Expr &a);
Expr floor(const Expr &a);
Expr ceil(const Expr &a);
Expr round(const Expr &a);
Expr is_nan(const Expr &a);
Expr is_finite(const Expr &a);
Expr select(const Expr &condition, const Expr &true_value, const Expr &false_value);

Expr sigmoid(const Expr &a);  ///< 1 / (1 + exp(-a))
Expr relu(const Expr &a);     ///< max(a, 0)
Expr silu(const Expr &a);     ///< a * sigmoid(a)
Expr gelu(const Expr &a);     ///< a/2 * (1 + erf(a / sqrt 2)): the exact form

// --- walking ---

/// Structural equality: same tree over the same identities. Types count, source locations do not.
bool equal(const Expr &a, const Expr &b);

/// The text of an expression, for people and for the parsers of schedules and of IR. A parser that
/// builds with the operators and functions above (which match types and fold) gets back an equal
/// tree:
///
///     expr     := infix operators with the precedence and left associativity of C++, in this
///     order:
///                 || && | ^ & (== !=) (< <= > >=) (<< >>) (+ -) (* / %), then prefix -x !x ~x
///     primary  := literal | name | '(' expr ')' | function '(' expr, ... ')' | type '(' expr ')'
///               | name '(' expr, ... ')' [ '[' component ']' ]    Func call (component only for
///               Tuples), tensor load | name '[' expr, ... ']'                           load of a
///               storage that is no tensor: "acc[i, j]" | name '.extent(' digit ')' | name
///               '.density()' | name '.count()' | name '.position(' expr, ... ')'
///     function := abs exp exp2 log sqrt rsqrt tanh erf sin cos floor ceil round is_nan is_finite
///     min max pow select type     := int8 ... uint64 bool float16 bfloat16 float32 float64: a
///     Cast, or the type of a literal (it folds) literal  := true | false | [-]digits int32, or
///     int64 when it does not fit
///               | [-]digits with '.' or exponent | [-]inf | nan        float32;   with suffix d:
///               float64 ("0.1d")
///                 (a '-' where an operand is expected and a digit or "inf" follows belongs to the
///                 literal)
///     name     := [A-Za-z_][A-Za-z0-9_$]* ( '.' [A-Za-z0-9_$]+ )*     a last part "extent",
///     "density", "count" or
///                 "position" before a '(' is not part of it
///
/// A literal of another type is written as a cast, "int64(5)", "bfloat16(1.5)", "float64(inf)",
/// except where its place gives the type: as an operand of a binary operator, min, max, pow or a
/// side of select whose other operand is no literal ("i / 64", match_types), and as an argument or
/// index (int64). float64 always has its suffix.
std::string to_string(const Expr &e);

/// Names for printing, where those of the nodes are not unique. An empty function means the node's
/// own name.
struct ExprNames {
  std::function<std::string(const VarPtr &)> variable;
  std::function<std::string(const StoragePtr &)> storage;
  std::function<std::string(const ParamPtr &)> param;
  std::function<std::string(const FuncNode &)> func;
  std::function<std::string(const IndexPtr &)> index;
};
std::string to_string(const Expr &e, const ExprNames &names);

/// True for the words of the grammar above (functions, types, true, false, inf, nan), which name
/// nothing else.
bool is_reserved_word(const std::string &word);

/// CompileError unless `name` is a name that users may give: letters, digits and '_', no reserved
/// word. `what` it names.
void check_name(const std::string &what, const std::string &name, std::source_location where);
/// A name for what the user has not named: "f$1". No user's name has a '$'.
std::string made_up_name(const std::string &prefix);

/// Calls `visit` on e and, when it returns true, on its operands, in evaluation order.
/// Does not enter the definitions of called Funcs.
template <class Visit>
void walk(const Expr &e, const Visit &visit);

/// The operands of `e` in evaluation order (empty for leaves).
std::vector<Expr> operands(const Expr &e);
/// `e` with its operands replaced (same number); folds constants again.
Expr with_operands(const Expr &e, const std::vector<Expr> &operands);

/// Rebuilds e bottom-up: `rewrite` sees each node after its operands were rewritten and returns its
/// replacement.
template <class Rewrite>
Expr rewrite(const Expr &e, const Rewrite &rewrite_node);

/// Replaces variables. `from` and `to` have one length; a replacement of another type is cast to
/// the variable's.
Expr substitute(const Expr &e, const std::vector<VarPtr> &from, const std::vector<Expr> &to);

/// True when e reads variable v.
bool uses(const Expr &e, const VarPtr &v);
/// The variables e reads, each once, in order of first use.
std::vector<VarPtr> free_variables(const Expr &e);

/// Constant value, when e is an integer constant.
bool is_const_int(const Expr &e, std::int64_t *value);
bool is_zero(const Expr &e);
bool is_one(const Expr &e);

template <class Visit>
void walk(const Expr &e, const Visit &visit) {
  if (!e.defined() || !visit(e)) return;
  for (const Expr &operand : operands(e)) walk(operand, visit);
}

template <class Rewrite>
Expr rewrite(const Expr &e, const Rewrite &rewrite_node) {
  if (!e.defined()) return e;
  std::vector<Expr> ops = operands(e);
  bool changed = false;
  for (Expr &operand : ops) {
    Expr replacement = rewrite(operand, rewrite_node);
    changed |= !replacement.same_as(operand);
    operand = replacement;
  }
  return rewrite_node(changed ? with_operands(e, ops) : e);
}

}  // namespace pit
