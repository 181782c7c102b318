#!/usr/bin/env python3
"""Makes README.md and overhead.svg of the figures that overhead.py has taken.

usage: report.py RESULTS.json FOLDER
"""

import json
import math
import os
import statistics
import sys

# Variant, its name in the table, its colour, and whether only the second half of the run counts.
SERIES = [
    ("reference", "asyncify", "#b8b8b8", False),
    ("ours", "ours", "#2f6fb3", False),
    ("resumed", "ours, after a resume", "#8fc1ea", True),
    ("preempt", "with --preempt", "#2e8b57", False),
    ("sliced", "in slices of 10 ms", "#9fd3b6", False),
]
# Where the plot ends.
HIGHEST = 4.25
ENGINES = {"wasmtime": "Wasmtime", "wasmedge": "WasmEdge"}

INTRO = """\
# What being resumable costs

Made by `make bench-overhead`; do not edit. {date}, revision {revision}. {cpu}, {cores} cores, {system}; load average {load}
when it began. Wasmtime {wasmtime}, WasmEdge {wasmedge}, Binaryen {binaryen}. {rounds} rounds, pinned to one core.

![ratios](overhead.svg)

Each program runs as four modules in turn, some of them in several ways, on the same engine, with the same WASI and the same host calls:

- *plain*: the module as its compiler made it (`--transform none`);
- *asyncify*: Binaryen's pass as others use it, `-O2`, `--asyncify`, `-O3`, without a list of functions;
- *ours*: what `dormouse run` makes of it;
- *after a resume*: ours, suspended once in the middle of its work and continued in a fresh instance from the bytes of a
  snapshot. Frames that were on the stack run their slow version until they return. Compared is the time after the resume with
  the plain module's time for the same work;
- *with --preempt*: ours, with a check in every loop and every cycle of calls;
- *in slices of 10 ms*: the same module, suspended at a check and gone on with in the same instance every 10 ms: the worst case. A
  daemon ends no turn before 100 ms, and none while it may start another thread. Frames that were on the stack run their slow
  version until they return or come to the head of a loop.

The time is taken inside the guest around its work, so that compiling and starting are not in it, on a clock that counts the
processor's time of its thread, so that other work on the machine disturbs only its caches. Ratios are to the plain
module in the same round; the table has their median, and in brackets the least and the greatest. All runs of a program
print the same checksum. Yosys and Go's compiler are large programs as they are, and know nothing of this: their whole run
is timed by the same clock, and they are neither suspended at a known moment nor made by Binaryen alone, which takes too
long for them.
"""

PROGRAMS = """\
## The programs

| program | what it does, and where it waits |
| --- | --- |
| SQLite | in memory: inserts, indexes, joins, text, updates; waits in an SQL function in the middle of a join |
| Lua | tables, strings, fib, objects, sorting; waits in a comparison of `table.sort` |
| CPython | dictionaries, json, recursion, regular expressions, trees; waits in a key function of `sorted` |
| QuickJS | objects, strings, JSON, arrays, fib, sorting; waits in a comparison of `sort` |
| Go | maps, strings, JSON, channels, fib, sorting; waits in a comparison of `sort.Slice` |
| Rust, serde | serde_json both ways, maps, B-trees, boxed closures, sorting; waits in a comparison of `sort_by` |
| integer C | lists, matrix, state machine, CRC; waits in a comparison of a merge sort |
| virtual C++ | trees of objects with virtual calls, each of which may wait; waits deep in a tree |
| Yosys (C++) | reads 40 modules of Verilog, flattens, optimizes and maps them, writes the result |
| Go's compiler | compiles 150 functions, prints the machine code |

SQLite, Lua, QuickJS, CPython and Yosys come from package registries, and Go's compiler from Go's own sources (`setup.sh`);
the rest, and what drives them, is in `programs/`.
"""


