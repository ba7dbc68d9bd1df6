// Building sparse indices in the interpreter: plain sequential code, independent of the runtime's.
#pragma once

#include <optional>
#include <string>

#include "evaluate.h"
#include "ir.h"

namespace pit::ir {

/// Carries the statement out. Returns the message of the failure (capacity, key out of range), if
/// any; the index then is empty: no list has an entry, every position is -1.
std::optional<std::string> build_index(const IndexPlace &place, Evaluator *evaluator);
std::optional<std::string> build_index(const IndexSort &sort, Evaluator *evaluator);

}  // namespace pit::ir
