#include "target.h"

#include <algorithm>
#include <vector>

#include "error.h"
#include "nearest_word.h"

namespace pit {

namespace {

struct Feature {
  const char *name;
  const char *implies;  // one other feature, or ""
};

// In the order in which to_string prints them.
constexpr Feature kFeatures[] = {
    {"sse41", ""},
    {"avx2", "sse41"},
    {"avx512", "avx2"},
    {"avx512_bf16", "avx512"},
    {"avx512_vnni", "avx512"},
    {"cuda", ""},
    {"sm_80", "cuda"},
    {"sm_90a", "cuda"},
    {"profile", ""},
    {"no_threads", ""},
    {"no_asserts", ""},
};

const std::vector<std::string> kArchitectures = {"x86-64"};
const std::vector<std::string> kSystems = {"linux"};

const Feature *find_feature(const std::string &name) {
  const auto *it =
      std::ranges::find_if(kFeatures, [&](const Feature &f) { return f.name == name; });
  return it == std::end(kFeatures) ? nullptr : it;
}

std::vector<std::string> feature_names() {
  std::vector<std::string> names;
  for (const Feature &feature : kFeatures) names.emplace_back(feature.name);
  return names;
}

const Feature &checked_feature(const std::string &name, std::source_location where) {
  const Feature *feature = find_feature(name);
  if (!feature) {
    throw CompileError("Target: unknown feature '" + name + "'; features are " +
                           known_words(name, feature_names()),
                       where);
  }
  return *feature;
}

// Features of this machine's CPU.
std::vector<std::string> host_features() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    found.emplace_back("avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      found.emplace_back("avx512");
      if (__builtin_cpu_supports("avx512bf16")) found.emplace_back("avx512_bf16");
      if (__builtin_cpu_supports("avx512vnni")) found.emplace_back("avx512_vnni");
    }
  }
#endif
  return found;
}

// Takes "<word>" or "<word>-" off the front of `text`.
bool take(std::string *text, const std::string &word) {
  if (!text->starts_with(word)) return false;
  if (text->size() == word.size()) {
    text->clear();
    return true;
  }
  if ((*text)[word.size()] != '-') return false;
  text->erase(0, word.size() + 1);
  return true;
}

bool take_any(std::string *text, const std::vector<std::string> &words, std::string *taken) {
  return std::ranges::any_of(words, [&](const std::string &word) {
    *taken = word;
    return take(text, word);
  });
}

}  // namespace

Target::Target() : Target("host") {}

Target::Target(const std::string &text, std::source_location where) {
  std::string rest = text;
  if (take(&rest, "host")) {
    arch_ = kArchitectures.front();
    os_ = kSystems.front();
    add("sse41", where);
    for (const std::string &feature : host_features()) add(feature, where);
  } else {
    if (!take_any(&rest, kArchitectures, &arch_)) {
      throw CompileError("Target '" + text +
                             "': a target is \"host\" or starts with an architecture: " +
                             known_words(rest.substr(0, rest.find("-linux")), kArchitectures) +
                             "; write for example \"x86-64-linux-avx512\"",
                         where);
    }
    const std::string system = rest.substr(0, rest.find('-'));
    if (!take_any(&rest, kSystems, &os_)) {
      throw CompileError("Target '" + text + "': '" + system + "' is no system; systems are " +
                             known_words(system, kSystems) +
                             "; write for example \"x86-64-linux-avx512\"",
                         where);
    }
    add("sse41", where);
  }
  while (!rest.empty()) {
    const std::size_t end = rest.find('-');
    add(rest.substr(0, end), where);
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
}

void Target::add(const std::string &feature, std::source_location where) {
  const Feature &known = checked_feature(feature, where);
  features_.insert(known.name);
  if (*known.implies) add(known.implies, where);
  if (has("sm_80") && has("sm_90a")) {
    throw CompileError(
        "Target: sm_80 and sm_90a exclude each other; name one GPU architecture a target", where);
  }
}

Target Target::with(const std::string &feature, std::source_location where) const {
  Target result = *this;
  result.add(feature, where);
  return result;
}

Target Target::without(const std::string &feature, std::source_location where) const {
  const Feature &known = checked_feature(feature, where);
  if (feature == "sse41") {
    throw CompileError("Target: sse41 is part of x86-64 and cannot be taken away", where);
  }
  Target result = *this;
  result.features_.erase(known.name);
  for (const Feature &other : kFeatures) {
    if (other.implies == feature && result.has(other.name))
      result = result.without(other.name, where);
  }
  return result;
}

std::string Target::to_string() const {
  std::string text = arch_ + "-" + os_;
  for (const Feature &feature : kFeatures) {
    // cuda is printed beside the sm_ that implies it: that is how people write it.
    const bool implied = std::ranges::any_of(kFeatures, [&](const Feature &other) {
      return other.implies == std::string(feature.name) && has(other.name) &&
             std::string(feature.name) != "cuda";
    });
    if (has(feature.name) && !implied && std::string(feature.name) != "sse41")
      text += std::string("-") + feature.name;
  }
  return text;
}

}  // namespace pit
