"""What goes wrong: each fault is done, and mended after a while."""

import time

import database

# Where the answers of a database's server come from and go to.
BOTH, ONE_WAY_IN, ONE_WAY_OUT = ("in", "out"), ("in",), ("out",)


class Cluster:
    """All that faults are done to."""

    def __init__(self, db, nodes, proxy, random, folder):
        self.db, self.nodes, self.proxy, self.random, self.folder = db, nodes, proxy, random, folder

    def node(self):
        return self.random.choice(self.nodes)

    def mend_nodes(self):
        for node in self.nodes:
            node.wait_until_up()


def kill_primary(cluster):
    """kill -9 of the primary's PostgreSQL; its Patroni starts it again, or another takes the role."""
    leader = cluster.db.leader()
    leader.kill_postgres()
    return leader.name, None


def kill_primary_machine(cluster):
    """kill -9 of the primary's PostgreSQL, Patroni and etcd: the machine is gone."""
    leader = cluster.db.leader()
    leader.kill_machine()
    time.sleep(35)
    leader.start(cluster.db.servers)
    return leader.name, None


def kill_patroni(cluster):
    """kill -9 of the primary's Patroni: its PostgreSQL lives on, and can be written to, when another one
    has become the primary."""
    leader = cluster.db.leader()
    leader.kill_patroni()
    time.sleep(40)
    leader.start_patroni(cluster.db.servers)
    return leader.name, None


def cut_leader_from_etcd(cluster):
    """The primary reaches no etcd but its own, which has no majority: it gives the role up."""
    leader = cluster.db.leader()
    others = [server.address for server in cluster.db.servers if server is not leader]
    leader.machine.cut(others, ports=[database.ETCD, database.ETCD_PEERS])
    time.sleep(35)
    leader.machine.heal()
    return leader.name, None


def cut_leader_off(cluster):
    """The primary is cut off from the other two machines, and clients reach it still: its commits wait."""
    leader = cluster.db.leader()
    leader.machine.cut([server.address for server in cluster.db.servers if server is not leader])
    time.sleep(35)
    leader.machine.heal()
    return leader.name, None


def switch_over(cluster):
    """Patroni hands the primary role to the standby."""
    leader = cluster.db.leader()
    cluster.db.switch_over()
    return leader.name, None


def cancel_waits(cluster):
    """The standby is cut off, each wait for it is cancelled (`pg_cancel_backend`), which PostgreSQL
    answers with success and a warning; and then the primary dies with what it alone had."""
    leader = cluster.db.leader()
    cursor = cluster.db.connect(server=leader).cursor()
    others = [server.address for server in cluster.db.servers if server is not leader]
    leader.machine.cut(others, ports=[database.PORT])
    cancelled = 0
    until = time.monotonic() + 4
    while time.monotonic() < until:
        cursor.execute("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        cancelled += cursor.fetchone()[0]
        time.sleep(0.05)
    leader.kill_machine()
    leader.machine.heal()
    time.sleep(35)
    leader.start(cluster.db.servers)
    return f"{leader.name}, {cancelled} waits cancelled", None


def dump(cluster):
    """pg_dump of the primary, which holds a snapshot for as long as it runs."""
    path = cluster.folder / "dump.sql"
    cluster.db.dump(path)
    size = path.stat().st_size
    path.unlink()
    return f"{size >> 10} KiB", None


def kill_node(cluster):
    """kill -9 of a node, which is started again after a while."""
    node = cluster.node()
    node.kill()
    pause = cluster.random.choice([1, 12])
    time.sleep(pause)
    node.start()
    return f"{node.name}, again after {pause} s", node


def stop_node(seconds):
    def fault(cluster):
        node = cluster.node()
        node.stop()
        time.sleep(seconds)
        node.go_on()
        return node.name, node

    fault.__name__ = f"stop_node_{seconds}_s"
    fault.__doc__ = f"A node is stopped (SIGSTOP) for {seconds} s."
    return fault


def cut_node(ways, seconds, percent=100):
    def fault(cluster):
        node = cluster.node()
        addresses = cluster.db.addresses()
        node.machine.cut([*addresses, cluster.proxy.address], ways=ways, percent=percent)
        time.sleep(seconds)
        node.machine.heal()
        return f"{node.name}, {seconds} s", node if percent == 100 else None

    way = {BOTH: "both_ways", ONE_WAY_IN: "one_way_in", ONE_WAY_OUT: "one_way_out"}[ways]
    fault.__name__ = f"cut_node_{way}" if percent == 100 else f"lose_{percent}_percent"
    fault.__doc__ = "A node and the database's servers lose what they send each other."
    return fault


def lose_commit_answers(cluster):
    """Connections of the node behind the proxy break at the answer to a commit, which was done."""
    lost = cluster.proxy.lost
    until = time.monotonic() + 12
    while time.monotonic() < until:
        cluster.proxy.loses.set()
        time.sleep(0.7)
        cluster.proxy.loses.clear()
        time.sleep(0.8)
    return f"{cluster.proxy.lost - lost} answers lost", None


# Faults of the database, which fails over, and of nodes.
OF_DATABASE = [
    kill_primary_machine,
    kill_patroni,
    cut_leader_from_etcd,
    cut_leader_off,
    cancel_waits,
    switch_over,
    kill_primary,
]
OF_NODES = [
    kill_node,
    stop_node(3),
    stop_node(10),
    stop_node(60),
    cut_node(BOTH, 15),
    cut_node(ONE_WAY_IN, 12),
    cut_node(ONE_WAY_OUT, 12),
    cut_node(BOTH, 20, percent=30),
    lose_commit_answers,
    dump,
]
ALL = OF_DATABASE + OF_NODES


def plan(random, only):
    """Faults in an order that the seed decides: each once, and then any."""
    chosen = [fault for fault in ALL if not only or fault.__name__ in only]
    first = list(chosen)
    random.shuffle(first)
    yield from first
    while True:
        yield random.choice(chosen)
