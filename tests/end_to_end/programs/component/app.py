"""Runs a script of the tests as a component: the one that they give CPython for preview1, or another."""

# What a script imports has to be there when the component is made.
import encodings.idna
import hashlib
import http.client
import json
import random
import re
import socket
import time
import urllib.request

from wit_world import exports

SCRIPT = "/script/job.py"


class Run(exports.Run):
    def run(self):
        with open(SCRIPT) as script:
            code = compile(script.read(), SCRIPT, "exec")
        exec(code, {"__name__": "__main__"})
