// Whether iterations that fail a predicate contribute nothing by themselves.
#pragma once

#include <vector>

#include "dsl/func.h"

namespace pit {

/// Inside a kept micro-tile some iterations fail the predicate. True when each conjunct in
/// `failing_predicates`, taken as false with nothing known of the others, makes every value of
/// `definition` the identity of its combiner: then nothing needs to be masked. Empty: true, for
/// nothing fails.
///
///     A(m, k) != 0 is false  =>  A(m, k) is 0  =>  f32(A(m, k)) * f32(B(k, n)) is 0: annihilates
///     mask(i, j) != 0 is false  =>  nothing is known of softmax_term(S(i, j), V(j, d)): does not
///
/// 0 * x counts as 0 although x may not be finite: strict() asks for masks instead of this.
bool annihilates(const DefinitionData &definition, const std::vector<Expr> &failing_predicates);

}  // namespace pit
