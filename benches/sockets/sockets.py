#!/usr/bin/env python3
"""Sockets: requests per second of one C source, natively, as a guest that cannot be suspended, and as one that can; and
how long a guest that hibernates takes to answer the first byte.

usage: sockets.py DORMOUSE [--seconds N] [--requests N] [--rounds N]
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "scale"))

import scale  # noqa: E402

SOURCE = ROOT / "wasm/src/c/ex_http.c"
GUEST = ROOT / "wasm/bin/ex_http.wasm"
REQUEST = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def connected(port, patience=30):
    for _ in range(1000):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=patience)
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nobody listens on {port}")


def throughput(command, port, load, connections, seconds):
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # It listens before it is compiled, which may take WasmEdge a while at the first time.
        with connected(port, 600) as connection:
            answer(connection)
        subprocess.run([load, str(port), str(connections), "0.5"], check=True, stdout=subprocess.DEVNULL)
        told = subprocess.run([load, str(port), str(connections), str(seconds)], check=True, stdout=subprocess.PIPE)
        return float(told.stdout)
    finally:
        server.kill()
        server.wait()


def answer(connection):
    connection.sendall(REQUEST)
    data = b""
    while b"/x 0\n" not in data:
        piece = connection.recv(1000)
        if not piece:
            raise SystemExit("the server has closed the connection")
        data += piece


def timed(work):
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def spread(times):
    times = sorted(times)
    pick = lambda q: times[min(len(times) - 1, int(len(times) * q))]
    return f"{pick(0.5):.2f} ms | {pick(0.99):.2f} ms | {times[-1]:.2f} ms"


def wake_ups(dormouse, engine, requests):
    """First request by a new connection, and first byte on one that was open, each to a server that sleeps."""
    data = pathlib.Path(tempfile.mkdtemp(prefix="dormouse-sockets-"))
    os.chmod(data, 0o700)
    daemon = scale.Daemon(dormouse, data, "--hibernate-after", "10ms", "--engine", engine)
    try:
        module = json.loads(daemon.ask("PUT", "/v1/modules", GUEST.read_bytes()))["module"]
        port = free_port()
        task = {"module": module, "program": "http", "network": {"listen": [f"127.0.0.1:{port}"]}}
        task = json.loads(daemon.ask("POST", "/v1/tasks", json.dumps(task)))["id"]
        look = lambda: json.loads(daemon.ask("GET", f"/v1/tasks/{task}"))

        def asleep():
            for _ in range(1000):
                found = look()
                if found["state"] == "hibernated" and found["memory"] == 0:
                    return
                time.sleep(0.005)
            raise SystemExit(f"it does not sleep: {found}")

        def first():
            with connected(port) as connection:
                answer(connection)

        connected(port).close()
        new, idle, warm = [], [], []
        for _ in range(requests):
            time.sleep(0.02)
            asleep()
            new.append(timed(first))
        connection = connected(port)
        answer(connection)
        for _ in range(requests):
            time.sleep(0.02)
            asleep()
            idle.append(timed(lambda: answer(connection)))
        for _ in range(requests):
            warm.append(timed(lambda: answer(connection)))
        sleeps = look()["sleeps"]
        if sleeps < 2 * requests:
            raise SystemExit(f"it slept {sleeps} times only")
        return new, idle, warm
    finally:
        daemon.process.kill()
        daemon.process.wait()
        shutil.rmtree(data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default="wasmtime,wasmedge")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        native, load = f"{scratch}/http", f"{scratch}/load"
        subprocess.run(["cc", "-O2", "-o", native, SOURCE], check=True)
        subprocess.run(["cc", "-O2", "-o", load, HERE / "load.c"], check=True)

        def guest(engine, transform):
            def command(port):
                flags = ["--engine", engine, "--transform", transform, "--tcplisten", f"127.0.0.1:{port}"]
                return [options.dormouse, "run", *flags, GUEST]

            return command

        servers = [("native", lambda port: [native, str(port)])]
        for engine in options.engines.split(","):
            servers.append((f"{engine}, not resumable (`--transform none`)", guest(engine, "none")))
            servers.append((f"{engine}, resumable", guest(engine, "two-version")))
        counts = (1, 16)
        found = {(name, count): [] for name, _ in servers for count in counts}
        # In turns, so that what else the machine does meets all of them.
        for _ in range(options.rounds):
            for name, command in servers:
                for count in counts:
                    port = free_port()
                    rate = throughput(command(port), port, load, count, options.seconds)
                    found[name, count].append(rate)
    print("| server | requests/s, 1 connection | to native | requests/s, 16 connections | to native |")
    print("| --- | --- | --- | --- | --- |")
    best = {count: statistics.median(found["native", count]) for count in counts}
    for name, _ in servers:
        cells = []
        for count in counts:
            rate = statistics.median(found[name, count])
            cells += [f"{rate:,.0f}", f"{rate / best[count]:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    print("| guest in the daemon | p50 | p99 | longest |")
    print("| --- | --- | --- | --- |")
    for engine in options.engines.split(","):
        new, idle, warm = wake_ups(options.dormouse, engine, options.requests)
        print(f"| {engine}: first request to one that sleeps, new connection | {spread(new)} |")
        print(f"| {engine}: first byte on an idle connection of one that sleeps | {spread(idle)} |")
        print(f"| {engine}: a request to one that is awake | {spread(warm)} |")


if __name__ == "__main__":
    main()
