"""Trajectories as OTLP in the current GenAI conventions, whatever dialect they were told in."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from otel_traj import otlp
from otel_traj.errors import ConfigurationError
from otel_traj.model import LogRecord, SpanRecord, Trajectory
from otel_traj.redaction import Redaction
from otel_traj.store import TrajectoryStore
from otel_traj_exporters import received
from otel_traj_exporters.current_names import translate
from otel_traj_exporters.files import replacing

SPANS_PER_REQUEST: Final = 500
"""Bounds a request; receivers refuse large ones, gRPC above 4 MiB by default."""

TIMEOUT_S: Final = 10.0
"""For one request, the default of OpenTelemetry's own exporters."""

Write: TypeAlias = "Callable[[list[SpanRecord], list[LogRecord]], None]"
Send: TypeAlias = "Callable[[otlp.Signal, bytes], None]"
_T = TypeVar("_T")

logger = logging.getLogger("otel_traj")


class OtlpExporter:
    """Writes spans and log records, to a file or to whatever receives OTLP.

    Each step is a span `chat {model}` or `execute_tool {name}` with `gen_ai.*` attributes, messages
    as the conventions say. Spans round them keep what they say; those of agents also say it as
    `invoke_agent {name}`. Trace and span ids stay. What was said of a run afterwards goes along as
    `gen_ai.evaluation.result` log records. Read back, it gives the same steps and outcomes.
    """

    def export(
        self,
        trajectories: Iterable[Trajectory],
        path: Path,
        /,
        *,
        store: TrajectoryStore | None = None,
        verbatim: bool = False,
        redaction: Redaction,
    ) -> int:
        """Write a file: `*.pb` holds protobuf, any other JSON lines as the Collector writes them.

        Args:
            trajectories: What to write; those of which the store holds no spans are left out.
            path: The file; one that is there is replaced.
            store: Where the trajectories are from.
            verbatim: Spans and log records as they were received, and nothing else.
            redaction: What is replaced on the way out.

        Raises:
            ConfigurationError: No store is given.
        """
        write_to = _protobuf_lines if path.suffix == ".pb" else _json_lines
        return _export(trajectories, partial(write_to, path), store, verbatim, redaction)

    def send(
        self,
        trajectories: Iterable[Trajectory],
        url: str,
        /,
        *,
        store: TrajectoryStore | None = None,
        verbatim: bool = False,
        redaction: Redaction,
    ) -> int:
        """Send to a receiver: `http(s)://host:4318`, or `grpc://host:4317` without encryption.

        `OTEL_EXPORTER_OTLP_HEADERS` is sent along.

        Args:
            trajectories: As for `export`.
            url: The receiver's base address.
            store: As for `export`.
            verbatim: As for `export`.
            redaction: As for `export`.

        Raises:
            ConfigurationError: No store is given, or the address is of another kind.
            OSError: The receiver cannot be reached, or refuses; what was sent before is sent.
        """
        senders = {"http": _http, "https": _http, "grpc": _grpc}
        scheme = urlsplit(url).scheme
        if scheme not in senders:
            raise ConfigurationError(
                f"Cannot send to {url!r}: give http://HOST:4318, https://HOST or grpc://HOST:4317"
            )
        return _export(
            trajectories, partial(_receiver, senders[scheme], url), store, verbatim, redaction
        )


def _export(
    trajectories: Iterable[Trajectory],
    target: Callable[[], AbstractContextManager[Write]],
    store: TrajectoryStore | None,
    verbatim: bool,
    redaction: Redaction,
) -> int:
    if store is None:
        raise ConfigurationError(
            "The exporter 'otlp' needs the store that the trajectories are from: give store=..."
        )
    connection = store.connection()  # one, hence one snapshot of the store
    n = 0
    with target() as write:
        for trajectory in trajectories:
            told = received.told(connection, trajectory.trajectory_id)
            if not told.spans:
                continue
            spans, logs = (told.spans, told.logs) if verbatim else translate(trajectory, told)
            write([*map(redaction.record, spans)], [*map(redaction.record, logs)])
            n += 1
    return n


