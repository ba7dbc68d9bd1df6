#include "json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace pit::program {

namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json document() {
    Json result = value(0);
    skip_space();
    if (at_ != text_.size()) fail("the end");
    return result;
  }

 private:
  static constexpr int kDeepest = 100;
  std::string_view text_;
  std::size_t at_ = 0;

  [[noreturn]] void fail(const std::string &expected) const {
    std::size_t line = 1;
    for (const char c : text_.substr(0, at_)) line += c == '\n';
    throw std::runtime_error("not JSON: line " + std::to_string(line) + ": expected " + expected);
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  bool take(std::string_view word) {
    skip_space();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  void expect(std::string_view word) {
    if (!take(word)) fail("'" + std::string(word) + "'");
  }

  Json value(int depth) {
    if (depth > kDeepest) fail("fewer levels");
    if (take("{")) return object(depth);
    if (take("[")) return array(depth);
    if (take("\"")) return {.kind = Json::Kind::String, .text = string()};
    if (take("null")) return {};
    if (take("true")) return {.kind = Json::Kind::Boolean, .number = 1};
    if (take("false")) return {.kind = Json::Kind::Boolean};
    Json result{.kind = Json::Kind::Number};
    const char *begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), result.number);
    if (error != std::errc()) fail("a value");
    at_ += static_cast<std::size_t>(end - begin);
    return result;
  }

  Json object(int depth) {
    Json result{.kind = Json::Kind::Object};
    if (take("}")) return result;
    do {
      expect("\"");
      const std::string name = string();
      expect(":");
      result.members[name] = value(depth + 1);
    } while (take(","));
    expect("}");
    return result;
  }

  Json array(int depth) {
    Json result{.kind = Json::Kind::Array};
    if (take("]")) return result;
    do result.items.push_back(value(depth + 1));
    while (take(","));
    expect("]");
    return result;
  }

  // What follows the opening quote. Of \u only control characters are needed: nothing else is
  // written so.
  std::string string() {
    std::string result;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] != '\\') {
        result += text_[at_];
        continue;
      }
      if (++at_ == text_.size()) break;
      static constexpr std::string_view kCodes = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
      if (const std::size_t code = kCodes.find(text_[at_]); code != kCodes.npos) {
        result += kMeant[code];
        continue;
      }
      unsigned character = 0;
      const char *digits = text_.data() + at_ + 1;
      if (text_[at_] != 'u' || text_.size() - at_ < 5 ||
          std::from_chars(digits, digits + 4, character, 16).ptr != digits + 4 ||
          character >= 0x80) {
        fail("an escape that is known");
      }
      result += static_cast<char>(character);
      at_ += 4;
    }
    if (at_ == text_.size()) fail("a closing quote");
    ++at_;
    return result;
  }
};

}  // namespace

std::string json_string(const std::string &text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(c));
      result += code.data();
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

JsonObject &JsonObject::raw(const std::string &name, const std::string &value) {
  if (!members_.empty()) members_ += ", ";
  members_ += json_string(name) + ": " + value;
  return *this;
}

JsonObject &JsonObject::add(const std::string &name, const std::string &text) {
  return raw(name, json_string(text));
}
JsonObject &JsonObject::add(const std::string &name, double value) {
  return raw(name, json_number(value));
}
JsonObject &JsonObject::add_null(const std::string &name) { return raw(name, "null"); }

const Json &Json::operator[](const std::string &name) const {
  static const Json kNull;
  const auto found = members.find(name);
  return found == members.end() ? kNull : found->second;
}

Json parse_json(const std::string &text) { return Parser(text).document(); }

}  // namespace pit::program
