#!/usr/bin/env python3
"""What a daemon with very many sleeping tasks costs: `make bench-scale`.

Starts `dormouse serve` on an empty directory, submits tasks over HTTP in batches until all are asleep,
stops and starts it again, then measures wake-ups. Writes one JSON object with what was measured.

usage: scale.py DORMOUSE [--tasks N] [--wakes N] [--rate PER_SECOND] [--python N] [--out FILE]
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
GUEST = HERE.parent.parent / "wasm/bin/ex_sleeper.wasm"
BATCH = 1000

# Where the tests put CPython, and a job for it.
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dormouse"
PYTHON = CACHE / "programs/python.wasm"
SCRIPT = """
import json, time
data = [json.dumps({"n": i, "text": "x" * i}) for i in range(300)]
time.sleep(100000)
print(len(data), json.loads(data[9])["n"])
"""


class Daemon:
    """A daemon of our own, on a port of its choice."""

    def __init__(self, binary, data, *options):
        self.data = data
        started = time.monotonic()
        command = [binary, "serve", "--data", str(data), "--listen", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"dashboard  http://([0-9.]+):(\d+)/#token=(\w+)", line)
            if found:
                self.host, self.port, self.token = found[1], int(found[2]), found[3]
                break
        else:
            raise SystemExit("the daemon did not start")
        threading.Thread(target=self._drain, daemon=True).start()
        self.ask("GET", "/v1/stats")
        self.start_seconds = time.monotonic() - started

    def _drain(self):
        for line in self.process.stderr:
            if "ERROR" in line or "WARN" in line:
                print(line, end="", file=sys.stderr)

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=300)

    def ask(self, method, path, body=None, connection=None):
        connection = connection or self.connect()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:300]}")
        return text

    def stats(self):
        return json.loads(self.ask("GET", "/v1/stats"))

    def stop(self):
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)
        return time.monotonic() - started

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk(data):
    return sum(path.stat().st_blocks * 512 for path in pathlib.Path(data).rglob("*") if path.is_file())


def submit(daemon, task, count, threads=2):
    """Submits COUNT copies of a task in batches over a few connections."""
    left = [count]
    lock = threading.Lock()

    def work():
        connection = daemon.connect()
        while True:
            with lock:
                size = min(BATCH, left[0])
                left[0] -= size
            if size <= 0:
                return
            body = json.dumps([dict(task, count=size)])
            for told in json.loads(daemon.ask("POST", "/v1/batch", body, connection)):
                if "error" in told:
                    raise SystemExit(told["error"])

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def asleep(daemon, before, count):
    """Waits until COUNT more tasks were put to sleep."""
    while True:
        stats = daemon.stats()
        if stats["suspends"] - before >= count:
            return stats
        time.sleep(0.05)


def lateness(daemon):
    """Quantiles of the wake latency from the histogram, as upper bounds of its buckets, in ms."""
    text = daemon.ask("GET", "/metrics").decode()
    buckets = [
        (float(le) if le != "+Inf" else float("inf"), int(count))
        for le, count in re.findall(r'dormouse_wake_latency_seconds_bucket\{le="([^"]+)"\} (\d+)', text)
    ]
    return buckets


def quantile(buckets, before, q):
    counts = [(le, count - old) for (le, count), (_, old) in zip(buckets, before)]
    total = counts[-1][1]
    return next((le * 1e3 for le, count in counts if count >= q * total), float("inf"))


def python_jobs(options, data):
    """Many sleeping copies of one Python script."""
    data = data / "python"
    data.mkdir(mode=0o700)
    daemon = Daemon(options.dormouse, data)
    try:
        module = json.loads(daemon.ask("PUT", "/v1/modules", PYTHON.read_bytes()))["module"]
        started = time.monotonic()
        submit(daemon, {"module": module, "program": "python", "args": ["-c", SCRIPT]}, options.python)
        stats = asleep(daemon, 0, options.python)
        took = time.monotonic() - started
        daemon.stop()
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
    return {
        "python_jobs": options.python,
        "python_jobs_per_second": options.python / took,
        "python_disk": disk(data),
        "python_memory": stats["memory"],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--wakes", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--python", type=int, default=1000, help="how many jobs in CPython")
    parser.add_argument("--data")
    parser.add_argument("--out")
    options = parser.parse_args()
    data = pathlib.Path(options.data or tempfile.mkdtemp(prefix="dormouse-scale-"))
    os.chmod(data, 0o700)
    result = {"tasks": options.tasks}
    daemon = Daemon(options.dormouse, data)
    try:
        module = json.loads(daemon.ask("PUT", "/v1/modules", GUEST.read_bytes()))["module"]
        sleeper = {"module": module, "program": "sleeper", "args": ["1000000"]}
        submit(daemon, sleeper, 100)
        asleep(daemon, 0, 100)
        shared = disk(data)

        before, cpu, started = daemon.stats()["suspends"], daemon.cpu(), time.monotonic()
        submit(daemon, sleeper, options.tasks)
        result["submit_seconds"] = time.monotonic() - started
        stats = asleep(daemon, before, options.tasks)
        took = time.monotonic() - started
        result["submit_to_asleep_per_second"] = options.tasks / took
        result["cpu_us_per_task"] = (daemon.cpu() - cpu) / options.tasks * 1e6
        result["memory"] = stats["memory"]
        result["stop_seconds"] = daemon.stop()
        result["disk_per_task"] = (disk(data) - shared) / options.tasks
        print(json.dumps(result), flush=True)

        daemon = Daemon(options.dormouse, data)
        result["start_seconds"] = daemon.start_seconds
        result["memory_after_start"] = daemon.stats()["memory"]
        print(json.dumps(result), flush=True)

        # So many are due at nearly one time: how many wake in a second?
        soon = 18 + options.wakes / 4000
        burst = {"module": module, "program": "sleeper", "args": [str(soon)]}
        began = time.monotonic()
        before = daemon.stats()["suspends"]
        submit(daemon, burst, options.wakes)
        asleep(daemon, before, options.wakes)
        result["asleep_before_due"] = time.monotonic() - began < soon
        wakes = daemon.stats()["wakes"]
        first = None
        while True:
            now = daemon.stats()["wakes"] - wakes
            if now and first is None:
                first, counted = time.monotonic(), now
            if now >= options.wakes:
                break
            time.sleep(0.02)
        result["wakes_per_second"] = (options.wakes - counted) / (time.monotonic() - first)
        print(json.dumps(result), flush=True)

        # Spread evenly: how late are they?
        count = options.rate * options.seconds
        spread = {"module": module, "program": "sleeper", "args": [str(5 + count / 4000), str(options.seconds)]}
        before = daemon.stats()["suspends"]
        submit(daemon, spread, count)
        asleep(daemon, before, count)
        buckets, wakes = lateness(daemon), daemon.stats()["wakes"]
        while daemon.stats()["wakes"] - wakes < count:
            time.sleep(0.2)
        after = lateness(daemon)
        for name, q in ("p50", 0.5), ("p99", 0.99), ("max", 1.0):
            result[f"lateness_{name}_ms"] = quantile(after, buckets, q)
        result["lateness_rate"] = options.rate
        daemon.stop()
        if PYTHON.exists() and options.python:
            result.update(python_jobs(options, data))
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
        if not options.data:
            shutil.rmtree(data, ignore_errors=True)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
