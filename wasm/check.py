#!/usr/bin/env python3
"""Runs every entry of guests.json under oracle.py, uninterrupted, and says what does not hold.

usage: check.py [-v] [NAME...]      (needs PyPI's `wasmtime`, as oracle.py does)

Each guest runs twice, the second time with another stdout (a file, not a pipe) and another directory: the same
bytes must come out. Exit code, and that each entry has its module and each module its entry, are checked too.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def run(entry, scratch, stdout):
    command = [sys.executable, HERE / "oracle.py", HERE / "bin" / (entry.get("oracle", entry["name"]) + ".wasm")]
    if entry["dir"]:
        work = scratch / "work"
        work.mkdir()
        command += ["--dir", f"{work}::/work"]
    for key, value in entry["env"].items():
        command += ["--env", f"{key}={value}"]
    stdin = subprocess.DEVNULL
    if entry["stdin"] is not None:
        (scratch / "stdin").write_text(entry["stdin"])
        command += ["--stdin", scratch / "stdin"]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--", *entry["args"]], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=120, check=False
    )
    return done, time.monotonic() - start


def main():
    verbose = "-v" in sys.argv[1:]
    only = [a for a in sys.argv[1:] if a != "-v"]
    entries = json.loads((HERE / "guests.json").read_text())
    bad = 0

    names = [e["name"] for e in entries]
    built = {p.stem for p in (HERE / "bin").glob("*.wasm")}
    # Those of examples and of regression tests are run by them alone.
    built -= {name for name in built if name.startswith(("ex_", "bug_", "net_"))}
    for name in sorted(built ^ set(names)) + sorted({n for n in names if names.count(n) > 1}):
        print(f"BAD  {name}: its module and its one entry in guests.json do not match up")
        bad += 1

    for entry in entries:
        if entry["name"] not in built or (only and entry["name"] not in only):
            continue
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            first, took = run(entry, pathlib.Path(one), subprocess.PIPE)
            with open(pathlib.Path(two) / "stdout", "w+b") as out:
                second, _ = run(entry, pathlib.Path(two), out)
                out.seek(0)
                again = out.read()
        wrong = []
        for code in {first.returncode, second.returncode} - {entry["exit"]}:
            wrong.append(f"exit code {code}, not {entry['exit']}")
        if first.stdout != again:
            wrong.append("two runs differ")
        bad += bool(wrong)
        verdict = "BAD " if wrong else "ok  "
        print(f"{verdict} {entry['name']:<16} {len(first.stdout):>7} bytes {took * 1000:>6.0f} ms  {'; '.join(wrong)}")
        if verbose or wrong:
            for part in (first.stdout, first.stderr):
                print(part.decode(errors="replace"), end="")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
