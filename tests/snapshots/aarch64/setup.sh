#!/usr/bin/env bash
# What `make test-aarch64` needs beside `make setup`: a C and C++ cross compiler from the system's own Debian; and, unpacked
# beside the system so that nothing of the machine's is replaced, a Rust compiler with a standard library for aarch64
# from Debian unstable, and QEMU's user mode from Debian 13: that of Debian 12, 7.2, ends with an assertion of its own
# where a forked process starts a thread, as Binaryen's does. Prints the folder of all that.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/toolchains/rust-aarch64
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *//p; s/^deb \(http[^ ]*\) .*/\1/p' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list \
  2>/dev/null | grep '/debian$' | sort -u | head -n 1 || true)}

[ -n "$mirror" ] || { echo "no mirror of Debian's in /etc/apt; give one as DEBIAN_MIRROR" >&2; exit 1; }

packages=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
  as_root apt-get install -q -y --no-install-recommends "${packages[@]}" >&2
fi

# list RELEASE ARCH: what there is, into a file
list() { curl -fsS "$mirror/dists/$1/main/binary-$2/Packages.xz" | xz -dc >"packages-$2"; }
# get ARCH PACKAGE [FILES]: unpacks a listed package, or some of its files
get() {
  local file
  file=$(awk -v name="$2" 'BEGIN { RS = ""; FS = "\n" } $1 == "Package: " name { print; exit }' "packages-$1" |
    sed -n 's/^Filename: //p')
  curl -fsS "$mirror/$file" -o package.deb
  dpkg --fsys-tarfile package.deb | tar -x "${@:3}"
  rm package.deb
}

if [ ! -f "$cache/.complete" ]; then
  rm -rf "$cache"
  mkdir -p "$cache"
  cd "$cache"
  for arch in amd64 arm64; do list sid "$arch"; done
  rust=$(sed -n 's/^Package: \(libstd-rust-1\.[0-9]*\)$/\1/p' packages-amd64 | head -n 1)
  llvm=$(awk -v name="$rust" 'BEGIN { RS = ""; FS = "\n" } $1 == "Package: " name { print; exit }' packages-amd64 |
    sed -n 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p')
  for package in rustc "$rust" libstd-rust-dev "$llvm" libxml2-16 libz3-4; do get amd64 "$package"; done
  get arm64 libstd-rust-dev
  rm packages-*
  touch .complete
fi
if [ ! -x "$cache/usr/bin/qemu-aarch64" ]; then
  cd "$cache"
  list trixie amd64
  get amd64 qemu-user ./usr/bin/qemu-aarch64
  rm packages-*
fi
echo "$cache"
