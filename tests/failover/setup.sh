#!/usr/bin/env bash
# Unpacks Patroni, etcd and nftables into ${XDG_CACHE_HOME:-~/.cache}/dormouse/failover: Debian's packages,
# which are not installed, so that no service is started, and Patroni itself from PyPI. With etcd's third
# interface, Debian 12's Patroni 3.0.2 takes the primary role back from its successor when a primary
# reaches etcd again, and what was acknowledged meanwhile is lost. PostgreSQL is installed by
# tests/setup.sh. Prints the folder. Safe to run again.
set -euo pipefail

PATRONI=4.1.5

cd "$(dirname "$0")"
folder=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/failover
if [ ! -e "$folder/.complete-2-$PATRONI" ]; then
  echo "setup: Patroni, etcd, nftables" >&2
  unpacked=$(mktemp -d)
  trap 'rm -rf "$unpacked"' EXIT
  pushd "$unpacked" >/dev/null
  # What would be installed here: what is there already is used as it is.
  missing() {
    apt-get install --simulate -qq --no-install-recommends patroni python3-etcd etcd-server etcd-client nftables |
      sed -n 's/^Inst \([^ ]*\) .*/\1/p'
  }
  packages=$(missing) || { apt-get update -qq && packages=$(missing); }
  # shellcheck disable=SC2086 # each word is a package
  apt-get download -qq $packages >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get download -qq $packages >/dev/null; }
  for package in *.deb; do dpkg -x "$package" tree; done
  python3 -m pip download --quiet --disable-pip-version-check --no-deps "patroni==$PATRONI"
  rm -rf tree/usr/lib/python3/dist-packages/patroni*
  python3 -m zipfile -e patroni-*.whl tree/usr/lib/python3/dist-packages
  popd >/dev/null
  rm -rf "$folder" && mkdir -p "$(dirname "$folder")" && mv "$unpacked/tree" "$folder"
  touch "$folder/.complete-2-$PATRONI"
fi
if [ appender.c -nt "$folder/appender.wasm" ]; then
  ../../wasm/build.sh --tools c >&2
  clang-16 --target=wasm32-wasi -O2 -s -o "$folder/appender.wasm" appender.c
fi
echo "$folder"
