"""A component in Python: counts sheep, and sleeps between them."""

import json
import sys
import time

from wit_world import exports


class Run(exports.Run):
    def run(self):
        sheep = {}
        for night in range(1, 4):
            sheep[night] = night * night
            print(f"night {night}: {json.dumps(sheep)}", flush=True)
            time.sleep(0.5)
        print("good morning,", " ".join(sys.argv[1:]) or "all")
