"""A PostgreSQL server for one run, with `fsync` on, and settings that docs/cluster.md recommends."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

USER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": 200,
    "shared_buffers": "1GB",
    "wal_compression": "on",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_cost_delay": 0,
    "shared_preload_libraries": "pg_stat_statements",
}


def programs():
    return sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent


class Server:
    """It ends with `stop`."""

    def __init__(self, folder, port, settings):
        self.folder, self.port = pathlib.Path(folder), port
        self.folder.mkdir()
        os.chmod(self.folder, 0o755)
        own = []
        if os.getuid() == 0:
            # The server refuses to run as root.
            shutil.chown(self.folder, USER, USER)
            own = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        data = self.folder / "data"
        make = [programs() / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*own, *make], check=True, stdout=subprocess.DEVNULL, cwd="/")
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = open(self.folder.with_suffix(".log"), "w")
        command = [*own, programs() / "postgres", "-D", data, "-k", self.folder, "-p", str(port), *options]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        for _ in range(600):
            if subprocess.run([programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"PostgreSQL does not start: see {log.name}")

    def sql(self, text, database=USER):
        command = [programs() / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = subprocess.run([*command, "-v", "ON_ERROR_STOP=1", "-qAtc", text], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{text}: {done.stderr}")
        return done.stdout.strip()

    def make_database(self, name):
        self.sql(f"CREATE DATABASE {name}")
        self.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", name)
        return f"postgres://{USER}@127.0.0.1:{self.port}/{name}"

    def size(self, name):
        return int(self.sql(f"SELECT pg_database_size('{name}')"))

    def statements(self, name):
        """The statements on which a database spent the most time: milliseconds, calls, rows, text."""
        return self.sql(
            "SELECT round(total_exec_time), calls, rows, left(regexp_replace(query, '\\s+', ' ', 'g'), 150) "
            "FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "ORDER BY total_exec_time DESC LIMIT 25",
            name,
        )

    def log_bytes(self):
        """How much has been written to the log so far."""
        return int(self.sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"))

    def cpu(self):
        """Seconds of all its processes, those that have ended as well where they were waited for."""
        total = 0
        pids = [self.process.pid]
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids += children.read_text().split()
        for pid in pids:
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            waited = fields[13:15] if pid == self.process.pid else ["0", "0"]
            total += sum(map(int, fields[11:13])) + sum(map(int, waited))
        return total / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
