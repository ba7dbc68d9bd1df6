#!/usr/bin/env bash
# Checks which folder includes what: the table of docs/design.md ("Layers and folders").
#
#   test/include_rule.sh [--self-test] [<repository root>]
#
# Prints one line for every include that breaks the rule and exits 1 if there is one. --self-test first checks, on
# samples made for it in a temporary folder, that every kind of offence is found and that what is allowed is not.
set -euo pipefail

# Reads the files named on the command line, relative to the current folder.
check_files() {
  awk '
  function words(list, set,    parts, n, i) {
    n = split(list, parts, " ")
    for (i = 1; i <= n; i++) set[parts[i]] = 1
  }

  # What each folder may include. Names are folders of the repository and the kinds of outside headers below.
  function allowed(folder) {
    if (folder == "dsl")            return "dsl c c++ boost dlpack"
    if (folder == "codegen/ir")     return "codegen/ir dsl c c++ boost dlpack"
    if (folder == "codegen/lower")  return "codegen/lower codegen/ir dsl c c++ boost dlpack"
    if (folder == "codegen/select") return "codegen/select codegen/lower codegen/ir dsl c c++ posix boost dlpack sqlite"
    if (folder == "codegen/llvm")   return "codegen/llvm codegen/ir dsl runtime c c++ boost dlpack llvm"
    if (folder == "codegen/host")   return "codegen/host codegen/llvm codegen/ir dsl runtime c c++ posix boost dlpack llvm tbb"
    if (folder == "codegen/cuda")   return "codegen/cuda codegen/llvm codegen/ir dsl runtime c c++ posix boost dlpack llvm cuda"
    if (folder == "codegen/emit")
      return "codegen/emit codegen/host codegen/cuda codegen/llvm codegen/select codegen/lower codegen/ir dsl runtime " \
             "c c++ posix boost dlpack llvm cuda"
    if (folder == "codegen/generator") return "dsl c c++"
    if (folder == "runtime")        return "runtime c posix dlpack"
    if (folder == "apps/bench")     return "apps/bench apps/program pit c c++ posix tbb dnnl eigen"
    if (folder == "apps/run")       return "apps/run apps/program runtime c c++ posix dlpack"
    if (folder ~ /^apps\//)         return folder " apps/program pit c c++ posix"
    if (folder == "docs/lessons")   return "pit c c++"
    return ""
  }

  # The folder of the table that a path of the repository belongs to.
  function folder_of(path,    parts) {
    split(path, parts, "/")
    if (parts[1] == "dsl" || parts[1] == "runtime") return parts[1]
    return parts[1] "/" parts[2]
  }

  function kind_of(header) {
    if (header ~ /^pit\// || header ~ /^lesson_[a-z]+\.h/) return "pit"
    if (header ~ /^(dsl|runtime|codegen|apps|test|docs)\//) return folder_of(header)
    if (header ~ /^(llvm|llvm-c)\//) return "llvm"
    if (header ~ /^(tbb|oneapi)\//) return "tbb"
    if (header ~ /^boost\//) return "boost"
    if (header ~ /^dlpack\//) return "dlpack"
    if (header ~ /^sqlite3/) return "sqlite"
    if (header ~ /^dnnl/) return "dnnl"
    if (header ~ /^Eigen\//) return "eigen"
    if (header ~ /^(cuda|nvJitLink|nvrtc|nvml|cublas|cusparse|cooperative_groups|mma\.h|crt\/)/) return "cuda"
    if (header in c_headers) return "c"
    if (header ~ /^[a-z_0-9]+$/) return "c++"
    if (header in posix_headers || header ~ /^(sys|linux|arpa|netinet)\//) return "posix"
    return "unknown"
  }

  function beside(path, header) {
    sub(/[^\/]*$/, "", path)
    return path header
  }

  function exists(path,    line, status) {
    status = (getline line < path)
    close(path)
    return status >= 0
  }

  function refuse(reason) {
    printf "%s:%d: %s\n    %s\n", FILENAME, FNR, reason, $0
    broken++
  }

  BEGIN {
    words("assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h " \
          "signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h " \
          "string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h", c_headers)
    words("alloca.h cpuid.h dirent.h dlfcn.h elf.h execinfo.h fcntl.h immintrin.h link.h malloc.h poll.h pthread.h pwd.h " \
          "sched.h semaphore.h spawn.h strings.h termios.h ucontext.h unistd.h x86intrin.h", posix_headers)
  }

  FNR == 1 {
    folder = folder_of(FILENAME)
    split("", may)
    words(allowed(folder), may)
    if (allowed(folder) == "") { printf "%s: the folder %s is not in the table of %s\n", FILENAME, folder, "test/include_rule.sh"; broken++ }
  }

  /^[ \t]*#[ \t]*include[ \t]*["<]/ {
    if (allowed(folder) == "") next
    header = $0
    sub(/^[^"<]*["<]/, "", header)
    sub(/[">].*$/, "", header)
    if (header ~ /(^|\/)\.\.?\//) { refuse("name the header without . and .."); next }
    if ($0 ~ /include[ \t]*"/ && kind_of(header) ~ /^(unknown|c|c\+\+|posix|cuda)$/) {
      # Neither a path from the root nor an outside header: it must lie beside the file, so in the same folder.
      if (!exists(beside(FILENAME, header))) refuse("there is no such header here, nor is it a path from the root")
      next
    }
    if (!(kind_of(header) in may)) refuse(folder " may not include " kind_of(header) " (it may include: " allowed(folder) ")")
  }

  END { exit broken > 0 }' "$@"
}

# Checks the tree below the folder $1.
check_tree() (
  cd "$1"
  folders=()
  for folder in dsl codegen runtime apps docs/lessons; do
    [ -d "$folder" ] && folders+=("$folder")
  done
  [ ${#folders[@]} -gt 0 ] || { echo "include_rule: $1 has none of the folders of the table" >&2; exit 2; }
  mapfile -t files < <(find "${folders[@]}" -type f \
    \( -name '*.h' -o -name '*.hpp' -o -name '*.inc' -o -name '*.def' -o -name '*.c' -o -name '*.cpp' \) | sort)
  [ ${#files[@]} -eq 0 ] || check_files "${files[@]}"
)

self_test() {
  local sample verdict file include failures=0
  sample=$(mktemp -d)
  trap 'rm -rf "$sample"' RETURN
  while IFS='|' read -r verdict file include; do
    [ -n "$verdict" ] || continue
    rm -rf "${sample:?}"/*
    mkdir -p "$sample/$(dirname "$file")"
    printf '// A sample.\n#pragma once\n%s\n' "$include" >"$sample/$file"
    echo '#pragma once' | tee "$sample/$(dirname "$file")/beside.h" >"$sample/$(dirname "$file")/cuda_beside.h"
    local found=good
    check_tree "$sample" >/dev/null || found=bad
    if [ "$found" != "$verdict" ]; then
      echo "include_rule self-test: '$include' in $file is $verdict, but was judged $found" >&2
      failures=$((failures + 1))
    fi
  done <<'SAMPLES'
good|dsl/a.h|#include "dsl/expr.h"
good|dsl/a.h|#include <boost/hana.hpp>
good|dsl/a.h|#include <dlpack/dlpack.h>
good|dsl/analysis/a.cpp|#include "dsl/analysis/races.h"
good|dsl/a.h|// #include "codegen/ir/ir.h"
bad|dsl/a.h|#include "codegen/ir/ir.h"
bad|dsl/a.h|#  include	"runtime/pit_runtime.h"
bad|dsl/a.h|#include <llvm/IR/Module.h>
bad|dsl/analysis/a.cpp|#include <tbb/parallel_for.h>
good|dsl/a.h|#include "beside.h"
bad|dsl/a.h|#include "elsewhere.h"
bad|dsl/a.h|#include "stdio.h"
bad|dsl/a.h|#include "../codegen/ir/ir.h"
bad|dsl/a.h|#include "./expr.h"
bad|dsl/a.h|#include <pit/pit.h>
bad|dsl/a.h|#include <doctest/doctest.h>
good|codegen/ir/a.cpp|#include "dsl/type.h"
bad|codegen/ir/a.cpp|#include "codegen/lower/lower.h"
bad|codegen/ir/a.cpp|#include <llvm/ADT/SmallVector.h>
good|codegen/lower/a.cpp|#include "codegen/ir/ir.h"
bad|codegen/lower/a.cpp|#include "codegen/host/host.h"
bad|codegen/lower/a.cpp|#include "runtime/pit_runtime.h"
good|codegen/select/a.cpp|#include <sqlite3.h>
bad|codegen/select/a.cpp|#include "codegen/emit/jit.h"
good|codegen/host/a.cpp|#include <llvm/IR/Module.h>
good|codegen/host/a.cpp|#include <tbb/parallel_for.h>
good|codegen/host/a.cpp|#include "runtime/pit_runtime.h"
good|codegen/generator/a.cpp|#include "dsl/generator.h"
bad|codegen/generator/a.cpp|#include "codegen/emit/objects.h"
good|docs/lessons/a.c|#include <lesson_scale.h>
bad|codegen/host/a.cpp|#include "codegen/cuda/ptx.h"
bad|codegen/host/a.cpp|#include <cuda.h>
bad|codegen/host/a.cpp|#include <mma.h>
good|codegen/host/a.cpp|#include "codegen/host/mma_plan.h"
good|codegen/cuda/a.cpp|#include <nvJitLink.h>
bad|codegen/cuda/a.cpp|#include "codegen/host/host.h"
good|codegen/emit/a.cpp|#include "codegen/lower/lower.h"
bad|codegen/emit/a.cpp|#include "apps/demo/demo.h"
bad|codegen/new_folder/a.cpp|#include "dsl/expr.h"
good|runtime/a.c|#include <stdint.h>
good|runtime/a.c|#include <pthread.h>
good|runtime/a.h|#include <dlpack/dlpack.h>
bad|runtime/a.c|#include <cuda.h>
good|runtime/a.c|#include "cuda_beside.h"
bad|runtime/a.c|#include "cuda_elsewhere.h"
bad|runtime/a.c|#include "cuda.h"
bad|runtime/a.c|#include <vector>
bad|runtime/a.c|#include "dsl/expr.h"
good|apps/demo/a.cpp|#include <pit/pit.h>
good|apps/demo/a.cpp|#include "apps/demo/picture.h"
good|apps/demo/a.cpp|#include "beside.h"
good|apps/demo/a.cpp|#include "apps/program/json.h"
bad|apps/program/a.cpp|#include "apps/demo/picture.h"
good|apps/bench/a.cpp|#include <Eigen/SparseCore>
bad|apps/demo/a.cpp|#include <Eigen/SparseCore>
bad|apps/demo/a.cpp|#include "apps/bench/peer.h"
bad|apps/demo/a.cpp|#include "dsl/expr.h"
bad|apps/demo/a.cpp|#include <dlpack/dlpack.h>
good|docs/lessons/a.cpp|#include <pit/pit.h>
bad|docs/lessons/a.cpp|#include "codegen/ir/ir.h"
SAMPLES
  [ "$failures" -eq 0 ] || return 1
  echo "include_rule: self-test passed"
}

if [ "${1:-}" = --self-test ]; then
  shift
  self_test
fi
root=${1:-$(dirname "$0")/..}
if ! check_tree "$root"; then
  echo "include_rule: the includes above break the rule of docs/design.md" >&2
  exit 1
fi
echo "include_rule: every include is allowed"
