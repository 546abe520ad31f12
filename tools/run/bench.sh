# The benchmarks. They are built by this verb alone; how to read them: docs/benchmarks.md.
# shellcheck shell=bash

# bench [CODEC] [ARGUMENT...]: arguments go to bench_codec; bench step [ARGUMENT...]: to bench_step; without any, every benchmark runs.
bench() {
  local program
  build benchmarks
  if (($# == 0)); then
    for program in build/benchmarks/bench_*; do
      [ ! -x "$program" ] || "$program"
    done
    return
  fi
  if [[ $1 == step ]]; then
    build/benchmarks/bench_step "${@:2}"
    return
  fi
  [[ $1 == -* ]] || set -- --only "$@"
  build/benchmarks/bench_codec "$@"
}
