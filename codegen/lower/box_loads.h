// Loads of boxes of a tensor, which the tensor memory accelerator copies.
#pragma once

#include "pipeline_form.h"

namespace pit::lower {

/// The load of an operand whose dimension `contiguous` is contiguous in memory (-1: none is) is of
/// a box of its source, as the tensor memory accelerator copies them: guards cut off what lies
/// behind an extent that the host knows, or all. Makes guards of that form.
bool is_box(PipelinedOperand *operand, int contiguous);

}  // namespace pit::lower
