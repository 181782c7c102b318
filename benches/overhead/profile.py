#!/usr/bin/env python3
"""Where a program spends its time, by function, on Wasmtime: the module as it is beside the rewritten one.

usage: profile.py DORMOUSE MODULE ARG…        (needs Linux perf; reads standard input once for each run)

Give it a module with a name section. Machine code is mapped from dormouse's cache, whose files are ELF with a symbol for
each function, so that plain addresses are enough. Prints samples, one each millisecond, and their difference.
"""

import bisect
import collections
import glob
import os
import subprocess
import sys
import tempfile
import time


def leb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def names(wasm):
    """Function names by index."""
    at, found = 8, {}
    while at < len(wasm):
        kind, (size, start) = wasm[at], leb(wasm, at + 1)
        at = start + size
        if kind != 0:
            continue
        length, place = leb(wasm, start)
        if wasm[place:place + length] != b"name":
            continue
        place += length
        while place < at:
            part, (size, place) = wasm[place], leb(wasm, place + 1)
            end = place + size
            if part == 1:
                count, place = leb(wasm, place)
                for _ in range(count):
                    index, place = leb(wasm, place)
                    length, place = leb(wasm, place)
                    found[index] = wasm[place:place + length].decode()
                    place += length
            place = end
    return found


def mapping(pid):
    """Address, file offset and path of the machine code that a process runs."""
    try:
        with open(f"/proc/{pid}/maps") as maps:
            for line in maps:
                fields = line.split()
                if len(fields) > 5 and ".wasmtime-" in fields[5] and "x" in fields[1]:
                    return int(fields[0].split("-")[0], 16), int(fields[2], 16), fields[5]
    except OSError:
        pass
    return None


def profile(dormouse, transform, module, arguments, folder, stdin):
    resumable = os.path.join(folder, transform + ".wasm")
    subprocess.run([dormouse, "build", "--transform", transform, module, "-o", resumable], check=True, stdout=subprocess.DEVNULL)
    with open(resumable, "rb") as file:
        known = names(file.read())
    run = [dormouse, "run", "--engine", "wasmtime", "--transform", transform, module, *arguments]
    subprocess.run(run, input=stdin, check=True, stdout=subprocess.DEVNULL)  # fills the cache
    data = os.path.join(folder, transform + ".perf")
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "1000", "-o", data, "--", *run],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    perf.stdin.write(stdin)
    perf.stdin.close()
    code = None
    while perf.poll() is None and code is None:
        for children in glob.glob(f"/proc/{perf.pid}/task/*/children"):
            with open(children) as file:
                for pid in file.read().split():
                    code = code or mapping(pid)
        time.sleep(0.005)
    print(perf.stdout.read().decode(), file=sys.stderr)
    perf.wait()
    if code is None:
        sys.exit("profile: the machine code's address was not found")
    start, offset, path = code
    symbols = []
    text = None
    for line in subprocess.run(["readelf", "-S", "-W", path], capture_output=True, text=True).stdout.splitlines():
        if " .text " in line:
            text = int(line.split(".text")[1].split()[2], 16)
    for line in subprocess.run(["readelf", "-s", "-W", path], capture_output=True, text=True).stdout.splitlines():
        fields = line.split()
        if len(fields) > 7 and fields[3] == "FUNC":
            symbols.append((int(fields[1], 16), int(fields[2], 0), fields[7]))
    symbols.sort()
    starts = [symbol[0] for symbol in symbols]
    counts = collections.Counter()
    addresses = subprocess.run(["perf", "script", "-i", data, "-F", "ip"], capture_output=True, text=True).stdout
    for word in addresses.split():
        at = int(word, 16) - start + offset - text
        place = bisect.bisect_right(starts, at) - 1
        if place < 0 or at >= symbols[place][0] + symbols[place][1]:
            counts["(outside)"] += 1
            continue
        name = symbols[place][2]
        if name.startswith("wasm[0]::function["):
            name = known.get(int(name[18:].split("]")[0]), name)
        counts[name] += 1
    return counts


def main():
    dormouse, module, *arguments = sys.argv[1:]
    stdin = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory() as folder:
        plain = profile(dormouse, "none", module, arguments, folder, stdin)
        ours = profile(dormouse, "two-version", module, arguments, folder, stdin)
    print(f"{'plain':>7} {'ours':>7} {'more':>7}  function")
    rows = sorted(set(plain) | set(ours), key=lambda name: plain[name] - ours[name])
    for name in rows[:25] + rows[-5:]:
        print(f"{plain[name]:7} {ours[name]:7} {ours[name] - plain[name]:+7}  {name}")
    print(f"{plain.total():7} {ours.total():7} {ours.total() - plain.total():+7}  all")


main()
