"""Where OTLP arrives: servers on loopback, over HTTP and gRPC, and the real Collector."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from otel_traj import importers, otlp
from otel_traj.model import LogRecord, SpanRecord
from tests.collector import running


@dataclass
class Receiver:
    """An OTLP endpoint and what came there."""

    endpoint: str
    protocol: str
    records: list[Any] = field(default_factory=list)

    def spans(self) -> list[SpanRecord]:
        """In the order of arrival."""
        return [record for record in self.records if isinstance(record, SpanRecord)]

    def logs(self) -> list[LogRecord]:
        """In the order of arrival."""
        return [record for record in self.records if isinstance(record, LogRecord)]


@contextlib.contextmanager
def http() -> Iterator[Receiver]:
    """Takes protobuf over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            is_logs = self.path == "/v1/logs"
            receiver.records += otlp.records_from_protobuf(body, "logs" if is_logs else "traces")
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}", "http/protobuf")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def over_grpc() -> Iterator[Receiver]:
    """Serves the services of the OTLP definition."""

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            body = request.SerializeToString()
            receiver.records += otlp.records_from_protobuf(body, "traces")
            return trace_service_pb2.ExportTraceServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            body = request.SerializeToString()
            receiver.records += otlp.records_from_protobuf(body, "logs")
            return logs_service_pb2.ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)  # type: ignore[no-untyped-call]
    receiver = Receiver(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", "grpc")
    server.start()
    yield receiver
    server.stop(None).wait()


@contextlib.contextmanager
def collector(folder: Path, protocol: str) -> Iterator[Receiver]:
    """The real Collector, writing files; `records` are there after the block."""
    with running.collecting(folder, variant="files") as started:
        address = started.grpc if protocol == "grpc" else started.http
        receiver = Receiver(f"http://{address}", protocol)
        yield receiver
    receiver.records += importers.read(folder / "inbox")


RECEIVERS: dict[str, Callable[[], Any]] = {"http": http, "grpc": over_grpc}
