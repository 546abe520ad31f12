# The benchmarks. They are built by this verb alone; how to read them: docs/benchmarks.md.
# shellcheck shell=bash

# bench [CODEC] [ARGUMENT...]: arguments go to bench_codec; without any, every benchmark runs that needs none.
# bench saves [ARGUMENT...]: to benchmarks/saves.py; bench extreme RUN [ARGUMENT...]: to benchmarks/extreme.py; bench step [ARGUMENT...]: to bench_step; bench device [CODEC] [ARGUMENT...]: to bench_device; bench checkpoint DIR [EARLIER] [ARGUMENT...]: to bench_checkpoint.
bench() {
  local program
  if [ "${1:-}" = saves ]; then
    build thinwire
    python3 -B benchmarks/saves.py "${@:2}"
    return
  fi
  if [ "${1:-}" = extreme ]; then
    build thinwire bench_indices
    python3 -B benchmarks/extreme.py "${@:2}"
    return
  fi
  build benchmarks
  if (($# == 0)); then
    for program in build/benchmarks/bench_* build/bench_device; do
      [ ! -x "$program" ] || [[ $program == build/benchmarks/bench_@(checkpoint|indices) ]] || "$program"
    done
    return
  fi
  if [[ $1 == step || $1 == checkpoint ]]; then
    "build/benchmarks/bench_$1" "${@:2}"
    return
  fi
  program=build/benchmarks/bench_codec
  if [[ $1 == device ]]; then
    program=build/bench_device
    shift
  fi
  (($# == 0)) || [[ $1 == -* ]] || set -- --only "$@"
  "$program" "$@"
}
