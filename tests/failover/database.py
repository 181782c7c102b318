"""A PostgreSQL that fails over by itself: Patroni, etcd and PostgreSQL on each of three machines."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time
import urllib.request

import psycopg2

from network import Machine, children, kill, send

PORT, ETCD, ETCD_PEERS, REST = 5432, 2379, 2380, 8008
# How long after its last renewal Patroni's leader is none any more; 20 s is the least that it takes.
TTL = 20
USER = "postgres"


def programs():
    """Where the newest PostgreSQL's programs are."""
    return sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent


class Server:
    """One machine of the database's."""

    def __init__(self, number, folder, tools):
        self.machine = Machine(f"d{number}", 10 + number, tools)
        self.name, self.address = self.machine.name, self.machine.address
        self.folder, self.tools = folder / self.name, tools
        self.folder.mkdir()
        os.chmod(self.folder, 0o755)
        self.data = self.folder / "data"
        self.log = open(self.folder / "log", "a")
        self.etcd = self.patroni = None

    def start(self, all_of_them):
        self.start_etcd(all_of_them)
        self.start_patroni(all_of_them)

    def start_etcd(self, all_of_them):
        peers = ",".join(f"{one.name}=http://{one.address}:{ETCD_PEERS}" for one in all_of_them)
        clients, others = (f"http://{self.address}:{port}" for port in (ETCD, ETCD_PEERS))
        self.etcd = self.machine.start(
            f"{self.tools}/usr/bin/etcd", "--name", self.name, "--data-dir", self.folder / "etcd",
            "--listen-client-urls", clients, "--advertise-client-urls", clients,
            "--listen-peer-urls", others, "--initial-advertise-peer-urls", others,
            "--initial-cluster", peers, "--initial-cluster-state", "new",
            # Who comes back does not end the others' agreement.
            "--pre-vote", "--heartbeat-interval", "250", "--election-timeout", "2500",
            stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def start_patroni(self, all_of_them):
        hosts = [f"{one.address}:{ETCD}" for one in all_of_them]
        everyone = f"{self.address.rsplit('.', 1)[0]}.0/24"
        parameters = {
            "fsync": "on",
            "wal_level": "replica",
            "hot_standby": "on",
            "max_connections": 150,
            "shared_buffers": "64MB",
            "wal_keep_size": "128MB",
            "max_wal_size": "128MB",
            "track_commit_timestamp": "on",
        }
        own = self.folder / "postgres"
        own.mkdir(exist_ok=True)
        shutil.chown(own, USER, USER)
        settings = {
            "scope": "failover",
            "name": self.name,
            "restapi": {"listen": f"{self.address}:{REST}", "connect_address": f"{self.address}:{REST}"},
            "etcd3": {"hosts": hosts},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL,
                    "loop_wait": 3,
                    "retry_timeout": 5,
                    "maximum_lag_on_failover": 1 << 20,
                    "synchronous_mode": True,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": parameters},
                },
                "initdb": [{"encoding": "UTF8"}, "data-checksums", {"auth": "trust"}],
                "pg_hba": [f"host replication all {everyone} trust", f"host all all {everyone} trust"],
            },
            "postgresql": {
                "listen": f"{self.address}:{PORT}",
                "connect_address": f"{self.address}:{PORT}",
                "data_dir": str(own / "data"),
                "bin_dir": str(programs()),
                "pgpass": str(own / "pgpass"),
                "authentication": {
                    "superuser": {"username": USER},
                    "replication": {"username": "replicator"},
                    "rewind": {"username": "rewinder"},
                },
                "parameters": {"unix_socket_directories": str(own)},
                # Whoever cannot go back to where the others part from it, begins with a copy.
                "remove_data_directory_on_rewind_failure": True,
                "remove_data_directory_on_diverged_timelines": True,
            },
            "watchdog": {"mode": "off"},
        }
        # JSON is YAML.
        path = self.folder / "patroni.json"
        path.write_text(json.dumps(settings))
        self.patroni = self.machine.start(
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups",
            "/usr/bin/python3", "-m", "patroni", path,
            stdout=self.log, stderr=self.log, cwd="/",
            env=dict(os.environ, PYTHONPATH=f"{self.tools}/usr/lib/python3/dist-packages"),
        )  # fmt: skip

    def postmaster(self):
        """The number of PostgreSQL's first process, which lives on where Patroni has died."""
        try:
            return int((self.folder / "postgres/data/postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def postgres(self):
        """All processes of PostgreSQL's."""
        first = self.postmaster()
        return [] if first is None else [first, *children(first)]

    def kill_postgres(self):
        pids = self.postgres()
        # The first one is stopped, so that it starts none of the others again.
        send(pids[:1], signal.SIGSTOP)
        send(pids[:1] + self.postgres(), signal.SIGKILL)

    def kill_patroni(self):
        kill(self.patroni)

    def kill_machine(self):
        kill(self.patroni)
        self.kill_postgres()
        kill(self.etcd)


class Database:
    """The three machines together."""

    def __init__(self, folder, tools):
        self.servers = [Server(number, folder, tools) for number in (1, 2, 3)]
        pwd.getpwnam(USER)
        for server in self.servers:
            server.start_etcd(self.servers)
        for server in self.servers:
            server.start_patroni(self.servers)
        self.wait_until_whole(180)
        # On no machine of its own: whichever is the primary one.
        connection = self.connect(USER)
        connection.cursor().execute("CREATE DATABASE dormouse")
        connection.close()

    def addresses(self):
        return [server.address for server in self.servers]

    def url(self, hosts=None):
        hosts = hosts or [f"{address}:{PORT}" for address in self.addresses()]
        return f"postgres://{USER}@{','.join(hosts)}/dormouse?target_session_attrs=read-write"

    def connect(self, name="dormouse", server=None):
        hosts = [server.address] if server else self.addresses()
        connection = psycopg2.connect(
            host=",".join(hosts), port=PORT, user=USER, dbname=name, connect_timeout=2,
            target_session_attrs="any" if server else "read-write", tcp_user_timeout=3000,
            keepalives_idle=1, keepalives_interval=1, keepalives_count=2,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def members(self):
        """What Patroni says of each machine: its role and its state."""
        for server in self.servers:
            try:
                with urllib.request.urlopen(f"http://{server.address}:{REST}/cluster", timeout=2) as answer:
                    return {one["name"]: one for one in json.load(answer)["members"]}
            except (OSError, ValueError, KeyError):
                continue
        return {}

    def leader(self):
        """The server that has the primary role, if one has."""
        members = self.members()
        named = [name for name, one in members.items() if one["role"] in ("leader", "master")]
        return next((server for server in self.servers if server.name in named), None)

    def standbys(self):
        members = self.members()
        named = [name for name, one in members.items() if one["role"] == "sync_standby"]
        return [server for server in self.servers if server.name in named]

    def is_whole(self):
        """Whether each machine has its role, and the primary answers."""
        members = self.members()
        roles = sorted(one["role"] for one in members.values())
        states = {one["state"] for one in members.values()}
        if roles != ["leader", "replica", "sync_standby"] or not states <= {"running", "streaming"}:
            return False
        try:
            cursor = self.connect(USER, self.leader()).cursor()
            cursor.execute("SELECT NOT pg_is_in_recovery()")
            return cursor.fetchone()[0]
        except (psycopg2.Error, AttributeError):
            return False

    def wait_until_whole(self, seconds):
        """Waits until it is whole, and stays so: just after a cut, machines tell what was before."""
        until, looks = time.monotonic() + seconds, 0
        while looks < 4:
            looks = looks + 1 if self.is_whole() else 0
            if time.monotonic() > until:
                raise RuntimeError(f"the database is not whole after {seconds} s: {self.members()}")
            time.sleep(1)

    def switch_over(self):
        """Patroni hands the primary role to the standby."""
        leader, standby = self.leader(), self.standbys()[0]
        body = json.dumps({"leader": leader.name, "candidate": standby.name}).encode()
        request = urllib.request.Request(
            f"http://{leader.address}:{REST}/switchover", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def dump(self, path):
        """pg_dump of the primary, while tasks go on."""
        command = [programs() / "pg_dump", "-h", self.leader().address, "-U", USER, "-f", path, "dormouse"]
        subprocess.run(command, check=True, timeout=120)

    def close(self):
        for server in self.servers:
            for process in server.patroni, server.etcd:
                if process and process.poll() is None:
                    kill(process)
            server.kill_postgres()
