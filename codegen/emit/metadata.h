// The object that says what an operator is: its pit_operator and the function that calls it.
#pragma once

#include <string>
#include <vector>

#include "description.h"
#include "objects.h"

namespace pit::emit {

/// Defines `pit_operator_NAME`, the description with the functions of `codes` (one for each of its
/// codes, in their order), and
///   int32_t NAME(<an argument for each of the operator's>, const pit_options *options)
/// with the types that c_header says.
Object metadata_object(const pit_operator &op, const std::vector<TargetCode> &codes);

/// The C header that declares both: C11 and C++. `description`: what the comment says of each
/// target.
std::string c_header(const pit_operator &op);

}  // namespace pit::emit
