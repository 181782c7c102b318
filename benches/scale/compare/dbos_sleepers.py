"""The same sleep as DBOS workflows, with SQLite: asynchronous, which takes it the least.

usage: dbos_sleepers.py FOLDER TASKS SECONDS   prints JSON when all are asleep, and again when all woke
"""

import asyncio
import json
import os
import pathlib
import sys
import time

from dbos import DBOS

folder, tasks, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
late = []


def resident():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


@DBOS.workflow()
async def sleeper(length):
    """Sleeps, and notes how late it woke."""
    due = time.time() + length
    await DBOS.sleep_async(length)
    late.append(time.time() - due)


async def main():
    before, started = resident(), time.time()
    handles = []
    for number in range(tasks):
        handles.append(await DBOS.start_workflow_async(sleeper, seconds * (1 + number / tasks)))
    took = time.time() - started
    await asyncio.sleep(2)
    asleep = {"starts_per_second": tasks / took, "memory": (resident() - before) // tasks}
    print(json.dumps(asleep), flush=True)
    for handle in handles:
        await handle.get_result()
    late.sort()
    quantile = lambda q: late[int((len(late) - 1) * q)] * 1e3
    woke = {"p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "max_ms": quantile(1.0), "rate": tasks / seconds}
    print(json.dumps(woke), flush=True)


DBOS(
    config={
        "name": "sleepers",
        "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
)
DBOS.launch()
asyncio.run(main())
sys.stdout.flush()
os._exit(0)
