#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_map>

#include "text.h"

namespace pit::ir {
namespace {

/// `text` without what a name of the text form may not hold.
std::string plain_name(const std::string &text) {
  std::string plain;
  for (char c : text) {
    const bool legal =
        std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.';
    plain += legal ? c : '_';
  }
  if (plain.empty() || !(std::isalpha(static_cast<unsigned char>(plain[0])) || plain[0] == '_'))
    plain = "_" + plain;
  // A dot stands between two parts, and the last part is not the name of a property.
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] == '.' && (i + 1 == plain.size() || plain[i + 1] == '.')) plain[i] = '_';
  }
  const std::string last = plain.substr(plain.rfind('.') + 1);
  if (last != plain &&
      (last == "extent" || last == "density" || last == "count" || last == "position"))
    plain += "_";
  return is_reserved_word(plain) ? plain + "_" : plain;
}

std::string quoted(const std::string &text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// A string that is no identity: as it is where it is a name, else in quotes.
std::string word(const std::string &text) { return text == plain_name(text) ? text : quoted(text); }

template <class T, class Text>
std::string joined(const std::vector<T> &list, const Text &text, const char *separator = ", ") {
  std::string out;
  for (const T &element : list) out += (out.empty() ? "" : separator) + text(element);
  return out;
}

const char *keyword(ForKind kind) {
  switch (kind) {
    case ForKind::Serial:
      return "for";
    case ForKind::Parallel:
      return "parallel";
    case ForKind::Unrolled:
      return "unrolled";
    case ForKind::GpuBlock:
      return "gpu_block";
    case ForKind::GpuThread:
      return "gpu_thread";
  }
  return "for";
}

const char *keyword(StageKind kind) {
  switch (kind) {
    case StageKind::Check:
      return "check";
    case StageKind::Index:
      return "index";
    case StageKind::Compute:
      return "compute";
  }
  return "compute";
}

bool reads_data(const Expr &e) {
  bool found = false;
  walk(e, [&](const Expr &part) { return !(found = found || part.as<Load>() != nullptr); });
  return found;
}
bool any_reads_data(const std::vector<Expr> &list) {
  return std::any_of(list.begin(), list.end(), reads_data);
}

/// The load that e is, possibly converted or with a constant in its place where it may not be done;
/// else null.
const Load *only_load(const Expr &e) {
  if (const auto *load = e.as<Load>()) return load;
  if (const auto *cast = e.as<Cast>()) return only_load(cast->a);
  const auto *choice = e.as<Select>();
  if (choice == nullptr) return nullptr;
  const auto constant = [](const Expr &side) { return side.as<IntImm>() || side.as<FloatImm>(); };
  if (constant(choice->false_value)) return only_load(choice->true_value);
  return constant(choice->true_value) ? only_load(choice->false_value) : nullptr;
}

const char *mnemonic(const Store &store) {
  const bool to_tile = store.storage->space == Space::Tile;
  if (store.combiner != Combiner::Assign) {
    const bool reduces = std::any_of(store.axes.begin(), store.axes.end(), [&](const VarPtr &axis) {
      return std::none_of(store.indices.begin(), store.indices.end(),
                          [&](const Expr &i) { return uses(i, axis); });
    });
    return to_tile || reduces ? "reduce" : "reduce_store";
  }
  if (!to_tile) return any_reads_data(store.indices) ? "swrite" : "store";
  if (store.value.as<IntImm>() || store.value.as<FloatImm>()) return "fill";
  const Load *load = only_load(store.value);
  if (load == nullptr || load->storage->space == Space::Tile) return "map";
  return any_reads_data(load->indices) ? "sread" : "load";
}

class Printer {
 public:
  Printer() {
    names_.variable = [this](const VarPtr &v) { return name(v); };
    names_.storage = [this](const StoragePtr &s) { return name(s); };
    names_.param = [this](const ParamPtr &p) { return name(p); };
  }

  std::string module(const Module &m) {
    std::vector<std::string> inputs, outputs;
    for (const StoragePtr &s : m.inputs) inputs.push_back(declaration(s));
    for (const ParamPtr &p : m.scalars) inputs.push_back(name(p) + ": " + to_string(p->type));
    for (const StoragePtr &s : m.outputs) outputs.push_back(declaration(s));
    const auto same = [](const std::string &s) { return s; };
    out_ = "module " + word(m.name) + "(" + joined(inputs, same) + ") -> (" +
           joined(outputs, same) + ")";
    if (m.statistics)
      out_ += " statistics " + name(m.statistics) + "(" + joined(m.statistic_names, word) + ")";
    constexpr std::size_t kLongLine = 110;
    if (out_.size() > kLongLine) {
      out_ = "module " + word(m.name) + "(\n    " + joined(inputs, same, ",\n    ") + ")\n  -> (" +
             joined(outputs, same, ",\n      ") + ")" +
             (m.statistics ? "\n  statistics " + name(m.statistics) + "(" +
                                 joined(m.statistic_names, word) + ")"
                           : "");
    }
    out_ += " ";
    braces(m.body);
    return out_ + "\n";
  }

  std::string statement(const Stmt &s) {
    lines(s);
    if (!out_.empty() && out_.front() == '\n') out_.erase(0, 1);
    return out_ + "\n";
  }

 private:
  std::string out_;
  int indent_ = 0;
  ExprNames names_;
  std::unordered_map<const void *, std::string> given_;
  std::set<std::string> taken_;

  std::string unique(const void *identity, const std::string &wanted) {
    std::string &given = given_[identity];
    if (given.empty()) {
      const std::string plain = plain_name(wanted);
      given = plain;
      for (int i = 1; !taken_.insert(given).second; ++i) given = plain + "." + std::to_string(i);
    }
    return given;
  }
  std::string name(const VarPtr &v) { return unique(v.get(), v->name); }
  std::string name(const ParamPtr &p) { return unique(p.get(), p->name); }
  std::string name(const StoragePtr &s) {
    if (s == nullptr) return "missing";  // the verifier prints what is not well formed
    return (s->space == Space::Tile ? "%" : "") + unique(s.get(), s->name);
  }
  std::string names(const std::vector<VarPtr> &list) {
    return joined(list, [this](const VarPtr &v) { return name(v); });
  }

  /// A literal whose type its place says is written without it.
  std::string text(const Expr &e, Type place) {
    if (e.defined() && e.type() == place) {
      const auto *integer = e.as<IntImm>();
      if (integer && !place.is_bool() && place != uint64) return std::to_string(integer->value);
      const auto *real = e.as<FloatImm>();
      if (real && place != float64) return to_string(make_float(float32, real->value));
    }
    return to_string(e, names_);
  }
  std::string text(const std::vector<Expr> &list, Type place) {
    return joined(list, [&](const Expr &e) { return text(e, place); });
  }

  std::string attributes(const StorageNode &s) const {
    std::string out;
    const auto unknown = [](std::int64_t stride) { return stride == -1; };
    if (!std::all_of(s.declared_strides.begin(), s.declared_strides.end(), unknown)) {
      out += " strides(" +
             joined(s.declared_strides,
                    [](std::int64_t stride) {
                      return stride == -1 ? std::string("?") : std::to_string(stride);
                    }) +
             ")";
    }
    if (s.alignment != 1) out += " align " + std::to_string(s.alignment);
    return out;
  }
  std::string declaration(const StoragePtr &s) {
    return name(s) + ": " + to_string(s->type) + "[" + std::to_string(s->rank) + "]" +
           attributes(*s);
  }

  // --- lines and braces ---

  void line(const std::string &text) {
    out_ += "\n" + std::string(static_cast<std::size_t>(2 * indent_), ' ') + text;
  }

  void braces(const Stmt &body) {
    out_ += "{";
    ++indent_;
    lines(body);
    --indent_;
    line("}");
  }

  /// The statements of one pair of braces.
  void lines(const Stmt &s) {
    if (!s.defined()) return;
    const auto *block = s.as<Block>();
    if (block == nullptr || block->stmts.size() < 2) return statement(s, true);
    for (std::size_t i = 0; i < block->stmts.size(); ++i)
      statement(block->stmts[i], i + 1 == block->stmts.size());
  }

  /// `last`: nothing follows inside the braces, so that the scope of a definition needs none of its
  /// own.
  void statement(const Stmt &s, bool last) {
    if (!s.defined()) return line("nothing");
    switch (s->kind) {
#define PIT_PRINT(name) \
  case StmtKind::name:  \
    return print(*s.as<name>(), last);
      PIT_STATEMENTS(PIT_PRINT)
#undef PIT_PRINT
    }
  }

  void scope(const Stmt &body, bool last) {
    if (last) return lines(body);
    out_ += " ";
    braces(body);
  }

  // --- statements ---

  void print(const Block &block, bool) {
    line("block {");
    ++indent_;
    for (std::size_t i = 0; i < block.stmts.size(); ++i)
      statement(block.stmts[i], i + 1 == block.stmts.size());
    --indent_;
    line("}");
  }

  void print(const For &loop, bool) {
    line(std::string(keyword(loop.loop_kind)) + " " + name(loop.var));
    out_ += (loop.min.defined() && is_zero(loop.min) ? " < "
                                                     : " = " + text(loop.min, int64) + " count ") +
            text(loop.extent, int64) + " ";
    braces(loop.body);
  }

  void print(const Axes &axes, bool last) {
    line("axes " + joined(axes.axes, [&](const AxisBinding &axis) {
           return name(axis.var) + " < " + text(axis.extent, int64) +
                  (axis.maximum != 0 ? " max " + std::to_string(axis.maximum) : "");
         }));
    scope(axes.body, last);
  }

  void print(const Let &let, bool last) {
    line("let " + name(let.var) + ": " + to_string(let.var->type) + " = " +
         text(let.value, let.var->type));
    scope(let.body, last);
  }

  void print(const If &branch, bool) {
    line("if " + to_string(branch.condition, names_) + " ");
    braces(branch.then_body);
    if (!branch.else_body.defined()) return;
    out_ += " else ";
    braces(branch.else_body);
  }

  void print(const Allocate &allocate, bool last) {
    const StorageNode &s = *allocate.storage;
    const Placement &placement = allocate.placement;
    const char *const space = placement.memory == Memory::Shared      ? "shared "
                              : placement.memory == Memory::Registers ? "registers "
                              : s.space == Space::Tile                ? "tile "
                                                                      : "heap ";
    line(space + name(allocate.storage) + ": " + to_string(s.type) + "[" +
         text(allocate.extents, int64) + "]" + attributes(s) +
         (placement.buffered ? " buffers" : "") + layout(placement.layout));
    scope(allocate.body, last);
  }

  std::string over(const std::vector<VarPtr> &axes) {
    return axes.empty() ? " " : " " + names(axes) + ": ";
  }
  std::string where(const std::vector<Expr> &guards) {
    return guards.empty()
               ? ""
               : " where " + joined(guards, [this](const Expr &e) { return to_string(e, names_); });
  }

  void print(const Store &store, bool) {
    const std::string op = store.combiner == Combiner::Assign ? "=" : to_string(store.combiner);
    if (store.storage == nullptr || !store.value.defined())
      return line("store with a part missing");
    line(mnemonic(store) + over(store.axes) + name(store.storage) + "[" +
         text(store.indices, int64) + "] " + op + " " + text(store.value, store.storage->type) +
         where(store.guards) + (store.atomic ? " atomic" : "") +
         (store.through ? " through " + name(store.through) : "") +
         (store.vector_bytes != 0 ? " bytes " + std::to_string(store.vector_bytes) : ""));
  }

  static std::string layout(const Layout &l) {
    const auto of = [](const char *kind, std::initializer_list<int> fields) {
      return " " + std::string(kind) + "(" +
             joined(std::vector<int>(fields), [](int field) { return std::to_string(field); }) +
             ")";
    };
    if (l.kind == Layout::Kind::RowMajor) return "";
    if (l.kind == Layout::Kind::Swizzled) return of("swizzle", {l.swizzle, l.dimension});
    if (l.kind == Layout::Kind::Blocked)
      return of("blocked", {l.dimension, l.warps_m, l.warps_n, l.together, l.beside});
    return of(layout_name(l.kind), {l.dimension, l.warps_m, l.warps_n, l.together});
  }

  std::string operand(const TileOperand &tile) {
    return name(tile.tile) + (tile.slot.defined() ? "(" + text(tile.slot, int64) + ")" : "") + "[" +
           names(tile.axes) + "]";
  }

  void print(const Mma &mma, bool) {
    std::string roles;
    const auto role = [&](const char *letter, const std::vector<VarPtr> &axes) {
      if (!axes.empty()) roles += " " + std::string(letter) + "(" + names(axes) + ")";
    };
    role("batch", mma.batch);
    role("m", mma.m);
    role("n", mma.n);
    role("k", mma.k);
    line("mma" + std::string(mma.asynchronous ? " async" : "") + roles + ": " +
         operand(mma.accumulator) + " += " + operand(mma.a) + " * " + operand(mma.b) +
         (mma.atom.empty() ? "" : " atom " + quoted(mma.atom)));
  }

  void print(const Check &check, bool) {
    line("check" + over(check.axes) + to_string(check.condition, names_) + where(check.guards) +
         " else " + quoted(check.message) +
         (check.values.empty() ? "" : "(" + text(check.values, int64) + ")"));
  }

  std::string fields(const std::vector<std::pair<const char *, std::string>> &list) {
    std::vector<std::string> parts;
    for (const auto &[field, value] : list) {
      if (!value.empty()) parts.push_back(std::string(field) + " = " + value);
    }
    return "(" + joined(parts, [](const std::string &part) { return part; }) + ")";
  }
  std::string optional(const StoragePtr &s) { return s ? name(s) : ""; }

  void print(const IndexPlace &place, bool) {
    line("index_place " + word(place.index_name) +
         fields({{"marks", optional(place.marks)},
                 {"mark_offsets", optional(place.mark_offsets)},
                 {"first", optional(place.first)},
                 {"groups", text(place.groups, int64)},
                 {"length", place.length.defined() ? text(place.length, int64) : ""},
                 {"micro", text(place.micro, int64)},
                 {"spacing", place.spacing.defined() ? text(place.spacing, int64) : ""},
                 {"align", std::to_string(place.align)}}) +
         " -> " +
         fields({{"offsets", optional(place.offsets)},
                 {"counts", optional(place.counts)},
                 {"coordinates", optional(place.coordinates)},
                 {"position", optional(place.position)},
                 {"full", optional(place.full)}}) +
         (place.ordered ? "" : " unordered"));
  }

  void print(const IndexSort &sort, bool) {
    line("index_sort " + word(sort.index_name) +
         fields({{"keys", optional(sort.keys)},
                 {"length", text(sort.length, int64)},
                 {"groups", text(sort.groups, int64)},
                 {"align", std::to_string(sort.align)}}) +
         " -> " +
         fields({{"offsets", optional(sort.offsets)},
                 {"counts", optional(sort.counts)},
                 {"coordinates", optional(sort.coordinates)},
                 {"position", optional(sort.position)}}) +
         (sort.ordered ? "" : " unordered"));
  }

  void print(const Prefix &prefix, bool) {
    line("prefix " + name(prefix.destination) + " = " + name(prefix.source) + " count " +
         text(prefix.length, int64));
  }

  void print(const Compact &compact, bool) {
    line("compact " + name(compact.list) + ", " + name(compact.count) + " = " +
         name(compact.marks) + " count " + text(compact.length, int64));
  }

  void print(const SumBefore &sum, bool) {
    line("sum_before " + name(sum.sum) + " = " + text(sum.value, int64) + " part " +
         text(sum.part, int64) + " from " + text(sum.first, int64) + " progress " +
         name(sum.progress));
  }

  void print(const FetchAdd &s, bool) {
    if (s.destination == nullptr || s.counters == nullptr)
      return line("fetch_add with a part missing");
    line("fetch_add" + over(s.axes) + name(s.destination) + "[" + text(s.indices, int64) + "] = " +
         name(s.counters) + "[" + text(s.at, int64) + "] += " + text(s.value, s.counters->type) +
         (s.ordered ? " ordered" : "") + where(s.guards));
  }

  void print(const Stage &stage, bool) {
    line(std::string("stage ") + keyword(stage.stage_kind) + " " + word(stage.name) + " ");
    braces(stage.body);
  }

  void print(const Launch &launch, bool) {
    line("launch " + word(launch.name) + " threads " + std::to_string(launch.threads));
    if (launch.resident) out_ += " resident " + name(launch.resident);
    for (std::size_t i = 0; i < launch.grid.size(); ++i) {
      const GridAxis &axis = launch.grid[i];
      out_ += (i == 0 ? " grid " : ", ") + name(axis.var) + " < " + text(axis.extent, int64);
    }
    if (launch.cluster.var)
      out_ += " cluster " + name(launch.cluster.var) + " < " + text(launch.cluster.extent, int64);
    out_ += " ";
    braces(launch.body);
  }

  // --- the staged level ---

  std::string name(const BarrierPtr &b) {
    return b == nullptr ? "missing" : unique(b.get(), b->name);
  }
  std::string slot(const BarrierSlot &at) {
    return name(at.barrier) + "[" + text(at.slot, int64) + "]";
  }

  void print(const Barriers &barriers, bool last) {
    const BarrierPtr &b = barriers.barrier;
    line("barrier " + name(b) + "[" + std::to_string(b->slots) + "] arrivals " +
         std::to_string(b->arrivals));
    scope(barriers.body, last);
  }
  void print(const Arrive &arrive, bool) {
    line("arrive " + slot(arrive.at) + " each " + arrivals_name(arrive.each) +
         (arrive.after_copies ? " after_copies" : "") +
         (arrive.bytes.defined() ? " expect " + text(arrive.bytes, int64) : "") +
         (arrive.cluster ? " cluster" : ""));
  }
  void print(const Wait &wait, bool) {
    line("wait " + slot(wait.at) + " parity " + text(wait.parity, int64));
  }
  void print(const Copy &copy, bool) {
    if (copy.storage == nullptr || !copy.value.defined()) return line("copy with a part missing");
    line("copy " + std::string(engine_name(copy.engine)) + over(copy.axes) + name(copy.storage) +
         "[" + text(copy.indices, int64) + "] = " + text(copy.value, copy.storage->type) +
         where(copy.guards) + (copy.bytes != 0 ? " bytes " + std::to_string(copy.bytes) : "") +
         (copy.completes.barrier ? " on " + slot(copy.completes) : "") +
         (copy.multicast ? " multicast" : ""));
  }
  void print(const Commit &commit, bool) {
    line("commit " + std::string(engine_name(commit.engine)));
  }
  void print(const Drain &drain, bool) {
    line("drain " + std::string(engine_name(drain.engine)) + " pending " +
         std::to_string(drain.pending));
  }
  void print(const Sync &sync, bool) { line(sync.cluster ? "sync cluster" : "sync"); }
  void print(const Fence &fence, bool) {
    line(fence.fence == FenceKind::Async ? "fence async" : "fence barriers");
  }
  void print(const Roles &roles, bool) {
    line("roles {");
    ++indent_;
    for (const Role &role : roles.roles) {
      line("role " + word(role.name) + " warps " + std::to_string(role.warps) +
           (role.registers != 0 ? " registers " + std::to_string(role.registers) : "") + " ");
      braces(role.body);
    }
    --indent_;
    line("}");
  }
};

}  // namespace

const char *layout_name(Layout::Kind kind) {
  switch (kind) {
    case Layout::Kind::RowMajor:
      return "row_major";
    case Layout::Kind::Swizzled:
      return "swizzle";
    case Layout::Kind::Accumulator:
      return "accumulator";
    case Layout::Kind::OperandA:
      return "operand_a";
    case Layout::Kind::OperandB:
      return "operand_b";
    case Layout::Kind::Blocked:
      return "blocked";
    case Layout::Kind::Rows:
      return "rows";
  }
  return "row_major";
}
const char *arrivals_name(Arrivals each) {
  constexpr const char *kNames[] = {"role", "warpgroup", "warp", "thread"};
  return kNames[static_cast<int>(each)];
}
const char *engine_name(CopyEngine engine) {
  constexpr const char *kNames[] = {"threads", "async", "bulk"};
  return kNames[static_cast<int>(engine)];
}
const char *engine_name(Engine engine) { return engine == Engine::Copies ? "copies" : "matrix"; }

std::string print(const Module &module) { return Printer().module(module); }
std::string print(const Stmt &stmt) { return Printer().statement(stmt); }

}  // namespace pit::ir
