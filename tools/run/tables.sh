# The quality tables: docs/methods/tables. What is trained: tools/tables/experiments.py.
# shellcheck shell=bash

peers_home=${XDG_CACHE_HOME:-${HOME:-$(cd ~ && pwd)}/.cache}/thinwire/peers-torch-2.11.0
peers_space_kib=$((6 * 1024 * 1024))  # the wheels while they are fetched, and what they unpack to

# tables [SECONDS] [TABLE...]
tables() {
  python3 -B tools/tables --dry-run -- "$@"
  build thinwire
  python3 -B tools/tables --program "$PWD/build/thinwire" -- "$@"
}

# peers [SECONDS] [TABLE...]: PyTorch's own hooks on the same task.
peers() {
  python3 -B tools/tables --dry-run --peers -- "$@"
  build thinwire
  [ -e "$peers_home/.complete" ] || install_peers
  say peers "PyTorch in $peers_home"
  python3 -B tools/tables --program "$PWD/build/thinwire" --peers "$peers_home/bin/python" -- "$@"
}

# Like install_torch, but with all that `import torch` loads.
install_peers() {
  [ "$(uname -m)" = x86_64 ] || fail 2 peers "no PyTorch wheels are pinned for $(uname -m)"
  mkdir -p "$(dirname "$peers_home")"
  local lock python free_kib
  exec {lock}>"$peers_home.lock"
  flock "$lock"
  if [ ! -e "$peers_home/.complete" ]; then
    free_kib=$(df -Pk "$(dirname "$peers_home")" | awk 'NR == 2 { print $4 }')
    ((free_kib >= peers_space_kib)) || fail 1 peers "PyTorch needs $((peers_space_kib / 1024)) MiB, there are $((free_kib / 1024)) MiB"
    python=$(python_for_wheels)
    run_logged peers "PyTorch: installing into $peers_home (2 GB to fetch)" build/log/peers.log unpack_peers "$python"
    touch "$peers_home/.complete"
  fi
  exec {lock}>&-
}

unpack_peers() {
  rm -rf "$peers_home" && "$1" -m venv "$peers_home" && mkdir "$peers_home/tmp" &&
    TMPDIR=$peers_home/tmp "$peers_home/bin/python" -m pip install --no-input --disable-pip-version-check --progress-bar off \
      --no-cache-dir --only-binary=:all: --no-deps --require-hashes -r tools/tables/peer/requirements.txt &&
    rm -rf "$peers_home/tmp"
}
