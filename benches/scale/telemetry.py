#!/usr/bin/env python3
"""What telemetry costs a daemon: `make bench-telemetry`.

Submits tasks that fall asleep at once, to a daemon that tells nobody and to daemons that tell a collector
of all of them, and of one in ten; the three take turns. The collector takes what comes and looks at
nothing. What counts is the daemon's own CPU time for each task, which other work on the machine
changes least; starts/s are printed beside it.

usage: telemetry.py DORMOUSE [--tasks N] [--rounds N] [--out FILE]
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import tempfile
import threading
import time

import scale

TOLD = {
    "off": None,
    "all": {},
    "one in ten": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
}


def collect(listener):
    """Answers each request with 200 and nothing."""

    def serve(connection):
        with connection, connection.makefile("rb") as sent:
            while line := sent.readline():
                length = 0
                while line and line != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = sent.readline()
                sent.read(length)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def measure(binary, told, url, tasks):
    """CPU seconds and starts/s of one daemon, and how many spans it dropped."""
    data = pathlib.Path(tempfile.mkdtemp(prefix="dormouse-telemetry-"))
    os.chmod(data, 0o700)
    options = ["--otlp", url] if told is not None else []
    os.environ.update(told or {})
    try:
        daemon = scale.Daemon(binary, data, *options)
        module = json.loads(daemon.ask("PUT", "/v1/modules", scale.GUEST.read_bytes()))["module"]
        task = {"module": module, "program": "sleeper", "args": ["100000", "100000", "1"]}
        # What is done once is not counted: the module's machine code, the base of its snapshots.
        scale.submit(daemon, task, 200)
        scale.asleep(daemon, 0, 200)
        time.sleep(1)
        cpu, started = daemon.cpu(), time.monotonic()
        scale.submit(daemon, task, tasks)
        scale.asleep(daemon, 200, tasks)
        took = time.monotonic() - started
        # What waits is sent within a second.
        time.sleep(2)
        cpu = daemon.cpu() - cpu
        metrics = daemon.ask("GET", "/metrics").decode()
        dropped = re.findall(r"dormouse_telemetry_dropped_total\{[^}]*\} (\d+)", metrics)
        daemon.stop()
        return cpu / tasks * 1e6, tasks / took, sum(map(int, dropped))
    finally:
        for name in told or {}:
            del os.environ[name]
        shutil.rmtree(data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--tasks", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=collect, args=(listener,), daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    found = {name: [] for name in TOLD}
    for _ in range(options.rounds):
        for name, told in TOLD.items():
            found[name].append(measure(options.dormouse, told, url, options.tasks))
    result = {}
    for name, rounds in found.items():
        # Of each round, beside the one of the same round that told nobody.
        ratios = [round[0] / off[0] for round, off in zip(rounds, found["off"])]
        rates = [round[1] / off[1] for round, off in zip(rounds, found["off"])]
        result[name] = {
            "cpu_us": statistics.median(round[0] for round in rounds),
            "cpu_ratio": statistics.median(ratios),
            "starts_per_second": statistics.median(round[1] for round in rounds),
            "starts_ratio": statistics.median(rates),
            "dropped": sum(round[2] for round in rounds),
        }
        print(f"{name:>10}: {json.dumps(result[name])}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
