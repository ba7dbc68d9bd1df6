#include "attention.h"

#include <algorithm>
#include <optional>

namespace pit::fuzz {

namespace {

struct Dimension {
  Var var;
  std::int64_t size;
};

class Attention {
 public:
  Attention(Choices *choices, Expressions *expressions, DrawnProgram *program)
      : choices_(*choices), expressions_(*expressions), program_(*program) {}

  void draw() {
    program_.exact = false;
    draw_sizes();
    const Dimension position = dimension(keys_), channel = dimension(width());
    DrawnFunc scores = func(position), sums = func(channel), result = func(channel);
    scores.func(args_of(scores)) = score(position);
    scores.infinite = true;
    if (choices_.chance(30)) scores.func.bound(position.var, 0, make_int(int64, keys_));
    program_.funcs.push_back(scores);

    const bool widened = choices_.chance(5);
    std::optional<TensorParam> values;
    for (std::int64_t updates = choices_.between(1, 3); updates > 0; --updates) {
      const Choices::Part part(&choices_);
      const IndexTerm key = find_key();
      std::vector<Expr> place = args_of(scores);
      place.back() = key.e;
      const std::vector<IndexTerm> at = of_keys(key, {channel.var, channel.size});
      if (!values || choices_.chance(10)) values = tensor("V", type_, at);
      const Expr value = element(*values, at);
      sums.func(args_of(sums)) +=
          softmax_term(scores.func(place), widened ? cast(float32, value) : value);
    }
    sums.softmax = true;
    program_.funcs.push_back(sums);

    if (choices_.chance(30)) {
      DrawnFunc logarithms = func({});
      std::vector<Expr> place = args_of(logarithms);
      place.push_back(0);
      logarithms.func(args_of(logarithms)) = log_sum_exp(sums.func(place));
      logarithms.infinite = true;
      logarithms.beside = true;
      program_.funcs.push_back(logarithms);
    }
    result.func(args_of(result)) = cast(type_, softmax_value(sums.func(args_of(sums))));
    result.bound = 4;
    program_.funcs.push_back(result);
  }

 private:
  /// The most products that a case without a schedule may make: scores are then computed anew for
  /// every channel.
  static constexpr std::int64_t kMostProducts = 4'000'000;

  void draw_sizes() {
    const std::int64_t heads = choices_.chance(70) ? choices_.between(1, 3) : 0;
    sharing_ = choices_.between(1, 2);
    channels_ = width();
    type_ = choices_.pick(std::vector<Type>{bfloat16, float16, bfloat16, float16, float32});
    const auto length = [&] {
      return choices_.chance(30) ? choices_.between(33, 140) : choices_.between(1, 32);
    };
    std::int64_t rows = length();
    keys_ = choices_.chance(30) ? rows : length();
    while (std::max<std::int64_t>(heads, 1) * rows * keys_ * channels_ * channels_ > kMostProducts)
      (rows > keys_ ? rows : keys_) /= 2;
    if (heads > 0) outer_.push_back(dimension(heads));
    outer_.push_back(dimension(rows));
    strip_ = choices_.pick(std::vector<std::int64_t>{64, 128, 64, 128, 32, 16, 1});
    program_.strip = strip_;
  }

  std::int64_t width() {
    return choices_.chance(5) ? choices_.between(1, 40)
                              : choices_.pick(std::vector<std::int64_t>{16, 32, 64, 128});
  }

  Dimension dimension(std::int64_t size) { return {Var(expressions_.name("v")), size}; }

  DrawnFunc func(std::optional<Dimension> last) {
    DrawnFunc f{Func(expressions_.name("F"))};
    f.exact = false;
    std::vector<Dimension> all = outer_;
    if (last) all.push_back(*last);
    for (const Dimension &d : all) {
      f.vars.push_back(d.var);
      f.extents.push_back(d.size);
    }
    return f;
  }

  static std::vector<Expr> args_of(const DrawnFunc &f) { return {f.vars.begin(), f.vars.end()}; }

  /// A new tensor that `at` is in.
  TensorParam tensor(const std::string &prefix, Type type, const std::vector<IndexTerm> &at,
                     Content content = Content::Small, std::int64_t limit = 0) {
    TensorParam made(type, static_cast<int>(at.size()), expressions_.name(prefix));
    Shape extents;
    for (const IndexTerm &i : at) extents.push_back(i.size);
    program_.tensors.push_back({made, extents, content, limit});
    return made;
  }
  static Expr element(const TensorParam &tensor, const std::vector<IndexTerm> &at) {
    std::vector<Expr> indices;
    for (const IndexTerm &i : at) indices.push_back(i.e);
    return make_load(tensor.storage(), indices);
  }
  /// An element of a new tensor.
  Expr load(const std::string &prefix, Type type, const std::vector<IndexTerm> &at,
            Content content = Content::Small, std::int64_t limit = 0) {
    return element(tensor(prefix, type, at, content, limit), at);
  }

  bool heads() const { return outer_.size() > 1; }
  IndexTerm row() const { return {outer_.back().var, outer_.back().size}; }
  static IndexTerm block_of(const IndexTerm &i, std::int64_t block) {
    return {i.e / block, (i.size + block - 1) / block};
  }

