#include <map>

#include "dsl/expr_parser.h"
#include "scanner.h"
#include "text.h"

namespace pit::ir {
namespace {

/// The identities that names stand for. print gives every identity a name of its own, so there are
/// no scopes.
class Symbols final : public ExprSymbols {
 public:
  Expr variable(const std::string &name) override {
    if (const auto found = variables.find(name); found != variables.end())
      return make_variable(found->second);
    const auto found = params.find(name);
    return found != params.end() ? Expr(std::make_shared<ParamRef>(found->second)) : Expr();
  }
  Expr call(const std::string &name, const std::vector<Expr> &args, int component) override {
    return component == -1 ? load(name, args) : Expr();
  }
  Expr load(const std::string &name, const std::vector<Expr> &indices) override {
    const auto found = storages.find(name);
    return found != storages.end() ? make_load(found->second, indices) : Expr();
  }
  Expr extent(const std::string &name, int dimension) override {
    const auto found = storages.find(name);
    return found != storages.end() ? make_extent(found->second, dimension) : Expr();
  }
  Expr index_query(const std::string &, IndexQueryKind, const std::vector<Expr> &) override {
    return {};
  }

  std::map<std::string, VarPtr> variables;
  std::map<std::string, StoragePtr> storages;
  std::map<std::string, ParamPtr> params;
};

class Parser : private Scanner {
 public:
  using Scanner::Scanner;

  Module module() {
    Module m;
    expect("module");
    m.name = word();
    parenthesised([&] {
      const std::string name = symbol();
      expect(":");
      const Type type = element_type();
      if (accept("[")) {
        m.inputs.push_back(tensor(name, type));
      } else {
        m.scalars.push_back(std::make_shared<const ParamNode>(ParamNode{name, type}));
        symbols_.params[name] = m.scalars.back();
      }
    });
    expect("->");
    parenthesised([&] {
      const std::string name = symbol();
      expect(":");
      const Type type = element_type();
      expect("[");
      m.outputs.push_back(tensor(name, type));
    });
    if (accept("statistics")) {
      m.statistics = storage(symbol(), float64, 1, Space::Heap);
      parenthesised([&] { m.statistic_names.push_back(word()); });
    }
    m.body = braces();
    if (!at_end()) fail("expected the end of the module");
    return m;
  }

 private:
  Symbols symbols_;
  std::map<std::string, BarrierPtr> barriers_;

  // --- expressions and identities ---

  Expr expression() { return Scanner::expression(&symbols_); }
  /// A literal takes the type that its place says.
  Expr expression(Type place) {
    Expr e = expression();
    if (e.type() == place || e.type().is_bool()) return e;
    if (const auto *integer = e.as<IntImm>()) {
      return place.is_float() ? make_float(place, static_cast<double>(integer->value))
                              : make_int(place, integer->value);
    }
    const auto *real = e.as<FloatImm>();
    return real && place.is_float() ? make_float(place, real->value) : e;
  }
  Expr number_expression() { return expression(int64); }
  std::vector<Expr> expressions(const std::string &close, Type place) {
    std::vector<Expr> list;
    listed(close, [&] { list.push_back(expression(place)); });
    return list;
  }

  StoragePtr storage(const std::string &name, Type type, int rank, Space space) {
    StorageNode node{name[0] == '%' ? name.substr(1) : name, type, rank, space};
    if (accept("strides")) {
      parenthesised([&] { node.declared_strides.push_back(accept("?") ? -1 : number()); });
    }
    if (accept("align")) node.alignment = static_cast<int>(number());
    // A storage that is allocated at two places has one name, and is one storage again.
    StoragePtr &known = symbols_.storages[name];
    const bool same = known && known->type == type && known->rank == rank &&
                      known->space == space && known->declared_strides == node.declared_strides &&
                      known->alignment == node.alignment;
    if (!same) known = std::make_shared<const StorageNode>(std::move(node));
    return known;
  }
  /// Of the signature, after the '['.
  StoragePtr tensor(const std::string &name, Type type) {
    const auto rank = static_cast<int>(number());
    expect("]");
    return storage(name, type, rank, Space::Tensor);
  }
  VarPtr define(const std::string &name, VarRole role, Type type = int64) {
    VarPtr &known = symbols_.variables[name];
    if (!known || known->role != role || known->type != type) {
      known = std::make_shared<const VarNode>(VarNode{name, role, type});
    }
    return known;
  }
  VarPtr axis() {
    const std::size_t start = here();
    const auto found = symbols_.variables.find(symbol());
    if (found == symbols_.variables.end()) fail("expected an axis", start);
    return found->second;
  }
  StoragePtr existing() {
    const std::size_t start = here();
    const auto found = symbols_.storages.find(symbol());
    if (found == symbols_.storages.end()) fail("expected a storage", start);
    return found->second;
  }

