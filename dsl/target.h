// What a pipeline is compiled for.
#pragma once

#include <set>
#include <source_location>
#include <string>

namespace pit {

/// A target as a value: "host", or arch-os-feature-feature..., e.g. "x86-64-linux-avx512",
/// "x86-64-linux-cuda-sm_90a". "host" is this machine's architecture and every CPU feature it has.
/// Features: sse41 (baseline), avx2, avx512, avx512_bf16, avx512_vnni, cuda, sm_80, sm_90a, profile
/// (count what predicates pass), no_threads (every loop serial), no_asserts (data are believed, not
/// tested; wrong ones are undefined behaviour). Unknown words are a CompileError that lists the
/// known ones.
class Target {
 public:
  Target();  ///< "host"
  explicit Target(const std::string &text,
                  std::source_location where = std::source_location::current());
  Target(const char *text, std::source_location where =
                               std::source_location::current())  // NOLINT: written as a string
      : Target(std::string(text), where) {}

  bool has(const std::string &feature) const { return features_.contains(feature); }
  /// With `feature` and those it implies (avx512_bf16 -> avx512 -> avx2 -> sse41, sm_80 and sm_90a
  /// -> cuda).
  Target with(const std::string &feature,
              std::source_location where = std::source_location::current()) const;
  /// Without `feature` and those that imply it.
  Target without(const std::string &feature,
                 std::source_location where = std::source_location::current()) const;
  bool is_cuda() const { return has("cuda"); }
  /// Canonical text, never "host", without what is implied; parses to an equal target.
  std::string to_string() const;
  bool operator==(const Target &) const = default;

 private:
  void add(const std::string &feature, std::source_location where);

  std::string arch_, os_;
  std::set<std::string> features_;
};

}  // namespace pit
