"""Dictionaries, JSON, recursion, regular expressions, classes, generators. The line in the middle is read in a key
function of `sorted`, so that the interpreter is on the stack twice."""

import json
import re
import sys
import time

scale = int(sys.argv[1])
checksum = 7


def mix(n):
    global checksum
    checksum = (checksum * 31 + n) % 1000000007


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def dicts(size):
    counts = {}
    for i in range(size):
        key = "k%d" % (i * 7919 % 700)
        counts[key] = counts.get(key, 0) + i
    mix(sum(value * len(key) for key, value in sorted(counts.items())))


def texts(size):
    text = ",".join("%d:%s" % (i, "ab" * (i % 5)) for i in range(size))
    mix(sum(len(match.group(0)) for match in re.finditer(r"(\d+):(ab)*", text)))
    mix(len(re.sub("ab", "x", text)) + text.upper().find("777:"))


def documents(size):
    data = [{"id": i, "name": "n%d" % i, "tags": ["a", "b", i], "value": i / 8} for i in range(size)]
    back = json.loads(json.dumps(data))
    mix(sum(x["tags"][2] for x in back if x["value"] > 3))


class Node:
    def __init__(self, key):
        self.key, self.left, self.right = key, None, None

    def insert(self, key):
        side = "left" if key < self.key else "right"
        child = getattr(self, side)
        if child is None:
            setattr(self, side, Node(key))
        else:
            child.insert(key)

    def walk(self):
        if self.left:
            yield from self.left.walk()
        yield self.key
        if self.right:
            yield from self.right.walk()


def trees(size):
    root = Node(size // 2)
    for i in range(size):
        root.insert(i * 7919 % size)
    mix(sum(i * key for i, key in enumerate(root.walk())))


def sorts(size, at):
    calls = 0

    def key(value):
        global asked, answered
        nonlocal calls
        calls += 1
        if calls == at:
            asked = time.monotonic_ns()
            if not sys.stdin.readline():
                sys.exit("no line on standard input")
            answered = time.monotonic_ns()
        return value * 7919 % 10007

    mix(sum(i * value for i, value in enumerate(sorted(range(size), key=key))))


asked = answered = 0
start = time.monotonic_ns()
for round in range(2 * scale):
    mix(fib(15))
    dicts(5000)
    texts(1000)
    documents(300)
    trees(500)
    sorts(2000, 1000 if round == scale - 1 else -1)
end = time.monotonic_ns()
print("checksum %x\nfirst %d\nsecond %d" % (checksum, asked - start, end - answered))
