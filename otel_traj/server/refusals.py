"""Why a request is not taken, in the terms of both transports.

A sender reads three things out of a refusal: whether to send the same again (`is_retryable`), when,
and what to tell its user. OTLP says which codes mean which; the message is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of refusal: its HTTP status and its gRPC code."""

    name: str
    http: int
    grpc: int


MALFORMED: Final = Kind("malformed", 400, code_pb2.INVALID_ARGUMENT)
UNAUTHENTICATED: Final = Kind("unauthenticated", 401, code_pb2.UNAUTHENTICATED)
NOT_FOUND: Final = Kind("not_found", 404, code_pb2.UNIMPLEMENTED)
WRONG_METHOD: Final = Kind("wrong_method", 405, code_pb2.UNIMPLEMENTED)
TOO_SLOW: Final = Kind("too_slow", 408, code_pb2.DEADLINE_EXCEEDED)
TOO_LARGE: Final = Kind("too_large", 413, code_pb2.INVALID_ARGUMENT)
WRONG_TYPE: Final = Kind("wrong_type", 415, code_pb2.INVALID_ARGUMENT)
# Not 429: OpenTelemetry's exporters for Python drop what was answered so, up to 1.4x.
NO_ROOM: Final = Kind("no_room", 503, code_pb2.RESOURCE_EXHAUSTED)
NOT_WRITABLE: Final = Kind("not_writable", 503, code_pb2.UNAVAILABLE)
BEHIND: Final = Kind("behind", 503, code_pb2.UNAVAILABLE)
STOPPING: Final = Kind("stopping", 503, code_pb2.UNAVAILABLE)
BROKEN: Final = Kind("broken", 500, code_pb2.INTERNAL)


class Refusal(Exception):
    """A request that is not stored.

    Attributes:
        kind: Which sort.
        retry_s: After how many seconds to send it again; None when that is no use.
    """

    def __init__(self, kind: Kind, message: str, *, retry_s: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_s = retry_s

    @property
    def message(self) -> str:
        """What to tell the sender's user."""
        return str(self.args[0])

    def status(self) -> status_pb2.Status:
        """The message that OTLP puts in the body, or the trailers, of a refusal."""
        details = []
        if self.retry_s is not None:
            packed = any_pb2.Any()
            packed.Pack(self.retry_info())
            details = [packed]
        return status_pb2.Status(code=self.kind.grpc, message=self.message, details=details)

    def retry_info(self) -> error_details_pb2.RetryInfo:
        """When to try again."""
        delay = duration_pb2.Duration(seconds=self.retry_s or 0)
        return error_details_pb2.RetryInfo(retry_delay=delay)
