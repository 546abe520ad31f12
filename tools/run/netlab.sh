# Emulated hosts joined by slow links, on this machine: docs/netlab.md. It installs nothing of its own.
# shellcheck shell=bash

# netlab ARGUMENT...: arguments go to netlab; the command behind `--` usually is an mpirun of build/thinwire.
netlab() {
  build thinwire thinwire_netlab
  exec build/tools/netlab/netlab "$@"
}