def ratios(runs):
    """For each variant the ratios to the plain module, round by round."""
    rounds = {}
    for run in runs:
        rounds.setdefault(run["round"], {})[run["variant"]] = run
    found = {}
    for variant, _, _, second in SERIES:
        def span(run):
            return run["second"] if second else run["first"] + run["second"]
        if all(variant in row for row in rounds.values()):
            found[variant] = [span(row[variant]) / span(row["none"]) for row in rounds.values()]
    plain = [row["none"]["first"] + row["none"]["second"] for row in rounds.values()]
    return statistics.median(plain) / 1e9, found


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def cell(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def size(count):
    return f"{count / 1024:.0f} K" if count < 1 << 20 else f"{count / (1 << 20):.1f} M"


def seconds(entry):
    return f"{entry['seconds']:.1f}" if entry else ""


def times(results, engine):
    lines = [f"## {ENGINES[engine]}: time, ratio to plain", "",
             "| program | plain, s | " + " | ".join(name for _, name, _, _ in SERIES) + " |",
             "| --- | --- |" + " --- |" * len(SERIES)]
    middle = {variant: [] for variant, *_ in SERIES}
    for program in results["programs"]:
        entry = program["engines"].get(engine)
        if not entry:
            continue
        if entry["wrong"]:
            lines.append(f"| {program['label']} | left out: {entry['wrong']} |" + " |" * len(SERIES))
            continue
        plain, found = ratios(entry["runs"])
        for variant, values in found.items():
            middle[variant].append((statistics.median(values), program["label"]))
        lines.append(f"| {program['label']} | {plain:.2f} | " +
                     " | ".join(cell(found[variant]) if variant in found
                                else f"compiling: {entry['no_reference']}" if "no_reference" in entry else ""
                                for variant, *_ in SERIES) + " |")
    means = {variant: geomean([ratio for ratio, _ in values]) for variant, values in middle.items() if values}
    most = max(map(len, middle.values()))

    def mean(variant):
        few = f" (of {len(middle[variant])})" if len(middle[variant]) < most else ""
        return f"**{means[variant]:.3f}**{few}" if variant in means else ""

    def worst(variant):
        return "**{:.2f}** {}".format(*max(middle[variant])) if middle[variant] else ""

    lines.append("| **geomean** | | " + " | ".join(mean(variant) for variant, *_ in SERIES) + " |")
    lines.append("| **worst** | | " + " | ".join(worst(variant) for variant, *_ in SERIES) + " |")
    return lines + [""], means


def sizes(results):
    lines = ["## Size and compile time", "",
             "Size of the module, and of the rewritten ones as a ratio; functions that were instrumented, of all; seconds to "
             "rewrite the module, and for each engine to compile it, cold, as plain, asyncify, ours, and ours with `--preempt`.", "",
             "| program | plain | asyncify | ours | preempt | functions | preempt | rewriting: asyncify | ours | preempt |" +
             "".join(f" {name}: plain | asyncify | ours | preempt |" for name in ENGINES.values()),
             "| --- |" + " --- |" * 9 + " --- |" * 4 * len(ENGINES)]
    for program in results["programs"]:
        reference, ours, checks = (program["rewrite"].get(variant) for variant in ("reference", "ours", "preempt"))
        if not ours or not checks:
            continue
        source = ours["source_bytes"]
        row = [program["label"], size(source), f"{reference['bytes'] / source:.2f}" if reference else "", f"{ours['bytes'] / source:.2f}",
               f"{checks['bytes'] / source:.2f}", f"{ours['instrumented']} of {ours['functions']}", str(checks["instrumented"]),
               seconds(reference), seconds(ours), seconds(checks)]
        for engine in ENGINES:
            compiled = program["engines"].get(engine, {}).get("compile", {})
            row += [seconds(compiled.get(variant)) for variant in ("none", "reference", "ours", "preempt")]
        lines.append("| " + " | ".join(row) + " |")
    return lines + [""]


def pauses(results):
    lines = ["## How soon a computation stops", "",
             "With `--preempt`, asked at 300 moments while it computes: milliseconds until the step has ended, and until its snapshot "
             "is bytes in memory, as the median, 99 of 100, and the most. Here the clock is the wall's: a busy machine shows.", "",
             "| program | engine | stands: median | 99 % | most | written: median | most |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for program in results["programs"]:
        for engine, entry in program["engines"].items():
            if entry.get("pause"):
                stood, written = entry["pause"][0]["stood"], entry["pause"][0]["written"]
                times = [stood["median"], stood["p99"], stood["most"], written["median"], written["most"]]
                lines.append(f"| {program['label']} | {ENGINES[engine]} | " + " | ".join(f"{t / 1e6:.2f}" for t in times) + " |")
    return lines + [""]


def plot(results, means):
    """Grouped bars, one panel for each engine."""
    panels = [engine for engine in ENGINES if means.get(engine)]
    groups = [program["label"] for program in results["programs"]] + ["geomean"]
    left, right, top, bar, gap, height, between = 56, 36, 62, 26, 22, 230, 78
    group = len(SERIES) * bar + gap
    width = left + len(groups) * group + right
    total = top + len(panels) * (height + between) - between + 50
    limit = 1.5
    for engine in panels:
        for program in results["programs"]:
            entry = program["engines"].get(engine)
            if entry and not entry["wrong"]:
                limit = max([limit] + [statistics.median(v) for v in ratios(entry["runs"])[1].values()])
    # One very slow program must not make all others flat: its bars are cut.
    limit = min(math.ceil(limit * 4 + 1) / 4, HIGHEST)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}" '
           f'viewBox="0 0 {width} {total}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12">',
           f'<rect width="{width}" height="{total}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="15" font-weight="bold">Time, ratio to the plain module (less is better)</text>']
    x = left
    for _, name, colour, _ in SERIES:
        out.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 17}" y="44">{name}</text>')
        x += 40 + 7 * len(name)
    for panel, engine in enumerate(panels):
        base = top + panel * (height + between) + height + 14
        def y(ratio):
            return base - ratio / limit * height
        out.append(f'<text x="{left + 6}" y="{base - height - 6}" font-weight="bold">{ENGINES[engine]}</text>')
        for step in range(0, int(limit * 2) + 1):
            out.append(f'<line x1="{left}" x2="{width - right}" y1="{y(step / 2):.1f}" y2="{y(step / 2):.1f}" stroke="#e4e4e4"/>'
                       f'<text x="{left - 8}" y="{y(step / 2) + 4:.1f}" text-anchor="end" fill="#555">{step / 2:.1f}</text>')
        for place, label in enumerate(groups):
            start = left + gap / 2 + place * group
            middle = start + (group - gap) / 2
            weight = ' font-weight="bold"' if label == "geomean" else ""
            out.append(f'<text x="{middle}" y="{base + 18}" text-anchor="middle"{weight}>{label}</text>')
            if label == "geomean":
                values = means[engine]
            else:
                entry = results["programs"][place]["engines"].get(engine)
                if not entry or entry["wrong"]:
                    out.append(f'<text x="{middle}" y="{base - 8}" text-anchor="middle" fill="#777">left out</text>')
                    continue
                values = {variant: statistics.median(found) for variant, found in ratios(entry["runs"])[1].items()}
            for number, (variant, _, colour, _) in enumerate(SERIES):
                if variant not in values:
                    continue
                x, value, shown = start + number * bar, values[variant], min(values[variant], limit)
                out.append(f'<rect x="{x + 1}" y="{y(shown):.1f}" width="{bar - 2}" height="{base - y(shown):.1f}" '
                           f'fill="{colour}"/><text x="{x + bar / 2}" y="{base - 6}" font-size="10" text-anchor="middle" '
                           f'fill="{"white" if variant == "ours" else "#222"}">{value:.{2 if value < 10 else 1}f}</text>')
                if value > limit:
                    out.append(f'<path d="M{x - 1} {y(limit) + 16:.1f} l{bar + 2} -8" stroke="white" stroke-width="4"/>')
        for ratio, colour, dashes in ((1.0, "#222", ""), (1.1, "#c0392b", ' stroke-dasharray="5 3"')):
            out.append(f'<line x1="{left}" x2="{width - right}" y1="{y(ratio):.1f}" y2="{y(ratio):.1f}" stroke="{colour}" '
                       f'stroke-width="1"{dashes}/><text x="{width - right + 4}" y="{y(ratio) + 4 * (1 if ratio == 1 else 0):.1f}" '
                       f'font-size="10" fill="{colour}">{ratio:.2f}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    with open(sys.argv[1]) as file:
        results = json.load(file)
    lines, means = [], {}
    for engine in ENGINES:
        if any(engine in program["engines"] for program in results["programs"]):
            table, means[engine] = times(results, engine)
            lines += table
    text = INTRO.format(**results["facts"]) + "\n" + "\n".join(lines + pauses(results) + sizes(results)) + "\n" + PROGRAMS
    with open(os.path.join(sys.argv[2], "README.md"), "w") as file:
        file.write(text)
    with open(os.path.join(sys.argv[2], "overhead.svg"), "w") as file:
        file.write(plot(results, means))
    print("\n".join(lines))


main()
