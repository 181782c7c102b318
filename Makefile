# make demo    installs what it needs, builds, runs a guest, suspends it, resumes it
# make test    installs what it needs, runs every test on both engines
# make test-dashboard   the dashboard in a real Chromium, which it installs where it can; part of make test
# make test-kill        kills the daemon a thousand times, and accounts for every task and line
# make test-nodes       kills and stops daemons that share a database, and accounts for every task and line
# make test-moves       cuts and kills at every record of a move between two daemons
# make test-failover     nodes on a database that fails over (Patroni), for MINUTES (10), as SEED decides; as root
# make fuzz    ten thousand generated programs, suspended at random calls, against plain Wasmtime
# make fuzz-hour        what reads a stranger's bytes, under libFuzzer, for SECONDS_EACH; TARGETS="container wasi" for some
# make test-aarch64     tasks that walk between x86-64 and aarch64 (QEMU); cross-builds for minutes first
# make soak             everything that can happen to a daemon, for MINUTES
# make check   formatting, lints, licences
# make bench   figures; see benches/README.md
# make bench-migrate    how long a move takes and what it sends: benches/migrate/README.md
# make bench-api        how long each kind of request takes: benches/api/README.md
# make bench-scale      a million sleeping tasks: benches/scale/README.md
# make bench-telemetry  what it costs to tell a collector: benches/scale/telemetry.py
# make bench-cluster    nodes on one PostgreSQL, beside other systems: benches/cluster/README.md
# make bench-sockets    requests to a guest, and wake-ups of one that sleeps: benches/sockets/README.md
# make bench-overhead   what being resumable costs real programs: benches/overhead/README.md
# make bench-first-run  what rewriting costs, over compiling: benches/first-run/README.md
# make bench-components what components cost against plain Wasmtime: benches/components
#
# ROUNDS=3 makes bench-overhead and bench-components shorter, PROGRAMS=lua,go as well (named as in
# their overhead.py and components.py).
# ENGINES=wasmtime leaves WasmEdge out, which needs system packages and therefore root.

SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dormouse
ENGINES ?= wasmtime wasmedge
comma := ,
space := $(subst ,, )
FEATURES := binaryen,components,cli,server,postgres,$(subst $(space),$(comma),$(strip $(ENGINES)))

# Binaryen builds for minutes: its output is kept outside the checkout.
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Python would write beside what it imports, into the checkout.
export PYTHONDONTWRITEBYTECODE := 1
export CMAKE_TOOLCHAIN_FILE := $(CACHE)/cmake/binaryen.cmake
export PATH := $(PATH):$(CACHE)/build-tools/bin
ifneq (,$(findstring wasmedge,$(ENGINES)))
export WASMEDGE_INCLUDE_DIR ?= /usr/include
export WASMEDGE_LIB_DIR ?= /usr/lib/$(shell gcc -print-multiarch)
export LIBCLANG_PATH ?= /usr/lib/llvm-16/lib
endif
DORMOUSE := $(CARGO_TARGET_DIR)/debug/dormouse

.PHONY: demo test test-dashboard test-kill test-nodes test-moves test-failover fuzz fuzz-hour soak test-aarch64 check bench bench-api bench-migrate bench-scale bench-telemetry bench-cluster bench-sockets bench-overhead bench-first-run bench-components build setup clean

build:
	@.ci/setup.sh build
	cargo build --no-default-features --features binaryen,components,cli,server,wasmtime

# In a profile of its own: a newcomer waits for compilers, and the guest sleeps most of its time.
demo: DORMOUSE := $(CARGO_TARGET_DIR)/demo/dormouse
demo:
	cargo build --profile demo --no-default-features --features cli,wasmtime
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf $$scratch' EXIT; \
	cp wasm/bin/ex_nap.wasm $$scratch/nap.wasm; cd $$scratch; \
	dormouse() { printf '\n$$ dormouse %s\n' "$$*"; $(DORMOUSE) "$$@"; }; \
	dormouse run --suspend after=1s nap.wasm || [ $$? = 75 ]; \
	dormouse inspect ./snapshot; \
	dormouse resume ./snapshot

setup:
	@.ci/setup.sh build $(filter wasmedge,$(ENGINES)) test browser

test: setup
	cargo test --workspace --no-default-features --features $(FEATURES)
	@$(TEST_DASHBOARD)

test-dashboard: setup
	cargo build --no-default-features --features $(FEATURES)
	@$(TEST_DASHBOARD)

# Without Chromium there is nothing to test it in.
DRIVER := $(CACHE)/tools/dashboard
TEST_DASHBOARD = if command -v chromium >/dev/null && [ -d $(DRIVER)/node_modules ]; then \
	DORMOUSE_DASHBOARD_MODULES=$(DRIVER) CHROMIUM=$$(command -v chromium) node tests/dashboard/test.mjs $(DORMOUSE); \
	else echo 'no chromium here: the dashboard was not tested'; fi

KILLS ?= 1000
test-kill: setup
	DORMOUSE_KILLS=$(KILLS) cargo test --no-default-features --features $(FEATURES) --test daemon killed_daemons -- --nocapture

