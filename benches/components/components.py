#!/usr/bin/env python3
"""What it costs to run components with dormouse, against Wasmtime's own command, which runs them as they are.

usage: components.py DORMOUSE [--rounds N] [--engines A,B] [--programs A,B] [--parts A,B] [--core N]

The components must have been built by setup.sh. Parts are programs, calls, snapshots, resume and rewriting. Writes README.md
and components.svg; where parts or programs are left out, the table is printed and both files go to the cache folder. Runs are
pinned to one core, all hosts in turn, and what is compared is the processor's time of the whole process.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import report

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import machine  # noqa: E402: it lies beside this folder
HOME = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dormouse")
CACHE = os.path.join(HOME, "components")
WASMTIME = os.path.join(HOME, "wasmtime", "wasmtime")
# Name, component, arguments: scaled so that Wasmtime takes about a second.
PROGRAMS = [
    ("SQLite", "sqlite", ["80000"]),
    ("Lua", "lua", ["24"]),
    ("CPython", "cpython", []),
    ("QuickJS", "quickjs", ["20"]),
    ("Rust, serde", "rust", ["60"]),
    ("integer C", "core", ["4000"]),
    ("virtual C++", "graph", ["600"]),
]
CPYTHON_SCALE = 40
# A kind of host call, and how many of them are made.
CALLS = [("now", 1000000), ("write", 1000000), ("print", 1000000), ("read", 1000000), ("stream", 1000000),
         ("environment", 1000000)]
VARIABLES = 20
FILE_BYTES = 4 << 20
# What sleeps, and its bytes at most: name, component.
SLEEPERS = [("C (`ex_nap`)", "ex_nap"), ("Rust (`rs_hello_sleep`)", "rs_hello_sleep"),
            ("Rust, WASI 0.2 itself (`p2_clocks`)", "p2_clocks"), ("CPython after `import json`", "cpython")]
RESUMES = 15


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options, scratch):
        self.dormouse, self.core, self.scratch = options.dormouse, options.core, scratch
        self.engines = [engine for engine in options.engines.split(",") if engine]
        self.env = {**os.environ, "DORMOUSE_CACHE": os.path.join(CACHE, "modules")}
        self.data = os.path.join(scratch, "data")
        os.makedirs(self.data)
        with open(os.path.join(self.data, "file"), "wb") as file:
            file.write(bytes(range(256)) * (FILE_BYTES // 256))
        self.line = os.path.join(scratch, "line")
        with open(self.line, "w") as file:
            file.write("line\n")

    def component(self, name):
        return os.path.join(CACHE, "programs", f"{name}.wasm")

    def script(self, text):
        """A directory with a script for CPython's component."""
        folder = tempfile.mkdtemp(dir=self.scratch)
        with open(os.path.join(folder, "job.py"), "w") as file:
            file.write(text)
        return ["--dir", f"{folder}::/script"]

    def hosts(self):
        """Each host's name, and how it starts."""
        found = [("plain", [WASMTIME, "run", "--allow-precompiled"])]
        for engine in self.engines:
            found.append((engine, [self.dormouse, "run", "--engine", engine]))
        if "wasmedge" in self.engines:
            found.append(("wasmedge-none", [self.dormouse, "run", "--engine", "wasmedge", "--transform", "none"]))
        return found

    def command(self, host, start, name, grants, arguments):
        component = self.component(name)
        if host == "plain":
            compiled = component.replace(".wasm", ".cwasm")
            if not os.path.exists(compiled) or os.path.getmtime(compiled) < os.path.getmtime(component):
                subprocess.run([WASMTIME, "compile", component, "-o", compiled], check=True)
            component = compiled
        return [*start, *grants, component, *arguments]

    def processor(self, command, output=None):
        """Seconds of the processor that a process takes, with its children, and what it prints."""
        with open(self.line) as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(["taskset", "-c", str(self.core), *command], stdin=stdin,
                                       stdout=output or stdout, stderr=stderr, env=self.env)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            stdout.seek(0)
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")
            if process.returncode:
                sys.exit(f"bench: {' '.join(command)} ended with {process.returncode}: {said[-500:]}")
            return usage.ru_utime + usage.ru_stime, stdout.read().decode(errors="replace"), said

    def program(self, label, name, arguments, rounds):
        grants = []
        if name == "cpython":
            with open(os.path.join(HERE, "..", "overhead", "programs", "python", "script.py")) as script:
                grants = self.script(f"import sys\nsys.argv = ['script.py', '{CPYTHON_SCALE}']\n" + script.read())
        commands = [(host, self.command(host, start, name, grants, arguments)) for host, start in self.hosts()]
        entry = {"label": label, "name": name, "runs": []}
        checksums = set()
        # The first round rewrites and compiles.
        for number in range(rounds + 1):
            row = {}
            for host, command in commands:
                say(f"{name}: {host}, round {number}")
                row[host], out, _ = self.processor(command)
                checksums |= {line for line in out.splitlines() if line.startswith("checksum")}
            if number:
                entry["runs"].append(row)
        if len(checksums) != 1:
            sys.exit(f"bench: {name} gives different results: {checksums}")
        return entry

    def calls(self, kind, count, rounds):
        grants = ["--dir", f"{self.data}::/data"]
        for number in range(VARIABLES):
            grants += ["--env", f"VARIABLE_{number}=the value of the variable {number}"]
        entry = {"kind": kind, "count": count, "runs": []}
        with open(os.devnull, "w") as null:
            for number in range(rounds + 1):
                row = {}
                for host, start in self.hosts():
                    if host == "wasmedge-none":
                        continue
                    say(f"{kind}: {host}, round {number}")
                    spent = []
                    for times in (0, count):
                        command = self.command(host, start, "calls", grants, [kind, str(times)])
                        seconds, _, said = self.processor(command, null)
                        spent.append(seconds)
                    row[host] = spent[1] - spent[0]
                    entry.setdefault("said", said)
                    if entry["said"] != said:
                        sys.exit(f"bench: {kind} gives different results: {entry['said']!r} and {said!r}")
                if number:
                    entry["runs"].append(row)
        return entry

    def snapshot(self, name, keep):
        """Suspends a component at its first wait, and gives the snapshot's sizes."""
        grants = self.script("import json\nimport time\ntime.sleep(60)\n") if name == "cpython" else []
        command = [self.dormouse, "run", "--engine", "wasmtime", "--suspend", "always", "--snapshot", keep, *grants,
                   self.component(name)]
        with open(self.line) as stdin:
            done = subprocess.run(command, stdin=stdin, capture_output=True, env=self.env)
        if done.returncode != 75:
            sys.exit(f"bench: {name} was not suspended: {done.stderr.decode()[-500:]}")
        report = subprocess.run([self.dormouse, "inspect", "--json", keep], check=True, capture_output=True, env=self.env)
        report = json.loads(report.stdout)
        return {"bytes": report["snapshot_bytes_without_module"], "with_module": report["snapshot_bytes"]}

    def first_byte(self, command):
        """Milliseconds until a command prints."""
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env)
        process.stdout.read(1)
        took = (time.perf_counter() - start) * 1e3
        process.stdout.read()
        process.wait()
        return took

    def resume(self, rounds):
        snapshots = {}
        for label, name in SLEEPERS:
            if name in ("ex_nap", "rs_hello_sleep"):
                snapshots[label] = os.path.join(self.scratch, f"{name}.snapshot")
                self.snapshot(name, snapshots[label])
        # Until what they sleep for has passed.
        time.sleep(4)
        found = {"nothing (`echo`)": [], **{label: [] for label in snapshots}}
        for number in range(rounds + 1):
            row = {"nothing (`echo`)": self.first_byte(["echo", "x"])}
            for label, path in snapshots.items():
                row[label] = self.first_byte([self.dormouse, "resume", "--engine", "wasmtime", path])
            for label, took in row.items():
                if number:
                    found[label].append(took)
        return found

    def rewriting(self):
        found = {}
        for label, name in (("CPython", "cpython"), ("C (`ex_nap`)", "ex_nap")):
            out = os.path.join(self.scratch, "resumable.wasm")
            command = [self.dormouse, "build", "--json", "--timings", "--engine", "wasmtime", self.component(name), "-o", out]
            say(f"{name}: rewriting")
            done = subprocess.run(command, check=True, capture_output=True, env=self.env)
            found[label] = json.loads(done.stdout)
            start = time.perf_counter()
            subprocess.run([WASMTIME, "compile", self.component(name), "-o", out], check=True)
            found[label]["plain_compile"] = time.perf_counter() - start
        return found