# --- files -------------------------------------------------------------------------------------


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with replacing(path) as write:

        def write_lines(spans: list[SpanRecord], logs: list[LogRecord]) -> None:
            for message in [otlp.traces_to_json(spans)] + [otlp.logs_to_json(logs)] * bool(logs):
                write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

        yield write_lines


@contextmanager
def _protobuf_lines(path: Path) -> Iterator[Write]:
    """Requests in a row: messages of repeated fields, so that the file is one message again."""
    with replacing(path) as write:

        def write_messages(spans: list[SpanRecord], logs: list[LogRecord]) -> None:
            write(otlp.traces_to_protobuf(spans) + otlp.logs_to_protobuf(logs))

        yield write_messages


# --- receivers ---------------------------------------------------------------------------------


class _NoSuchServiceError(OSError):
    """The receiver takes no such signal."""


@contextmanager
def _receiver(connect: Callable[[str], AbstractContextManager[Send]], url: str) -> Iterator[Write]:
    """Sends what is written. Jaeger, Tempo and others take no log records: they get the spans."""
    takes_logs = True
    with connect(url) as send:

        def write(spans: list[SpanRecord], logs: list[LogRecord]) -> None:
            nonlocal takes_logs
            for part in _parts(spans):
                send("traces", otlp.traces_to_protobuf(part))
            try:
                for few in _parts(logs if takes_logs else ()):
                    send("logs", otlp.logs_to_protobuf(few))
            except _NoSuchServiceError:
                takes_logs = False
                logger.warning(
                    "%s takes no log records: events, and what was said of runs afterwards, stay"
                    " behind",
                    url,
                )

        yield write


@contextmanager
def _http(url: str) -> Iterator[Send]:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    responses: Mapping[str, Any] = {
        "traces": ExportTraceServiceResponse,
        "logs": ExportLogsServiceResponse,
    }
    headers = {"Content-Type": "application/x-protobuf", **_headers()}

    def post(signal: otlp.Signal, body: bytes) -> None:
        request = Request(f"{url.rstrip('/')}/v1/{signal}", body, headers)
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:
                _check(url, responses[signal].FromString(answer.read()).partial_success)
        except HTTPError as error:
            with error:
                if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                    raise _NoSuchServiceError(f"{error.url}: {error}") from error
                raise

    yield post


@contextmanager
def _grpc(url: str) -> Iterator[Send]:
    import grpc  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

    with grpc.insecure_channel(urlsplit(url).netloc) as channel:
        metadata = tuple(_headers().items())
        services: Mapping[str, tuple[Any, Any]] = {
            "traces": (TraceServiceStub(channel), ExportTraceServiceRequest),  # type: ignore[no-untyped-call]
            "logs": (LogsServiceStub(channel), ExportLogsServiceRequest),  # type: ignore[no-untyped-call]
        }

        def call(signal: otlp.Signal, body: bytes) -> None:
            stub, message = services[signal]
            try:
                answer = stub.Export(message.FromString(body), timeout=TIMEOUT_S, metadata=metadata)
            except grpc.RpcError as error:
                is_unknown = error.code() is grpc.StatusCode.UNIMPLEMENTED
                raise (_NoSuchServiceError if is_unknown else ConnectionError)(
                    f"{url}: {error}"
                ) from error
            _check(url, answer.partial_success)

        yield call


def _headers() -> dict[str, str]:
    from opentelemetry.util.re import parse_env_headers

    given = os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    return dict(parse_env_headers(given, liberal=True))


def _check(url: str, partial: Any) -> None:
    """Raise where a receiver answers that it did not take everything."""
    rejected = sum(value for _, value in partial.ListFields() if isinstance(value, int))
    if rejected:
        raise OSError(f"{url} rejected {rejected} records: {partial.error_message}")


def _parts(records: Iterable[_T]) -> Iterator[list[_T]]:
    remaining = iter(records)
    while part := list(islice(remaining, SPANS_PER_REQUEST)):
        yield part
