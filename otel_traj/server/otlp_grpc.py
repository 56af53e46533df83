"""OTLP over gRPC: the `Export` calls of the trace and the logs service.

Calls are answered as streams of one message, which look the same on the wire: so a call can be
refused before its message is read, and a message that is slow to come does not hold a thread. The
messages stay bytes, which are what the log takes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import grpc  # type: ignore[import-untyped]

from otel_traj.otlp import Signal
from otel_traj.server import refusals
from otel_traj.server.listeners import grpc_options
from otel_traj.server.receiver import Receiver, Request
from otel_traj.server.refusals import Refusal
from otel_traj.server.responses import response_of

_log = logging.getLogger("otel_traj.server")

SERVICES: Final[Mapping[Signal, str]] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}

READ_AHEAD_BYTES: Final = 256 * 1024

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_END: Final[Any] = grpc.aio.EOF  # pyright: ignore[reportAttributeAccessIssue]


def server(receiver: Receiver, *, connections: int) -> Any:
    """A `grpc.aio` server that hands calls to `receiver`; it listens nowhere yet."""
    made = grpc.aio.server(
        maximum_concurrent_rpcs=receiver.limits.calls,
        options=[
            # Holds for what a message unpacks to as well.
            ("grpc.max_receive_message_length", receiver.limits.body),
            ("grpc.max_metadata_size", 64 * 1024),
            ("grpc.so_reuseport", 0),
            # Read ahead of calls that wait for room; probing would let it grow to megabytes each.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", READ_AHEAD_BYTES),
            *grpc_options(connections),
        ],
    )
    made.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.stream_unary_rpc_method_handler(_export(receiver, signal))}
            )
            for signal, service in SERVICES.items()
        ]
    )
    return made


def _export(receiver: Receiver, signal: Signal) -> Callable[[Any, Any], Coroutine[Any, Any, bytes]]:
    async def export(_: Any, context: Any) -> bytes:
        try:
            return await _exported(receiver, signal, context)
        except Refusal as refusal:
            await _abort(receiver, context, refusal)
        except grpc.aio.AbortError:
            raise
        except Exception:
            _log.exception("A request failed")
            await _abort(receiver, context, Refusal(refusals.BROKEN, "The receiver failed"))
        raise AssertionError  # `_abort` raises

    return export


async def _exported(receiver: Receiver, signal: Signal, context: Any) -> bytes:
    metadata = dict(context.invocation_metadata() or ())
    receiver.admit(metadata.get("authorization"))
    with receiver.hold() as hold:
        # How large a message is gRPC says only after it has read it.
        await hold.resize(receiver.limits.body)
        async with hold.arrival():
            message = await context.read()
        if message is _END:
            raise Refusal(refusals.MALFORMED, "The call has no message")
        body = bytes(message)
        await hold.resize(len(body))
        came = Request(body, signal, "protobuf", "identity", "grpc")
        checked = await receiver.take(came, hold)
    return response_of(signal, checked).SerializeToString()


async def _abort(receiver: Receiver, context: Any, refusal: Refusal) -> None:
    receiver.metrics.refused("grpc", refusal.kind)
    trailers = [("grpc-status-details-bin", refusal.status().SerializeToString())]
    if refusal.retry_s is not None:
        # Where OpenTelemetry's exporter for Python looks for it.
        trailers.append(("google.rpc.retryinfo-bin", refusal.retry_info().SerializeToString()))
    await context.abort(_CODES[refusal.kind.grpc], refusal.message, tuple(trailers))
