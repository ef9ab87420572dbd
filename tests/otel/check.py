"""Takes the traces of a few runs as a collector would, and reads them with others' parsers.

`check.py PRELAUNCH [PARSER]`: a field that OTLP does not know, or one of a wrong type, is an error of
the parser; what the spans say is compared here.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

BODIES = []


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces", self.path
        assert self.headers["content-type"] == "application/json", self.headers
        BODIES.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def with_base64(node):
    """The one thing in which OTLP's JSON is not that of protobuf: ids are hex."""
    if isinstance(node, list):
        return [with_base64(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode()
        if name in ("traceId", "spanId", "parentSpanId")
        else with_base64(value)
        for name, value in node.items()
    }


def check(parser, body, code, expected):
    request = json_format.ParseDict(with_base64(json.loads(body)), ExportTraceServiceRequest())
    (resource,) = request.resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "prelaunch", named
    (scope,) = resource.scope_spans
    spans = list(scope.spans)
    if parser:
        found = subprocess.run(parser, input=body, capture_output=True, check=True)
        assert int(found.stdout) == len(spans), found

    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans) and len({span.trace_id for span in spans}) == 1
    lines = []
    for span in spans:
        assert (len(span.trace_id), len(span.span_id)) == (16, 8), span
        assert span.kind == Span.SPAN_KIND_INTERNAL and span.flags == 1
        assert 1.7e18 < span.start_time_unix_nano <= span.end_time_unix_nano, span
        parent = by_id.get(span.parent_span_id)
        if parent:
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert parent.end_time_unix_nano >= span.end_time_unix_nano
        for event in span.events:
            at = event.time_unix_nano
            assert span.start_time_unix_nano <= at <= span.end_time_unix_nano, span
        failed = span.status.code == Status.STATUS_CODE_ERROR
        name = f"{parent.name} > {span.name}" if parent else span.name
        lines.append(name + (" failed" if failed else ""))
    exit_code = next(a for a in spans[0].attributes if a.key == "process.exit.code")
    assert exit_code.value.int_value == code, exit_code
    assert lines == expected, "\n".join(lines)


def main():
    binary, parser = os.path.abspath(sys.argv[1]), sys.argv[2:]
    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(f"{directory}/migrations")

        def script(name, revises, sql):
            with open(f"{directory}/migrations/{name}.sql", "w") as file:
                file.write(f"-- {name}\n--\n-- revision: {name}\n-- revises: {revises}\n\n")
                file.write(f"-- migrate:up\n{sql};\n")

        def run(code, expected, **more):
            environment = {
                "PATH": os.environ["PATH"],
                "DATABASE_URL": "sqlite:test.db",
                "AUTO_MIGRATION": "true",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                **more,
            }
            ended = subprocess.run(
                [binary, "run", "--", "true"], cwd=directory, env=environment, capture_output=True
            )
            assert ended.returncode == code, ended
            (body,) = BODIES
            BODIES.clear()
            check(parser, body, code, expected)

        script("a001", "", "create table a (n integer)")
        script("a002", "a001", "create table b (n integer)")
        begin = [
            "prelaunch run",
            "prelaunch run > configure",
            "prelaunch run > wait",
            "wait > wait for dependency",
            "prelaunch run > look",
        ]
        work = [
            *begin,
            "prelaunch run > lock",
            "lock > wait for lock",
            "prelaunch run > apply",
        ]
        revision, command = "apply > apply revision", "apply > run command"
        failed = ["prelaunch run failed", *work[1:-1], "prelaunch run > apply failed"]
        done = [revision, revision]
        run(19, [*failed, *done, f"{command} failed"], AFTER_MIGRATE="false")
        run(0, [*work, command], AFTER_MIGRATE="true")
        run(0, begin, AFTER_MIGRATE="true")
        script("a003", "a002", "insert into nothing values (1)")
        run(14, [*failed, f"{revision} failed"])
        run(10, [*failed[:1], "prelaunch run > configure failed"], WAIT_TIMEOUT="soon")
    print("all traces are read" + (", by the collector's package too" if parser else ""))


main()
