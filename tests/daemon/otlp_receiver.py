"""What a collector passes on, as JSON: a receiver of OTLP by HTTP.

It reads requests with OpenTelemetry's own messages (opentelemetry-proto) and nothing of dormouse's. The
port is printed first; each span and each log record is a line of the file that is named.
"""

import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

lock = threading.Lock()
out = open(sys.argv[1], "a", buffering=1)


def value(any_value):
    kind = any_value.WhichOneof("value")
    found = getattr(any_value, kind) if kind else None
    return found.decode("latin-1") if kind == "bytes_value" else found


def attributes(items):
    return {item.key: value(item.value) for item in items}


def spans(body):
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "signal": "span",
                    "resource": attributes(resource.resource.attributes),
                    "scope": scope.scope.name,
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "links": [
                        {"trace": l.trace_id.hex(), "span": l.span_id.hex(), **attributes(l.attributes)}
                        for l in span.links
                    ],
                    "events": [{"name": e.name, **attributes(e.attributes)} for e in span.events],
                    "status": Status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                }


def records(body):
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield {
                    "signal": "log",
                    "resource": attributes(resource.resource.attributes),
                    "body": value(record.body),
                    "time": record.time_unix_nano,
                    "trace": record.trace_id.hex(),
                    "span": record.span_id.hex(),
                    "attributes": attributes(record.attributes),
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            found, answer = spans(body), ExportTraceServiceResponse()
        else:
            found, answer = records(body), ExportLogsServiceResponse()
        lines = [json.dumps(one) + "\n" for one in found]
        with lock:
            out.writelines(lines)
        answer = answer.SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
