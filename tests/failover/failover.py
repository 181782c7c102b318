#!/usr/bin/env python3
"""Nodes on a database that fails over, and everything that can go wrong with it: `make test-failover`.

usage: failover.py DORMOUSE [--minutes N] [--seed S] [--faults NAME,...] [--keep]

Three machines have Patroni, etcd and PostgreSQL with synchronous replication, three others have a node
each; all of them are network namespaces. Tasks are submitted all the time; each writes numbered lines to
its output and to a file of the node on which it runs. Faults are done in an order that the seed decides.
In the end each submission that was acknowledged must be there, each line of each task's output once and
in order, and no file may have grown at a node while others had its tasks.

Needs root, and what tests/failover/setup.sh and tests/setup.sh fetch. Everything is in namespaces of its
own, processes as well, which end with this program.
"""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS = 10
# Set in the environment of the process that is in namespaces of its own.
INSIDE = "DORMOUSE_FAILOVER_INSIDE"


def go_inside(tools):
    """Runs this program in namespaces of its own."""
    environment = dict(os.environ, PYTHONPATH=f"{tools}/usr/lib/python3/dist-packages", **{INSIDE: tools})
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "/usr/bin/python3"]
    return subprocess.run([*command, *sys.argv], env=environment).returncode


def collect_the_dead():
    """Goes on in a child. This process is the first one of its namespace, and so the parent of those
    whose parents were killed: nobody else tells the kernel that their ends are noticed, and a PostgreSQL
    that is waited for would never be gone."""
    child = os.fork()
    if child == 0:
        return
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def say(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


class Trial:
    """The machines, and what was seen of them."""

    def __init__(self, options, folder, tools):
        import accounts
        import database
        import faults
        import network
        import nodes
        import proxy

        self.accounts, self.faults = accounts, faults
        self.random = random.Random(options.seed)
        network.make_bridge()
        self.db = database.Database(folder, tools)
        say("the database is there, its primary is", self.db.leader().name)
        self.proxy = proxy.Proxy(network.HERE, self.db.addresses(), database.PORT)
        self.nodes = []
        for number in (1, 2, 3):
            # The last one reaches the database through the proxy.
            url = self.db.url(self.proxy.hosts if number == 3 else None)
            self.nodes.append(nodes.Node(number, folder, tools, options.dormouse, url))
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_until_up()
        connection = self.db.connect()
        connection.cursor().execute(accounts.NODE_LOG)
        connection.close()
        module = nodes.upload(self.nodes[0], pathlib.Path(tools) / "appender.wasm")
        self.submitters = [
            nodes.Submitter(node, module, ROUNDS, options.pause, random.Random(f"{options.seed} {node.name}"))
            for node in self.nodes
        ]
        self.cluster = faults.Cluster(self.db, self.nodes, self.proxy, self.random, folder)
        self.watch = accounts.Watch(self.db, self.nodes)
        self.done = []

    def run(self, minutes, only):
        for thread in [*self.submitters, self.watch]:
            thread.start()
        until = time.monotonic() + minutes * 60
        for fault in self.faults.plan(self.random, only):
            time.sleep(self.random.uniform(2, 6))
            if time.monotonic() > until:
                return
            began = time.time()
            told, node = fault(self.cluster)
            mended = time.time()
            self.cluster.mend_nodes()
            self.db.wait_until_whole(120)
            whole = time.time()
            say(f"{fault.__name__}: {told}; mended after {mended - began:.1f} s, whole after {whole - began:.1f} s")
            self.done.append({"fault": fault.__name__, "what": told, "node": node and node.name, "at": began, "whole": whole})

    def account(self):
        """What is wrong; nothing if all is well."""
        for submitter in self.submitters:
            submitter.stop()
        say("waiting for the last tasks")
        left, tasks = self.accounts.wait_until_over(self.db, 240)
        self.watch.stop()
        found = self.accounts.effects(self.nodes)
        acknowledged = {number: name for one in self.submitters for number, name in one.acknowledged.items()}
        connection = self.db.connect()
        periods = self.accounts.node_periods(connection)
        wrong = [f"{left} tasks are not over"] if left else []
        wrong += [f"{name} ({number}) was acknowledged and is not there" for number, name in acknowledged.items()
                  if tasks.get(number) != name]  # fmt: skip
        wrong += self.accounts.wrong_tasks(self.nodes, tasks, ROUNDS)
        wrong += [f"a stale owner acted: {text}" for text in self.accounts.stale_effects(found, periods)]
        wrong += [f"files grew at a node that was none: {text}" for text in self.watch.grew]
        self.report(acknowledged, tasks, found)
        return wrong

    def report(self, acknowledged, tasks, found):
        cursor = self.db.connect().cursor()
        cursor.execute("SELECT count(*) FROM public.node_log WHERE NOT joined")
        deaths = cursor.fetchone()[0]
        times = [at for one in self.submitters for at in one.at]
        say(f"{len(acknowledged)} submissions acknowledged, {sum(one.refused for one in self.submitters)} refused or unknown, "
            f"{len(tasks)} tasks, {sum(map(len, found.values()))} effects, {deaths} deaths of nodes")  # fmt: skip
        print("| fault | what | longest without an acknowledgement, s | tasks of the node late by: median, most, s |")
        print("| --- | --- | --- | --- |")
        for one in self.done:
            gap = self.accounts.longest_gap(times, one["at"], one["whole"])
            late = one["node"] and self.accounts.lateness(found, self.sleeps(), one["node"], one["at"])
            late = f"{late[0]:.1f}, {late[1]:.1f}" if late else "–"
            print(f"| {one['fault']} | {one['what']} | {gap:.1f} | {late} |", flush=True)

    def sleeps(self):
        """How long each task sleeps, in seconds, by name."""
        return {name: milliseconds / 1000 for one in self.submitters for name, milliseconds in one.sleeps.items()}

    def close(self):
        for node in self.nodes:
            node.close()
        self.db.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dormouse")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between the submissions to a node")
    parser.add_argument("--faults", default="", help="only these, by name, with commas")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    options = parser.parse_args()
    tools = os.environ.get(INSIDE)
    if tools is None:
        tools = subprocess.run([HERE / "setup.sh"], check=True, capture_output=True, text=True).stdout.strip()
        return go_inside(tools)
    collect_the_dead()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dormouse-failover-"))
    folder.chmod(0o755)
    # Where the server's user can read them.
    (folder / "tools").mkdir()
    subprocess.run(["mount", "--bind", tools, folder / "tools"], check=True)
    say(f"seed {options.seed}, {options.minutes:g} minutes, in {folder}")
    wrong = ["it did not come to its end"]
    trial = None
    try:
        trial = Trial(options, folder, folder / "tools")
        trial.run(options.minutes, [name for name in options.faults.split(",") if name])
        wrong = trial.account()
    finally:
        if trial:
            trial.close()
        subprocess.run(["umount", "--lazy", folder / "tools"])
        if wrong or options.keep:
            say(f"its logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for text in wrong[:50]:
        print("WRONG:", text)
    print(f"{len(trial.done)} faults, seed {options.seed}: " + (f"{len(wrong)} things are wrong" if wrong else "all is well"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
