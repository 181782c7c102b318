"""Runs the script that the tests give CPython for preview1, as a component."""

# What the script imports has to be there when the component is made.
import hashlib
import json
import random
import re
import time

from wit_world import exports

SCRIPT = "/script/job.py"


class Run(exports.Run):
    def run(self):
        with open(SCRIPT) as script:
            code = compile(script.read(), SCRIPT, "exec")
        exec(code, {"__name__": "__main__"})
