// An operator's code for one target as object files.
#pragma once

#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "codegen/llvm/entry.h"
#include "dsl/target.h"

namespace pit::emit {

/// A file of an archive.
struct Object {
  std::string name;   ///< "spmm.avx512.any.o"
  std::string bytes;  ///< ELF, position-independent
};

/// Code of one operator for one target. Its functions have the type pit_function and hidden
/// visibility; what they call besides each other is libc's, libm's and the runtime's.
struct TargetCode {
  std::vector<Object> objects;
  std::string row_major, any;  ///< symbols; see pit_code
  code::Entry entry;
  std::string ptx;    ///< CUDA: of row_major
  std::string cubin;  ///< CUDA: of row_major; empty where there is no ptxas
  std::string llvm;   ///< text, before optimisation, of row_major
};

/// For any CPU that the target names, not tuned for this machine: the same module and target give
/// the same bytes. `elementwise`: see OperatorInfo. CompileError as the generators say, and when
/// ptxas refuses the PTX.
TargetCode compile_objects(const ir::Module &module, const Target &target, bool elementwise);

/// "avx512_bf16-avx512_vnni", "cuda-sm_90a", "x86-64": what tells targets of one operator apart, in
/// names of files and symbols.
std::string short_name(const Target &target);

}  // namespace pit::emit
