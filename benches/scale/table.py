#!/usr/bin/env python3
"""Puts what was measured into benches/scale/README.md and plot.svg: `make bench-scale` calls it.

usage: table.py DORMOUSE.json OTHERS.json...
"""

import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAMES = {
    "tokio": "tokio tasks",
    "process": "native processes",
    "dbos": "DBOS, SQLite",
    "restate": "Restate",
    "dormouse": "dormouse",
}
COLUMNS = [
    ("starts_per_second", "starts/s", "more is better"),
    ("memory", "bytes of memory each", "less is better"),
    ("disk", "bytes of disk each", "less is better"),
    ("p99_ms", "p99 lateness, ms", "less is better"),
]


def own(found):
    """The daemon's figures under the others' names."""
    return {
        "system": "dormouse",
        "tasks": found["tasks"],
        "starts_per_second": found["submit_to_asleep_per_second"],
        "memory": found["memory"] / found["tasks"],
        "disk": found["disk_per_task"],
        "p50_ms": found["lateness_p50_ms"],
        "p99_ms": found["lateness_p99_ms"],
        "rate": found["lateness_rate"],
        "limited_by": "asked for",
        "survives": "yes",
    }


def figure(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def table(rows):
    lines = [
        "| system | sleepers | limited by | starts/s | memory each | disk each | wake-ups/s offered | lateness p50, p99 | survives kill -9 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {NAMES[row['system']]} | {row['tasks']:,} | {row['limited_by']} | {figure(row['starts_per_second'])} | {figure(row['memory'])} B "
            f"| {figure(row['disk'])} B | {figure(row['rate'])} | {figure(row['p50_ms'])}, {figure(row['p99_ms'])} ms | {row['survives']} |"
        )
    return "\n".join(lines)


def plot(rows):
    """Bars on a logarithmic scale, one panel for each figure."""
    wide, tall, bar, left = 430, 60 + 26 * len(rows), 18, 150
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * wide}" height="{2 * tall}" '
        f'viewBox="0 0 {2 * wide} {2 * tall}" font-family="sans-serif" font-size="12">',
        f'<rect width="{2 * wide}" height="{2 * tall}" fill="#fff"/>',
    ]
    for place, (key, name, sense) in enumerate(COLUMNS):
        x, y = wide * (place % 2), tall * (place // 2)
        values = [row[key] for row in rows if row[key]]
        low, high = math.log10(min(values)) - 0.3, math.log10(max(values))
        parts.append(f'<text x="{x + 10}" y="{y + 22}" font-weight="bold">{name} ({sense}, log)</text>')
        for number, row in enumerate(rows):
            top = y + 36 + 26 * number
            label = f"{NAMES[row['system']]}, {row['tasks'] // 1000:,}k"
            parts.append(f'<text x="{x + left - 6}" y="{top + 14}" text-anchor="end">{label}</text>')
            value = row[key]
            length = (math.log10(value) - low) / (high - low) * (wide - left - 70) if value else 0
            colour = "#4b43a0" if row["system"] == "dormouse" else "#b9b4d6"
            parts.append(f'<rect x="{x + left}" y="{top}" width="{length:.1f}" height="{bar}" fill="{colour}"/>')
            parts.append(f'<text x="{x + left + length + 5:.1f}" y="{top + 14}">{figure(value) if value else "none"}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main():
    first, *others = [json.loads(pathlib.Path(path).read_text()) for path in sys.argv[1:]]
    rows = [row for found in others for row in found if "error" not in row] + [own(first)]
    readme = HERE / "README.md"
    text = readme.read_text()
    start, end = "<!-- table -->", "<!-- end of table -->"
    head, rest = text.split(start)
    # What was said of an earlier run's rows does not hold for these.
    remark = head.find("**The rows of")
    head = head if remark < 0 else head[:remark]
    _, tail = rest.split(end)
    readme.write_text(f"{head}{start}\n{table(rows)}\n{end}{tail}")
    (HERE / "plot.svg").write_text(plot(rows))


if __name__ == "__main__":
    main()
