# Speed over emulated links: docs/links.md. What is run: tools/links/measured.py.
# shellcheck shell=bash

# links [--peers] [ARGUMENT...]: arguments go to tools/links; --peers, which comes first: PyTorch too, installed beside LibTorch.
links() {
  local peers=()
  build thinwire thinwire_netlab
  if [ "${1:-}" = --peers ]; then
    shift
    install_peers
    peers=(--peers "$peers_home/bin/python")
  fi
  python3 -B tools/links --netlab build/tools/netlab/netlab --program build/thinwire "${peers[@]}" "$@"
}
