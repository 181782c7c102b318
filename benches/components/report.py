"""Makes README.md and components.svg of the figures that components.py has taken.

usage: report.py RESULTS.json FOLDER
"""

import json
import math
import os
import statistics
import sys

INTRO = """\
# What components cost

Made by `make bench-components`; do not edit. {date}, revision {revision}. {cpu}, {cores} cores, {system}; load average {load}
when it began. Plain Wasmtime is {wasmtime} from PyPI, which runs the component as it is, compiled ahead of time.

![ratios](components.svg)

All hosts take turns, pinned to one core. What is compared is the processor's time of the whole process, user and system,
from its start to its end, so that other work on the machine disturbs only its caches; compiled code is in the cache. Ratios
are to plain Wasmtime in the same round; the tables have their median, and in brackets the least and the greatest.
"""


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def cell(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def ratios(runs, host, base):
    return [run[host] / run[base] for run in runs if host in run and base in run]


# Host, what it is compared with, its name and colour.
SERIES = [
    ("wasmtime", "plain", "dormouse, Wasmtime / plain Wasmtime", "#2f6fb3"),
    ("wasmedge", "wasmedge-none", "dormouse, WasmEdge / not rewritten on WasmEdge", "#2e8b57"),
]


def programs(results):
    rounds = results["facts"]["rounds"]
    lines = ["## Programs", "",
             f"The programs of [benches/overhead](../overhead/README.md), as components, {rounds} rounds. WasmEdge runs no "
             "components, so that there the flattened component as it is (`--transform none`) stands for the plain one; the last "
             "column says how its time is to that of plain Wasmtime.", "",
             "| program | plain Wasmtime, s | dormouse on Wasmtime | dormouse on WasmEdge, to not rewritten | to plain Wasmtime |",
             "| --- | --- | --- | --- | --- |"]
    middle = {host: [] for host, *_ in SERIES}
    for program in results["programs"]:
        runs = program["runs"]
        row = [program["label"], f"{statistics.median(run['plain'] for run in runs):.2f}"]
        for host, base, *_ in SERIES:
            found = ratios(runs, host, base)
            row.append(cell(found) if found else "")
            if found:
                middle[host].append((statistics.median(found), program["label"]))
        other = ratios(runs, "wasmedge", "plain")
        lines.append("| " + " | ".join(row + [f"{statistics.median(other):.2f}" if other else ""]) + " |")
    means = {host: geomean([ratio for ratio, _ in found]) for host, found in middle.items() if found}
    row = [f"**{means[host]:.3f}**" if host in means else "" for host, *_ in SERIES]
    lines.append("| **geomean** | | " + " | ".join(row) + " | |")
    row = ["**{:.2f}** {}".format(*max(middle[host])) if middle[host] else "" for host, *_ in SERIES]
    lines.append("| **worst** | | " + " | ".join(row) + " | |")
    return lines + [""], means


KINDS = {
    "now": "`monotonic-clock.now`",
    "write": "`check-write` and `write` of a line of 64 bytes to stdout",
    "print": "`blocking-write-and-flush` of such a line",
    "read": "`descriptor.read` of 4 KiB",
    "stream": "`blocking-read` of 4 KiB of a file's stream",
    "environment": "`get-environment`",
}


def calls(results):
    facts = results["facts"]
    lines = ["## Host calls", "",
             f"Nanoseconds of the processor for a call, of a million, less those of a process that makes none; "
             f"{facts['call_rounds']} rounds. Standard output is `/dev/null`; there are {facts['variables']} variables.", "",
             "| call | plain Wasmtime | dormouse on Wasmtime | ratio | dormouse on WasmEdge | ratio |",
             "| --- | --- | --- | --- | --- | --- |"]
    for entry in results["calls"]:
        row = [KINDS[entry["kind"]]]
        for host in ("plain", "wasmtime", "wasmedge"):
            spent = [run[host] for run in entry["runs"] if host in run]
            row.append(f"{statistics.median(spent) / entry['count'] * 1e9:.0f}" if spent else "")
            if host != "plain":
                row.append(cell(ratios(entry["runs"], host, "plain")) if spent else "")
        lines.append("| " + " | ".join(row) + " |")
    return lines + [""]


def size(count):
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.2f} MiB"


def snapshots(results):
    lines = ["## Snapshots of what sleeps", "", "| component | without the module | with it |", "| --- | --- | --- |"]
    for label, entry in results["snapshots"]:
        lines.append(f"| {label} | {size(entry['bytes'])} | {size(entry['with_module'])} |")
    return lines + [""]


