#!/usr/bin/env bash
# Builds the components of the benchmark into the cache folder: the programs of benches/overhead behind the adapter from
# preview1, CPython as the tests have it, and what makes host calls.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
out=$cache/components/programs
work=$cache/components/build
mkdir -p "$out" "$work"

say() { printf 'setup: %s\n' "$*" >&2; }

"$root/benches/overhead/setup.sh"
"$root/tests/setup.sh"
"$root/wasm/build.sh" --tools p2

# component CORE OUT: wraps a command of preview1, or of Rust's target wasm32-wasip2, with the adapter that comes with jco.
component() {
  [ -e "$out/$2.wasm" ] && [ ! "$1" -nt "$out/$2.wasm" ] && return
  say "$2"
  "$cache/programs/npm/node_modules/.bin/jco" new "$1" --wasi-command -o "$work/$2.wasm" >&2
  mv "$work/$2.wasm" "$out/$2.wasm"
}

# Go's own allocator and the adapter do not go together.
for program in sqlite lua quickjs rust core graph; do
  component "$cache/overhead/programs/$program.wasm" "$program"
done
cp -u "$cache/programs/python.component.wasm" "$out/cpython.wasm"

tools=$cache/toolchains/rust/bin
(cd "$here/programs/calls" && env -u RUSTFLAGS RUSTC="$tools/rustc" CARGO_TARGET_DIR="$work/rust-target" \
  CARGO_TARGET_WASM32_WASIP2_LINKER="$tools/wasm-ld" \
  CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS='-C linker-flavor=wasm-ld' \
  cargo build --quiet --locked --release --target wasm32-wasip2)
component "$work/rust-target/wasm32-wasip2/release/calls.wasm" calls
for guest in ex_nap rs_hello_sleep p2_clocks; do
  component "$root/wasm/bin/$guest.wasm" "$guest"
done
