"""What schemathesis cannot know: a module and tasks that are there, and which answers have no end."""

import os

import schemathesis

# Bytes are sent as they are, whatever they are called.
schemathesis.serializer.alias("application/wasm", "application/octet-stream")

MODULE = os.environ["DORMOUSE_MODULE"]
TASKS = os.environ["DORMOUSE_TASKS"].split(",")


def known(number):
    """Of what is generated, a half names what is there."""
    return number % 2 == 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    value = (path_parameters or {}).get("id")
    if isinstance(value, str) and known(len(value)):
        path_parameters["id"] = TASKS[len(value) // 2 % len(TASKS)]
    value = (path_parameters or {}).get("digest")
    if isinstance(value, str) and known(len(value)):
        path_parameters["digest"] = MODULE
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    # Whoever follows a task that sleeps waits for years.
    if query and "follow" in query:
        query["follow"] = "false"
    return query


@schemathesis.hook
def map_body(context, body):
    # A daemon that is being emptied would refuse whatever is asked after that.
    if context.operation.path == "/v1/drain" and isinstance(body, dict) and body.get("cancel", False) is False:
        body["cancel"] = True
    for task in body if isinstance(body, list) else [body]:
        if not isinstance(task, dict):
            continue
        module = task.get("module")
        if isinstance(module, str) and known(len(module)):
            task["module"] = MODULE
        # Nobody waits long for a guest or for another daemon, and no other machine is asked. What is wrong stays so.
        if type(task.get("patience")) in (int, float) and task["patience"] > 0.1:
            task["patience"] = 0.1
        if isinstance(task.get("to"), str):
            task["to"] = "127.0.0.1:9"
        elif isinstance(task.get("to"), list):
            task["to"] = ["127.0.0.1:9" if isinstance(name, str) else name for name in task["to"]]
        if isinstance(task.get("address"), str):
            task["address"] = "127.0.0.1:9"
    return body
