#!/usr/bin/env python3
"""How long the daemon takes to answer each kind of request, on one connection that is kept.

usage: api.py DORMOUSE [REQUESTS]

A daemon with 1,000 sleeping tasks, and one with 300 lines of output. Each request is written at once and its answer read to the
end, on one connection, on whose side nothing is set; so an answer that the daemon sends in parts waits here where the
system lets it wait. Requests that change something are asked of tasks of their own. Beside it, what a flush of the disk costs in the same run: what
is stored waits for one. Prints a Markdown table.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GUESTS = os.path.join(HERE, "..", "..", "wasm", "bin")


class Daemon:
    def __init__(self, dormouse, folder):
        self.process = subprocess.Popen([dormouse, "serve", "--data", folder, "--listen", "127.0.0.1:0"],
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "dashboard" in line:
                address, self.token = line.split("http://")[1].strip().split("/#token=")
                break
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.rest = b""

    def request(self, method, path, body=b"", kind="application/json"):
        return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n"
                f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body

    def ask(self, request):
        """Gives the body of the answer, and the seconds until its end was here."""
        started = time.perf_counter()
        self.socket.sendall(request)
        head = self.until(b"\r\n\r\n").decode().lower()
        status = int(head.split()[1])
        if "transfer-encoding: chunked" in head:
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.take(size + 2)[:-2]
            self.take(2)
        else:
            length = [line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length")]
            body = self.take(int(length[0]) if length else 0)
        took = time.perf_counter() - started
        if status >= 400:
            raise SystemExit(f"{request[:80]}: {status} {body.decode()}")
        return body, took

    def until(self, end):
        while end not in self.rest:
            self.more()
        found, self.rest = self.rest.split(end, 1)
        return found

    def take(self, size):
        while len(self.rest) < size:
            self.more()
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def more(self):
        some = self.socket.recv(1 << 16)
        if not some:
            raise SystemExit("the daemon closed the connection")
        self.rest += some

    def json(self, method, path, body=None, raw=b""):
        data = json.dumps(body).encode() if body is not None else raw
        return json.loads(self.ask(self.request(method, path, data))[0] or b"null")


def flush(folder, rounds=200):
    times = []
    with open(os.path.join(folder, "flush"), "wb") as file:
        for _ in range(rounds):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return times


def measure(daemon, requests):
    return [daemon.ask(request)[1] for request in requests]


def row(name, times):
    times = sorted(times)
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
    print(f"| {name} | {1000 * statistics.median(times):.2f} ms | {1000 * p99:.2f} ms | {len(times)} |", flush=True)


def main():
    dormouse, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with tempfile.TemporaryDirectory(prefix="dormouse-api-", dir=os.path.dirname(dormouse)) as folder:
        os.chmod(folder, 0o700)
        daemon = Daemon(dormouse, folder)
        try:
            run(daemon, folder, count)
        finally:
            daemon.process.terminate()
            daemon.process.wait()


def run(daemon, folder, count):
    wasm = {}
    for guest in ("ex_nap", "ex_sleeper"):
        with open(os.path.join(GUESTS, f"{guest}.wasm"), "rb") as file:
            wasm[guest] = file.read()
    module = {guest: daemon.json("PUT", "/v1/modules", raw=source)["module"] for guest, source in wasm.items()}
    later = {"module": module["ex_nap"], "program": "nap", "schedule": {"at": "2100-01-01T00:00:00Z"}}
    daemon.json("POST", "/v1/batch", [later | {"count": 1000}])
    talker = daemon.json("POST", "/v1/tasks", {"module": module["ex_sleeper"], "program": "s", "args": ["0", "0", "300"]})["id"]
    while (task := daemon.json("GET", f"/v1/tasks/{talker}"))["state"] != "exited":
        assert task["state"] not in ("failed", "paused"), task
        time.sleep(0.05)
    # One that has been asleep, and so has a snapshot.
    sleeper = daemon.json("POST", "/v1/tasks", {"module": module["ex_sleeper"], "program": "s", "args": ["5000", "1", "1"]})["id"]
    while daemon.json("GET", f"/v1/tasks/{sleeper}")["state"] != "hibernated":
        time.sleep(0.05)
    snapshot = daemon.ask(daemon.request("GET", f"/v1/tasks/{sleeper}/snapshot"))[0]

    print("| request | p50 | p99 | requests |\n| --- | --- | --- | --- |")
    reads = [
        "/v1/stats", "/v1/tasks/1", "/v1/tasks?limit=1", "/v1/tasks?limit=100", "/v1/tasks?limit=1000",
        "/v1/tasks?state=running", f"/v1/tasks/{talker}/logs", f"/v1/tasks/{talker}/logs?format=raw",
        "/v1/tasks/1/logs", f"/v1/tasks/{sleeper}/snapshot", f"/v1/modules/{module['ex_nap']}", "/v1/timeline", "/v1/peers",
        "/v1/moves", "/metrics", "/openapi.json", "/"]
    for path in reads:
        request = daemon.request("GET", path)
        measure(daemon, [request] * 20)
        shown = path.replace(str(talker), "{id}").replace(str(sleeper), "{id}").replace("tasks/1", "tasks/{id}")
        if shown == "/v1/tasks/{id}/logs":
            shown += " (300 lines)" if path.startswith(f"/v1/tasks/{talker}") else " (none)"
        row(f"GET {shown.replace(module['ex_nap'], '{digest}')}", measure(daemon, [request] * count))

    writes = max(count // 4, 100)
    one = daemon.request("POST", "/v1/tasks", json.dumps(later).encode())
    answers = [daemon.ask(one) for _ in range(writes)]
    row("POST /v1/tasks", [took for _, took in answers])
    ids = [json.loads(body)["id"] for body, _ in answers]
    for what in ("pause", "resume", "kill"):
        requests = [daemon.request("POST", f"/v1/tasks/{number}/{what}") for number in ids]
        row(f"POST /v1/tasks/{{id}}/{what}", measure(daemon, requests))
    row("DELETE /v1/tasks/{id}", measure(daemon, [daemon.request("DELETE", f"/v1/tasks/{number}") for number in ids]))
    batch = daemon.request("POST", "/v1/batch", json.dumps([later | {"count": 100}]).encode())
    row("POST /v1/batch (100 tasks)", measure(daemon, [batch] * (writes // 4)))
    row("POST /v1/snapshots", measure(daemon, [daemon.request("POST", "/v1/snapshots", snapshot)] * (writes // 4)))
    put = daemon.request("PUT", "/v1/modules", wasm["ex_nap"], "application/wasm")
    row("PUT /v1/modules (known)", measure(daemon, [put] * (writes // 4)))
    row("a flush of 4 KiB in the same run", flush(folder))


main()
