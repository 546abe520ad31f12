# Fuzzing: libFuzzer feeds every decoder for as long as one likes. What it learns stays in build-fuzz/corpus and serves the next time.
# shellcheck shell=bash

fuzz_packages=(clang libclang-rt-dev)
fuzz_default_s=600
fuzz_at_once=2
fuzzer=build-fuzz/tests/fuzz/thinwire_fuzz

# fuzz [SECONDS] [TARGET...]
fuzz() {
  local seconds=$fuzz_default_s known target status found=0
  if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
    ((seconds > 0)) || fail 2 fuzz "0 seconds find nothing: name at least 1"
  fi
  build_fuzzer
  mapfile -t known < <("$fuzzer" --list)
  for target in "$@"; do
    [[ " ${known[*]} " == *" $target "* ]] || fail 2 fuzz "there is no target '$target'. The targets are ${known[*]}"
  done
  (($# > 0)) || set -- "${known[@]}"
  "${fuzzer}_corpus" seed build-fuzz/corpus

  local turns=$((($# + fuzz_at_once - 1) / fuzz_at_once))
  say fuzz "$# targets, $seconds s each, $fuzz_at_once at a time: $(((turns * seconds + 59) / 60)) min"
  declare -A target_of=()
  trap 'jobs -p | xargs -r kill' EXIT  # an interrupt ends the fuzzers too
  for target in "$@"; do
    ((${#target_of[@]} < fuzz_at_once)) || end_one
    start_one
  done
  while ((${#target_of[@]} > 0)); do end_one; done
  trap - EXIT
  ((found == 0)) || fail 1 fuzz "$found of $# targets found something. Once it is mended, keep the input in tests/fuzz/corpus/TARGET: every ./run test replays it"
  say fuzz "nothing found"
}

build_fuzzer() {
  install_packages "${fuzz_packages[@]}"
  command -v clang++ >/dev/null || fail 2 fuzz "fuzzing needs clang++ with its libFuzzer (Debian: ${fuzz_packages[*]})"
  configure fuzz
  compile fuzz thinwire_fuzz thinwire_fuzz_corpus
}

log_of() { echo "build-fuzz/log/$1.log"; }

# The next three share fuzz's variables. A fuzzer is a direct child, so that it can be ended.
start_one() {
  local corpus=(build-fuzz/corpus/"$target")
  [ ! -d "tests/fuzz/corpus/$target" ] || corpus+=("tests/fuzz/corpus/$target")
  mkdir -p "${corpus[0]}" build-fuzz/findings build-fuzz/log
  "$fuzzer" --target="$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build-fuzz/findings/$target-" "${corpus[@]}" </dev/null >"$(log_of "$target")" 2>&1 &
  target_of[$!]=$target
}

end_one() {
  local pid
  status=0
  wait -n -p pid "${!target_of[@]}" || status=$?
  report_fuzzed "${target_of[$pid]}" "$status" || found=$((found + 1))
  unset "target_of[$pid]"
}

# report_fuzzed TARGET STATUS: fails when there is a finding.
report_fuzzed() {
  local log what input
  log=$(log_of "$1")
  what="$(sed -nE 's/^stat::number_of_executed_units: +//p' "$log") executions, $(sed -nE 's/.* cov: ([0-9]+) .*/\1/p' "$log" | tail -n 1) edges covered"
  if (($2 == 0)); then
    say fuzz "$1: $what, nothing found"
    return
  fi
  say fuzz "$1: $what, FOUND: $(cause_in "$log")" >&2
  input=$(sed -nE 's/^artifact_prefix=.* Test unit written to //p' "$log")
  if [ -n "$input" ]; then printf '    replay: %s --target=%s %s\n' "$fuzzer" "$1" "$input" >&2; fi
  printf '    log: %s\n' "$log" >&2
  return 1
}

cause_in() {
  local cause
  cause=$(grep -m 1 -oE 'what\(\): .*|runtime error: .*' "$1" || grep -m 1 -oE 'SUMMARY: .*' "$1" || tail -n 1 "$1")
  printf '%s' "$cause"
}
