"""What is measured of dormouse: nodes on one PostgreSQL, and one daemon on SQLite beside them."""

import json
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scale"))
import scale  # noqa: E402

# Without dashes: `scale.Daemon` reads it from a line.
TOKEN = "the_token_of_all_nodes"
# Rounds of the tasks whose node is killed, half a second each.
KILLED_ROUNDS = 100
# Tasks that tell how long many more will take.
PROBE = 500


class Nodes:
    """Daemons on one store."""

    def __init__(self, binary, folder, count, url=None):
        self.binary, self.folder, self.url = binary, folder, url
        self.names = [f"{folder.name}-{number}" for number in range(count)]
        for name in self.names:
            place = folder.parent / name
            place.mkdir(mode=0o700)
            token = place / "token"
            token.write_text(TOKEN)
            token.chmod(0o600)
        self.start()

    def start(self):
        options = ["--store", self.url] if self.url else []
        self.all = []
        for name in self.names:
            own = [*options, "--node", name] if self.url else []
            self.all.append(scale.Daemon(self.binary, self.folder.parent / name, *own))

    def stop(self):
        for daemon in self.all:
            daemon.process.send_signal(signal.SIGTERM)
        for daemon in self.all:
            daemon.process.wait(timeout=120)

    def kill(self):
        for daemon in self.all:
            if daemon.process.poll() is None:
                daemon.process.kill()
            daemon.process.wait()

    def upload(self):
        text = self.all[0].ask("PUT", "/v1/modules", scale.GUEST.read_bytes())
        return json.loads(text)["module"]

    def count(self, what):
        return sum(daemon.stats()[what] for daemon in self.all)

    def submit(self, task, count):
        """Submits to all nodes at the same time."""
        parts = [count // len(self.all) + (place < count % len(self.all)) for place in range(len(self.all))]
        threads = [
            threading.Thread(target=scale.submit, args=(daemon, task, part, max(1, 2 // len(self.all))))
            for daemon, part in zip(self.all, parts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def wait(self, what, count, pause=0.1):
        while self.count(what) < count:
            time.sleep(pause)

    def disk(self):
        return sum(scale.disk(self.folder.parent / name) for name in self.names)

    def memory(self):
        return sum(daemon.stats()["memory"] for daemon in self.all)

    def cpu(self):
        return sum(daemon.cpu() for daemon in self.all)

    def lateness(self):
        """The buckets of all nodes together."""
        each = [scale.lateness(daemon) for daemon in self.all]
        return [(same[0][0], sum(count for _, count in same)) for same in zip(*each)]


def measure(nodes, server, database, herd, rate, seconds, say):
    """Starts, a herd, and lateness at a rate."""
    found = {"nodes": len(nodes.all)}
    module = nodes.upload()
    sleeper = {"module": module, "program": "sleeper", "args": ["1000000"]}
    # Modules are compiled, and it is known how long a herd takes.
    nodes.submit(sleeper, PROBE)
    nodes.wait("suspends", PROBE)
    started = time.monotonic()
    nodes.submit(sleeper, PROBE)
    nodes.wait("suspends", 2 * PROBE)
    guess = 5 + 1.5 * herd / PROBE * (time.monotonic() - started)
    size = lambda: server.size(database) if server else nodes.disk()
    before, busy = size(), (nodes.cpu(), server.cpu() if server else 0.0)
    logged = server.log_bytes() if server else 0

    # All are asleep before the first is due, and due when the nodes start again.
    asleep = nodes.count("suspends")
    started = time.monotonic()
    nodes.submit(dict(sleeper, args=[str(guess)]), herd)
    submitted = time.monotonic()
    nodes.wait("suspends", asleep + herd)
    took = time.monotonic() - started
    found["starts_per_second"] = herd / took
    found["asleep_in_time"] = took < guess
    found["start_cpu_us"] = (nodes.cpu() - busy[0]) / herd * 1e6
    if server:
        found["start_server_cpu_us"] = (server.cpu() - busy[1]) / herd * 1e6
    found["disk"] = (size() - before) / herd
    if server:
        found["log_bytes"] = (server.log_bytes() - logged) / herd
    found["memory"] = nodes.memory() / herd
    say(**found)

    nodes.stop()
    time.sleep(max(0.0, submitted + guess - time.monotonic()))
    logged, served = (server.log_bytes(), server.cpu()) if server else (0, 0.0)
    nodes.start()
    first, counted = None, 0
    while True:
        now = nodes.count("wakes")
        if now and first is None:
            first, counted = time.monotonic(), now
        if now >= herd:
            break
        # Each look costs the database something.
        time.sleep(0.1)
    found["wakes_per_second"] = (herd - counted) / max(time.monotonic() - first, 1e-9)
    # With the start of the processes.
    found["wake_cpu_us"] = nodes.cpu() / herd * 1e6
    if server:
        found["wake_server_cpu_us"] = (server.cpu() - served) / herd * 1e6
        found["wake_log_bytes"] = (server.log_bytes() - logged) / herd
    say(**found)

    # Spread evenly: how late are they?
    count = rate * seconds
    base = 3 + 1.5 * count / found["starts_per_second"]
    spread = dict(sleeper, args=[str(base), str(seconds)])
    asleep, wakes, buckets = nodes.count("suspends"), nodes.count("wakes"), nodes.lateness()
    started = time.monotonic()
    nodes.submit(spread, count)
    nodes.wait("suspends", asleep + count)
    found["late_in_time"] = time.monotonic() - started < base
    nodes.wait("wakes", wakes + count, 0.2)
    after = nodes.lateness()
    for name, part in ("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0):
        found[name] = scale.quantile(after, buckets, part)
    found["rate"] = rate
    say(**found)
    return found


def failover(binary, folder, server, count, say):
    """How long after a node was killed all of its tasks are others'."""
    url = server.make_database("killed")
    nodes = Nodes(binary, folder / "killed", 3, url)
    victim = nodes.all[0]
    try:
        task = {"module": nodes.upload(), "program": "sleeper", "args": ["0.5", "0", str(KILLED_ROUNDS)]}
        nodes.submit(task, count)
        time.sleep(8)
        told = json.loads(victim.ask("GET", "/v1/nodes"))["nodes"]
        number = next(node["number"] for node in told if node["here"])
        victim.process.kill()
        victim.process.wait()
        killed = time.monotonic()
        had = server.sql(f"SELECT count(*) FROM dormouse.tasks WHERE owner = {number}", "killed")
        waiting = "SELECT count(*) FROM dormouse.tasks WHERE ended IS NULL AND due IS NOT NULL AND owner"
        while int(server.sql(f"{waiting} IN (0, {number})", "killed")) > 0:
            if time.monotonic() - killed > 60:
                raise SystemExit("the tasks of a killed node go on nowhere")
            time.sleep(0.05)
        found = {"failover_tasks": int(had), "failover_seconds": time.monotonic() - killed}
    finally:
        nodes.kill()
    say(**found)
    return found


def sleepers(binary, folder, server, count, say):
    """Very many sleeping tasks on three nodes."""
    url = server.make_database("many")
    nodes = Nodes(binary, folder / "many", 3, url)
    try:
        task = {"module": nodes.upload(), "program": "sleeper", "args": ["1000000"]}
        nodes.submit(task, 100)
        nodes.wait("suspends", 100)
        before, started = server.size("many"), time.monotonic()
        nodes.submit(task, count)
        nodes.wait("suspends", count + 100, 0.5)
        took = time.monotonic() - started
        found = {
            "sleepers": count,
            "sleepers_per_second": count / took,
            "sleepers_disk": (server.size("many") - before) / count,
            "sleepers_memory": nodes.memory(),
        }
        nodes.stop()
        started = time.monotonic()
        nodes.start()
        found["sleepers_start_seconds"] = (time.monotonic() - started) / len(nodes.all)
        say(**found)
        return found
    finally:
        nodes.kill()
