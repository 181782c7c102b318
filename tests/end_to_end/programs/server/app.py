"""Answers HTTP requests, each as its path says: what componentize-py makes of the world `wasi:http/proxy`."""

import hashlib
import json

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import monotonic_clock
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam

# Kept from one request to the next, where one instance answers them all.
visits = {}


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        path = request.path_with_query() or "/"
        visits[path] = visits.get(path, 0) + 1
        print(sum(visits.values()), path, flush=True)
        if path == "/visits":
            say(response_out, json.dumps(visits) + "\n")
        elif path == "/words":
            words = json.loads(read(request))
            said = json.dumps({word: hashlib.sha256(word.encode()).hexdigest() for word in words})
            say(response_out, said + "\n")
        elif path.startswith("/slow/"):
            body, stream = begin(response_out, 200)
            for part in ["one\n", "two\n", "three\n"]:
                stream.blocking_write_and_flush(part.encode())
                monotonic_clock.subscribe_duration(int(path[6:]) * 1_000_000).block()
            end(body, stream)
        elif path == "/raise":
            raise ValueError(path)
        else:
            say(response_out, f"there is no {path}\n", 404)


def read(request):
    """The whole body."""
    body = request.consume()
    stream = body.stream()
    read = bytearray()
    while True:
        try:
            read += stream.blocking_read(4096)
        except Err as error:
            if not isinstance(error.value, StreamError_Closed):
                raise
            break
    stream.__exit__(None, None, None)
    IncomingBody.finish(body)
    return bytes(read)


def begin(response_out, status):
    response = OutgoingResponse(Fields.from_list([("x-python", b"yes")]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    return body, body.write()


def end(body, stream):
    stream.__exit__(None, None, None)
    OutgoingBody.finish(body, None)


def say(response_out, text, status=200):
    body, stream = begin(response_out, status)
    stream.blocking_write_and_flush(text.encode())
    end(body, stream)
