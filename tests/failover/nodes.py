"""Daemons on machines of their own, and what is asked of them."""

import http.client
import json
import os
import signal
import subprocess
import threading
import time

from network import Machine, kill, send

PORT = 7433
TOKEN = "the-token-of-all-nodes"


class Node:
    """A daemon on a machine of its own, whose files are its own."""

    def __init__(self, number, folder, tools, binary, url):
        self.machine = Machine(f"n{number}", 20 + number, tools)
        self.name, self.address = self.machine.name, self.machine.address
        self.binary, self.url = binary, url
        self.folder = folder / self.name
        self.folder.mkdir(mode=0o700)
        self.out = self.folder / "out"
        self.out.mkdir()
        token = self.folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.log = open(self.folder / "log", "a")
        self.process = None

    def start(self):
        self.process = self.machine.start(
            self.binary, "serve", "--data", ".", "--store", self.url, "--node", self.name,
            "--listen", f"{self.address}:{PORT}", "--hibernate-after", "200ms", "--checkpoint", "1s",
            # Nobody but this program is to blame for a death.
            "--set-aside-after", "0",
            cwd=self.folder, stdin=subprocess.DEVNULL, stderr=self.log,
        )  # fmt: skip

    def is_up(self):
        try:
            return self.ask("GET", "/v1/nodes", timeout=3)[0] == 200
        except OSError:
            return False

    def wait_until_up(self, seconds=90):
        until = time.monotonic() + seconds
        while not self.is_up():
            if self.process.poll() is not None:
                # Where nobody reaches the database, it does not start.
                self.start()
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} does not answer after {seconds} s")
            time.sleep(0.3)

    def ask(self, method, path, body=None, timeout=30, binary=False):
        """Asks; gives the status, and what was answered."""
        connection = http.client.HTTPConnection(self.address, PORT, timeout=timeout)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if not binary and text:
                text = json.loads(text)
            return answer.status, text
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def kill(self):
        kill(self.process)

    def stop(self):
        send([self.process.pid], signal.SIGSTOP)

    def go_on(self):
        send([self.process.pid], signal.SIGCONT)

    def close(self):
        if self.process and self.process.poll() is None:
            self.go_on()
            kill(self.process)

    def size(self):
        """Bytes of all that its guests have written at it."""
        return sum(entry.stat().st_size for entry in os.scandir(self.out))


class Submitter(threading.Thread):
    """Submits tasks to one node for as long as it is told to, and remembers what was acknowledged."""

    def __init__(self, node, module, rounds, pause, random):
        super().__init__(daemon=True)
        self.node, self.module, self.rounds, self.pause, self.random = node, module, rounds, pause, random
        self.acknowledged = {}
        # How long each task sleeps in a round, in milliseconds.
        self.sleeps = {}
        self.at = []
        self.refused = 0
        self.ended = threading.Event()

    def run(self):
        count = 0
        while not self.ended.wait(self.pause):
            name = f"{self.node.name}-{count}"
            count += 1
            milliseconds = self.random.choice([50, 150, 400, 1000, 2500])
            self.sleeps[name] = milliseconds
            task = {
                "module": self.module,
                "program": "appender",
                "name": name,
                "args": [f"/out/{name}", str(self.rounds), str(milliseconds)],
                "mounts": [{"host": "/proc/self/cwd/out", "guest": "/out"}],
            }
            try:
                status, told = self.node.ask("POST", "/v1/tasks", task)
            except OSError:
                status, told = 0, None
            if status == 201:
                self.acknowledged[told["id"]] = name
                self.at.append(time.time())
            else:
                self.refused += 1

    def stop(self):
        self.ended.set()
        self.join()


def upload(node, path):
    status, told = node.ask("PUT", "/v1/modules", path.read_bytes())
    if status != 200:
        raise RuntimeError(f"the module was refused: {told}")
    return told["module"]
