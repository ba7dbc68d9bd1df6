// The entry of an operator, without its code.
#pragma once

#include <compare>
#include <string>
#include <utility>
#include <vector>

#include "codegen/ir/ir.h"

namespace pit::code {

/// What generated code takes for granted about the memory of its tensors. Code is right only for
/// calls that keep it.
struct Variant {
  /// For each input, then each output: the dimension whose stride is 1 (or whose extent is at most
  /// 1), or -1.
  std::vector<int> unit_dimension;
  /// False: no output shares memory with an input.
  bool outputs_overlap_inputs = false;

  auto operator<=>(const Variant &) const = default;
};

/// The variant for compact row-major tensors.
Variant row_major_variant(const ir::Module &module);

/// An entry and what its calls report.
struct Entry {
  std::string symbol;
  std::vector<std::string> messages;  ///< of Checks, by pit_call::check
  /// Stages in the order of pit_call::stage_nanoseconds.
  std::vector<std::pair<std::string, ir::StageKind>> stages;
};

/// "pit_" and the module's name as an identifier of C.
std::string symbol_of(const ir::Module &module);

}  // namespace pit::code
