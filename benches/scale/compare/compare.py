#!/usr/bin/env python3
"""The same sleep in other systems, on the same machine: what `make bench-scale` puts beside the daemon.

usage: compare.py [--systems tokio,process,dbos,restate] [--tasks 1000] [--out FILE]

Prints one JSON object for each system: starts per second, bytes of memory and of disk for each sleeper,
and how late they woke when TASKS of them were spread over ten seconds.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dormouse/scale"
SECONDS = 10
INGRESS, ADMIN, NODE, SERVICE = 18080, 19070, 15122, 19080


def disk(folder):
    return sum(path.stat().st_blocks * 512 for path in pathlib.Path(folder).rglob("*") if path.is_file())


def memory(pids):
    """Memory of processes, with what they share counted in parts (PSS)."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def quantiles(late):
    late = sorted(late)
    pick = lambda q: late[int((len(late) - 1) * q)]
    return {"p50_ms": pick(0.5), "p99_ms": pick(0.99), "max_ms": pick(1.0), "rate": len(late) / SECONDS}


def run_tokio(tasks):
    binary = CACHE / "tokio/release/tokio-sleepers"
    text = subprocess.run([binary, str(tasks), str(SECONDS)], check=True, capture_output=True, text=True).stdout
    return dict(json.loads(text), disk=0, survives="no", rate=tasks / SECONDS)


def run_process(tasks):
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder) / "sleeper"
        subprocess.run(["gcc", "-O2", "-o", binary, HERE / "process_sleeper.c"], check=True)
        started, children = time.monotonic(), []
        try:
            for number in range(tasks):
                length = str(SECONDS * (1 + number / tasks))
                children.append(subprocess.Popen([binary, length], stdout=subprocess.PIPE, text=True))
            took = time.monotonic() - started
            bytes_each = memory(child.pid for child in children) / tasks
            late = [float(child.communicate()[0].split()[1]) for child in children]
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
    return dict(quantiles(late), starts_per_second=tasks / took, memory=bytes_each, disk=0, survives="no")


def run_dbos(tasks):
    with tempfile.TemporaryDirectory() as folder:
        command = [CACHE / "dbos/bin/python", HERE / "dbos_sleepers.py", folder, str(tasks), str(SECONDS * 2)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            asleep = json.loads(child.stdout.readline())
            asleep["disk"] = disk(folder) / tasks
            woke = json.loads(child.stdout.readline())
        finally:
            child.kill()
            child.wait()
    return dict(asleep, **woke, survives="yes")


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


def run_restate(tasks):
    packages = CACHE / "restate/node_modules/@restatedev"
    server = next(packages.glob("restate-server-linux-*/bin/restate-server"))
    with tempfile.TemporaryDirectory() as folder:
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
        children = [subprocess.Popen([server], env=environment, stdout=log, stderr=log)]
        children.append(
            subprocess.Popen(
                ["node", HERE / "restate_sleepers.mjs", str(SERVICE)],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
        )
        try:
            assert children[1].stdout.readline() == "ready\n"
            wait_for(ADMIN, "/health")
            wait_for(INGRESS, "/restate/health")
            admin = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=60)
            body = json.dumps({"uri": f"http://127.0.0.1:{SERVICE}"})
            admin.request("POST", "/deployments", body, {"Content-Type": "application/json"})
            answer = admin.getresponse()
            assert answer.status in (200, 201), answer.read()
            pids = [child.pid for child in children]
            before, disk_before, started = memory(pids), disk(folder), time.monotonic()

            def send(numbers):
                connection = http.client.HTTPConnection("127.0.0.1", INGRESS, timeout=60)
                for number in numbers:
                    body = json.dumps({"length": SECONDS * 2 * (1 + number / tasks / 2)})
                    connection.request("POST", "/sleeper/run/send", body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    assert answer.status in (200, 202), answer.status

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(send, [range(first, tasks, 8) for first in range(8)]))
            took = time.monotonic() - started
            time.sleep(2)
            found = {
                "starts_per_second": tasks / took,
                "memory": (memory(pids) - before) / tasks,
                "disk": (disk(folder) - disk_before) / tasks,
            }
            # The SDK logs to the same place.
            lines = (line for line in children[1].stdout if line.startswith("late "))
            late = [float(next(lines).split()[1]) for _ in range(tasks)]
        finally:
            for child in children:
                child.send_signal(signal.SIGKILL)
                child.wait()
    return dict(found, **quantiles(late), survives="yes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", default="tokio,process,dbos,restate")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--out")
    options = parser.parse_args()
    results = []
    for system in options.systems.split(","):
        try:
            found = globals()[f"run_{system}"](options.tasks)
        except (OSError, StopIteration, AssertionError, ValueError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        results.append(dict(found, system=system, tasks=options.tasks))
        print(json.dumps(results[-1]), flush=True)
    if options.out:
        pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(options.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
