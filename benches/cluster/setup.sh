#!/usr/bin/env bash
# Fetches what nodes are compared with, into ${XDG_CACHE_HOME:-~/.cache}/dormouse/scale and .../cluster.
# Safe to run again. What cannot be had is left out, and its rows are missing.
set -euo pipefail

# The last one that runs on Node 20.
PG_BOSS=10.4.2

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/cluster
mkdir -p "$cache"
# DBOS and Restate.
"$here/../scale/compare/setup.sh"
if [ ! -e "$cache/.complete-$PG_BOSS" ]; then
  if npm install --silent --no-audit --no-fund --prefix "$cache" "pg-boss@$PG_BOSS"; then
    touch "$cache/.complete-$PG_BOSS"
  else
    echo "setup: left out: pg-boss" >&2
  fi
fi