  // --- statements ---

  std::vector<Stmt> list() {
    std::vector<Stmt> stmts;
    while (!at("}")) {
      if (at_end()) fail("expected '}'");
      stmts.push_back(statement());
    }
    return stmts;
  }
  /// The statements up to the closing brace, as one.
  Stmt rest() {
    std::vector<Stmt> stmts = list();
    if (stmts.empty()) return {};
    return stmts.size() == 1 ? stmts.front() : make<Block>(std::move(stmts));
  }
  Stmt braces() {
    expect("{");
    Stmt body = rest();
    expect("}");
    return body;
  }
  /// The scope of a definition: braces, or all that follows.
  Stmt scope() { return at("{") ? braces() : rest(); }

  Stmt statement() {
    static const std::map<std::string, Stmt (Parser::*)()> kStatements = {
        {"block", &Parser::block},
        {"nothing", &Parser::nothing},
        {"for", &Parser::loop<ForKind::Serial>},
        {"parallel", &Parser::loop<ForKind::Parallel>},
        {"unrolled", &Parser::loop<ForKind::Unrolled>},
        {"gpu_block", &Parser::loop<ForKind::GpuBlock>},
        {"gpu_thread", &Parser::loop<ForKind::GpuThread>},
        {"axes", &Parser::axes},
        {"let", &Parser::let},
        {"if", &Parser::branch},
        {"tile", &Parser::allocate<Space::Tile>},
        {"heap", &Parser::allocate<Space::Heap>},
        {"fill", &Parser::store},
        {"load", &Parser::store},
        {"sread", &Parser::store},
        {"map", &Parser::store},
        {"reduce", &Parser::store},
        {"store", &Parser::store},
        {"swrite", &Parser::store},
        {"reduce_store", &Parser::store},
        {"mma", &Parser::mma},
        {"check", &Parser::check},
        {"index_place", &Parser::index_place},
        {"index_sort", &Parser::index_sort},
        {"prefix", &Parser::prefix},
        {"compact", &Parser::compact},
        {"sum_before", &Parser::sum_before},
        {"fetch_add", &Parser::fetch_add},
        {"stage", &Parser::stage},
        {"launch", &Parser::launch},
        {"shared", &Parser::allocate<Space::Tile, Memory::Shared>},
        {"registers", &Parser::allocate<Space::Tile, Memory::Registers>},
        {"barrier", &Parser::barriers},
        {"arrive", &Parser::arrive},
        {"wait", &Parser::wait},
        {"copy", &Parser::copy},
        {"commit", &Parser::commit},
        {"drain", &Parser::drain},
        {"sync", &Parser::sync},
        {"fence", &Parser::fence},
        {"roles", &Parser::roles}};
    const std::size_t start = here();
    const auto found = kStatements.find(symbol());
    if (found == kStatements.end()) fail("expected a statement", start);
    return (this->*found->second)();
  }

  Stmt nothing() { return {}; }

  Stmt block() {
    expect("{");
    std::vector<Stmt> stmts = list();
    expect("}");
    return make<Block>(std::move(stmts));
  }

  template <ForKind kind>
  Stmt loop() {
    const VarPtr var = define(symbol(), VarRole::Loop);
    Expr min = make_int(int64, 0);
    if (!accept("<")) {
      expect("=");
      min = number_expression();
      expect("count");
    }
    const Expr extent = number_expression();
    return make<For>(var, min, extent, kind, braces());
  }

