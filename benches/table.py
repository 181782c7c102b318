#!/usr/bin/env python3
"""Whole-process figures, and CRIU beside them in the same run.

usage: table.py DORMOUSE [RUNS]

For a C program asleep: the time from SIGTERM to the end of `dormouse run` (the snapshot is then on disk), and the time
from starting `dormouse resume` to the guest's first byte, with compiled code in the cache. CRIU dumps and restores a
native C program in the same sleep, where it is installed and we are root. All are taken in turn, so that the ratios
hold on a noisy machine. Prints a Markdown table.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST = os.path.join(HERE, "..", "wasm", "bin", "ex_nap.wasm")
NATIVE = """
#include <stdio.h>
#include <unistd.h>
int main(void) { puts("hello"); fflush(stdout); sleep(600); puts("bye"); return 0; }
"""


def suspend(dormouse, snapshot):
    """Milliseconds from SIGTERM to the end of the process."""
    process = subprocess.Popen([dormouse, "run", "--snapshot", snapshot, GUEST],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    start = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    assert code == 75, code
    return (time.perf_counter() - start) * 1e3


def first_byte(command):
    """Milliseconds until a command prints."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.read(1)
    took = (time.perf_counter() - start) * 1e3
    process.stdout.read()
    process.wait()
    return took


def criu(native, folder):
    """Milliseconds of a dump and of a restore, and the image's bytes."""
    images = tempfile.mkdtemp(dir=folder)
    log = open(os.path.join(folder, "log"), "w")
    process = subprocess.Popen([native], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    time.sleep(0.1)
    start = time.perf_counter()
    subprocess.run(["criu", "dump", "-t", str(process.pid), "-D", images, "-o", "dump.log"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    dump = (time.perf_counter() - start) * 1e3
    process.wait()
    size = sum(os.path.getsize(os.path.join(images, name)) for name in os.listdir(images) if name.endswith(".img"))
    start = time.perf_counter()
    subprocess.run(["criu", "restore", "-d", "-D", images, "-o", "restore.log", "--pidfile", "pid"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    restore = (time.perf_counter() - start) * 1e3
    with open(os.path.join(images, "pid")) as pid:
        os.kill(int(pid.read()), signal.SIGKILL)
    return dump, restore, size


def main():
    dormouse = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    rows = {"suspend": [], "resume": [], "nothing": [], "dump": [], "restore": []}
    image = None
    with tempfile.TemporaryDirectory() as folder:
        snapshot = os.path.join(folder, "snapshot")
        native = os.path.join(folder, "native")
        with open(native + ".c", "w") as source:
            source.write(NATIVE)
        with_criu = shutil.which("criu") is not None and os.geteuid() == 0
        if with_criu:
            subprocess.run(["gcc", "-O2", "-o", native, native + ".c"], check=True)
        suspend(dormouse, snapshot)  # fills the cache
        time.sleep(3)
        for _ in range(runs):
            rows["resume"].append(first_byte([dormouse, "resume", snapshot]))
            rows["nothing"].append(first_byte(["echo", "x"]))
            rows["suspend"].append(suspend(dormouse, os.path.join(folder, "other")))
            if with_criu:
                try:
                    dump, restore, image = criu(native, folder)
                except (subprocess.CalledProcessError, OSError) as error:
                    print(f"CRIU does not run here: {error}", file=sys.stderr)
                    with_criu = False
                    continue
                rows["dump"].append(dump)
                rows["restore"].append(restore)
        report = json.loads(subprocess.run([dormouse, "inspect", "--json", snapshot],
                                           check=True, capture_output=True).stdout)
    middle = {name: statistics.median(values) for name, values in rows.items() if values}
    print("| whole process | median ms | min | max | CRIU, ratio |")
    print("| --- | --- | --- | --- | --- |")
    against = {"suspend": "dump", "resume": "restore"}
    for name, values in rows.items():
        if values:
            other = against.get(name)
            ratio = f"{middle[other] / middle[name]:.1f}x" if other in middle else ""
            print(f"| {name} | {middle[name]:.2f} | {min(values):.2f} | {max(values):.2f} | {ratio} |")
    print(f"\nsnapshot {report['snapshot_bytes']} bytes, without the module "
          f"{report['snapshot_bytes_without_module']}; CRIU image {image} bytes")


main()
