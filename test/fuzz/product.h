// Products of matrices: sums of products over rows and columns.
#pragma once

#include "expressions.h"

namespace pit::fuzz {

/// Draws a sum of products as matrix instructions make them, or almost: rows and columns that data
/// choose, terms that a mask or zeros leave out. Of the Funcs that join `program` the last one is
/// the sum, or one that reads it.
void draw_product(Choices *choices, Expressions *expressions, DrawnProgram *program);

}  // namespace pit::fuzz
