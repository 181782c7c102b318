#!/usr/bin/env python3
"""What nodes on one PostgreSQL come to, beside a daemon on SQLite and other systems: `make bench-cluster`.

usage: cluster.py DORMOUSE [--scale full|small] [--parts sqlite,nodes,failover,others,sleepers] [--out FILE]

A server of its own has `fsync` on. One, two and three daemons on it are given a herd of tasks that all
go to sleep, and are all due at one time; then as many a second as are to be due at a rate. DBOS and pg-boss
do the same on the same server, Restate in its own. Writes one JSON object, and with --table the table of
README.md and its plot.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "scale"), str(HERE.parent / "scale/compare")]
import compare  # noqa: E402
import machine  # noqa: E402
import nodes  # noqa: E402
import postgres_server  # noqa: E402
import table  # noqa: E402

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dormouse"
# The herd of dormouse's, those of other systems, seconds at a rate, tasks whose node is killed, sleepers.
SCALES = {
    "full": {"herd": 100_000, "others": 5_000, "seconds": 10, "killed": 300, "sleepers": 1_000_000},
    "small": {"herd": 2_000, "others": 500, "seconds": 3, "killed": 60, "sleepers": 5_000},
}
RATE = 1000
# What the others are offered a second, where they cannot start as many as RATE.
SLOW_RATE = 100
PARTS = ["sqlite", "nodes", "failover", "others", "sleepers"]


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def say(**found):
    print(time.strftime("%H:%M:%S"), json.dumps(found), file=sys.stderr, flush=True)


def own(options, folder, postgres, count):
    """Nodes, or a daemon on SQLite where there is no server."""
    database = f"nodes{count}"
    url = postgres.make_database(database) if postgres else None
    size = SCALES[options.scale]
    many = nodes.Nodes(options.dormouse, folder / (database if postgres else "sqlite"), count, url)
    try:
        found = nodes.measure(many, postgres, database, size["herd"], RATE, size["seconds"], say)
    finally:
        many.kill()
    if postgres and options.statements:
        print(postgres.statements(database), file=sys.stderr)
    return found


def dbos(options, postgres):
    size = SCALES[options.scale]
    url = postgres.make_database("dbos").replace("postgres://", "postgresql://")
    command = [CACHE / "scale/dbos/bin/python", HERE / "dbos_herd.py", url, str(size["others"])]
    found = subprocess.run([*command, str(SLOW_RATE), str(size["seconds"])], stdout=subprocess.PIPE, check=True)
    disk = (postgres.size("dbos") - postgres.size("template1")) / (size["others"] + SLOW_RATE * size["seconds"])
    return dict(json.loads(found.stdout.splitlines()[-1]), disk=disk)


def pg_boss(options, postgres):
    size = SCALES[options.scale]
    url = postgres.make_database("boss")
    count = 4 * size["others"]
    command = ["node", HERE / "pgboss.cjs", url, str(count), str(RATE), str(size["seconds"])]
    environment = dict(os.environ, PG_BOSS_MODULES=str(CACHE / "cluster"))
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    disk = (postgres.size("boss") - postgres.size("template1")) / (count + RATE * size["seconds"])
    return dict(json.loads(found.stdout.splitlines()[-1]), disk=disk)


def restate(options, folder):
    size = SCALES[options.scale]
    place = folder / "restate"
    place.mkdir()
    running = compare.Restate(str(place))

    def send(lengths):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(running.send, [lengths[first::8] for first in range(8)]))

    def asleep(count):
        until = time.monotonic() + 300
        while running.asleep < count // 100 * 100 and time.monotonic() < until:
            time.sleep(0.02)

    try:
        running.register()
        herd = size["others"]
        begun = time.monotonic()
        send([3600.0] * 300)
        asleep(300)
        guess = (time.monotonic() - begun) / 300 * herd * 1.5 + 10
        before, begun = compare.disk(place), time.time()
        send([begun + guess - time.time()] * herd)
        asleep(300 + herd)
        starts = herd / (time.time() - begun)
        disk = (compare.disk(place) - before) / herd
        # Each sleeps from when its handler began, so that the first is due later than the others' first.
        while not running.found:
            time.sleep(0.02)
        first, counted = time.monotonic(), len(running.found)
        running.late(herd)
        wakes = (herd - counted) / max(time.monotonic() - first, 1e-9)
        running.found.clear()
        count = SLOW_RATE * size["seconds"]
        base = 3 + 1.5 * count / starts
        send([base + number / SLOW_RATE for number in range(count)])
        late = compare.quantiles(running.late(count))
    finally:
        running.stop()
    return dict(late, starts_per_second=starts, wakes_per_second=wakes, disk=disk, rate=SLOW_RATE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--nodes", default="1,2,3", help="how many nodes, one after the other")
    parser.add_argument("--data", help="the folder for all of it, on a disk whose flushes count")
    parser.add_argument("--statements", action="store_true", help="what statements took, those within functions too")
    parser.add_argument("--out")
    parser.add_argument("--table", action="store_true", help="write README.md's table and the plot")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if set(parts) - set(PARTS):
        raise SystemExit(f"parts are {', '.join(PARTS)}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dormouse-cluster-", dir=options.data))
    folder.chmod(0o711)
    result = {"machine": machine.facts(), "scale": options.scale, "rows": {}}
    rows, size = result["rows"], SCALES[options.scale]
    postgres = None

    def row(name, work, *arguments):
        began = time.monotonic()
        try:
            rows[name] = work(*arguments)
        except (OSError, subprocess.CalledProcessError, AssertionError, IndexError) as error:
            rows[name] = {"error": f"{type(error).__name__}: {error}"}
        say(row=name, seconds=round(time.monotonic() - began, 1), **rows[name])

    try:
        if "sqlite" in parts:
            row("sqlite", own, options, folder, None, 1)
        if set(parts) - {"sqlite"}:
            more = {"pg_stat_statements.track": "all"} if options.statements else {}
            settings = {**postgres_server.SETTINGS, **more}
            postgres = postgres_server.Server(folder / "postgres", free_port(), settings)
        if "nodes" in parts:
            for count in map(int, options.nodes.split(",")):
                row(f"nodes {count}", own, options, folder, postgres, count)
        if "failover" in parts:
            result.update(nodes.failover(options.dormouse, folder, postgres, size["killed"], say))
        if "others" in parts:
            row("pg-boss", pg_boss, options, postgres)
            row("dbos", dbos, options, postgres)
            row("restate", restate, options, folder)
        if "sleepers" in parts:
            result.update(nodes.sleepers(options.dormouse, folder, postgres, size["sleepers"], say))
    finally:
        if postgres:
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(options.out).write_text(text + "\n")
    if options.table:
        table.write(result)


if __name__ == "__main__":
    main()
