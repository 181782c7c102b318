#!/usr/bin/env python3
"""The same sleep in other systems, on the same machine: what `make bench-scale` puts beside the daemon.

usage: compare.py [--systems tokio,process,dbos,restate] [--tasks N] [--minutes 5] [--leave GIB] [--leave-pids N] [--out FILE]

Each system is given sleepers until it has N of them, or until it can have no more: until MINUTES have passed, until only
GIB of the machine's memory or PIDS of its process numbers are left, or until it fails. They sleep for a day. Then it is given
as many that wake within ten seconds, 100 in each, while the others sleep.

Prints one JSON object for each system: how many sleep and what limited that, starts per second, bytes of memory and of disk for
each sleeper, and how late those that woke did. Progress goes to stderr.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dormouse/scale"
SECONDS, RATE, DAY = 10, 100, 86_400
WAKERS = SECONDS * RATE
# So many of Restate's requests may be under way.
AHEAD = 1000
INGRESS, ADMIN, NODE, SERVICE = 18080, 19070, 15122, 19080


def disk(folder):
    return sum(path.stat().st_blocks * 512 for path in pathlib.Path(folder).rglob("*") if path.is_file())


def fields(path):
    """Numbers of a file such as /proc/meminfo, in bytes."""
    lines = (line.split() for line in pathlib.Path(path).read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3 and words[1].isdigit()}


def memory(pids):
    """Memory of processes, with what they share counted in parts (PSS)."""
    return sum(fields(f"/proc/{pid}/smaps_rollup")["Pss"] for pid in pids)


def kernel_memory():
    """What the kernel keeps for processes: stacks, page tables, and structures of its own."""
    found = fields("/proc/meminfo")
    return found["KernelStack"] + found["PageTables"] + found["SUnreclaim"]


def quantiles(late):
    late = sorted(late)
    pick = lambda q: late[int((len(late) - 1) * q)]
    return {"p50_ms": pick(0.5), "p99_ms": pick(0.99), "max_ms": pick(1.0), "rate": RATE}


class Bounds:
    """When a system has as many as it can have here."""

    def __init__(self, options):
        self.options = options
        self.limited_by = None
        self.looked = 0.0
        self.begun = time.monotonic()

    def ask(self, count):
        """Whether to stop at so many; notes why."""
        now = time.monotonic()
        if self.options.tasks and count >= self.options.tasks:
            self.limited_by = "asked for"
        elif now - self.begun > self.options.minutes * 60:
            self.limited_by = f"time: {self.options.minutes:g} minutes of starting"
        elif now - self.looked > 0.2:
            self.looked = now
            if fields("/proc/meminfo")["MemAvailable"] < self.options.leave * 2**30:
                self.limited_by = "memory"
            elif self.pids_left() < self.options.leave_pids:
                self.limited_by = "process numbers (kernel.pid_max)"
        return self.limited_by is not None

    @staticmethod
    def pids_left():
        # The fourth word is "running/all" of the system's threads, each of which has a number.
        threads = int(pathlib.Path("/proc/loadavg").read_text().split()[3].split("/")[1])
        limits = [int(pathlib.Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max")]
        return min(limits) - threads


def tell(system, count):
    print(f"{system}: {count} sleep", file=sys.stderr, flush=True)


def run_tokio(bounds):
    tasks = bounds.options.tasks or 1_000_000
    binary = CACHE / "tokio/release/tokio-sleepers"
    text = subprocess.run([binary, str(tasks), str(SECONDS)], check=True, capture_output=True, text=True).stdout
    bounds.limited_by = "asked for"
    return dict(json.loads(text), tasks=tasks, disk=0, survives="no", rate=tasks / SECONDS)


def run_process(bounds):
    """All write into one pipe: a pipe for each would be a limit of this script's own."""
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder) / "sleeper"
        subprocess.run(["gcc", "-O2", "-o", binary, HERE / "process_sleeper.c"], check=True)
        reading, writing = os.pipe()
        start = lambda length: subprocess.Popen([binary, str(length)], stdin=subprocess.DEVNULL, stdout=writing)
        children, kernel = [], kernel_memory()
        try:
            while not bounds.ask(len(children)):
                try:
                    children.append(start(DAY))
                except (BlockingIOError, MemoryError, OSError) as error:
                    bounds.limited_by = f"fork: {error.strerror}"
                    break
                if len(children) % 5000 == 0:
                    tell("process", len(children))
            took, tasks = time.monotonic() - bounds.begun, len(children)
            time.sleep(2)
            in_kernel = (kernel_memory() - kernel) / tasks
            found = {
                "tasks": tasks,
                "starts_per_second": tasks / took,
                "memory": memory(child.pid for child in children) / tasks + in_kernel,
                "kernel_memory": in_kernel,
            }
            # Room for those that wake.
            for child in children[: WAKERS + 100]:
                child.kill()
                child.wait()
            wakers = [start(5 + SECONDS * number / WAKERS) for number in range(WAKERS)]
            for child in wakers:
                child.wait()
            children += wakers
            os.close(writing)
            os.set_blocking(reading, True)
            for child in children:
                if child.poll() is None:
                    child.kill()
            with os.fdopen(reading) as lines:
                late = [float(line.split()[1]) for line in lines]
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
            for child in children:
                child.wait()
    return dict(found, **quantiles(late), disk=0, survives="no")


