"""The answer to a request that was taken, wholly or in part."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_traj.otlp import Signal
from otel_traj.server.requests import Checked


def response_of(
    signal: Signal, checked: Checked
) -> ExportTraceServiceResponse | ExportLogsServiceResponse:
    """The response message; `partial_success` is set only where something was rejected."""
    if signal == "traces":
        traces = ExportTracePartialSuccess(
            rejected_spans=checked.rejected, error_message=checked.reason
        )
        return ExportTraceServiceResponse(partial_success=traces if checked.rejected else None)
    logs = ExportLogsPartialSuccess(
        rejected_log_records=checked.rejected, error_message=checked.reason
    )
    return ExportLogsServiceResponse(partial_success=logs if checked.rejected else None)
