# The Debian packages that a build needs; why each is here: docs/decisions/001-dependencies.md.
# shellcheck shell=bash

packages=(
  g++ cmake ninja-build pkg-config git
  libopenmpi-dev openmpi-bin libgrpc++-dev
  libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libxxhash-dev zlib1g-dev libzstd-dev libhwy-dev libhtscodecs-dev
  libpcre2-dev libsentencepiece-dev
  libgtest-dev libgmock-dev
  dict-gcide dataset-fashion-mnist
  python3 python3-venv ca-certificates
)
tools_of_packages=(g++ cmake ninja pkg-config git mpirun python3)

# install_packages [PACKAGE...]: these too, which only some verbs need. Asks dpkg first: with everything in place no network is touched and
# no rights are needed.
install_packages() {
  local missing=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    check_tools_by_name
    return
  fi
  mapfile -t missing < <(missing_packages "${packages[@]}" "$@")
  if ((${#missing[@]} == 0)); then
    say setup "apt packages: all present"
    return
  fi
  say setup "apt packages: missing ${missing[*]}"
  local become=()
  if ((EUID != 0)); then
    can_sudo || fail 2 setup "installing needs root. Run this, then ./run again:
    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    become=(sudo)
  fi
  become+=(env DEBIAN_FRONTEND=noninteractive)
  run_logged setup "apt packages: installing ${#missing[@]}" build/log/apt.log apt_install
}

missing_packages() {
  local package
  for package in "$@"; do
    # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
  done
}

# Uses install_packages' become and missing. A failing update (one broken source among many) is not the end; a failing
# installation is. On a machine that has just been switched on others may hold the lock for a while.
apt_install() {
  local apt=("${become[@]}" apt-get -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update || true
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}

# With a terminal sudo may ask for the password; without one it must not wait for it.
can_sudo() {
  command -v sudo >/dev/null || return 1
  if [ -t 0 ] && [ -t 2 ]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

check_tools_by_name() {
  local tool absent=()
  for tool in "${tools_of_packages[@]}"; do command -v "$tool" >/dev/null || absent+=("$tool"); done
  local needs="what these Debian packages hold: ${packages[*]}"
  ((${#absent[@]} == 0)) || fail 2 setup "no apt here, and not found: ${absent[*]}. Install $needs"
  say setup "no apt here: going on with the tools found. The build needs $needs"
}
