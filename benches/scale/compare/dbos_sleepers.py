"""The same sleep as DBOS workflows, with SQLite: asynchronous, which takes it the least.

usage: dbos_sleepers.py FOLDER LENGTH WAKERS SECONDS

Starts workflows that sleep for LENGTH seconds and tells every hundred how many, until it reads "stop". Prints what they cost; at
"wake" starts WAKERS more, which wake within SECONDS, and prints how late they did.
"""

import asyncio
import json
import os
import pathlib
import sys
import threading
import time

from dbos import DBOS

folder, length, wakers, seconds = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
late = []
stop, wake = threading.Event(), threading.Event()


def listen():
    for line in sys.stdin:
        {"stop": stop, "wake": wake}[line.strip()].set()


def resident():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


def tell(**found):
    print(json.dumps(found), flush=True)


@DBOS.workflow()
async def sleeper(length):
    """Sleeps, and notes how late it woke."""
    due = time.time() + length
    await DBOS.sleep_async(length)
    late.append((time.time() - due) * 1e3)


async def main():
    threading.Thread(target=listen, daemon=True).start()
    before, started = resident(), time.time()
    handles = []
    while not stop.is_set():
        handles.append(await DBOS.start_workflow_async(sleeper, length))
        if len(handles) % 100 == 0:
            tell(started=len(handles))
            # What reads and answers may be a moment behind.
            await asyncio.sleep(0)
    took, tasks = time.time() - started, len(handles)
    await asyncio.sleep(2)
    tell(tasks=tasks, starts_per_second=tasks / took, memory=(resident() - before) / tasks)
    await asyncio.to_thread(wake.wait)
    # All are started before the first is due: at no more than fifty a second.
    first = wakers / 50
    begun = time.time()
    woken = []
    for number in range(wakers):
        due = begun + first + seconds * number / wakers
        woken.append(await DBOS.start_workflow_async(sleeper, due - time.time()))
    for handle in woken:
        await handle.get_result()
    tell(late=late)


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
