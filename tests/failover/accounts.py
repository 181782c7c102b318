"""Whether every task and line is there, and nobody acted for a task that another node had."""

import threading
import time

import psycopg2

# A guest takes the time before it writes, and a node's row is gone a moment after it was deleted.
SLACK = 0.5

NODE_LOG = """
CREATE TABLE public.node_log (at timestamptz, id bigint, name text, joined boolean);
INSERT INTO public.node_log SELECT 'epoch', id, name, true FROM dormouse.nodes;
CREATE FUNCTION public.log_node() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO public.node_log VALUES (clock_timestamp(), NEW.id, NEW.name, true);
  ELSE
    INSERT INTO public.node_log VALUES (clock_timestamp(), OLD.id, OLD.name, false);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER log_node AFTER INSERT OR DELETE ON dormouse.nodes
  FOR EACH ROW EXECUTE FUNCTION public.log_node();
"""


class Watch(threading.Thread):
    """Looks whether files grow at a node that is none: others have its tasks."""

    def __init__(self, db, nodes):
        super().__init__(daemon=True)
        self.db, self.nodes = db, nodes
        self.grew = []
        self.ended = threading.Event()

    def run(self):
        connection, sizes = None, {}
        while not self.ended.wait(0.2):
            # Read before the question, so that they are of a time at which the answer was true.
            now = {node.name: node.size() for node in self.nodes}
            try:
                connection = connection or self.db.connect()
                cursor = connection.cursor()
                cursor.execute("SELECT name FROM dormouse.nodes")
                alive = {row[0] for row in cursor.fetchall()}
            except psycopg2.Error:
                connection = None
                continue
            for name, size in now.items():
                if name in alive:
                    sizes.pop(name, None)
                elif sizes.setdefault(name, size) != size:
                    self.grew.append(f"{name}: {size - sizes[name]} bytes at {time.time():.1f}")
                    sizes[name] = size

    def stop(self):
        self.ended.set()
        self.join(10)


def effects(nodes):
    """What guests have written at nodes: of each task its (time, round, node), in the order of time."""
    found = {}
    for node in nodes:
        for path in node.out.iterdir():
            for line in path.read_text().splitlines():
                number, at = line.split()
                found.setdefault(path.name, []).append((float(at), int(number), node.name))
    for events in found.values():
        events.sort()
    return found


def node_periods(connection):
    """When each node was one, by name."""
    cursor = connection.cursor()
    cursor.execute("SELECT extract(epoch FROM at), id, name, joined FROM public.node_log ORDER BY at")
    periods, begun = {}, {}
    for at, number, name, joined in cursor.fetchall():
        if joined:
            begun[number] = [float(at), float("inf")]
            periods.setdefault(name, []).append(begun[number])
        elif number in begun:
            begun[number][1] = float(at)
    return periods


def stale_effects(found, periods):
    """What guests did at a node outside of the times at which it was one."""
    wrong = []
    for task, events in found.items():
        for at, number, node in events:
            if not any(first - SLACK <= at <= last + SLACK for first, last in periods.get(node, [])):
                wrong.append(f"{task}: round {number} at {node}, {at:.3f}")
    return wrong


def wait_until_over(db, seconds):
    """Waits until all tasks are over; gives the numbers and names of all."""
    until = time.monotonic() + seconds
    while True:
        try:
            cursor = db.connect().cursor()
            cursor.execute("SELECT count(*) FROM dormouse.tasks WHERE ended IS NULL")
            left = cursor.fetchone()[0]
            if left == 0 or time.monotonic() > until:
                cursor.execute("SELECT id, name FROM dormouse.tasks ORDER BY id")
                return left, dict(cursor.fetchall())
        except psycopg2.Error as error:
            if time.monotonic() > until:
                raise RuntimeError(f"the database is not reached: {error}") from error
        time.sleep(1)


def wrong_tasks(nodes, tasks, rounds):
    """Tasks that did not end well, or whose output is not each line once and in order."""
    expected = "".join(f"{number}\n" for number in range(rounds)).encode()
    wrong = []
    for place, (number, name) in enumerate(tasks.items()):
        node = nodes[place % len(nodes)]
        status, task = node.ask("GET", f"/v1/tasks/{number}")
        if status != 200 or task["state"] != "exited" or task["exit_code"] != 0:
            wrong.append(f"{name}: {status} {str(task)[:300]}")
        status, output = node.ask("GET", f"/v1/tasks/{number}/logs?format=raw", binary=True)
        if output != expected:
            wrong.append(f"{name} ({number}): its output is {output[:200]!r}")
    return wrong


def lateness(found, sleeps, node, at):
    """How late tasks went on that had acted last at a node before a time: (median, most)."""
    late = []
    for task, events in found.items():
        before = [event for event in events if event[0] <= at]
        after = [event for event in events if event[0] > at]
        if before and after and before[-1][2] == node and task in sleeps:
            late.append(after[0][0] - max(before[-1][0] + sleeps[task], at))
    late = sorted(late)
    return (late[len(late) // 2], late[-1]) if late else None


def longest_gap(times, first, last):
    """The longest time without an acknowledged submission that meets a span."""
    times = sorted(times)
    gaps = [(after - before) for before, after in zip(times, times[1:]) if after >= first and before <= last]
    return max(gaps, default=0.0)
