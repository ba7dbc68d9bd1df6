// Whether an output may lie in the memory of an input.
#pragma once

#include "dsl/pipeline.h"

namespace pit {

/// True when `output` may overwrite `input` in place: the only reads of `input` in the whole
/// pipeline are those that the one value of a pure `output` makes of it, directly or through pure
/// Funcs, at exactly the coordinates that are written. Otherwise outputs may not overlap inputs.
/// That both have one layout is for the caller to see to.
bool elementwise_same_coordinates(const Pipeline &pipeline, const StoragePtr &input,
                                  const FuncPtr &output);

}  // namespace pit
