#!/usr/bin/env bash
# fuzz/run.sh SECONDS [TARGET]...: runs each target under libFuzzer for so long, one after another; all of them
# if none is named. Inputs that are found go to $CACHE/fuzz/corpus, and those that break something to
# $CACHE/fuzz/artifacts; nothing is written to the checkout but by `fuzz/run.sh keep`, which puts a minimised
# corpus there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/fuzz
target=${DORMOUSE_FUZZ_TARGET_DIR:-$cache/target}
all='container envelope memory wasi thaw module smith component api'

build() {
  RUSTC_WRAPPER=$here/rustc.sh CARGO_TARGET_DIR=$target cargo build --manifest-path "$here/Cargo.toml" --bins
}

# keep [TARGET]...: a small corpus with the same coverage.
keep() {
  for name in ${*:-$all}; do
    small=$(mktemp -d)
    "$target/debug/$name" -merge=1 -max_len=4096 -rss_limit_mb=4096 "$small" "$here/corpus/$name" "$cache/corpus/$name" \
      2>&1 | tail -1
    rm -rf "$here/corpus/$name"
    mkdir -p "$here/corpus/$name"
    # Of all sizes, and no more than replaying takes seconds: every n-th of them.
    count=$(ls "$small" | wc -l)
    for input in $(ls -rS "$small" | awk -v step=$(((count + ${KEPT:-100} - 1) / ${KEPT:-100})) 'NR % step == 0'); do
      cp "$small/$input" "$here/corpus/$name/${input:0:16}"
    done
    rm -rf "$small"
    echo "$name: $(ls "$here/corpus/$name" | wc -l) inputs, $(du -sh "$here/corpus/$name" | cut -f1)"
  done
}

case ${1:-} in
  build) build; exit ;;
  keep) shift; build; keep "$@"; exit ;;
  '' | *[!0-9]*) sed -n '2,5s/^# //p' "$0"; exit 64 ;;
esac
seconds=$1
shift
build
for name in ${*:-$all}; do
  mkdir -p "$cache/corpus/$name" "$cache/artifacts/$name" "$here/corpus/$name"
  # Binaryen takes long over some modules, and compiled code comes and goes.
  "$target/debug/$name" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="$cache/artifacts/$name/" "$cache/corpus/$name" "$here/corpus/$name"
done
