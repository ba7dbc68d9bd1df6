#include <doctest/doctest.h>
#include <pit/error.h>
#include <pit/nearest_word.h>
#include <pit/target.h>

#include <string>

using namespace pit;

namespace {

std::string error_of(const std::string &text) {
  try {
    Target target(text);
  } catch (const CompileError &error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("host is this machine and its text parses to an equal target") {
  const Target host;
  CHECK(host == Target("host"));
  CHECK(host.has("sse41"));
  CHECK(!host.is_cuda());
  CHECK(Target(host.to_string()) == host);
  CHECK(host.to_string().starts_with("x86-64-linux"));
}

TEST_CASE("features imply others, and the canonical text leaves those out") {
  const Target target("x86-64-linux-avx512_bf16");
  for (const char *feature : {"sse41", "avx2", "avx512", "avx512_bf16"}) CHECK(target.has(feature));
  CHECK(target.to_string() == "x86-64-linux-avx512_bf16");
  CHECK(target == Target("x86-64-linux-sse41-avx2-avx512_bf16-avx512"));
  CHECK(Target("x86-64-linux").to_string() == "x86-64-linux");
  CHECK(!Target("x86-64-linux").has("avx2"));
}

TEST_CASE("cuda targets") {
  const Target target("x86-64-linux-cuda-sm_90a");
  CHECK(target.is_cuda());
  CHECK(target.to_string() == "x86-64-linux-cuda-sm_90a");
  CHECK(Target("x86-64-linux-sm_90a") == target);
  CHECK(target.without("cuda") == Target("x86-64-linux"));
  CHECK(mentions(error_of("x86-64-linux-sm_80-sm_90a"), "exclude each other"));
}

TEST_CASE("with and without keep implications") {
  const Target base("x86-64-linux");
  CHECK(base.with("avx512").has("avx2"));
  CHECK(base.with("avx512").without("avx2") == base);
  CHECK(base.with("profile").without("profile") == base);
  CHECK(base.with("no_threads") != base);
  CHECK(base.with("no_asserts") != base);
  CHECK_THROWS_AS(base.without("sse41"), CompileError);
  CHECK_THROWS_AS(base.with("warp"), CompileError);
  CHECK(Target("host-no_threads") == Target().with("no_threads"));
}

TEST_CASE("an unknown word is an error that lists the known ones and the nearest") {
  CHECK(mentions(error_of("x86-64-linux-avx521"), "'avx521'"));
  CHECK(mentions(error_of("x86-64-linux-avx521"), "did you mean avx512?"));
  CHECK(mentions(error_of("x86-64-linux-zzz"),
                 "sse41, avx2, avx512, avx512_bf16, avx512_vnni, cuda, sm_80, sm_90a, "));
  CHECK(mentions(error_of("x86_64-linux"), "did you mean x86-64?"));
  CHECK(mentions(error_of("x86-64-windows"), "'windows' is no system"));
  CHECK(mentions(error_of("x86-64"), "is no system"));
  CHECK(mentions(error_of(""), "starts with an architecture"));
  CHECK(mentions(error_of("hosts"), "starts with an architecture"));
  CHECK(mentions(error_of("x86-64-linux--avx2"), "unknown feature ''"));
}

TEST_CASE("the error of a target carries the place where it is written") {
  try {
    Target target("x86-64-linux-nothing");
    CHECK(false);
  } catch (const CompileError &error) {
    CHECK(std::string(error.where().file_name()).find("target_test.cpp") != std::string::npos);
  }
}

TEST_CASE("the nearest word is a slip of the pen away or not there") {
  const std::vector<std::string> known = {"split", "tile", "fuse"};
  CHECK(nearest_word("splitt", known) == "split");
  CHECK(nearest_word("tlie", known) == "tile");
  CHECK(nearest_word("til", known) == "tile");
  CHECK(nearest_word("reorder", known) == "");
  CHECK(known_words("fuze", known) == "split, tile, fuse (did you mean fuse?)");
}
