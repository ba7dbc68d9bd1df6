// Which iterations of a definition can write one element.
#pragma once

#include <cstdint>
#include <vector>

#include "dsl/func.h"

namespace pit {

/// How iterations that differ along an axis meet in memory.
enum class Race : std::uint8_t {
  None,               ///< they write different elements, whatever the other variables are
  SharedAccumulator,  ///< with all else equal they write the same element: one accumulator serves
                      ///< them all
  Colliding  ///< two of them may write one element, and the left-hand side does not say which
};

/// The variables that can be told from the written element alone: iterations that differ in one of
/// them write different elements. From the left-hand side c * v + h where h is told; from v / n
/// together with v % n; from sums like 64 * b + i where i has a constant range under 64. A
/// data-dependent index tells nothing of what it reads.
std::vector<VarPtr> determined_variables(const DefinitionData &definition);

/// A definition that reads the Func that it updates, other than by its combiner.
struct SelfReads {
  Expr read;                  ///< the first such read; undefined when there is none
  std::vector<VarPtr> apart;  ///< iterations that differ in one of these meet in no element
};

/// Reads and stores of iterations lie apart where they differ in a variable that can be told from
/// those arguments that every read shares with the left-hand side: in C(i, q) = C(i, q - 1) + e
/// rows i lie apart, while the iterations of q must keep their order.
SelfReads self_reads(const FuncNode &func, int definition);

/// `axis`: one variable, or those that a fused axis is made of.
Race race_along(const DefinitionData &definition, const std::vector<VarPtr> &axis);

/// True when two iterations that are not in one tile of the rule (axis, group), and so share no
/// accumulator, can write one element. `partitioned`: the group is a key that reads the axis.
bool needs_combine(const DefinitionData &definition, const std::vector<VarPtr> &axis,
                   const std::vector<VarPtr> &group, bool partitioned = false);

}  // namespace pit
