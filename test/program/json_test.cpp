// What the programs in apps/ share: patterns of names and JSON.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "apps/program/command_line.h"
#include "apps/program/json.h"

using namespace pit::program;

TEST_CASE("patterns of case names") {
  CHECK(matches("*", ""));
  CHECK(matches("", ""));
  CHECK(!matches("", "a"));
  CHECK(matches("moe*", "moe/top1"));
  CHECK(!matches("moe", "moe/top1"));
  CHECK(matches("*f32*9?%", "spmm/bf32/f32/x95%"));
  CHECK(!matches("*f32*9?%", "spmm/f32/9%"));
  CHECK(matches("a*b*c", "abbabc"));
  CHECK(!matches("a*b*c", "abbab"));
}

TEST_CASE("JSON strings are escaped") {
  CHECK(json_string("a\"b\\c\n\x01 50%") == "\"a\\\"b\\\\c\\u000a\\u0001 50%\"");
}

TEST_CASE("objects keep the order of their members") {
  JsonObject object;
  object.add("b", "x").add("a", 0.1).add("none", std::optional<double>());
  object.add("nan", std::nan("")).add("infinite", std::numeric_limits<double>::infinity());
  CHECK(object.text() ==
        "{\"b\": \"x\", \"a\": 0.1, \"none\": null, \"nan\": null, \"infinite\": null}");
}

TEST_CASE("what is written is read") {
  const std::string odd = "a\"b\\c\n\x01/ 50% \u00e9";
  const Json json = parse_json("[\n" + JsonObject().add("odd", odd).add("n", -1.5e-7).text() +
                               ", null, true, false, [], {}, \"\\u0041\"]\n");
  REQUIRE(json.items.size() == 7);
  CHECK(json.items[0]["odd"].text == odd);
  CHECK(json.items[0]["n"].number == -1.5e-7);
  CHECK(json.items[0]["missing"].kind == Json::Kind::Null);
  CHECK(json.items[1].kind == Json::Kind::Null);
  CHECK(json.items[2].number == 1);
  CHECK(json.items[3].kind == Json::Kind::Boolean);
  CHECK(json.items[4].kind == Json::Kind::Array);
  CHECK(json.items[5].kind == Json::Kind::Object);
  CHECK(json.items[6].text == "A");
}

TEST_CASE("what is not JSON is refused with its line") {
  for (const char *text : {"", "[", "[1,]", "{\"a\" 1}", "{\"a\": }", "\"open", "\"\\", "\"\\u12\"",
                           "\"\\q\"", "[1] 2", "nul", "{a: 1}"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_json(text), std::runtime_error);
  }
  CHECK_THROWS_WITH(parse_json("[1,\n2,\n}]"), "not JSON: line 3: expected a value");
  CHECK_THROWS_AS(parse_json(std::string(100000, '[')), std::runtime_error);
}
