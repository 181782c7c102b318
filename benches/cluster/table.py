#!/usr/bin/env python3
"""Puts what was measured into benches/cluster/README.md and plot.svg: `make bench-cluster` calls it.

usage: table.py RESULT.json
"""

import json
import math
import pathlib
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
NAMES = {
    "sqlite": "dormouse, SQLite",
    "nodes 1": "dormouse, 1 node",
    "nodes 2": "dormouse, 2 nodes",
    "nodes 3": "dormouse, 3 nodes",
    "pg-boss": "pg-boss",
    "dbos": "DBOS",
    "restate": "Restate",
}
COLUMNS = [
    ("starts_per_second", "starts/s (more is better, log)"),
    ("wakes_per_second", "wake-ups/s of a herd (more is better, log)"),
    ("disk", "bytes of disk each (less is better, log)"),
    ("p99_ms", "p99 lateness, ms (less is better, log)"),
]
# A remark that a whole run makes untrue; it ends with its paragraph.
REMARK = "**A try:**"
START, END = "<!-- table -->", "<!-- end of table -->"


def figure(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def whole(result):
    """The rows that were measured to their end."""
    return {name: row for name, row in result["rows"].items() if "error" not in row}


def table(result):
    lines = [
        "| system | starts/s | wake-ups/s of a herd | offered a second | lateness p50, p99 | disk each |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in whole(result).items():
        lines.append(
            f"| {NAMES[name]} | {figure(row['starts_per_second'])} | {figure(row['wakes_per_second'])} "
            f"| {row['rate']:,} | {figure(row['p50_ms'])}, {figure(row['p99_ms'])} ms | {figure(row['disk'])} B |"
        )
    more = []
    if "failover_seconds" in result:
        more.append(
            f"A node that had {result['failover_tasks']} tasks was killed: {result['failover_seconds']:.1f} s later all of them "
            "were others'."
        )
    if "sleepers" in result:
        more.append(
            f"{result['sleepers']:,} sleepers on three nodes: {figure(result['sleepers_per_second'])} a second went to sleep, "
            f"{figure(result['sleepers_disk'])} bytes each in the database, {result['sleepers_memory'] / 2**20:,.0f} MiB of the nodes' "
            f"memory; a node starts in {result['sleepers_start_seconds']:.1f} s."
        )
    facts = result["machine"]
    more.append(
        f"{facts['date']}, {facts['cores']} cores ({facts['cpu']}), load {facts['load']} at the start, scale `{result['scale']}`, "
        f"revision {facts['revision']}."
    )
    for name, row in whole(result).items():
        if "wake_server_cpu_us" in row:
            more.append(
                f"{NAMES[name]}: a start takes {figure(row['start_cpu_us'])} µs of CPU of the daemons and "
                f"{figure(row['start_server_cpu_us'])} µs of the server, and {figure(row['log_bytes'])} bytes of its log; a "
                f"wake-up to the end {figure(row['wake_cpu_us'])} µs, {figure(row['wake_server_cpu_us'])} µs and "
                f"{figure(row['wake_log_bytes'])} bytes."
            )
    more = [textwrap.fill(text, 100) for text in more]
    return "\n\n".join(["\n".join(lines), *more])


def plot(result):
    """Bars on a logarithmic scale, one panel for each figure."""
    rows = whole(result)
    wide, tall, left = 430, 60 + 26 * len(rows), 150
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * wide}" height="{2 * tall}" '
        f'viewBox="0 0 {2 * wide} {2 * tall}" font-family="sans-serif" font-size="12">',
        f'<rect width="{2 * wide}" height="{2 * tall}" fill="#fff"/>',
    ]
    for place, (key, title) in enumerate(COLUMNS):
        x, y = wide * (place % 2), tall * (place // 2)
        values = [math.log10(max(row[key], 1e-3)) for row in rows.values()]
        low, high = min(values) - 0.3, max(values)
        parts.append(f'<text x="{x + 10}" y="{y + 22}" font-weight="bold">{title}</text>')
        for number, (name, row) in enumerate(rows.items()):
            top = y + 36 + 26 * number
            length = (values[number] - low) / (high - low) * (wide - left - 70)
            colour = "#4b43a0" if name.startswith(("nodes", "sqlite")) else "#b9b4d6"
            parts.append(f'<text x="{x + left - 6}" y="{top + 14}" text-anchor="end">{NAMES[name]}</text>')
            parts.append(f'<rect x="{x + left}" y="{top}" width="{length:.1f}" height="18" fill="{colour}"/>')
            parts.append(f'<text x="{x + left + length + 5:.1f}" y="{top + 14}">{figure(row[key])}</text>')
    return "\n".join([*parts, "</svg>", ""])


def write(result):
    readme = HERE / "README.md"
    text = readme.read_text()
    head, rest = text.split(START)
    if result["scale"] == "full" and REMARK in head:
        before, after = head.split(REMARK)
        head = before + after.split("\n\n", 1)[1]
    _, tail = rest.split(END)
    readme.write_text(f"{head}{START}\n{table(result)}\n{END}{tail}")
    (HERE / "plot.svg").write_text(plot(result))


if __name__ == "__main__":
    write(json.loads(pathlib.Path(sys.argv[1]).read_text()))
