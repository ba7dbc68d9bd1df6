#!/bin/sh
# cmake/pack/run-gpu-tests with programs and a sanitizer that only write down how they were called.
#   run_gpu_tests.sh <the repository>
set -eu
script=$1/cmake/pack/run-gpu-tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  printf 'run_gpu_tests.sh: %s\n' "$*" >&2
  exit 1
}

# A machine with a device, whatever this one has.
touch "$work/nvidia0"
sed "s|/dev/nvidia\[0-9\]\*|$work/nvidia*|" "$script" >"$work/run-gpu-tests"
chmod +x "$work/run-gpu-tests"
mkdir "$work/tests" "$work/apps" "$work/path"

# Lists the names in $names_of that the pattern is of, or writes a line into $log for a run, which fails if $bad is in it.
cat >"$work/stand-in" <<'TEXT'
#!/bin/sh
name=$(basename "$0")
case "$*" in
  *--list-test-cases*)
    echo "[doctest] listing all test case names"
    echo "===="
    set -f
    while IFS= read -r line; do
      IFS=,
      for one in ${1#--test-case=}; do
        # shellcheck disable=SC2254  # it is a pattern
        case $line in $one) echo "$line" ;; esac
      done
    done <"$names_of.$name"
    ;;
  *)
    echo "$name seed=${PIT_TEST_SEED:-} target=${PIT_TEST_TARGET:-} $*" >>"$log"
    echo "test cases: 1, 4 cases: "
    case "$*" in *"${bad:-nothing}"*) exit 1 ;; esac
    ;;
esac
TEXT
chmod +x "$work/stand-in"
for name in test_driver test_unit test_correctness test_library test_error pit_fuzz; do
  cp "$work/stand-in" "$work/tests/$name"
done
cp "$work/stand-in" "$work/apps/pit_demo"
cat >"$work/path/compute-sanitizer" <<'TEXT'
#!/bin/sh
echo "sanitizer $*" >>"$log"
case "$*" in *"cuda order"*) echo "Status: SUCCESS! terminated before first instrumented API call"; exit 255 ;; esac
case "$2 $*" in "${race:-none}"*) exit 1 ;; esac
TEXT
chmod +x "$work/path/compute-sanitizer"
names_of=$work/names log=$work/log PATH=$work/path:$PATH
export names_of log PATH
unset PIT_TEST_SEED PIT_TEST_TARGET bad race
cat >"$names_of.test_correctness" <<'TEXT'
agreement: sums, and products
graph - one
graph - two
program: sparse matmul
program: vertical-slash attention
streams - one
streams - two
TEXT
printf '%s\n' 'cuda groups - products on the device are exact, whole and ragged' 'cuda order - rows beyond' \
  'cuda steps - sums' 'text' >"$names_of.test_unit"
printf '%s\n' 'library: on the host' 'library: on a device' >"$names_of.test_library"
printf '%s\n' 'errors: unusual data has results' 'errors: names' >"$names_of.test_error"

run() {
  : >"$log"
  status=0
  "$work/run-gpu-tests" "$@" "$work/tests" >"$work/said" 2>&1 || status=$?
}
ran() { grep -q -x -F -e "$1" "$log" || { cat "$work/said" "$log"; fail "did not run: $1"; }; }
count() {
  n=$(grep -c -e "$1" "$log" || true)
  [ "$n" -eq "$2" ] || { cat "$work/said" "$log"; fail "$n runs instead of $2: $1"; }
}
said() { grep -q -e "$1" "$work/said" || { cat "$work/said"; fail "did not say: $1"; }; }
ended() { [ "$status" -eq "$1" ] || { cat "$work/said"; fail "ended with $status instead of $1"; }; }

# Every program that is missing is named before anything runs.
rm "$work/tests/test_unit"
run
ended 2
said "not in $work/tests: test_unit pit_bench; build them"
count . 0
cp "$work/stand-in" "$work/tests/test_unit"
cp "$work/stand-in" "$work/apps/pit_bench"

run
ended 0
said '^all GPU tests passed$'
seed=$(sed -n 's/^== test_correctness on cuda with PIT_TEST_SEED=\([0-9]*\)$/\1/p' "$work/said")
[ -n "$seed" ] || fail "no seed is printed"
ran "test_correctness seed=$seed target=cuda --test-case=agreement: sums\, and products"
count "^test_correctness seed=$seed " 7
ran 'test_library seed= target=cuda --test-case=library: on a device'
count '^test_library' 1
ran 'test_error seed= target=cuda --test-case=errors: unusual data has results'
count '^test_error' 1
count '^test_unit seed= target=cuda --test-case=cuda ' 3
count '^pit_demo seed= target=cuda --target cuda --case ' 3
count '^pit_bench seed= target=cuda --target cuda --small' 1
count '^pit_fuzz .*--seed random --minutes 1' 1
# Two programs, one graph and three kernels; racecheck does two less.
count '^sanitizer --tool memcheck ' 6
count '^sanitizer --tool initcheck .*test_correctness --test-case=graph - one$' 1
count '^sanitizer .*streams - ' 0
count '^sanitizer --tool racecheck ' 4
count '^sanitizer --tool racecheck .*vertical-slash' 0
count '^sanitizer --tool synccheck .*cuda groups - products on the device are exact\\, whole and ragged$' 1

run --only tests
ended 0
count '^pit_bench ' 1
count '^sanitizer ' 0
run --only sanitizers
ended 0
count '^pit_bench ' 0
count '^sanitizer --tool memcheck ' 6
run --only neither
ended 2

# What is asked for is handed on, and what fails is named.
PIT_TEST_SEED=7 PIT_TEST_TARGET=x86-64-linux-cuda-sm_80 bad='library: on a device' race=racecheck
export PIT_TEST_SEED PIT_TEST_TARGET bad race
run
ended 1
said '^FAILED: library: on a device$'
said '^failed: test_library racecheck$'
count '^test_correctness seed=7 target=x86-64-linux-cuda-sm_80 ' 7
unset bad race
for bad in 'agreement: sums' 'errors: unusual' '--target' '--small' '--minutes' '--test-case=cuda order'; do
  export bad
  run
  ended 1
done
unset bad

# A program without the cases is not one that passes.
printf 'errors: names\n' >"$names_of.test_error"
run
ended 1
said '^failed: test_error$'

# No device.
rm "$work/nvidia0"
run
ended 77
echo "all checks passed"
