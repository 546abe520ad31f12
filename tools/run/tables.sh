# The quality tables: docs/methods/tables. What is trained: tools/tables/experiments.py.
# shellcheck shell=bash

# tables [SECONDS] [TABLE...]
tables() {
  python3 -B tools/tables --dry-run -- "$@"
  build thinwire
  python3 -B tools/tables --program "$PWD/build/thinwire" -- "$@"
}
