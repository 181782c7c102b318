"""What a long job does: sleeps, asks, keeps files open across both, recovers from errors."""

import hashlib
import json
import random
import re
import time

random.seed(7)
print("start", flush=True)
log = open("/work/log.txt", "a+")
state = {"round": 0, "seen": []}


def rounds(count):
    for number in range(count):
        time.sleep(0.005)
        yield number, random.randrange(1000)


for number, value in rounds(5):
    state["round"] = number
    state["seen"].append(value)
    log.write(f"round {number} value {value}\n")
    log.flush()
print(json.dumps(state))

name = input("name? ")
time.sleep(0.01)
print("hello", name.upper())
try:
    with open("/work/data.json", "w") as data:
        json.dump(state, data)
        time.sleep(0.01)
        data.write("\n")
    time.sleep(0.01)
    int(input("number? "))
except ValueError as error:
    print("not a number:", error)

log.seek(0)
text = log.read()
print(len(re.findall(r"value (\d+)", text)), hashlib.sha256(text.encode()).hexdigest())
print("last:", input())
log.close()
raise SystemExit(3)