NODE_KILLS ?= 200
test-nodes: setup
	DORMOUSE_NODE_KILLS=$(NODE_KILLS) cargo test --no-default-features --features $(FEATURES) --test daemon every_task_is_accounted -- --nocapture

MOVES ?= 10
test-moves: setup
	DORMOUSE_MOVES=$(MOVES) cargo test --no-default-features --features $(FEATURES) --test daemon exactly_one_has -- --nocapture

# FAULTS=kill_node,switch_over does those alone; the names are in tests/failover/faults.py.
FAULTS ?=
test-failover: setup
	cargo build --no-default-features --features $(FEATURES)
	python3 tests/failover/failover.py $(DORMOUSE) --faults '$(FAULTS)' $(if $(SEED),--seed $(SEED)) \
	  $(if $(filter command environment,$(origin MINUTES)),--minutes $(MINUTES))

PROGRAMS_TO_FUZZ ?= 10000
fuzz: setup
	DORMOUSE_FUZZ_PROGRAMS=$(PROGRAMS_TO_FUZZ) cargo test --release --no-default-features --features $(FEATURES) \
	  --test differential

SECONDS_EACH ?= 3600
TARGETS ?=
fuzz-hour: setup
	fuzz/run.sh $(SECONDS_EACH) $(TARGETS)

# From one processor to another: this machine's own program, and one for aarch64 under QEMU.
test-aarch64: setup
	set -e; program=$$(tests/snapshots/aarch64/build.sh); tools=$$(tests/snapshots/aarch64/setup.sh)/usr/bin; \
	  DORMOUSE_QEMU=$$tools/qemu-aarch64 DORMOUSE_AARCH64=$$program cargo test --no-default-features \
	  --features $(FEATURES) --test snapshots portable -- --nocapture

MINUTES ?= 15
soak: setup
	DORMOUSE_SOAK_MINUTES=$(MINUTES) cargo test --no-default-features --features $(FEATURES) --test daemon soak -- --nocapture

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --no-default-features --features $(FEATURES) --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check licenses bans sources; \
	else echo 'cargo deny is not installed: cargo install cargo-deny'; fi

bench: setup
	@.ci/setup.sh bench
	cargo bench --no-default-features --features $(FEATURES)
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/table.py $(CARGO_TARGET_DIR)/release/dormouse

bench-api: setup
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/api/api.py $(CARGO_TARGET_DIR)/release/dormouse

bench-first-run: setup
	benches/first-run/setup.sh
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/first-run/first_run.py $(CARGO_TARGET_DIR)/release/dormouse --rounds $(or $(ROUNDS),3)

bench-migrate: setup
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/migrate/migrate.py $(CARGO_TARGET_DIR)/release/dormouse

SLEEPERS ?= 1000000
# The other systems are given sleepers for so long, or until memory or process numbers run out.
MINUTES_EACH ?= 5
bench-scale: setup
	benches/scale/compare/setup.sh
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/scale/scale.py $(CARGO_TARGET_DIR)/release/dormouse --tasks $(SLEEPERS) --out $(CACHE)/scale/dormouse.json
	set -e; cd benches/scale; compare() { python3 compare/compare.py "$$@"; }; out=$(CACHE)/scale; \
	compare --systems tokio --tasks $(SLEEPERS) --out $$out/tokio.json; \
	compare --systems process,dbos,restate --minutes $(MINUTES_EACH) --out $$out/others.json; \
	python3 table.py $$out/dormouse.json $$out/tokio.json $$out/others.json

bench-telemetry:
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/scale/telemetry.py $(CARGO_TARGET_DIR)/release/dormouse --out $(CACHE)/scale/telemetry.json

SCALE ?= full
PARTS ?= sqlite,nodes,failover,others,sleepers
bench-cluster: setup
	benches/cluster/setup.sh
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/cluster/cluster.py $(CARGO_TARGET_DIR)/release/dormouse --scale $(SCALE) --parts $(PARTS) \
	  --out $(CACHE)/cluster/result.json --table

bench-sockets: setup
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/sockets/sockets.py $(CARGO_TARGET_DIR)/release/dormouse --engines $(subst $(space),$(comma),$(strip $(ENGINES)))

ROUNDS ?= 5
bench-overhead: setup
	benches/overhead/setup.sh
	@set -e; runner=$$(cargo bench --no-run --no-default-features --features $(FEATURES) --bench overhead \
	  --message-format json | sed -n 's,.*"executable":"\([^"]*/overhead-[^"]*\)".*,\1,p'); \
	python3 benches/overhead/overhead.py $$runner --rounds $(ROUNDS) --engines $(subst $(space),$(comma),$(strip $(ENGINES))) \
	  --programs '$(PROGRAMS)'

bench-components: setup
	benches/components/setup.sh
	cargo build --release --no-default-features --features $(FEATURES)
	python3 benches/components/components.py $(CARGO_TARGET_DIR)/release/dormouse --rounds $(ROUNDS) \
	  --engines $(subst $(space),$(comma),$(strip $(ENGINES))) --programs '$(PROGRAMS)'

clean:
	rm -rf $(CARGO_TARGET_DIR)
