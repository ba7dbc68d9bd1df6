// Reading schedules back. The printer is in schedule_text.cpp, the grammar in schedule_text.h.
#include <algorithm>
#include <cctype>
#include <sstream>

#include "error.h"
#include "expr_parser.h"
#include "func.h"
#include "loop_names.h"
#include "nearest_word.h"
#include "pipeline.h"
#include "schedule_names.h"
#include "schedule_text.h"

namespace pit {

namespace {

using Location = std::source_location;

// Reads one line.
class LineParser {
 public:
  LineParser(ScheduleNames *names, Schedule *schedule, const std::string &line, Location where)
      : names_(*names), schedule_(*schedule), line_(line) {
    d_.where = where;
  }

  void parse() {
    std::string word = name("a Func");
    std::string index_name;
    if (accept('=')) {
      index_name = word;
      word = name("a Func");
    }
    const std::string directive = subject(word);
    d_.kind = kind(directive);
    expect('(');
    if (!index_name.empty() && d_.kind != DirectiveKind::Index)
      fail("only index() makes a value that can be named");
    if (index_name.empty() && d_.kind == DirectiveKind::Index)
      fail("expected 'name =' before index()");
    arguments(index_name);
    expect(')');
    if (d_.kind == DirectiveKind::Index || (d_.kind == DirectiveKind::PitTile && !d_.index_named))
      settings(*d_.index);
    skip_blanks();
    if (position_ != line_.size()) fail("expected the end of the line");
    check_directive(d_, schedule_.directives);
    if (d_.kind == DirectiveKind::Index && !names_.declare(d_.index))
      fail("there is another index " + d_.index->name);
    schedule_.directives.push_back(d_);
  }

  [[noreturn]] void fail(const std::string &message) const {
    throw ExprSyntaxError(message, position_);
  }

 private:
  // --- tokens ---

  void skip_blanks() {
    while (position_ < line_.size() && std::isspace(static_cast<unsigned char>(line_[position_])))
      ++position_;
  }
  bool at(char c) {
    skip_blanks();
    return position_ < line_.size() && line_[position_] == c;
  }
  bool accept(char c) {
    if (!at(c)) return false;
    ++position_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }
  std::string name(const std::string &what) {
    skip_blanks();
    const std::string word = parse_name(line_, &position_);
    if (word.empty()) fail("expected the name of " + what);
    return word;
  }
  std::int64_t integer() {
    skip_blanks();
    const std::size_t start = position_;
    if (position_ < line_.size() && line_[position_] == '-') ++position_;
    while (position_ < line_.size() && std::isdigit(static_cast<unsigned char>(line_[position_])))
      ++position_;
    try {
      return std::stoll(line_.substr(start, position_ - start));
    } catch (const std::exception &) {
      position_ = start;
      fail("expected an integer");
    }
  }
  bool at_integer() {
    skip_blanks();
    return position_ < line_.size() &&
           (line_[position_] == '-' || std::isdigit(static_cast<unsigned char>(line_[position_])));
  }
  Expr expression() {
    DefinitionSymbols symbols(names_, *func_, d_.definition);
    return parse_expr(line_, &position_, &symbols);
  }
  // "key =" of an option; the comma before it is read already.
  void key(const std::string &expected) {
    const std::string word = name(expected);
    if (word != expected) fail("expected " + expected + "=, not " + word);
    expect('=');
  }

  // --- names ---

  FuncPtr func(const std::string &word) {
    FuncPtr found = names_.func(word);
    if (!found)
      fail("the pipeline has no Func " + word + "; its Funcs are " + names_.known_funcs(word));
    return found;
  }

  // Takes the last part off a dotted name.
  static std::string take_last(std::string *word) {
    const std::size_t dot = word->rfind('.');
    if (dot == std::string::npos) return "";
    std::string last = word->substr(dot + 1);
    word->erase(dot);
    return last;
  }

  int update_number(const FuncNode &of) {
    expect('(');
    const std::int64_t update = integer();
    expect(')');
    if (update < 0 || update + 1 >= static_cast<std::int64_t>(of.definitions.size())) {
      fail(of.name + " has " + std::to_string(of.definitions.size() - 1) +
           " update definitions and no update(" + std::to_string(update) + ")");
    }
    return static_cast<int>(update) + 1;
  }

  // Reads the rest of "Func.update(i).specialization(n).directive", of which `word` holds the first
  // dotted name.
  std::string subject(std::string word) {
    std::string last = take_last(&word);
    if (last.empty()) fail("expected '.' and a directive after " + word);
    func_ = func(word);
    d_.func = func_;
    if (last == "update") {
      d_.definition = update_number(*func_);
      expect('.');
      last = name("a directive");
    }
    if (last == "specialization") {
      expect('(');
      d_.specialization = static_cast<int>(integer());
      expect(')');
      expect('.');
      last = name("a directive");
      if (d_.specialization < 1 || d_.specialization > specializations()) {
        fail(definition_name(*func_, d_.definition) + " has no specialization " +
             std::to_string(d_.specialization) + " yet; specialize() makes them, counted from 1");
      }
    }
    return last;
  }

