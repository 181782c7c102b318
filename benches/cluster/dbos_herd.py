"""The same as DBOS workflows in a PostgreSQL, asynchronous in one process, which takes it the least.

usage: dbos_herd.py URL WORKFLOWS RATE SECONDS

Prints how many workflows a second went to sleep, how many a second woke of as many that were all due at
once, and how late those woke that were due at a rate.
"""

import asyncio
import json
import os
import sys
import time

from dbos import DBOS

url, count, rate, seconds = sys.argv[1], *map(int, sys.argv[2:5])
late = []
AT_ONCE = 50


@DBOS.workflow()
async def sleeper(length):
    """Sleeps, and notes how late it woke."""
    due = time.time() + length
    await DBOS.sleep_async(length)
    late.append((time.time() - due) * 1e3)


async def start(lengths):
    """Starts a workflow for each, so many at one time."""
    handles = []
    for first in range(0, len(lengths), AT_ONCE):
        some = lengths[first : first + AT_ONCE]
        handles += await asyncio.gather(*(DBOS.start_workflow_async(sleeper, length()) for length in some))
    return handles


async def main():
    # All sleep before the first is due.
    begun = time.time()
    probe = await start([lambda: 0.1] * 50)
    guess = (time.time() - begun) / 50 * count * 1.5 + 5
    begun = time.time()
    herd = await start([lambda: begun + guess - time.time()] * count)
    starts = count / (time.time() - begun)
    for handle in probe:
        await handle.get_result()
    await asyncio.sleep(max(0.0, begun + guess - time.time()))
    first = time.time()
    for handle in herd:
        await handle.get_result()
    wakes = count / (time.time() - first)
    late.clear()
    some = rate * seconds
    first = time.time() + 3 + 1.5 * some / starts
    spread = [lambda number=number: first + number / rate - time.time() for number in range(some)]
    for handle in await start(spread):
        await handle.get_result()
    late.sort()
    pick = lambda part: late[int((len(late) - 1) * part)]
    found = {"starts_per_second": starts, "wakes_per_second": wakes, "rate": rate}
    print(json.dumps(dict(found, p50_ms=pick(0.5), p99_ms=pick(0.99))), flush=True)


DBOS(
    config={
        "name": "sleepers",
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "ERROR",
    }
)
DBOS.launch()
asyncio.run(main())
sys.stdout.flush()
os._exit(0)
