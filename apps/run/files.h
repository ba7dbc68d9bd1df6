// Tensors in files: NumPy's .npy, and DLPack tensors as TVM and DGL save them.
#pragma once

#include "array.h"

namespace pit::run {

/// Reads a file by what it begins with.
///
/// .npy (versions 1 to 3): bool, integers, floats of 16 to 64 bits, little-endian, in C or Fortran
/// order; elements of two opaque bytes (V2) are bfloat16. DLPack: a file of one tensor as
/// SaveDLTensor of TVM and DGL writes it (64-bit words 0xdd5e40f096b4a13f and 0, the DLDevice, the
/// number of dimensions, the DLDataType, the extents, the number of bytes, the elements in C
/// order). std::runtime_error names the file and what is wrong with it.
Array read_array(const std::string &path);

/// Writes a .npy file in C order; bfloat16, which NumPy lacks, as float32.
void write_npy(const std::string &path, const Array &array);

}  // namespace pit::run
