#!/usr/bin/env python3
"""How long the first request to a sleeping server takes, and one to a server that is awake.

usage: server.py DORMOUSE [--requests N]
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import tempfile
import time

import scale

GUEST = scale.HERE.parent.parent / "wasm/bin/ex_greeter.wasm"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def request(port):
    """Milliseconds from the call to connect until the answer is there."""
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"x\n")
        connection.recv(100)
        return (time.perf_counter() - started) * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    data = pathlib.Path(tempfile.mkdtemp(prefix="dormouse-server-"))
    os.chmod(data, 0o700)
    daemon = scale.Daemon(options.dormouse, data, "--hibernate-after", "20ms")
    try:
        module = json.loads(daemon.ask("PUT", "/v1/modules", GUEST.read_bytes()))["module"]
        port = free_port()
        task = {"module": module, "program": "greeter", "network": {"listen": [f"127.0.0.1:{port}"]}}
        task = json.loads(daemon.ask("POST", "/v1/tasks", json.dumps(task)))["id"]
        time.sleep(0.5)
        asleep = []
        for _ in range(options.requests):
            asleep.append(request(port))
            time.sleep(0.06)
        sleeps = json.loads(daemon.ask("GET", f"/v1/tasks/{task}"))["sleeps"]
        awake = [request(port) for _ in range(options.requests)]
        for name, times in ("asleep", asleep), ("awake", awake):
            times.sort()
            pick = lambda q: times[int((len(times) - 1) * q)]
            print(f"{name}: p50 {pick(0.5):.2f} ms, p99 {pick(0.99):.2f} ms, max {times[-1]:.2f} ms")
        print(f"it slept {sleeps} times")
    finally:
        daemon.process.kill()
        daemon.process.wait()
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
