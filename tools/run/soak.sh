# Long trials of what must never fail: kill -9 in every phase of a save, and random failures. What is done: tools/soak.
# shellcheck shell=bash

# soak [SECONDS]
soak() {
  (($# <= 1)) || fail 2 run "soak takes SECONDS, but got: $*"
  [[ ${1:-1} =~ ^[1-9][0-9]*$ ]] || fail 2 soak "'$1' is no number of seconds"
  build thinwire
  python3 -B tools/soak --program "$PWD/build/thinwire" "$@"
}
