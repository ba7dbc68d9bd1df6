// The loops of a kernel that multiply matrices.
#pragma once

#include <vector>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `s` is a matrix multiplication, or one is inside of it.
bool holds_product(const ir::Stmt &s);

/// The innermost loops around matrix multiplications, in the order of the text.
std::vector<const ir::For *> product_loops(const ir::Stmt &s);

}  // namespace pit::lower
