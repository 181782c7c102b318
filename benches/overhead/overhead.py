#!/usr/bin/env python3
"""What being resumable costs a program: runs everything in benches/overhead/programs, writes README.md and overhead.svg.

usage: overhead.py RUNNER [--rounds N] [--engines A,B] [--programs A,B] [--core N] [--fresh]

RUNNER is the built benches/overhead/main.rs. Modules, machine code and all figures are kept in the cache folder; what does
not depend on dormouse's own rewriting is not made again unless --fresh is given. The programs must have been built by
setup.sh. With --programs the table is printed, and both files go to the cache folder. Runs are pinned to one core, all variants in turn.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import machine  # noqa: E402: it lies beside this folder

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dormouse", "overhead")
# Longer than this, and a compilation is given up.
LIMIT = 600
VARIANTS = ["none", "reference", "ours", "preempt"]
# What a large program is run as: it knows nothing of this, so that it is not suspended at a known moment, and Binaryen
# alone would take too long for it.
LARGE_VARIANTS = ["none", "ours", "preempt"]


def python_script():
    with open(os.path.join(HERE, "programs", "python", "script.py")) as script:
        return script.read()


YOSYS_SCRIPT = ("read_verilog /large.v; hierarchy -top top; proc; flatten; opt -full; wreduce; opt; simplemap; opt -full; "
                "write_verilog -noattr")
# Name, module, arguments: scaled so that the plain module takes one to four seconds on Wasmtime.
PROGRAMS = [
    ("SQLite", "sqlite", ["80000"]),
    ("Lua", "lua", ["24"]),
    ("CPython", "cpython", ["-c", python_script(), "50"]),
    ("QuickJS", "quickjs", ["20"]),
    ("Go", "go", ["50"]),
    ("Rust, serde", "rust", ["60"]),
    ("integer C", "core", ["4000"]),
    ("virtual C++", "graph", ["600"]),
    ("Yosys (C++)", "yosys", ["-q", "-p", YOSYS_SCRIPT]),
    ("Go's compiler", "go-compile", ["-p", "large", "-c=1", "-S", "-o", "/large.o", "/large.go"]),
]
# Large programs as they are, with the folder that has what they work on as their root directory.
LARGE = ["yosys", "go-compile"]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Kept:
    """Figures of earlier runs, by a key that says what they depend on."""

    def __init__(self, fresh):
        self.path = os.path.join(CACHE, "kept.json")
        self.data = {}
        if fresh:
            # Code that is there already would be found in no time.
            shutil.rmtree(os.path.join(CACHE, "modules"), ignore_errors=True)
        elif os.path.exists(self.path):
            with open(self.path) as file:
                self.data = json.load(file)

    def get(self, key):
        return self.data.get(key)

    def put(self, key, value):
        self.data[key] = value
        with open(self.path + ".new", "w") as file:
            json.dump(self.data, file, indent=1, sort_keys=True)
        os.replace(self.path + ".new", self.path)
        return value


def call(command, limit=None):
    """The JSON lines that a command prints, or what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None, f"more than {limit // 60} minutes"
    if done.returncode < 0:
        return None, f"ended by signal {-done.returncode}"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return None, lines[-1][:200]
    return [json.loads(line) for line in done.stdout.splitlines()], None


def rewrite(runner, kept, module, variant, digest):
    key = f"rewrite {variant} {digest}"
    old = kept.get(key)
    # Ours is what is being measured: it may have changed.
    if old and variant in ("none", "reference"):
        return old, None
    lines, wrong = call([runner, "rewrite", variant, os.path.join(CACHE, "modules"), module], 2 * LIMIT)
    if wrong:
        return None, wrong
    return kept.put(key, lines[0]), None


def compile_code(runner, kept, module, variant, engine, rewritten):
    key = f"compile {engine} {rewritten['module']}"
    old = kept.get(key)
    if old and old.get("wrong"):
        return None, old["wrong"]
    lines, wrong = call([runner, "compile", variant, engine, os.path.join(CACHE, "modules"), module], LIMIT)
    if wrong:
        # Not to be waited for again.
        if wrong.startswith("more than"):
            kept.put(key, {"wrong": wrong})
        return None, wrong
    # What was compiled before took the time that it took then.
    if lines[0]["cached"]:
        return old, None
    return kept.put(key, lines[0]), None


