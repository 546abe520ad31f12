# Finds LibTorch, or installs it once per user outside the checkout. Order: THINWIRE_TORCH_PREFIX, a Python that already has a
# suitable torch, the user's cache. Nothing here imports torch: the installed profile serves C++ alone.
# shellcheck shell=bash

torch_series=2.11
torch_home=${XDG_CACHE_HOME:-${HOME:-$(cd ~ && pwd)}/.cache}/thinwire/torch-2.11.0-cpu
torch_space_kib=$((2500 * 1024))       # the wheel while it is fetched, and what it unpacks to
torch_cuda_space_kib=$((6000 * 1024))  # likewise, of the CUDA libraries

# Sets torch_prefix to a folder with include/ and lib/.
find_torch() {
  if [ -n "${THINWIRE_TORCH_PREFIX:-}" ]; then
    torch_prefix=$(torch_from_environment)
    say setup "LibTorch: $torch_prefix (THINWIRE_TORCH_PREFIX)"
  elif torch_prefix=$(torch_of_python); then
    say setup "LibTorch: $torch_prefix (already installed for Python)"
  else
    [ -e "$torch_home/.complete" ] || install_torch .complete "LibTorch: installing into $torch_home (520MB to fetch)" "$torch_space_kib" unpack_torch
    if wants_cuda && [ ! -e "$torch_home/.complete-cuda" ]; then
      install_torch .complete-cuda "LibTorch: installing CUDA's libraries into $torch_home (1.5GB to fetch)" "$torch_cuda_space_kib" unpack_torch_cuda
    fi
    torch_prefix=$(echo "$torch_home"/lib/python3.*/site-packages/torch)
    local flaw
    flaw=$(torch_flaw "$torch_prefix")
    [ -z "$flaw" ] || fail 1 setup "LibTorch in $torch_home: $flaw. Remove that folder and run again"
    say setup "LibTorch: $torch_prefix"
  fi
}

# torch_flaw FOLDER: says why FOLDER cannot serve; silent when it can.
torch_flaw() {
  local missing version_file=$1/include/torch/headeronly/version.h
  [ -f "$1/include/ATen/ATen.h" ] || { echo "has no include/ATen/ATen.h"; return; }
  [ -f "$1/lib/libtorch_cpu.so" ] || { echo "has no lib/libtorch_cpu.so"; return; }
  if ! grep -qsx "#define TORCH_VERSION_MINOR ${torch_series#*.}" "$version_file" ||
     ! grep -qsx "#define TORCH_VERSION_MAJOR ${torch_series%.*}" "$version_file"; then
    echo "is not version $torch_series"
    return
  fi
  missing=$(ldd "$1/lib/libtorch_cpu.so" | awk '/not found/ { print $1 }' | sort -u | paste -sd ' ')
  [ -z "$missing" ] || echo "needs libraries that are absent: $missing"
}

# The variable may name site-packages/torch, or a folder that holds it (site-packages, an unpacked archive, a virtual environment).
torch_from_environment() {
  local folder flaw='has no include/ATen/ATen.h, nor has a torch folder in it' named=$THINWIRE_TORCH_PREFIX
  for folder in "$named" "$named/torch" "$named"/lib/python3.*/site-packages/torch; do
    [ -f "$folder/include/ATen/ATen.h" ] || continue
    flaw=$(torch_flaw "$folder")
    [ -n "$flaw" ] || { realpath "$folder"; return; }
  done
  fail 2 setup "THINWIRE_TORCH_PREFIX=$named $flaw. Name the site-packages/torch of a torch $torch_series wheel, or unset it to have one installed"
}

torch_of_python() {
  local python folder
  for python in python3 /usr/bin/python3; do
    folder=$("$python" -c '
import importlib.util
spec = importlib.util.find_spec("torch")
print(spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else "")' 2>/dev/null) || continue
    if [ -n "$folder" ] && [ -z "$(torch_flaw "$folder")" ]; then
      echo "$folder"
      return
    fi
  done
  return 1
}

# As CMake's option of that name: ON, OFF, or by what is here.
wants_cuda() {
  case ${THINWIRE_CUDA:-AUTO} in
    ON) return 0 ;;
    OFF) return 1 ;;
    AUTO) [ -e /dev/nvidia0 ] || nvidia-smi -L >/dev/null 2>&1 ;;
    *) fail 2 setup "THINWIRE_CUDA=$THINWIRE_CUDA is none of ON, OFF and AUTO" ;;
  esac
}

# install_torch STAMP TITLE SPACE_KIB UNPACK: the stamp is written last: an installation that was interrupted has none and is begun again.
# The lock keeps two checkouts apart.
install_torch() {
  [ "$(uname -m)" = x86_64 ] ||
    fail 2 setup "no LibTorch wheel is pinned for $(uname -m): set THINWIRE_TORCH_PREFIX to the site-packages/torch of a torch $torch_series wheel"
  mkdir -p "$(dirname "$torch_home")"
  local stamp=$1 title=$2 space_kib=$3 unpack=$4 lock python
  exec {lock}>"$torch_home.lock"
  if ! flock -n "$lock"; then
    say setup "LibTorch: waiting for another installation to end"
    flock "$lock"
  fi
  if [ ! -e "$torch_home/$stamp" ]; then
    check_torch_space "$(dirname "$torch_home")" "$space_kib"
    python=$(python_for_wheels)
    run_logged setup "$title" "build/log/torch${stamp#.complete}.log" "$unpack" "$python"
    touch "$torch_home/$stamp"
  fi
  exec {lock}>&-
}

check_torch_space() {
  local free_kib
  free_kib=$(df -Pk "$1" | awk 'NR == 2 { print $4 }')
  ((free_kib >= $2)) ||
    fail 1 setup "LibTorch needs $(human_kib "$2"), $1 has $(human_kib "$free_kib"). Free some, or set XDG_CACHE_HOME to a larger disk"
}

python_for_wheels() {
  local python
  for python in /usr/bin/python3 python3; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  fail 2 setup "no Python 3.11 to 3.14 with venv found for the LibTorch wheel: install one, or set THINWIRE_TORCH_PREFIX"
}

# pip unpacks the wheel beside its destination: the system's temporary folder is often too small for it.
unpack_torch() {
  rm -rf "$torch_home" && "$1" -m venv "$torch_home" && unpack_wheels torch-requirements.txt
}

unpack_torch_cuda() { unpack_wheels torch-cuda-requirements.txt; }

unpack_wheels() {
  rm -rf "$torch_home/tmp" && mkdir "$torch_home/tmp" &&
    TMPDIR=$torch_home/tmp "$torch_home/bin/python" -m pip install --no-input --disable-pip-version-check --progress-bar off \
      --no-cache-dir --only-binary=:all: --no-deps --require-hashes -r "tools/run/$1" &&
    rm -rf "$torch_home/tmp"
}
