#!/usr/bin/env python3
"""How long a move between two daemons takes, and what it sends.

usage: migrate.py DORMOUSE [ROUNDS]

Two daemons on loopback. A small C program (ex_sleeper) moves back and forth; then two copies of CPython that have done
`import json` move from one to the other, one after the other: the second is what a program costs whose module and base
the other side has. Times are from the HTTP request to its answer, and the time for which the task stood still, as the daemon says
it. Beside it, in the same run, what a flush of the disk costs here: a move waits for four. Prints a Markdown table.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
GUESTS = os.path.join(HERE, "..", "..", "wasm", "bin")
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "dormouse")
CPYTHON = os.path.join(CACHE, "programs", "python.wasm")


class Daemon:
    def __init__(self, dormouse, folder):
        os.makedirs(folder, mode=0o700)
        self.process = subprocess.Popen(
            [dormouse, "serve", "--data", folder, "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "dashboard" in line:
                self.address, self.token = line.split("http://")[1].strip().split("/#token=")
                break
        self.known = self.ask("GET", "/v1/peers")

    def ask(self, method, path, body=None, raw=None):
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.address}{path}", data=data, method=method, headers={
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=1800) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.read().decode()}") from error

    def trust(self, other):
        self.ask("POST", "/v1/peers", {"name": "other", "fingerprint": other.known["fingerprint"],
                                       "address": other.known["address"]})

    def submit(self, wasm, args, **more):
        with open(wasm, "rb") as file:
            module = self.ask("PUT", "/v1/modules", raw=file.read())["module"]
        return self.ask("POST", "/v1/tasks", {"module": module, "program": args[0], "args": args[1:], **more})["id"]

    def until(self, task, state):
        while (found := self.ask("GET", f"/v1/tasks/{task}"))["state"] != state:
            assert found["state"] not in ("exited", "failed", "paused"), found
            time.sleep(0.02)

    def migrate(self, task):
        start = time.perf_counter()
        there = self.ask("POST", f"/v1/tasks/{task}/migrate", {"to": "other"})["to"]
        return (time.perf_counter() - start) * 1e3, there


def flushes(folder):
    """Milliseconds of a flush of 4 KiB, on the disk that the stores are on."""
    times = []
    with open(os.path.join(folder, "flush"), "wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1e3)
    return times


def row(name, times, unit="ms"):
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"| {name} | {statistics.median(times):.2f} {unit} | {ordered[0]:.2f} | {p99:.2f} |"


def main():
    dormouse, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with tempfile.TemporaryDirectory() as folder:
        sides = [Daemon(dormouse, os.path.join(folder, name)) for name in "ab"]
        try:
            sides[0].trust(sides[1])
            sides[1].trust(sides[0])
            task = sides[0].submit(os.path.join(GUESTS, "ex_sleeper.wasm"), ["sleeper", "3600", "0", "1"])
            sides[0].until(task, "hibernated")
            whole, stood, sizes = [], [], []
            for number in range(rounds):
                took, there = sides[number % 2].migrate(task)
                task = there["task"]
                whole.append(took)
                stood.append(there["stopped"] * 1e3)
                sizes.append(there["bytes"])
            disk = flushes(folder)
            print("| small C program, loopback | median | min | p99 |\n| --- | --- | --- | --- |")
            print(row("from the request to the answer", whole))
            print(row("of it standing still", stood))
            print(row("a flush of 4 KiB in the same run", disk))
            print(f"\nIt sent {sizes[0]} bytes the first time, with the module, and {statistics.median(sizes[2:]):.0f} "
                  "each time after that, in both directions together.\n")
            if not os.path.exists(CPYTHON):
                print("CPython is not here: .ci/setup.sh test fetches it")
                return
            code = "import json, time; time.sleep(3600)"
            first = []
            for _ in range(4):
                task = sides[0].submit(CPYTHON, ["python", "-c", code])
                sides[0].until(task, "hibernated")
                took, there = sides[0].migrate(task)
                first.append((took, there["stopped"] * 1e3, there["bytes"]))
            print("| CPython after `import json` | whole | standing still | bytes | of the first |\n"
                  "| --- | --- | --- | --- | --- |")
            for name, (took, stood_still, size) in zip(("first", "second", "third", "fourth"), first):
                print(f"| {name} copy | {took:.1f} ms | {stood_still:.1f} ms | {size} | {size / first[0][2]:.1%} |")
            # The same task back, and away again.
            for name, side in (("the last one back", 1), ("and away again", 0)):
                took, there = sides[side].migrate(there["task"])
                print(f"| {name} | {took:.1f} ms | {there['stopped'] * 1e3:.1f} ms | {there['bytes']} | "
                      f"{there['bytes'] / first[0][2]:.1%} |")
        finally:
            for side in sides:
                side.process.kill()
                side.process.wait()


main()
