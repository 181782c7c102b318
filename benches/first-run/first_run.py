#!/usr/bin/env python3
"""What the first run of a program costs: writes README.md and first-run.svg. `make bench-first-run` calls it.

usage: first_run.py DORMOUSE [--rounds N] [--programs A,B] [--transforms A,B]

Rewriting by `dormouse build`, and compiling the plain module by the Wasmtime project's own command, take turns; each rewriting
starts with an empty cache. With --programs or --transforms the table is printed and no file is written.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import machine  # noqa: E402: it lies beside this folder

ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dormouse"
WASMTIME = CACHE / "wasmtime" / "wasmtime"
# Seconds after which a rewriting is given up.
LIMIT = 300

PROGRAMS = [
    ("hello (C)", ROOT / "wasm/bin/c_hello_sleep.wasm"),
    ("Lua", CACHE / "overhead/programs/lua.wasm"),
    ("SQLite", CACHE / "programs/sqlite.wasm"),
    ("nextpnr (C++)", CACHE / "first-run/programs/nextpnr-ice40.wasm"),
    ("Go channels", ROOT / "wasm/bin/go_chan.wasm"),
    ("go vet", CACHE / "first-run/programs/go-vet.wasm"),
    ("CPython", CACHE / "programs/python.wasm"),
    ("Yosys (C++)", CACHE / "overhead/programs/yosys.wasm"),
]
TRANSFORMS = ["two-version", "native", "auto"]
COLOURS = {"two-version": "#b8b8b8", "native": "#8fc1ea", "auto": "#2f6fb3"}


def measured(command, **environment):
    """A command's wall time, CPU time and most memory: its own, and that of the processes it has waited for."""
    started = time.monotonic()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        _, text = child.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return {"failed": f"more than {LIMIT // 60} minutes"}
    if child.returncode != 0:
        lines = text.decode(errors="replace").strip().splitlines()
        return {"failed": lines[-1] if lines else f"exit code {child.returncode}"}
    return {"wall": time.monotonic() - started}


def with_usage(command, **environment):
    """The same in a process of its own, so that nothing else is counted."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        import resource

        found = measured(command, **environment)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.update(cpu=usage.ru_utime + usage.ru_stime, memory=usage.ru_maxrss * 1024)
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as text:
        found = json.loads(text.read())
    os.waitpid(pid, 0)
    return found


def plain_compile(module, scratch):
    return with_usage([WASMTIME, "compile", "-o", f"{scratch}/plain.cwasm", module])


def rewriting(dormouse, module, transform, scratch):
    empty = f"{scratch}/cache"
    shutil.rmtree(empty, ignore_errors=True)
    output = f"{scratch}/resumable.wasm"
    command = [dormouse, "build", "--transform", transform, "-o", output, module]
    found = with_usage(command, DORMOUSE_CACHE=empty)
    if "failed" not in found:
        found["size"] = os.path.getsize(output)
    return found


def first_output(dormouse, scratch, rounds):
    """Milliseconds until a cold `dormouse run` of the smallest program has printed its first line, and a warm one."""
    module = PROGRAMS[0][1]
    cold, warm = [], []
    for _ in range(rounds):
        empty = f"{scratch}/cache"
        shutil.rmtree(empty, ignore_errors=True)
        for times in (cold, warm):
            started = time.monotonic()
            child = subprocess.Popen(
                [dormouse, "run", module], stdout=subprocess.PIPE, env={**os.environ, "DORMOUSE_CACHE": empty}
            )
            child.stdout.readline()
            times.append((time.monotonic() - started) * 1000)
            child.communicate()
    return statistics.median(cold), statistics.median(warm)


def seconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def row(name, module, plain, found, transforms):
    cells = [name, f"{os.path.getsize(module) / 1e6:.2f}", seconds(plain)]
    for transform in transforms:
        one = found[transform]
        if "failed" in one:
            cells.append(one["failed"])
            continue
        cells.append(
            f"{seconds(one['cpu'])} ({one['cpu'] / plain:.2f}), {seconds(one['wall'])}, {one['memory'] / 1e6:.0f}, "
            f"{one['size'] / os.path.getsize(module):.2f}"
        )
    return "| " + " | ".join(cells) + " |"


def plot(results, transforms):
    """Horizontal bars: CPU time over that of the plain compile."""
    shown = [
        (name, transform, found[transform]["cpu"] / plain)
        for name, _, plain, found in results
        for transform in transforms
        if "failed" not in found[transform]
    ]
    highest = max(ratio for _, _, ratio in shown)
    left, width, bar, line = 130, 620, 12, 16
    height = 60 + sum(line * len(transforms) + 10 for _ in results)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="18">CPU time of rewriting, over Wasmtime\'s compile of the plain module</text>',
    ]
    x = left
    for transform in transforms:
        out.append(f'<rect x="{x}" y="28" width="12" height="12" fill="{COLOURS.get(transform, "#888")}"/>')
        out.append(f'<text x="{x + 18}" y="38">{transform}</text>')
        x += 120
    y = 56
    for name, _, plain, found in results:
        out.append(f'<text x="{left - 8}" y="{y + line * len(transforms) / 2 + 4}" text-anchor="end">{name}</text>')
        for transform in transforms:
            one = found[transform]
            if "failed" in one:
                out.append(f'<text x="{left + 4}" y="{y + 10}">{one["failed"]}</text>')
            else:
                ratio = one["cpu"] / plain
                length = max(1, ratio / highest * width)
                colour = COLOURS.get(transform, "#888")
                out.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" fill="{colour}"/>')
                out.append(f'<text x="{left + length + 4:.1f}" y="{y + 10}">{ratio:.2f}</text>')
            y += line
        y += 10
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs")
    parser.add_argument("--transforms")
    options = parser.parse_args()
    wanted = options.programs.split(",") if options.programs else None
    transforms = options.transforms.split(",") if options.transforms else TRANSFORMS
    begun = machine.facts()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, module in PROGRAMS:
            if wanted and name not in wanted:
                continue
            plain, rounds = [], {transform: [] for transform in transforms}
            for number in range(options.rounds):
                plain.append(plain_compile(module, scratch)["cpu"])
                for transform in transforms:
                    # What fails or takes a minute is not measured again.
                    if number and ("failed" in rounds[transform][0] or rounds[transform][0]["cpu"] > 60):
                        continue
                    rounds[transform].append(rewriting(options.dormouse, module, transform, scratch))
                print(f"{name}, round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            best = {t: min(found, key=lambda one: one["cpu"]) for t, found in rounds.items()}
            results.append((name, module, min(plain), best))
        cold, warm = first_output(options.dormouse, scratch, 10)
    lines = [
        "| program | MB | plain compile, CPU s | " + " | ".join(transforms) + " |",
        "| --- " * (3 + len(transforms)) + "|",
        *(row(*result, transforms) for result in results),
    ]
    lines += ["", f"First line of `dormouse run` of the smallest program: {cold:.0f} ms with an empty cache, {warm:.0f} ms afterwards."]
    if wanted or options.transforms:
        print("\n".join(lines))
        return
    version = subprocess.run([WASMTIME, "--version"], capture_output=True, text=True).stdout.split()[1]
    intro = (HERE / "intro.md").read_text().format(
        **begun, wasmtime=version, rounds=options.rounds
    )
    (HERE / "README.md").write_text(intro + "\n" + "\n".join(lines) + "\n")
    (HERE / "first-run.svg").write_text(plot(results, transforms))


if __name__ == "__main__":
    main()
