#!/usr/bin/env python3
"""Runs a WASI preview1 module as it is, with the engine's own WASI: what a guest should do when nothing suspends it.

usage: oracle.py MODULE [--dir HOST::GUEST]... [--env K=V]... [--stdin FILE] [-- ARGS...]

stdout and stderr are inherited, stdin too unless --stdin names a file. The exit code is the guest's;
134 means that it trapped, 2 that this script was called wrongly or the module cannot be loaded.
argv[0] is the module's file name. The guest sees no environment but --env. Needs PyPI's `wasmtime`.
"""

import os
import sys

import wasmtime

TRAPPED = 134
USAGE = 2


def parse(argv):
    """argparse takes `--` and its rest apart differently in each Python version, so this is by hand."""
    argv, rest = list(argv), []
    if "--" in argv:
        cut = argv.index("--")
        argv, rest = argv[:cut], argv[cut + 1:]
    module, dirs, env, stdin = None, [], [], None
    while argv:
        word = argv.pop(0)
        if word in ("--dir", "--env", "--stdin"):
            if not argv:
                raise ValueError(f"{word} wants a value")
            value = argv.pop(0)
            if word == "--dir":
                host, sep, guest = value.partition("::")
                dirs.append((host, guest if sep else host))
            elif word == "--env":
                key, _, val = value.partition("=")
                env.append((key, val))
            else:
                stdin = value
        elif word.startswith("--") or module is not None:
            raise ValueError(f"unexpected {word!r}")
        else:
            module = word
    if module is None:
        raise ValueError("which module?")
    return module, dirs, env, stdin, rest


def engine():
    config = wasmtime.Config()
    config.wasm_simd = True
    config.wasm_bulk_memory = True
    config.wasm_reference_types = True
    config.wasm_multi_value = True
    config.wasm_multi_memory = True
    config.wasm_tail_call = True
    config.wasm_function_references = True
    config.wasm_gc = True
    return wasmtime.Engine(config)


def main():
    try:
        path, dirs, env, stdin, rest = parse(sys.argv[1:])
    except ValueError as why:
        print(f"oracle: {why}\n\n{__doc__}", file=sys.stderr)
        return USAGE

    wasi = wasmtime.WasiConfig()
    wasi.argv = [os.path.basename(path), *rest]
    wasi.env = env
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    try:
        for host, guest in dirs:
            wasi.preopen_dir(host, guest)
        if stdin is None:
            wasi.inherit_stdin()
        else:
            wasi.stdin_file = stdin
        eng = engine()
        module = wasmtime.Module.from_file(eng, path)
        store = wasmtime.Store(eng)
        store.set_wasi(wasi)
        linker = wasmtime.Linker(eng)
        linker.define_wasi()
    except (wasmtime.WasmtimeError, OSError) as why:
        print(f"oracle: {path}: {why}", file=sys.stderr)
        return USAGE

    try:
        # A start section runs here already, so instantiating can exit and trap as well.
        instance = linker.instantiate(store, module)
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        return end.code
    except wasmtime.Trap as trap:
        print(f"oracle: {trap}", file=sys.stderr)
        return TRAPPED
    except wasmtime.WasmtimeError as why:
        print(f"oracle: {path}: {why}", file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
