// Attention: sums of values with softmax weights, row by row.
#pragma once

#include "expressions.h"

namespace pit::fuzz {

/// Draws the scores of queries and keys, and the sums of values that they weigh: one to three
/// updates of one state, each of which finds its keys in its own way. Of the Funcs that join
/// `program` the last one is the result, and perhaps the one before it the logarithm of the sums of
/// weights.
void draw_attention(Choices *choices, Expressions *expressions, DrawnProgram *program);

}  // namespace pit::fuzz
