#!/usr/bin/env bash
# Fetches the systems that the daemon is compared with into ${XDG_CACHE_HOME:-~/.cache}/dormouse/scale.
# Safe to run again. What cannot be had is left out, and its rows are missing.
set -euo pipefail

DBOS=3.4.0
RESTATE_SERVER=1.7.12
RESTATE_SDK=1.17.2

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/scale
mkdir -p "$cache"

step() { # step NAME-VERSION COMMAND...: runs once
  local mark=$cache/.complete-$1
  shift
  [ -e "$mark" ] && return
  if "$@"; then touch "$mark"; else echo "setup: left out: $*" >&2; fi
}

get_dbos() {
  python3 -m venv "$cache/dbos" && "$cache/dbos/bin/pip" install --quiet --disable-pip-version-check "dbos==$DBOS"
}
get_restate() {
  mkdir -p "$cache/restate" &&
    npm install --silent --no-audit --no-fund --prefix "$cache/restate" \
      "@restatedev/restate-server@$RESTATE_SERVER" "@restatedev/restate-sdk@$RESTATE_SDK"
}

step "dbos-$DBOS" get_dbos
step "restate-$RESTATE_SERVER-$RESTATE_SDK" get_restate
CARGO_TARGET_DIR=$cache/tokio cargo build --quiet --release --manifest-path "$here/tokio/Cargo.toml"