  Stmt axes() {
    std::vector<AxisBinding> list;
    do {
      const std::string name = symbol();
      expect("<");
      AxisBinding axis;
      axis.extent = number_expression();
      axis.var = define(name, VarRole::Axis);
      if (accept("max")) axis.maximum = number();
      list.push_back(std::move(axis));
    } while (accept(","));
    return make<Axes>(std::move(list), scope());
  }

  Stmt let() {
    const std::string name = symbol();
    expect(":");
    const Type type = element_type();
    expect("=");
    const Expr value = expression(type);
    const VarPtr var = define(name, VarRole::Let, type);
    return make<Let>(var, value, scope());
  }

  Stmt branch() {
    const Expr condition = expression();
    const Stmt then_body = braces();
    return make<If>(condition, then_body, accept("else") ? braces() : Stmt());
  }

  template <Space space, Memory memory = Memory::Abstract>
  Stmt allocate() {
    const std::string name = symbol();
    expect(":");
    const Type type = element_type();
    expect("[");
    std::vector<Expr> extents = expressions("]", int64);
    const StoragePtr made = storage(name, type, static_cast<int>(extents.size()), space);
    Placement placement{memory};
    placement.buffered = accept("buffers");
    placement.layout = layout();
    return make<Allocate>(made, std::move(extents), scope(), placement);
  }

  int small_number() { return static_cast<int>(number()); }
  Layout layout() {
    using Kind = Layout::Kind;
    for (const Kind kind : {Kind::Swizzled, Kind::Accumulator, Kind::OperandA, Kind::OperandB,
                            Kind::Blocked, Kind::Rows}) {
      if (!accept(layout_name(kind))) continue;
      std::vector<int> fields;
      parenthesised([&] { fields.push_back(small_number()); });
      const std::size_t count = kind == Kind::Swizzled ? 2 : kind == Kind::Blocked ? 5 : 4;
      if (fields.size() != count) fail("expected the layout's numbers");
      if (kind == Kind::Blocked)
        return Layout::blocked(fields[0], fields[1], fields[2], fields[3], fields[4]);
      return kind == Kind::Swizzled
                 ? Layout::swizzled(fields[0], fields[1])
                 : Layout::fragment(kind, fields[0], fields[1], fields[2], fields[3]);
    }
    return {};
  }

  /// "mi, ni:" or nothing.
  std::vector<VarPtr> over() {
    const std::size_t start = here();
    std::vector<VarPtr> axes;
    do {
      const auto found = symbols_.variables.find(name());
      if (found == symbols_.variables.end()) break;
      axes.push_back(found->second);
    } while (accept(","));
    if (!axes.empty() && accept(":")) return axes;
    go_to(start);
    return {};
  }
  std::vector<Expr> where() {
    std::vector<Expr> guards;
    if (!accept("where")) return guards;
    do {
      guards.push_back(expression());
    } while (accept(","));
    return guards;
  }

  Stmt store() {
    std::vector<VarPtr> axes = over();
    const StoragePtr target = existing();
    expect("[");
    std::vector<Expr> indices = expressions("]", int64);
    Combiner combiner = Combiner::Assign;
    for (Combiner c : {Combiner::Sum, Combiner::Product, Combiner::Min, Combiner::Max,
                       Combiner::And, Combiner::Or}) {
      if (accept(to_string(c))) combiner = c;
      if (combiner != Combiner::Assign) break;
    }
    if (combiner == Combiner::Assign) expect("=");
    const Expr value = expression(target->type);
    std::vector<Expr> guards = where();
    const bool atomic = accept("atomic");
    const StoragePtr strip = accept("through") ? existing() : nullptr;
    const int bytes = accept("bytes") ? static_cast<int>(number()) : 0;
    return make<Store>(std::move(axes), std::move(guards), target, std::move(indices), combiner,
                       value, atomic, bytes, strip);
  }

  TileOperand operand() {
    TileOperand tile;
    tile.tile = existing();
    if (accept("(")) {
      tile.slot = number_expression();
      expect(")");
    }
    expect("[");
    listed("]", [&] { tile.axes.push_back(axis()); });
    return tile;
  }

