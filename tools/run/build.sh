# Configure and compile. The tree of preset P is build-P, that of release is build.
# shellcheck shell=bash

sanitizer_presets=(asan tsan)
tree_of() { if [ "$1" = release ]; then echo build; else echo "build-$1"; fi; }

# build [TARGET...]: of the release tree; everything without a target.
build() {
  install_packages
  find_torch
  # -U: what was found under another prefix must not be remembered.
  configure release -U 'THINWIRE_TORCH_*' -U THINWIRE_C10_LIBRARY -D "THINWIRE_TORCH_PREFIX=$torch_prefix" -D "THINWIRE_CUDA=${THINWIRE_CUDA:-AUTO}"
  compile release "$@"
}

# configure PRESET [ARGUMENT...]: once per tree; again only when the arguments or the presets changed (ninja sees the rest itself).
configure() {
  local preset=$1 tree wanted
  tree=$(tree_of "$preset")
  shift
  wanted="$* $(cksum <CMakePresets.json)"
  if [ -f "$tree/build.ninja" ] && [ "$(cat "$tree/.configured" 2>/dev/null)" = "$wanted" ]; then return; fi
  rm -f "$tree/.configured"
  run_logged build "configure $tree" "$tree/log/configure.log" cmake --preset "$preset" "$@"
  printf '%s\n' "$wanted" >"$tree/.configured"
}

# compile PRESET [TARGET...]
compile() {
  local preset=$1 tree log began=$SECONDS
  tree=$(tree_of "$preset")
  log=$tree/log/build.log
  shift
  mkdir -p "$tree/log"
  say build "compile $tree, $(parallel_jobs) at a time ..."
  if [ -t 1 ]; then
    ninja -C "$tree" -j "$(parallel_jobs)" "$@" || fail 1 build "compile $tree: FAILED after $((SECONDS - began)) s"
  else
    NINJA_STATUS='[%f/%t] ' ninja -C "$tree" -j "$(parallel_jobs)" "$@" 2>&1 | thin_out '^(\[[0-9]+/[0-9]+\] |ninja: (no work|Entering))' "$log" ||
      fail 1 build "compile $tree: FAILED after $((SECONDS - began)) s; all of it is in $log"
  fi
  say build "compile $tree: done ($((SECONDS - began)) s)"
}

# One per CPU, as far as memory goes: a file that includes LibTorch takes 1.4 GB to compile.
parallel_jobs() {
  local cpus memory_gb
  cpus=$(nproc)
  memory_gb=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo)
  ((memory_gb >= 1)) || memory_gb=1
  echo "${CMAKE_BUILD_PARALLEL_LEVEL:-$((cpus < memory_gb ? cpus : memory_gb))}"
}

clean() {
  local preset
  for preset in release debug fuzz "${sanitizer_presets[@]}"; do rm -rf "$(tree_of "$preset")"; done
  say clean "build trees removed; runs/ and LibTorch ($torch_home) are kept"
}