  /// Places in a tensor of keys, whose heads several of the queries may share.
  std::vector<IndexTerm> of_keys(const IndexTerm &key, const IndexTerm &channel) const {
    std::vector<IndexTerm> at{key, channel};
    if (heads()) at.insert(at.begin(), block_of({outer_[0].var, outer_[0].size}, sharing_));
    return at;
  }

  /// What data say of a strip of rows, of each head or of all.
  Expr of_strip(const std::string &prefix, Content content, std::int64_t limit,
                const std::vector<IndexTerm> &inner = {}) {
    std::vector<IndexTerm> at{block_of(row(), strip_)};
    if (heads() && !choices_.chance(30)) at.insert(at.begin(), {outer_[0].var, outer_[0].size});
    at.insert(at.end(), inner.begin(), inner.end());
    return load(prefix, int32, at, content, limit);
  }

  Expr score(const Dimension &position) {
    const RDom c = reduction(make_int(int64, channels_));
    const IndexTerm channel{c, channels_};
    std::vector<IndexTerm> query{row(), channel};
    if (heads()) query.insert(query.begin(), {outer_[0].var, outer_[0].size});
    const Expr q = load("Q", type_, query);
    const Expr k = load("K", type_, of_keys({position.var, position.size}, channel));
    key_tensor_ = k.as<Load>()->storage;
    const Expr scaled = choices_.pick(std::vector<float>{0.125F, 1.F, 0.5F}) *
                        sum(c, cast(float32, q) * cast(float32, k));
    switch (choices_.weighted({75, 10, 8, 7})) {
      case 0:
        return scaled;
      case 1:
        return scaled + load("bias", float32, {{position.var, position.size}});
      case 2:
        return 4.F * tanh(scaled);
      default:
        return clamp(scaled, -4, 4);
    }
  }

  RDom reduction(const Expr &extent, const Expr &inner = {}) {
    const std::string name = expressions_.name("r");
    const RDom r = inner.defined() ? RDom(0, extent, 0, inner, name) : RDom(0, extent, name);
    program_.domains.push_back(r);
    return r;
  }

  /// The position of a key, over a new domain. Data may list one more than once.
  IndexTerm find_key() {
    switch (choices_.weighted({30, 25, 25, 20})) {
      case 0: {  // all
        const Expr all = choices_.chance(50) ? make_int(int64, keys_)
                                             : make_extent(key_tensor_, heads() ? 1 : 0);
        RDom r = reduction(all);
        return narrowed(r, Expr(r), false);
      }
      case 1: {  // single ones
        const std::int64_t most = expressions_.size();
        RDom r = reduction(of_strip("count", Content::Index, most + 1));
        const bool absent = choices_.chance(25);
        const Expr key =
            of_strip("key", absent ? Content::Key : Content::Index, keys_, {{r, most}});
        if (absent) r.where(key >= 0);
        return narrowed(r, key, false);
      }
      case 2: {  // ranges of one length
        const std::int64_t most = choices_.between(1, 4),
                           length =
                               choices_.pick(std::vector<std::int64_t>{16, 64, 32, 8, 16, 64, 5});
        RDom r = reduction(of_strip("count", Content::Index, most + 1), make_int(int64, length));
        return narrowed(r, of_strip("first", Content::Index, keys_, {{r.x, most}}) + r.y, true);
      }
      default: {  // a range
        RDom r = reduction(of_strip("length", Content::Index, keys_ + 1));
        return narrowed(r, of_strip("first", Content::Index, keys_) + r, true);
      }
    }
  }

  /// With predicates on the key: that it is one where it may lie beyond the last, and others.
  IndexTerm narrowed(RDom r, const Expr &key, bool beyond) {
    const IndexTerm i = row(), position{key, keys_};
    const bool causal = choices_.chance(beyond ? 50 : 30);
    if (causal) r.where(key <= i.e);
    if (beyond && (!causal || i.size > keys_)) r.where(key < make_int(int64, keys_));
    if (choices_.chance(10)) r.where(key > i.e - static_cast<int>(choices_.between(0, 20)));
    if (choices_.chance(25)) {  // blocks
      const auto block = choices_.pick(std::vector<std::int64_t>{64, 16, 32, 8});
      std::vector<IndexTerm> at{block_of(i, strip_), block_of(position, block)};
      if (heads()) at.insert(at.begin(), {outer_[0].var, outer_[0].size});
      r.where(load("mask", uint8, at) != 0);
    }
    return position;
  }

  Choices &choices_;
  Expressions &expressions_;
  DrawnProgram &program_;
  std::vector<Dimension> outer_;  ///< heads, perhaps, and rows
  std::int64_t sharing_ = 1, channels_ = 0, keys_ = 0, strip_ = 0;
  Type type_;
  StoragePtr key_tensor_;
};

}  // namespace

void draw_attention(Choices *choices, Expressions *expressions, DrawnProgram *program) {
  Attention(choices, expressions, program).draw();
}

}  // namespace pit::fuzz