  Stmt mma() {
    const bool async = accept("async");
    std::vector<VarPtr> batch, m, n, k;
    const auto role = [&](const char *name, std::vector<VarPtr> *axes) {
      if (accept(name)) parenthesised([&] { axes->push_back(axis()); });
    };
    role("batch", &batch);
    role("m", &m);
    role("n", &n);
    role("k", &k);
    expect(":");
    TileOperand accumulator = operand();
    expect("+=");
    TileOperand a = operand();
    expect("*");
    TileOperand b = operand();
    std::string atom = accept("atom") ? quoted() : "";
    return make<Mma>(std::move(batch), std::move(m), std::move(n), std::move(k),
                     std::move(accumulator), std::move(a), std::move(b), std::move(atom), async);
  }

  Stmt check() {
    std::vector<VarPtr> axes = over();
    const Expr condition = expression();
    std::vector<Expr> guards = where();
    expect("else");
    std::string message = quoted();
    std::vector<Expr> values;
    if (accept("(")) values = expressions(")", int64);
    return make<Check>(std::move(axes), std::move(guards), condition, std::move(message),
                       std::move(values));
  }

  struct Fields {
    std::map<std::string, StoragePtr> storages;
    Expr groups, length, micro, spacing;
    std::int64_t align = 1;
    bool ordered = true;
  };
  void fields(Fields *to) {
    parenthesised([&] {
      const std::string field = symbol();
      expect("=");
      if (field == "groups")
        to->groups = number_expression();
      else if (field == "length")
        to->length = number_expression();
      else if (field == "micro")
        to->micro = number_expression();
      else if (field == "spacing")
        to->spacing = number_expression();
      else if (field == "align")
        to->align = number();
      else
        to->storages[field] = existing();
    });
  }
  Fields index_fields() {
    Fields all;
    fields(&all);
    expect("->");
    fields(&all);
    all.ordered = !accept("unordered");
    return all;
  }

  Stmt index_place() {
    std::string name = word();
    Fields f = index_fields();
    auto &s = f.storages;
    return make<IndexPlace>(s["marks"], s["mark_offsets"], s["first"], f.groups, f.length, f.micro,
                            f.align, s["offsets"], s["counts"], s["coordinates"], s["position"],
                            s["full"], std::move(name), f.ordered, f.spacing);
  }
  Stmt index_sort() {
    std::string name = word();
    Fields f = index_fields();
    auto &s = f.storages;
    return make<IndexSort>(s["keys"], f.length, f.groups, f.align, s["offsets"], s["counts"],
                           s["coordinates"], s["position"], std::move(name), f.ordered);
  }

  Stmt prefix() {
    const StoragePtr destination = existing();
    expect("=");
    const StoragePtr source = existing();
    expect("count");
    return make<Prefix>(destination, source, number_expression());
  }

  Stmt compact() {
    const StoragePtr list = existing();
    expect(",");
    const StoragePtr count = existing();
    expect("=");
    const StoragePtr marks = existing();
    expect("count");
    return make<Compact>(list, count, marks, number_expression());
  }

  Stmt sum_before() {
    const StoragePtr sum = existing();
    expect("=");
    const Expr value = number_expression();
    expect("part");
    const Expr part = number_expression();
    expect("from");
    const Expr first = number_expression();
    expect("progress");
    return make<SumBefore>(sum, existing(), first, part, value);
  }

  Stmt fetch_add() {
    std::vector<VarPtr> axes = over();
    const StoragePtr destination = existing();
    expect("[");
    std::vector<Expr> indices = expressions("]", int64);
    expect("=");
    const StoragePtr counters = existing();
    expect("[");
    const Expr at = number_expression();
    expect("]");
    expect("+=");
    const Expr value = expression(counters->type);
    const bool ordered = accept("ordered");
    return make<FetchAdd>(std::move(axes), where(), destination, std::move(indices), counters, at,
                          value, ordered);
  }

