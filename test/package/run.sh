#!/usr/bin/env bash
# Installs a build to a temporary folder and uses it from projects of their own: by CMake, and by pkg-config and make; for
# this machine and for another one.
#
#   test/package/run.sh <build folder> <source folder>
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  printf 'package: %s\n' "$*" >&2
  exit 1
}
# Runs a command, whose output is shown when it fails.
quietly() {
  local what=$1
  shift
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$what"; }
}
# Another build's objects are no test.
export PIT_CACHE_DIR=$work/cache

quietly installing cmake --install "$build" --prefix "$work/pit"
runtime=$(find "$work/pit" -name libpit_runtime.a)
include=(-I"$work/pit/include/pit/runtime" -I"$work/pit/include")
libraries=("$runtime" -lm -lpthread -ldl)

quietly "configuring the project" \
  cmake -S "$source/test/package" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/pit" -DCMAKE_BUILD_TYPE=Release
quietly "building the project" cmake --build "$work/build"
"$work/build/reference" >"$work/wanted"
# Runs a program that calls the operator: its results are the interpreter's.
agrees() {
  "$1" "$work/results"
  cmp "$work/results" "$work/wanted" || fail "$1: other results than the interpreter's"
}
agrees "$work/build/call_c"

# The runtime alone, for a project that only calls.
cat >"$work/CMakeLists.txt" <<'TEXT'
cmake_minimum_required(VERSION 3.25)
project(caller LANGUAGES C)
find_package(pit REQUIRED COMPONENTS runtime)
if(TARGET pit::pit)
  message(FATAL_ERROR "the component runtime brings the compiler")
endif()
TEXT
quietly "find_package(pit COMPONENTS runtime)" cmake -S "$work" -B "$work/caller" -G Ninja -DCMAKE_PREFIX_PATH="$work/pit"

# C++ by another compiler, where there is one.
compiler=$(command -v clang++ || command -v clang++-22 || command -v g++)
rows=$work/build/scale_rows.pit
"$compiler" -x c++ -I"$rows" "${include[@]}" "$source/test/package/call.c" -x none "$rows/scale_rows.a" "${libraries[@]}" \
  -o "$work/call_cxx" || fail "C++ by $compiler"
agrees "$work/call_cxx"

# No CMake.
cp "$source/test/package/call.c" "$source/test/package/Makefile" "$work"
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/pit" -name pit-runtime.pc)")
quietly make make -s -C "$work" call GENERATOR="$work/build/scale_generator"
agrees "$work/call"

# The same input gives the same bytes, with what was compiled before and without.
generator=$work/build/scale_generator
for cache in "$PIT_CACHE_DIR" "" "$work/other" "$work/other"; do
  PIT_CACHE_DIR=$cache "$generator" -g scale -f scale_rows -o "$work/again" target=x86-64-linux >"$work/files"
  cmp "$work/again/scale_rows.a" "$work/operators/scale_rows.a" || fail "two emissions differ"
  grep -qx "$work/again/scale_rows.h" "$work/files" || fail "the generator does not say what it wrote"
done
[ "$(find "$work/other" -name '*.objects' | wc -l)" -eq 1 ] || fail "the cache has not one file"
# A file of the cache that is spoiled is no file.
printf x | dd of="$(find "$work/other" -name '*.objects')" bs=1 seek=2000 conv=notrunc 2>"$work/log"
PIT_CACHE_DIR=$work/other "$generator" -g scale -f scale_rows -o "$work/again" target=x86-64-linux >"$work/files"
cmp "$work/again/scale_rows.a" "$work/operators/scale_rows.a" || fail "a spoiled cache is believed"

# Two builds: another generator, otherwise compiled, and its operator under another name, in one program, and in shared
# objects that each have a runtime.
quietly "configuring another build" cmake -S "$source/test/package" -B "$work/second" -G Ninja \
  -DCMAKE_PREFIX_PATH="$work/pit" -DCMAKE_CXX_FLAGS=-O0 -DOPERATOR=scale_again
quietly "building it" cmake --build "$work/second" --target scale_again_operator
again=$work/second/scale_again.pit
cmp -s "$generator" "$work/second/scale_generator" && fail "there are no two generators"
gcc -std=c11 -I"$rows" -I"$again" "${include[@]}" "$source/test/package/two.c" "$rows/scale_rows.a" "$again/scale_again.a" \
  "${libraries[@]}" -o "$work/two" || fail "linking operators of two builds"
"$work/two"
for each in "$rows/scale_rows" "$again/scale_again"; do
  gcc -shared -o "$each.so" -Wl,--whole-archive "$each.a" -Wl,--no-whole-archive "${libraries[@]}" || fail "linking $each.so"
done
gcc -std=c11 "${include[@]}" "$source/test/package/loaded.c" -ldl -o "$work/loaded" || fail "linking the loader"
"$work/loaded" "$rows/scale_rows.so" scale_rows "$again/scale_again.so" scale_again

# pit-run, installed.
run=$(find "$work/pit" -name pit-run)
"$run" "$rows/scale_rows.a" --shape X=9x4 --shape keep=9 --shape Y=9x4 --scalar factor=3
"$run" "$rows/scale_rows.so" "$again/scale_again.so" --describe | grep -qx scale_again || fail "pit-run of two libraries"

# A header of another version refuses to be compiled.
mkdir "$work/later"
sed 's/define PIT_ABI_VERSION .*/define PIT_ABI_VERSION 99/' "$work/pit/include/pit/runtime/pit_runtime.h" \
  >"$work/later/pit_runtime.h"
if gcc -fsyntax-only -I"$work/later" -I"$rows" "$source/test/package/call.c" 2>"$work/log"; then
  fail "a header of another version compiles"
fi
grep -q "scale_rows was compiled for version 1 of pit's binary interface, and pit_runtime.h is of another" "$work/log" ||
  fail "a header of another version does not say so"

# For another machine: an older one of this kind.
cat >"$work/toolchain.cmake" <<'TEXT'
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER gcc)
set(CMAKE_CXX_COMPILER g++)
set(CMAKE_C_FLAGS_INIT -march=x86-64)
TEXT
cross=(cmake -S "$source/test/package" -B "$work/cross" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$work/toolchain.cmake"
  -Dpit_DIR="$(dirname "$(find "$work/pit" -name pitConfig.cmake)")")
if "${cross[@]}" >"$work/log" 2>&1; then fail "cross-compiling needs no generator"; fi
grep -q "PIT_HOST_GENERATORS to the folder" "$work/log" || { cat "$work/log" >&2; fail "cross-compiling does not say what it needs"; }
quietly "configuring for another machine" "${cross[@]}" -DPIT_HOST_GENERATORS="$work/build"
quietly "building for another machine" cmake --build "$work/cross"
agrees "$work/cross/call_c"
cmp "$work/cross/scale_rows.pit/scale_rows.a" "$rows/scale_rows.a" || fail "the operator for another machine differs"
echo "the installed package works"
