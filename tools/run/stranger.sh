# A stranger's machine: a fresh Debian 12 in a folder, where this commit is cloned, built by the README's commands, and led astray.
# shellcheck shell=bash

# stranger: needs root, mmdebstrap and the network. What it made is gone when it ends.
stranger() {
  local tool root log=$PWD/build/log/stranger.log
  ((EUID == 0)) || fail 2 stranger "a machine in a folder needs root"
  for tool in mmdebstrap unshare; do
    command -v "$tool" >/dev/null || fail 2 stranger "there is no $tool: apt-get install mmdebstrap util-linux"
  done
  root=$(mktemp -d "${TMPDIR:-/tmp}/thinwire-stranger.XXXXXX")
  # shellcheck disable=SC2064  # of this call
  trap "rm -rf --one-file-system '$root'" EXIT
  run_logged stranger "Debian 12 in $root" "$log" make_debian "$root"
  git clone --quiet "$PWD" "$root/thinwire"
  run_logged stranger "./run build" "$log" within "$root" ./run build
  run_logged stranger "what the README and the pages claim" "$log" within "$root" python3 -B tests/e2e/docs.py build/thinwire
  run_logged stranger "wrong turns" "$log" within "$root" python3 -B tests/e2e/stranger.py build/thinwire
  sed -nE 's/^(test_[a-z_]+) .*\.\.\. (.*)$/[stranger] \2  \1/p' "$log"
}

# make_debian ROOT: as small as there is, with this host's ways to packages and names where it is a Debian 12 too.
make_debian() {
  local root=$1 sources=() file
  if grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do [ ! -s "$file" ] || sources+=("$file"); done
  fi
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,git bookworm "$root" "${sources[@]}" || return
  if ((${#sources[@]} > 0)); then rm -rf "$root/etc/apt" && cp -a /etc/apt "$root/etc/apt"; fi
  for file in /etc/pip.conf /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$file" ] || cp -L "$file" "$root$file" || return
  done
}

# within ROOT COMMAND...: in the clone there. Mounts and processes are of a namespace of their own, and end with the command.
within() {
  local root=$1 pass=() name
  shift
  for name in PIP_INDEX_URL PIP_CERT http_proxy https_proxy; do [ -z "${!name:-}" ] || pass+=("$name=${!name}"); done
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --fork --kill-child bash -c '
    set -e
    root=$1; shift
    mount -t proc proc "$root/proc"; mount -t sysfs sysfs "$root/sys"; mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
    bash "$root" "${pass[@]}" sh -c 'cd /thinwire && exec "$@"' sh "$@"
}