def resume(results):
    lines = ["## Cold resume", "",
             "Milliseconds of the wall's clock from starting the process to the component's first byte.", "",
             "| component | median | least | most |", "| --- | --- | --- | --- |"]
    for label, found in results["resume"].items():
        lines.append(f"| {label} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")
    return lines + [""]


def rewriting(results):
    lines = ["## The first run", "",
             "Seconds to rewrite a component and to compile it for Wasmtime, on all cores; the last column is plain Wasmtime's "
             "compile of the component as it is.", "",
             "| component | size | resumable | rewriting | of the processor | compiling | plain compile |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for label, entry in results["rewriting"].items():
        ours = [step for step in entry["timings"] if not step["engine"]]
        compiled = [step for step in entry["timings"] if step["engine"]]
        seconds = [sum(step["seconds"] for step in ours), sum(step["cpu_seconds"] for step in ours),
                   sum(step["seconds"] for step in compiled), entry["plain_compile"]]
        lines.append(f"| {label} | {size(entry['source_bytes'])} | {size(entry['resumable_bytes'])} | " +
                     " | ".join(f"{value:.2f}" for value in seconds) + " |")
    return lines + [""]


PARTS = {"programs": lambda results: programs(results)[0], "calls": calls, "snapshots": snapshots, "resume": resume,
         "rewriting": rewriting}


def text(results):
    lines = []
    for part, table in PARTS.items():
        if part in results:
            lines += table(results)
    return "\n".join(lines)


def plot(results):
    """Two bars for each program."""
    _, means = programs(results)
    bars = [(program["label"], {host: statistics.median(found) for host, base, *_ in SERIES
                                if (found := ratios(program["runs"], host, base))}) for program in results["programs"]]
    bars.append(("geomean", means))
    left, top, bar, gap, height = 48, 64, 34, 26, 240
    group = len(SERIES) * bar + gap
    width = left + len(bars) * group + 40
    limit = max([1.3] + [value for _, values in bars for value in values.values()]) * 1.05
    base = top + height

    def y(ratio):
        return base - ratio / limit * height

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{base + 44}" '
           f'viewBox="0 0 {width} {base + 44}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12">',
           f'<rect width="{width}" height="{base + 44}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="15" font-weight="bold">Processor\'s time of components, as ratios (less is '
           'better)</text>']
    x = left
    for _, _, name, colour in SERIES:
        out.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/><text x="{x + 17}" y="44">{name}</text>')
        x += 40 + 7 * len(name)
    for ratio, colour in ((0.5, "#e4e4e4"), (1.0, "#222"), (1.1, "#c0392b"), (1.25, "#e4a59d")):
        out.append(f'<line x1="{left}" x2="{width - 36}" y1="{y(ratio):.1f}" y2="{y(ratio):.1f}" stroke="{colour}"/>'
                   f'<text x="{width - 32}" y="{y(ratio) + 4:.1f}" font-size="10" fill="{colour}">{ratio:.2f}</text>')
    for place, (label, values) in enumerate(bars):
        start = left + gap / 2 + place * group
        weight = ' font-weight="bold"' if label == "geomean" else ""
        out.append(f'<text x="{start + (group - gap) / 2}" y="{base + 18}" text-anchor="middle"{weight}>{label}</text>')
        for number, (host, _, _, colour) in enumerate(SERIES):
            if host in values:
                value, x = values[host], start + number * bar
                out.append(f'<rect x="{x + 1}" y="{y(value):.1f}" width="{bar - 2}" height="{base - y(value):.1f}" '
                           f'fill="{colour}"/><text x="{x + bar / 2}" y="{base - 6}" font-size="10" text-anchor="middle" '
                           f'fill="white">{value:.2f}</text>')
    return "\n".join(out + ["</svg>", ""])


def write(results, folder):
    intro = INTRO.format(**results["facts"])
    if "programs" in results:
        with open(os.path.join(folder, "components.svg"), "w") as file:
            file.write(plot(results))
    else:
        intro = intro.replace("![ratios](components.svg)\n\n", "")
    with open(os.path.join(folder, "README.md"), "w") as file:
        file.write(intro + "\n" + text(results).rstrip() + "\n")


if __name__ == "__main__":
    with open(sys.argv[1]) as source:
        write(json.load(source), sys.argv[2])