  // How many specializations the definition has so far.
  int specializations() const {
    return static_cast<int>(std::ranges::count_if(schedule_.directives, [&](const Directive &d) {
      return d.kind == DirectiveKind::Specialize && d.func.lock() == func_ &&
             d.definition == d_.definition;
    }));
  }

  // "P" or "P.update(1)" as an argument.
  FuncPtr definition(int *number) {
    std::string word = name("a Func");
    *number = 0;
    if (!at('(')) return func(word);
    if (take_last(&word) != "update") fail("expected update(i) after the Func");
    FuncPtr found = func(word);
    *number = update_number(*found);
    return found;
  }

  DirectiveKind kind(const std::string &word) {
    std::vector<std::string> known;
    for (int i = 0; i <= static_cast<int>(DirectiveKind::ReorderStorage); ++i) {
      const auto candidate = static_cast<DirectiveKind>(i);
      if (to_string(candidate) == word) return candidate;
      known.push_back(to_string(candidate));
    }
    fail("no directive is named " + word + "; they are " + known_words(word, known));
  }

  StoragePtr tensor() {
    const std::string word = name("a tensor");
    StoragePtr found = names_.tensor(word);
    if (!found)
      fail("the pipeline has no tensor " + word + "; its tensors are " +
           names_.known_tensors(word));
    return found;
  }

  IndexPtr index() {
    const std::string word = name("an index");
    IndexPtr found = names_.declared(word);
    if (!found) fail("no line before this one declares an index " + word);
    return found;
  }

  VarPtr loop() { return names_.loop(*func_, d_.definition, name("a loop")); }

  // --- arguments ---

  std::vector<std::pair<VarPtr, std::int64_t>> extents() {
    std::vector<std::pair<VarPtr, std::int64_t>> entries;
    expect('{');
    if (accept('}')) return entries;
    do {
      const VarPtr v = loop();
      expect(':');
      entries.emplace_back(v, integer());
    } while (accept(','));
    expect('}');
    return entries;
  }

  void arguments(const std::string &index_name) {
    if (const DirectiveShape *shape = shape_of(d_.kind)) return simple(*shape);
    switch (d_.kind) {
      case DirectiveKind::Index:
        d_.index_named = true;
        d_.index = names_.make_index(index_name, func_, d_.definition, d_.where);
        options();
        break;
      case DirectiveKind::PitTile:
        d_.vars = {names_.made_loop(name("the tile's loop"))};
        d_.index = names_.make_index(new_index_name(*func_, schedule_.directives), func_,
                                     d_.definition, d_.where);
        if (accept(',')) options();
        break;
      case DirectiveKind::SRead:
      case DirectiveKind::SWrite: {
        const std::string word = name("a tensor or a Func");
        // Func or tensor of one name: a tensor is read, a Func is written.
        if (d_.kind == DirectiveKind::SRead) d_.tensor = names_.tensor(word);
        if (!d_.tensor) d_.other = func(word);
        if (accept(',')) {
          key("vector_bytes");
          d_.ints = {integer()};
        }
        break;
      }
      case DirectiveKind::WarpSpecialize: {
        key("producer_warps");
        const std::int64_t producers = integer();
        expect(',');
        key("consumer_warpgroups");
        d_.ints = {producers, integer()};
        break;
      }
      case DirectiveKind::Cluster:
        d_.dense = extents();
        break;
      case DirectiveKind::TileOrder: {
        const std::vector<std::string> known(std::begin(kTileOrders), std::end(kTileOrders));
        const std::string word = name("an order");
        const auto it = std::ranges::find(known, word);
        if (it == known.end())
          fail("no order is named " + word + "; they are " + known_words(word, known));
        d_.ints = {it - known.begin()};
        break;
      }
      case DirectiveKind::Atom: {
        expect('"');
        const std::size_t end = line_.find('"', position_);
        if (end == std::string::npos) fail("expected a closing '\"'");
        d_.text = line_.substr(position_, end - position_);
        position_ = end + 1;
        break;
      }
      case DirectiveKind::Specialize:
        d_.exprs = {expression()};
        d_.ints = {specializations() + 1};
        break;
      case DirectiveKind::ComputeWith:
      case DirectiveKind::ComputeAt: {
        const FuncPtr other = definition(&d_.other_definition);
        d_.other = other;
        expect(',');
        d_.vars = {names_.loop(*other, d_.other_definition == 0 ? -1 : d_.other_definition,
                               name("a loop"))};
        break;
      }
      case DirectiveKind::Bound: {
        d_.vars = {loop()};
        expect(',');
        const Expr min = expression();
        expect(',');
        d_.exprs = {min, expression()};
        break;
      }
      case DirectiveKind::StoreCompact:
        d_.index = index();
        break;
      default:
        fail("a directive without a text form");
    }
  }

