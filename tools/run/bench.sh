# The benchmarks. They are built by this verb alone; how to read them: docs/benchmarks.md.
# shellcheck shell=bash

# bench [CODEC] [ARGUMENT...]: arguments go to bench_codec; without any, every benchmark runs that needs none.
# bench saves [ARGUMENT...]: to benchmarks/saves.py; bench extreme RUN [ARGUMENT...]: to benchmarks/extreme.py; bench step [ARGUMENT...]: to bench_step, after --peers to benchmarks/peers/cpu_step.py; bench device [CODEC] [ARGUMENT...]: to bench_device; bench checkpoint DIR [EARLIER] [ARGUMENT...]: to bench_checkpoint, after --peers by benchmarks/peers/zipnn_state.py, with ZipNN in the table.
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
  if [[ ${1:-} == step && ${2:-} == --peers ]]; then
    build thinwire
    install_benchmarked_peers
    "$peers_home/bin/python" -B benchmarks/peers/cpu_step.py build/thinwire "${@:3}"
    return
  fi
  if [[ ${1:-} == checkpoint && ${2:-} == --peers ]]; then
    build thinwire bench_checkpoint
    install_benchmarked_peers
    "$peers_home/bin/python" -B benchmarks/peers/zipnn_state.py build/thinwire build/benchmarks/bench_checkpoint "${@:3}"
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

# Beside what install_peers has brought. One of them is compiled here.
install_benchmarked_peers() {
  local list=benchmarks/peers/requirements.txt
  install_peers
  ! cmp -s "$list" "$peers_home/.benchmarked" || return 0
  install_packages python3-dev
  run_logged bench "ZipNN and others: installing into $peers_home" build/log/benchmarked-peers.log \
    "$peers_home/bin/python" -m pip install --no-input --disable-pip-version-check --progress-bar off --no-binary zipnn --no-deps --require-hashes \
    -r "$list"
  cp "$list" "$peers_home/.benchmarked"
}
