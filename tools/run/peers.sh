# Others' programs, to be measured and read beside ours: PyTorch, and the libraries of tests/e2e/huggingface.py and readers.py.
# shellcheck shell=bash

peers_home=${XDG_CACHE_HOME:-${HOME:-$(cd ~ && pwd)}/.cache}/thinwire/peers-torch-2.11.0
peers_space_kib=$((6 * 1024 * 1024))  # the wheels while they are fetched, and what they unpack to
peers_lists=(tools/tables/peer/requirements.txt tools/peers/requirements.txt)

# peers [SECONDS] [TABLE...]: what others' libraries make of our files, then PyTorch's own hooks on the task of the quality tables.
peers() {
  python3 -B tools/tables --dry-run --peers -- "$@"
  build
  install_peers
  say peers "PyTorch and others in $peers_home"
  THINWIRE_PEERS_PYTHON=$peers_home/bin/python run_ctest build build/log/peers-tests.log -R '^e2e\.(huggingface|readers)$'
  python3 -B tools/tables --program "$PWD/build/thinwire" --peers "$peers_home/bin/python" -- "$@"
}

# Like install_torch, but with all that `import torch` loads.
install_peers() {
  [ "$(uname -m)" = x86_64 ] || fail 2 peers "no PyTorch wheels are pinned for $(uname -m)"
  mkdir -p "$(dirname "$peers_home")"
  local lock python free_kib
  exec {lock}>"$peers_home.lock"
  flock "$lock"
  if ! cat "${peers_lists[@]}" | cmp -s - "$peers_home/.complete"; then
    free_kib=$(df -Pk "$(dirname "$peers_home")" | awk 'NR == 2 { print $4 }')
    ((free_kib >= peers_space_kib)) || fail 1 peers "PyTorch needs $(human_kib "$peers_space_kib"), there are $(human_kib "$free_kib")"
    python=$(python_for_wheels)
    run_logged peers "PyTorch and others: installing into $peers_home (2GB to fetch)" build/log/peers.log unpack_peers "$python"
  fi
  exec {lock}>&-
}

# What was installed is what .complete says, which is written last.
unpack_peers() {
  local list
  rm -f "$peers_home/.complete" && "$1" -m venv "$peers_home" && mkdir -p "$peers_home/tmp" || return
  for list in "${peers_lists[@]}"; do
    TMPDIR=$peers_home/tmp "$peers_home/bin/python" -m pip install --no-input --disable-pip-version-check --progress-bar off \
      --no-cache-dir --only-binary=:all: --no-deps --require-hashes -r "$list" || return
  done
  rm -rf "$peers_home/tmp" && cat "${peers_lists[@]}" >"$peers_home/.complete"
}