def facts(options):
    return {
        **machine.facts(),
        "wasmtime": machine.run(WASMTIME, "--version"),
        "rounds": options.rounds,
        "call_rounds": options.call_rounds,
        "variables": VARIABLES,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--call-rounds", type=int, default=3)
    parser.add_argument("--engines", default="wasmtime,wasmedge")
    parser.add_argument("--programs", default="")
    parser.add_argument("--parts", default="")
    parser.add_argument("--core", type=int, default=os.cpu_count() - 1)
    options = parser.parse_args()
    programs = [name for name in options.programs.split(",") if name]
    parts = [name for name in options.parts.split(",") if name]

    def wanted(part):
        return not parts or part in parts

    results = {"facts": facts(options)}
    chosen = [program for program in PROGRAMS if not programs or program[1] in programs]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options, scratch)

        def sizes():
            return [(label, bench.snapshot(name, os.path.join(scratch, "snapshot"))) for label, name in SLEEPERS]

        work = {
            "snapshots": sizes,
            "resume": lambda: bench.resume(RESUMES),
            "programs": lambda: [bench.program(*program, options.rounds) for program in chosen],
            "calls": lambda: [bench.calls(kind, count, options.call_rounds) for kind, count in CALLS],
            "rewriting": bench.rewriting,
        }
        for part, measure in work.items():
            if wanted(part):
                results[part] = measure()
                # What has been measured is kept, whatever becomes of the rest.
                with open(os.path.join(CACHE, "results.json"), "w") as file:
                    json.dump(results, file, indent=1)
    # Some of it is no table to publish.
    folder = CACHE if parts or programs else HERE
    report.write(results, folder)
    print(report.text(results))


if __name__ == "__main__":
    if not shutil.which("taskset"):
        sys.exit("bench: taskset is not there (Debian: util-linux)")
    main()
