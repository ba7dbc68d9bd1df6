#!/usr/bin/env bash
# Makes the Debian packages of a build and uses them, unpacked.
#
#   test/package/debian.sh <build folder> <source folder> <archive of the operator spmm>
set -euo pipefail
build=$1 source=$2 spmm=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  printf 'packages: %s\n' "$*" >&2
  exit 1
}
(cd "$work" && cpack --config "$build/CPackConfig.cmake" -B "$work/made") >"$work/log" 2>&1 || { cat "$work/log" >&2; fail cpack; }
runtime=$(find "$work/made" -maxdepth 1 -name 'pit-runtime_*.deb')
development=$(find "$work/made" -maxdepth 1 -name 'pit-dev_*.deb')
[ -n "$runtime" ] && [ -n "$development" ] || { ls "$work/made" >&2; fail "there are not both packages"; }
dpkg-deb -f "$runtime" Depends | grep -q libc6 || fail "the runtime depends on no C library"
if dpkg-deb -f "$runtime" Depends | grep -q llvm; then fail "the runtime depends on LLVM"; fi
dpkg-deb -f "$development" Depends | grep -q 'pit-runtime (= ' || fail "the compiler does not depend on its runtime"

# The runtime alone calls operators.
dpkg-deb -x "$runtime" "$work/unpacked"
usr=$work/unpacked/usr
"$usr/bin/pit-run" "$spmm" --shape A=40x30 --shape B=30x20 --shape bias=20 --shape Out=40x20 --sparsity A=0.9
if env -u LD_LIBRARY_PATH ldd "$usr/bin/pit-run" | grep -E 'LLVM|tbb|not found'; then fail "pit-run needs the above"; fi
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$usr" -name pit-runtime.pc)")
printf '#include <pit_runtime.h>\nint main(void) { return pit_abi_version() != PIT_ABI_VERSION; }\n' >"$work/version.c"
# Words of a command.
# shellcheck disable=SC2046
gcc -std=c11 "$work/version.c" $(pkg-config --cflags --libs pit-runtime) -o "$work/version" || fail "pkg-config"
"$work/version" || fail "the runtime has another version than its header"
printf 'cmake_minimum_required(VERSION 3.25)\nproject(all LANGUAGES C CXX)\nfind_package(pit REQUIRED)\n' >"$work/CMakeLists.txt"
if cmake -S "$work" -B "$work/none" -G Ninja -Dpit_ROOT="$usr" >"$work/log" 2>&1; then fail "the runtime has a compiler"; fi
grep -q "only the runtime of pit is installed" "$work/log" || { cat "$work/log" >&2; fail "what is missing is not said"; }

# Both make generators.
dpkg-deb -x "$development" "$work/unpacked"
cmake -S "$source/test/package" -B "$work/build" -G Ninja -Dpit_ROOT="$usr" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; fail "configuring a project"; }
cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "building a project"; }
"$work/build/call_c" "$work/results"
"$work/build/reference" | cmp - "$work/results" || fail "other results than the interpreter's"
echo "the Debian packages work"