  Stmt stage() {
    StageKind kind = StageKind::Compute;
    if (accept("check"))
      kind = StageKind::Check;
    else if (accept("index"))
      kind = StageKind::Index;
    else
      expect("compute");
    std::string name = word();
    return make<Stage>(std::move(name), kind, braces());
  }

  Stmt launch() {
    std::string name = word();
    expect("threads");
    const std::int64_t threads = number();
    VarPtr resident;
    if (accept("resident")) resident = define(symbol(), VarRole::Loop);
    std::vector<GridAxis> grid;
    if (accept("grid")) {
      do {
        const VarPtr var = define(symbol(), VarRole::Loop);
        expect("<");
        grid.push_back({var, number_expression()});
      } while (accept(","));
    }
    GridAxis cluster;
    if (accept("cluster")) {
      cluster.var = define(symbol(), VarRole::Loop);
      expect("<");
      cluster.extent = number_expression();
    }
    return make<Launch>(std::move(name), std::move(grid), threads, braces(), std::move(cluster),
                        std::move(resident));
  }

  // --- the staged level ---

  Stmt barriers() {
    BarrierNode node{symbol()};
    expect("[");
    node.slots = small_number();
    expect("]");
    expect("arrivals");
    node.arrivals = small_number();
    const std::string name = node.name;
    const auto barrier = std::make_shared<const BarrierNode>(std::move(node));
    barriers_[name] = barrier;
    return make<Barriers>(barrier, scope());
  }
  BarrierSlot barrier_slot() {
    const std::size_t start = here();
    const auto found = barriers_.find(symbol());
    if (found == barriers_.end()) fail("expected a barrier", start);
    expect("[");
    BarrierSlot at{found->second, number_expression()};
    expect("]");
    return at;
  }
  /// One of the values from `first` on by the name that it prints with.
  template <class T>
  T named(const char *(*name_of)(T), int count, const char *what) {
    for (int i = 0; i < count; ++i) {
      if (accept(name_of(static_cast<T>(i)))) return static_cast<T>(i);
    }
    fail(std::string("expected ") + what);
  }
  Engine engine() { return named<Engine>(engine_name, 2, "'copies' or 'matrix'"); }

  Stmt arrive() {
    BarrierSlot at = barrier_slot();
    expect("each");
    const auto each = named<Arrivals>(arrivals_name, 4, "who arrives");
    const bool after = accept("after_copies");
    const Expr bytes = accept("expect") ? number_expression() : Expr();
    return make<Arrive>(std::move(at), each, after, bytes, accept("cluster"));
  }
  Stmt wait() {
    BarrierSlot at = barrier_slot();
    expect("parity");
    return make<Wait>(std::move(at), number_expression());
  }
  Stmt copy() {
    const auto with = named<CopyEngine>(engine_name, 3, "what copies");
    std::vector<VarPtr> axes = over();
    const StoragePtr target = existing();
    expect("[");
    std::vector<Expr> indices = expressions("]", int64);
    expect("=");
    const Expr value = expression(target->type);
    std::vector<Expr> guards = where();
    const int bytes = accept("bytes") ? small_number() : 0;
    BarrierSlot on = accept("on") ? barrier_slot() : BarrierSlot();
    return make<Copy>(with, std::move(axes), std::move(guards), target, std::move(indices), value,
                      bytes, std::move(on), accept("multicast"));
  }
  Stmt commit() { return make<Commit>(engine()); }
  Stmt drain() {
    const Engine of = engine();
    expect("pending");
    return make<Drain>(of, small_number());
  }
  Stmt sync() { return make<Sync>(accept("cluster")); }
  Stmt fence() {
    if (accept("async")) return make<Fence>(FenceKind::Async);
    expect("barriers");
    return make<Fence>(FenceKind::Barriers);
  }
  Stmt roles() {
    std::vector<Role> list;
    expect("{");
    while (accept("role")) {
      Role role{word()};
      expect("warps");
      role.warps = small_number();
      if (accept("registers")) role.registers = small_number();
      role.body = braces();
      list.push_back(std::move(role));
    }
    expect("}");
    return make<Roles>(std::move(list));
  }
};

}  // namespace

Module parse(const std::string &text) { return Parser(text).module(); }

}  // namespace pit::ir
