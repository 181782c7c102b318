"""Runs components under Wasmtime, with the host that the tests have, and says what came of it.

The arguments are components that export `wasi:cli/run`. For each, a line of JSON is printed: what
it has told the host, and how it has ended.
"""

import json
import sys

from wasmtime import Config, Engine, Store
from wasmtime.component import Component, Linker, ResourceAny, ResourceHost, ResourceType

GREETINGS = ["hello", "", "hé", "日本 𝄞"]


def run(path):
    engine = Engine(Config())
    store = Store(engine)
    log = []
    linker = Linker(engine)
    # `test:host/api`: every function notes that it was called.
    with linker.root() as root, root.add_instance("test:host/api") as api:

        def function(name, result=lambda *_: None):
            def call(store, *arguments):
                log.append([name, *(noted(store, argument) for argument in arguments)])
                return result(*arguments)

            api.add_func(name, call)

        def noted(store, argument):
            if isinstance(argument, ResourceAny):
                return argument.to_host(store).rep
            return list(argument) if isinstance(argument, bytes) else argument

        function("number")
        function("text")
        function("bytes")
        function("greet", lambda times: [GREETINGS[i % 4] for i in range(times)])
        api.add_resource(
            "thing",
            ResourceType.host(0),
            lambda _store, rep: log.append(["dropped", rep]),
        )
        function(
            "[constructor]thing", lambda rep: ResourceHost.own(rep, 0).to_any(store)
        )
        function("[method]thing.look")
        function("take")
    try:
        instance = linker.instantiate(store, Component.from_file(engine, path))
        exported = instance.get_export_index(store, "wasi:cli/run@0.2.6")
        index = instance.get_export_index(store, "run", exported)
        func = instance.get_func(store, index)
        result = func(store)
        func.post_return(store)
        end = "ok" if getattr(result, "tag", None) == "ok" or result is None else "failed"
    except Exception as error:  # noqa: BLE001
        end = f"trap: {error}"
    return {"log": log, "end": end}


for path in sys.argv[1:]:
    print(json.dumps(run(path)), flush=True)