def facts(rounds, core):
    lock = machine.read(os.path.join(HERE, "..", "..", "Cargo.lock")).split("[[package]]")
    locked = {}
    for package in lock:
        fields = dict(line.split(" = ", 1) for line in package.strip().splitlines() if " = " in line and line[0] != " ")
        locked[fields.get("name", "").strip('"')] = fields.get("version", "").strip('"')
    include = os.environ.get("WASMEDGE_INCLUDE_DIR", "/usr/include")
    header = machine.read(os.path.join(include, "wasmedge", "version.h"))
    wasmedge = [line.split('"')[1] for line in header.splitlines() if line.startswith("#define WASMEDGE_VERSION \"")]
    return {
        **machine.facts(),
        "wasmtime": locked.get("wasmtime"),
        "wasmedge": wasmedge[0] if wasmedge else "unknown",
        "binaryen": "117",
        "rounds": rounds,
        "core": core,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runner")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="wasmtime,wasmedge")
    parser.add_argument("--programs", default="")
    parser.add_argument("--core", type=int, default=os.cpu_count() - 1)
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    engines = [engine for engine in options.engines.split(",") if engine]
    wanted = [name for name in options.programs.split(",") if name]
    programs = [program for program in PROGRAMS if not wanted or program[1] in wanted]

    kept = Kept(options.fresh)
    os.makedirs(os.path.join(CACHE, "modules"), exist_ok=True)
    results = {"facts": facts(options.rounds, options.core), "programs": []}
    # Everything is rewritten and compiled before anything is measured.
    for label, name, arguments in programs:
        module = os.path.join(CACHE, "programs", f"{name}.wasm")
        with open(module, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        program = {"label": label, "name": name, "arguments": arguments, "rewrite": {}, "engines": {}}
        results["programs"].append(program)
        variants = LARGE_VARIANTS if name in LARGE else VARIANTS
        wrong = None
        for variant in variants:
            say(f"{name}: rewriting, {variant}")
            program["rewrite"][variant], wrong = rewrite(options.runner, kept, module, variant, digest)
            if wrong:
                wrong = f"{variant}: {wrong}"
                break
        for engine in engines:
            entry = program["engines"][engine] = {"compile": {}, "wrong": wrong}
            for variant in variants if not wrong else []:
                say(f"{name}: {engine}, {variant}")
                rewritten = program["rewrite"][variant]
                seconds, failed = compile_code(options.runner, kept, module, variant, engine, rewritten)
                entry["compile"][variant] = seconds
                # Without asyncify to compare with there is still something to say.
                if failed and variant == "reference":
                    entry["no_reference"] = failed
                elif failed:
                    entry["wrong"] = f"compiling {variant}: {failed}"
                    break

    for program in results["programs"]:
        module = os.path.join(CACHE, "programs", f"{program['name']}.wasm")
        for engine, entry in program["engines"].items():
            if entry["wrong"]:
                say(f"{program['name']} on {engine} is left out: {entry['wrong']}")
                continue
            say(f"{program['name']}: {engine}, measuring")
            modules = os.path.join(CACHE, "modules")
            command = ["taskset", "-c", str(options.core), options.runner]
            if program["name"] in LARGE:
                command += ["whole", ",".join(LARGE_VARIANTS), engine, str(options.rounds), modules,
                            os.path.join(CACHE, "large"), module]
            else:
                variants = [variant for variant in VARIANTS + ["resumed", "sliced"]
                            if variant != "reference" or "no_reference" not in entry]
                command += ["measure", ",".join(variants), engine, str(options.rounds), modules, module]
            command += program["arguments"]
            entry["runs"], entry["wrong"] = call(command)
            if entry["wrong"]:
                sys.exit(f"bench: {program['name']} on {engine}: {entry['wrong']}")
            checksums = {run["checksum"] for run in entry["runs"]}
            program.setdefault("checksum", sorted(checksums)[0])
            if checksums != {program["checksum"]}:
                sys.exit(f"bench: {program['name']} on {engine} gives different results: {checksums}, "
                         f"{program['checksum']}")

            if program["name"] in LARGE:
                continue
            entry["pause"], wrong = call([options.runner, "pause", engine, "300", modules, module, *program["arguments"]])
            if wrong:
                sys.exit(f"bench: {program['name']} on {engine}, pausing: {wrong}")

    for program in results["programs"]:
        # The script is in the repository.
        program["arguments"] = [word if "\n" not in word else "script.py" for word in program["arguments"]]
    path = os.path.join(CACHE, "results.json")
    with open(path, "w") as file:
        json.dump(results, file, indent=1)
    # Some of the programs are no table to publish.
    folder = CACHE if wanted else HERE
    subprocess.run([sys.executable, os.path.join(HERE, "report.py"), path, folder], check=True)


main()
