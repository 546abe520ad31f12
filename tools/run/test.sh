# The tests. ctest's summary of the release tree comes last, after everything else has passed.
# shellcheck shell=bash

tsan_tests=(unit/base unit/comm unit/exchange unit/checkpoint)  # of the rooms with threads
# In the words of GTEST_FILTER. Of one thread, or with the same threads as others of their suite:
tsan_omits='Save/PowerCut.*:Save/CrashTest.*:Knapsack.*:Quadratic.*:All/Policies.Conserve*'
tsan_omits+=':ExactTensor.A*:ExactTensor.E*:ExactTensor.L*:ExactTensor.R*:ExactTensor.S*:ExactTensor.W*'
# Long, of the same memory as others of their suite: the release tree has them.
asan_omits='Save/PowerCut.*:Quadratic.*:Knapsack.*'
quiet_lines='^( *Start +[0-9]+: | *[0-9]+/[0-9]+ Test +#[0-9]+: .*(Passed|Skipped|Disabled))|^(Internal ctest changing|Test project )|^$'
summary_line='^[0-9]+% tests passed'

# test_all [PATTERN]
test_all() {
  (($# <= 1)) || fail 2 run "test takes one pattern, but got: $*"
  local began=$SECONDS log=build/log/test.log chosen=() tests
  (($# == 0)) || chosen+=(-R "$1")
  build
  run_ctest build "$log" "${chosen[@]}"
  if (($# == 0)); then
    configure asan
    configure tsan
    mapfile -t tests < <(tests_of_cores)
    sanitize asan "$asan_omits" "${tests[@]}"
    sanitize tsan "$tsan_omits" "${tsan_tests[@]}"
  else
    say test "sanitizer trees: left out, because a pattern was given"
  fi
  list_skipped "$log"
  say test "all done ($((SECONDS - began)) s)"
  sed -nE "/$summary_line/,/^Total Test time/p" "$log"
}

# run_ctest FOLDER LOG ARGUMENT...: failures on the screen, everything in LOG; holds ctest's summary back unless a test failed. Tests share the
# cores, so a thread of OpenMP that waits for another must not spin.
run_ctest() {
  local folder=$1 log=$2 began=$SECONDS
  shift 2
  mkdir -p "$(dirname "$log")"
  say test "${folder%/chosen} ..."
  if OMP_WAIT_POLICY=passive ctest --test-dir "$folder" -j "$(nproc)" --output-on-failure --no-tests=error "$@" </dev/null 2>&1 | hold_summary "$log"; then
    say test "${folder%/chosen}: $(passed_in "$log") passed ($((SECONDS - began)) s)"
  else
    say test "${folder%/chosen}: FAILED ($((SECONDS - began)) s); all of it is in $log" >&2
    sed -nE "/$summary_line/,\$p" "$log"
    exit 1
  fi
}

hold_summary() { thin_out "$quiet_lines" "$1" | sed -uE "/$summary_line/,\$d"; }
passed_in() { sed -nE 's/^100% tests passed, 0 tests failed out of ([0-9]+)/\1/p' "$1"; }

# What a sanitizer tree tests: the LibTorch-free rooms, and what fuzzing left.
tests_of_cores() {
  local folder
  for folder in build-asan/tests/unit/*/; do echo "unit/$(basename "$folder")"; done
  echo fuzz
}

# sanitize PRESET OMITTED FOLDER...: builds and runs the tests of these folders of tests/, and nothing else of the tree, without the cases
# OMITTED.
sanitize() {
  local preset=$1 omitted=$2 tree
  tree=$(tree_of "$preset")
  shift 2
  local folders=("${@/#/tests/}")
  compile "$preset" "${folders[@]/%//all}"
  mkdir -p "$tree/chosen"
  printf 'subdirs("%s")\n' "${folders[@]/#/$PWD/$tree/}" >"$tree/chosen/CTestTestfile.cmake"
  GTEST_FILTER="-$omitted" run_ctest "$tree/chosen" "$tree/log/test.log"
}

# list_skipped LOG: what did not run in the release tree, grouped by the reason that the test itself printed.
list_skipped() {
  local outputs=build/Testing/Temporary/LastTest.log names
  names=$(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .*\*\*\*Skipped.*/\1/p' "$1")
  [ -n "$names" ] || { say test "skipped: nothing"; return; }
  awk -v skipped="$names" '
    BEGIN { count = split(skipped, list, "\n"); for (i = 1; i <= count; ++i) wanted[list[i]] = 1 }
    / Test: / { name = $0; sub(/.* Test: /, "", name); reason = ""; last = ""; output = 0; next }
    /^-+$/ && !output { output = 1; next }
    /^<end of output>$/ && (name in wanted) {
      if (reason == "") reason = last == "" ? "no reason given" : last
      times[reason]++; example[reason] = name
    }
    /^<end of output>$/ { output = 0; next }
    gtest { reason = $0; gtest = 0 }
    /: Skipped$/ { gtest = 1 }
    /^skipped: / { reason = substr($0, 10) }
    NF { last = $0 }
    END { for (reason in times) printf "[test] skipped %d: %s (%s)\n", times[reason], reason, example[reason] }' "$outputs" | sort
}
