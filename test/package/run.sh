#!/usr/bin/env bash
# Installs a build to a temporary folder and uses it from projects of their own: by CMake, and by pkg-config and make.
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

cmake --install "$build" --prefix "$work/pit" >"$work/install.log" || { cat "$work/install.log" >&2; fail "installing"; }

cmake -S "$source/test/package" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/pit" -DCMAKE_BUILD_TYPE=Release \
  >"$work/configure.log" 2>&1 || { cat "$work/configure.log" >&2; fail "configuring the project"; }
cmake --build "$work/build" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "building the project"; }
"$work/build/call_c"

# The runtime alone, for a project that only calls.
cat >"$work/CMakeLists.txt" <<'TEXT'
cmake_minimum_required(VERSION 3.25)
project(caller LANGUAGES C)
find_package(pit REQUIRED COMPONENTS runtime)
if(TARGET pit::pit)
  message(FATAL_ERROR "the component runtime brings the compiler")
endif()
TEXT
cmake -S "$work" -B "$work/caller" -G Ninja -DCMAKE_PREFIX_PATH="$work/pit" >"$work/caller.log" 2>&1 ||
  { cat "$work/caller.log" >&2; fail "find_package(pit COMPONENTS runtime)"; }

# C++ by another compiler, where there is one.
compiler=$(command -v clang++ || command -v clang++-22 || command -v g++)
"$compiler" -x c++ -I"$work/build/scale_rows.pit" -I"$work/pit/include/pit/runtime" -I"$work/pit/include" \
  "$source/test/package/call.c" -x none "$work/build/scale_rows.pit/scale_rows.a" \
  "$(find "$work/pit" -name libpit_runtime.a)" -lm -lpthread -ldl -o "$work/call_cxx" || fail "C++ by $compiler"
"$work/call_cxx"

# No CMake.
cp "$source/test/package/call.c" "$source/test/package/Makefile" "$work"
PKG_CONFIG_PATH=$(dirname "$(find "$work/pit" -name pit-runtime.pc)") \
  make -s -C "$work" call GENERATOR="$work/build/scale_generator" >"$work/make.log" 2>&1 ||
  { cat "$work/make.log" >&2; fail "make"; }
"$work/call"

# The same input gives the same bytes.
"$work/build/scale_generator" -g scale -f scale_rows -o "$work/again" target=x86-64-linux >"$work/files"
cmp "$work/again/scale_rows.a" "$work/operators/scale_rows.a" || fail "two emissions differ"
grep -qx "$work/again/scale_rows.h" "$work/files" || fail "the generator does not say what it wrote"
echo "the installed package works"