  void simple(const DirectiveShape &shape) {
    if (!at(')')) {
      do {
        if (at_integer()) {
          d_.ints.push_back(integer());
        } else {
          if (!d_.ints.empty()) fail("expected an integer: loops come first");
          const std::string word = name("a loop");
          const bool exists = static_cast<int>(d_.vars.size()) < shape.old_vars;
          d_.vars.push_back(exists ? names_.loop(*func_, d_.definition, word)
                                   : names_.made_loop(word));
        }
      } while (accept(','));
    }
    count("loops", d_.vars.size(), shape.min_vars, shape.max_vars);
    count("integers", d_.ints.size(), shape.min_ints, shape.max_ints);
  }

  void count(const std::string &what, std::size_t size, int low, int high) const {
    const int n = static_cast<int>(size);
    if (n >= low && n <= high) return;
    const std::string wanted = high == kAnyNumber ? "at least " + std::to_string(low)
                               : low == high ? std::to_string(low)
                                             : std::to_string(low) + " to " + std::to_string(high);
    fail(to_string(d_.kind) + " takes " + wanted + " " + what + ", not " + std::to_string(n));
  }

  // The fields of a rule, in any order.
  void options() {
    bool has_rule = false;
    do {
      const std::string word = name("an option");
      expect('=');
      const bool tiling = d_.kind == DirectiveKind::PitTile;
      const bool names_rule =
          word == "axis" || word == "group" || word == "micro" || word == "index";
      if (tiling && names_rule && (d_.index_named || (word == "index" && has_rule))) {
        fail("expected either index, or axis, group and micro");
      }
      has_rule = has_rule || names_rule;
      if (word == "axis") {
        d_.index->axis = loop();
      } else if (word == "group") {
        d_.index->group = expression();
      } else if (word == "micro") {
        d_.index->micro = extents();
      } else if (word == "dense" && tiling) {
        d_.dense = extents();
      } else if (word == "index" && tiling) {
        d_.index = index();
        d_.index_named = true;
      } else {
        fail("no option of " + to_string(d_.kind) + " is named " + word +
             "; they are axis, group, micro" + (tiling ? ", dense, index" : ""));
      }
    } while (accept(','));
  }

  // The calls after index(): they are those of SparseIndex, with its checks.
  void settings(IndexNode &node) {
    SparseIndex handle(d_.index);
    while (accept('.')) {
      const std::string word = name("a setting of the index");
      expect('(');
      if (word == "unordered") {
        node.ordered = false;
      } else if (word == "capacity") {
        handle.capacity(expression(), d_.where);
      } else if (word == "align") {
        handle.align(integer(), d_.where);
      } else if (word == "store_values") {
        node.stored_values = tensor();
      } else if (word == "compute_at") {
        int number = 0;
        const FuncPtr producer = definition(&number);
        expect(',');
        handle.compute_at(Func(producer), VarOrRVar(names_.loop(*producer, -1, name("a loop"))),
                          d_.where);
      } else if (word == "given") {
        node.given_offsets = tensor();
        expect(',');
        node.given_coordinates = tensor();
      } else {
        fail("no setting of an index is named " + word + "; they are " +
             known_words(
                 word, {"unordered", "capacity", "align", "store_values", "compute_at", "given"}));
      }
      expect(')');
    }
  }

  ScheduleNames &names_;
  Schedule &schedule_;
  const std::string &line_;
  std::size_t position_ = 0;
  FuncPtr func_;
  Directive d_;
};

}  // namespace

Schedule Schedule::parse(const Pipeline &pipeline, const std::string &text,
                         std::source_location where) {
  ScheduleNames names(pipeline);
  Schedule schedule;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    const std::string place = "schedule, line " + std::to_string(number);
    try {
      LineParser(&names, &schedule, line, where).parse();
    } catch (const ExprSyntaxError &error) {
      throw CompileError(place + ", column " + std::to_string(error.position + 1) + ": " +
                             error.what() + "\n  " + line,
                         where);
    } catch (const CompileError &error) {
      // The rule of a directive, which says the place of parse() already.
      const std::string said_at =
          std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": ";
      std::string problem = error.what();
      if (problem.starts_with(said_at)) problem.erase(0, said_at.size());
      throw CompileError(place + ": " + problem + "\n  " + line, where);
    }
  }
  return schedule;
}

}  // namespace pit
