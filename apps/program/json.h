// JSON as the programs in apps/ write and read it.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace pit::program {

/// `text` as a JSON string, quotes included.
std::string json_string(const std::string &text);
/// `value` in six digits; JSON has no infinities and no NaN: they are null.
std::string json_number(double value);

/// Makes an object on one line, its members in the order of the calls.
class JsonObject {
 public:
  JsonObject &add(const std::string &name, const std::string &text);
  JsonObject &add(const std::string &name, double value);
  JsonObject &add_null(const std::string &name);
  /// Null where there is no value.
  template <class Value>
  JsonObject &add(const std::string &name, const std::optional<Value> &value) {
    return value ? add(name, *value) : add_null(name);
  }
  std::string text() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
  JsonObject &raw(const std::string &name, const std::string &value);
};

/// A JSON value that was read.
struct Json {
  enum class Kind { Null, Boolean, Number, String, Array, Object };
  Kind kind = Kind::Null;
  double number = 0;  ///< Boolean: 0 or 1
  std::string text{};
  std::vector<Json> items{};
  std::map<std::string, Json> members{};

  /// A member of an object; null where there is none.
  const Json &operator[](const std::string &name) const;
};

/// std::runtime_error says at which line `text` is not JSON.
Json parse_json(const std::string &text);

}  // namespace pit::program
