// How addresses move with an axis. Analysis of expressions only.
#pragma once

#include <cstdint>
#include <optional>

#include "dsl/expr.h"

namespace pit::host {

/// The constant by which `e` grows when `v` grows by one (0 when e does not read v), if there is
/// one.
std::optional<std::int64_t> growth(const Expr &e, const VarPtr &v);

enum class Movement { None, Unit, Strided, Irregular };

/// How the address of storage[indices] moves with v, when dimension `unit_dimension` has stride 1
/// (-1: none has).
Movement movement(const std::vector<Expr> &indices, const VarPtr &v, int unit_dimension);

}  // namespace pit::host
