#!/usr/bin/env bash
# Builds dormouse for aarch64 with Wasmtime, and prints where the program is. The compiler is the one of `setup.sh`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rust=$("$here/setup.sh")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse
export CARGO_TARGET_DIR=${DORMOUSE_AARCH64_TARGET_DIR:-$cache/target-aarch64}
export RUSTC=$rust/usr/bin/rustc LD_LIBRARY_PATH=$rust/usr/lib/x86_64-linux-gnu
export CMAKE_TOOLCHAIN_FILE=$here/toolchain.cmake
# Host and target have one variable for cmake each: nothing of the host's is built with it.
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
cd "$here/../../.."
cargo build --target aarch64-unknown-linux-gnu --no-default-features --features cli,wasmtime --bin dormouse >&2
echo "$CARGO_TARGET_DIR/aarch64-unknown-linux-gnu/debug/dormouse"
