# What `thinwire estimate` says of the configurations that we ship, held against runs of them: tools/forecasts.
# shellcheck shell=bash

# forecasts [CONFIG...]
forecasts() {
  build thinwire
  python3 -B tools/forecasts --program "$PWD/build/thinwire" "$@"
}