def run_dbos(bounds):
    with tempfile.TemporaryDirectory() as folder:
        command = [CACHE / "dbos/bin/python", HERE / "dbos_sleepers.py", folder, str(DAY), str(WAKERS), str(SECONDS)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            # It tells every hundred sleepers, and stops when it is told to.
            for line in child.stdout:
                found = json.loads(line)
                if "starts_per_second" in found:
                    break
                if found["started"] % 5000 == 0:
                    tell("dbos", found["started"])
                if bounds.limited_by is None and bounds.ask(found["started"]):
                    child.stdin.write("stop\n")
                    child.stdin.flush()
            found["disk"] = disk(folder) / found["tasks"]
            child.stdin.write("wake\n")
            child.stdin.flush()
            late = json.loads(child.stdout.readline())["late"]
        finally:
            child.kill()
            child.wait()
    return dict(found, **quantiles(late), survives="yes")


def wait_for(port, path):
    for _ in range(150):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", path)
            if connection.getresponse().status < 400:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"nothing answers on port {port}")


class Restate:
    """The server, and a process that answers for it."""

    def __init__(self, folder):
        self.folder = folder
        packages = CACHE / "restate/node_modules/@restatedev"
        server = next(packages.glob("restate-server-linux-*/bin/restate-server"))
        settings = {
            "RESTATE_BASE_DIR": folder,
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{INGRESS}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{ADMIN}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{NODE}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{NODE}",
            "RESTATE_LOG_FILTER": "error",
            "DO_NOT_TRACK": "1",
            "RESTATE_MODULES": str(CACHE / "restate"),
        }
        environment = dict(os.environ, **settings)
        log = pathlib.Path(folder, "log").open("w")
        self.children = [subprocess.Popen([server], env=environment, stdout=log, stderr=log)]
        handler = ["node", HERE / "restate_sleepers.mjs", str(SERVICE)]
        self.children.append(
            subprocess.Popen(handler, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        # The SDK logs each invocation there as well. The handler would stop where nothing reads it.
        self.ready, self.asleep, self.found = threading.Event(), 0, []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.children[1].stdout:
            if line.startswith("late "):
                self.found.append(float(line.split()[1]))
            elif line.startswith("asleep "):
                self.asleep = int(line.split()[1])
            elif line == "ready\n":
                self.ready.set()

    def register(self):
        assert self.ready.wait(30), "the handler's process does not answer"
        wait_for(ADMIN, "/health")
        wait_for(INGRESS, "/restate/health")
        admin = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=60)
        body = json.dumps({"uri": f"http://127.0.0.1:{SERVICE}"})
        admin.request("POST", "/deployments", body, {"Content-Type": "application/json"})
        answer = admin.getresponse()
        assert answer.status in (200, 201), answer.read()

    def memory(self):
        return memory(child.pid for child in self.children)

    def send(self, lengths):
        connection = http.client.HTTPConnection("127.0.0.1", INGRESS, timeout=60)
        for length in lengths:
            body = json.dumps({"length": length})
            connection.request("POST", "/sleeper/run/send", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 202), answer.status

    def late(self, count):
        """How late so many woke, in ms."""
        until = time.monotonic() + 300
        while len(self.found) < count and time.monotonic() < until:
            assert self.children[1].poll() is None, "the handler's process has ended"
            time.sleep(0.1)
        assert len(self.found) == count, f"{len(self.found)} of {count} woke in five minutes"
        return self.found

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGKILL)
            child.wait()


def run_restate(bounds):
    with tempfile.TemporaryDirectory() as folder:
        restate = Restate(folder)
        try:
            restate.register()
            before, disk_before = restate.memory(), disk(folder)
            bounds.begun = time.monotonic()
            lock, sent = threading.Lock(), [0]

            def lengths():
                while True:
                    # Requests are accepted faster than handlers run.
                    while sent[0] > restate.asleep + AHEAD and not bounds.ask(restate.asleep):
                        time.sleep(0.01)
                    with lock:
                        if bounds.limited_by or bounds.ask(restate.asleep):
                            return
                        sent[0] += 1
                        if sent[0] % 5000 == 0:
                            tell("restate", restate.asleep)
                    yield DAY

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                done = [pool.submit(restate.send, lengths()) for _ in range(8)]
                for sender in done:
                    try:
                        sender.result()
                    except (OSError, AssertionError) as error:
                        bounds.limited_by = f"{type(error).__name__}: {error}"
            # Those that were sent last fall asleep; they are told by the hundred.
            until = time.monotonic() + 60
            while restate.asleep < sent[0] // 100 * 100 and time.monotonic() < until:
                time.sleep(0.01)
            took, tasks = time.monotonic() - bounds.begun, restate.asleep
            time.sleep(5)
            found = {
                "tasks": tasks,
                "starts_per_second": tasks / took,
                "memory": (restate.memory() - before) / tasks,
                "disk": (disk(folder) - disk_before) / tasks,
            }
            wakers = [15 + SECONDS * number / WAKERS for number in range(WAKERS)]
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(restate.send, [wakers[first::8] for first in range(8)]))
            late = restate.late(WAKERS)
        finally:
            restate.stop()
    return dict(found, **quantiles(late), survives="yes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", default="tokio,process,dbos,restate")
    parser.add_argument("--tasks", type=int, help="at most so many; as many as it can have, if left out")
    parser.add_argument("--minutes", type=float, default=5, help="at most so long for starting")
    parser.add_argument("--leave", type=float, default=4, help="GiB of the machine's memory that stay free")
    parser.add_argument("--leave-pids", type=int, default=2000, help="process numbers that stay free")
    parser.add_argument("--out")
    options = parser.parse_args()
    results = []
    for system in options.systems.split(","):
        bounds = Bounds(options)
        load = os.getloadavg()[0]
        try:
            found = globals()[f"run_{system}"](bounds)
        except (OSError, StopIteration, AssertionError, ValueError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        results.append(dict(found, system=system, limited_by=bounds.limited_by, load_at_start=load))
        print(json.dumps(results[-1]), flush=True)
    if options.out:
        pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(options.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
