"""What every benchmark says of where and when it was run."""

import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read(path):
    """A file's text; nothing where there is no such file."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def run(*command):
    """What a command prints, in the project's folder."""
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def facts():
    """The machine, how busy it is (the load average of the last minute), the revision and the day."""
    models = [line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else os.uname().machine,
        "cores": os.cpu_count(),
        "system": f"{os.uname().sysname} {os.uname().release}",
        "load": round(os.getloadavg()[0], 1),
        "revision": run("git", "describe", "--always", "--dirty", "--exclude", "*"),
        "date": time.strftime("%Y-%m-%d"),
    }
