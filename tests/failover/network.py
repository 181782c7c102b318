"""Machines of a made-up network: network namespaces on one bridge, and what goes wrong between them.

All of it is in a namespace of the program's own (`failover.py` starts itself in one), so that nothing
of the machine's network is touched, and nothing is left of it.
"""

import os
import signal
import subprocess

PREFIX = "10.77.0."
# The bridge's own address, which is that of the program.
HERE = PREFIX + "254"


def run(*command, **more):
    """Runs a command that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def make_bridge():
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "bridge", "type", "bridge")
    run("ip", "address", "add", f"{HERE}/24", "dev", "bridge")
    run("ip", "link", "set", "bridge", "up")


class Machine:
    """A network namespace with an address, and the processes that run there."""

    def __init__(self, name, number, tools):
        self.name, self.address, self.tools = name, f"{PREFIX}{number}", tools
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        outside = f"to-{name}"
        # The namespace is there when the process that holds it has made it.
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            pass
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        run("ip", "link", "set", outside, "master", "bridge", "up")
        self.within("ip", "link", "set", "lo", "up")
        self.within("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.within("ip", "link", "set", "eth0", "up")

    def command(self, *command):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--", *map(str, command)]

    def within(self, *command, **more):
        return run(*self.command(*command), **more)

    def start(self, *command, **more):
        return subprocess.Popen(self.command(*command), **more)

    def nft(self, script):
        libraries = f"{self.tools}/usr/lib/{os.uname().machine}-linux-gnu"
        environment = dict(os.environ, LD_LIBRARY_PATH=libraries)
        self.within(f"{self.tools}/usr/sbin/nft", "-f", "-", input=script, env=environment)

    def cut(self, addresses, ports=None, ways=("in", "out"), percent=100):
        """Loses what comes from and what goes to addresses: to ports there, where some are named."""
        loss = "" if percent == 100 else f"numgen random mod 100 < {percent} "
        listed = "{ " + ", ".join(addresses) + " }"
        rules = []
        for way, side, port in ("in", "saddr", "sport"), ("out", "daddr", "dport"):
            hook = {"in": "input", "out": "output"}[way]
            rules.append(f"chain {way}side {{ type filter hook {hook} priority 0;")
            if way in ways:
                of = "" if ports is None else f"tcp {port} {{ {', '.join(map(str, ports))} }} "
                rules.append(f"ip {side} {listed} {of}{loss}drop;")
                if ports is not None:
                    # Connections that the others have made to the same ports here.
                    here = {"in": "dport", "out": "sport"}[way]
                    of = f"tcp {here} {{ {', '.join(map(str, ports))} }} "
                    rules.append(f"ip {side} {listed} {of}{loss}drop;")
            rules.append("}")
        self.nft("table inet fault {\n" + "\n".join(rules) + "\n}\n")

    def heal(self):
        self.nft("table inet fault\ndelete table inet fault\n")


def children(pid):
    """All processes below one."""
    found = []
    try:
        text = open(f"/proc/{pid}/task/{pid}/children").read()
    except OSError:
        return found
    for child in map(int, text.split()):
        found += [child, *children(child)]
    return found


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill(process):
    """Kills a process of ours and waits for its end."""
    process.send_signal(signal.SIGKILL)
    process.wait()
