# Speed over emulated links: docs/links.md. What is run: tools/links/settings.py.
# shellcheck shell=bash

# links [ARGUMENT...]: arguments go to tools/links.
links() {
  build thinwire thinwire_netlab
  python3 -B tools/links --netlab build/tools/netlab/netlab --program build/thinwire "$@"
}
