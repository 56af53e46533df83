"""Messages of Jaeger's remote storage API, package `jaeger.storage.v2`, as far as we speak it.

Described here and not taken from Jaeger's files: field numbers go by position, types are those of
protobuf, `*` stands for repeated. Fields that a newer Jaeger adds are unknown ones, and ignored.
Traces are not among them: they are OTLP's `TracesData`, which go over the wire as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    timestamp_pb2,
)

PACKAGE: Final = "jaeger.storage.v2"

_TIME: Final = "google.protobuf.Timestamp"
_DURATION: Final = "google.protobuf.Duration"

_MESSAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "GetTraceParams": ("bytes trace_id", f"{_TIME} start_time", f"{_TIME} end_time"),
    "GetTracesRequest": ("*GetTraceParams query",),
    "GetServicesRequest": (),
    "GetServicesResponse": ("*string services",),
    "GetOperationsRequest": ("string service", "string span_kind"),
    "Operation": ("string name", "string span_kind"),
    "GetOperationsResponse": ("*Operation operations",),
    "KeyValue": ("string key", "AnyValue value"),
    "AnyValue": (
        "string string_value",
        "bool bool_value",
        "int64 int_value",
        "double double_value",
        "ArrayValue array_value",
        "KeyValueList kvlist_value",
        "bytes bytes_value",
    ),
    "KeyValueList": ("*KeyValue values",),
    "ArrayValue": ("*AnyValue values",),
    "TraceQueryParameters": (
        "string service_name",
        "string operation_name",
        "*KeyValue attributes",
        f"{_TIME} start_time_min",
        f"{_TIME} start_time_max",
        f"{_DURATION} duration_min",
        f"{_DURATION} duration_max",
        "int32 search_depth",
    ),
    "FindTracesRequest": ("TraceQueryParameters query",),
    "FoundTraceID": ("bytes trace_id", f"{_TIME} start", f"{_TIME} end"),
    "FindTraceIDsResponse": ("*FoundTraceID trace_ids",),
    "ServiceSummary": ("string name", "int32 span_count", "int32 error_span_count"),
    "TraceSummary": (
        "bytes trace_id",
        "string root_service_name",
        "string root_operation_name",
        "fixed64 min_start_time_unix_nano",
        "fixed64 max_end_time_unix_nano",
        "int32 span_count",
        "int32 error_span_count",
        "int32 orphan_span_count",
        "*ServiceSummary services",
    ),
    "FindTraceSummariesResponse": ("*TraceSummary summaries",),
    "GetDependenciesRequest": (f"{_TIME} start_time", f"{_TIME} end_time"),
    "Dependency": ("string parent", "string child", "uint64 call_count", "string source"),
    "GetDependenciesResponse": ("*Dependency dependencies",),
    "SearchCapabilities": ("bool without_service_name", "bool same_span_conjunction"),
    "GetCapabilitiesRequest": (),
    "GetCapabilitiesResponse": ("SearchCapabilities search",),
}
_ONE_OF: Final = frozenset({"AnyValue"})
"""Messages of which one field is set."""

_Field = descriptor_pb2.FieldDescriptorProto


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _described() -> descriptor_pool.DescriptorPool:
    """A pool of our own: another package of the process may know the same names."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="otel_traj/jaeger_storage.proto", package=PACKAGE, syntax="proto3"
    )
    for known in (timestamp_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        file.dependency.append(known.DESCRIPTOR.name)
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        if name in _ONE_OF:
            described.oneof_decl.add(name="value")
        for number, field in enumerate(fields, 1):
            described.field.append(_field(field, number, in_one_of=name in _ONE_OF))
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _field(text: str, number: int, *, in_one_of: bool) -> _Field:
    kind, _, name = text.removeprefix("*").partition(" ")
    field = _Field(
        name=name,
        number=number,
        label=_Field.LABEL_REPEATED if text.startswith("*") else _Field.LABEL_OPTIONAL,
    )
    if in_one_of:
        field.oneof_index = 0
    if f"TYPE_{kind.upper()}" in _Field.Type.keys():  # noqa: SIM118 - no mapping
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{kind}" if "." in kind else f".{PACKAGE}.{kind}"
    return field


_pool: Final = _described()
