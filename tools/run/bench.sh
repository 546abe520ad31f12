# The benchmarks. They are built by this verb alone; how to read them: docs/benchmarks.md.
# shellcheck shell=bash

# bench [CODEC] [ARGUMENT...]: arguments go to bench_codec; without any, every benchmark runs.
bench() {
  local program
  build benchmarks
  if (($# == 0)); then
    for program in build/benchmarks/bench_*; do
      [ ! -x "$program" ] || "$program"
    done
    return
  fi
  [[ $1 == -* ]] || set -- --only "$@"
  build/benchmarks/bench_codec "$@"
}
