"""OTLP in the protobuf encoding: a file that is one export request, or several in a row.

A request is a list of groups, each `0x0A <length> <bytes>`, and each group alone is a request
again. So a file of any size is read group by group. Neither the request nor its file says whether
it holds traces or logs; the wire types of its first record do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from otel_traj.importers.parts import Flaw, Part
from otel_traj.otlp import Signal, records_from_protobuf

NAME: Final = "OTLP protobuf"

_GROUP: Final = 0x0A  # field 1, length-delimited: resource_spans, resource_logs, resource_metrics
_GROUP_FIELDS: Final = (0x0A, 0x12, 0x1A)  # resource, scope_spans or scope_logs, schema_url
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_SPAN_ONLY: Final = {(7, _I64), (8, _I64)}  # start and end time
_LOG_ONLY: Final = {(1, _I64), (11, _I64), (2, _VARINT), (8, _I32)}  # times, severity, flags


def recognises(head: bytes) -> bool:
    """It opens with a group that opens with one of a group's fields, and is no text."""
    if head[:1] != b"\n" or not re.search(rb"[\x00-\x08\x0e-\x1f]", head):
        return False
    try:
        length, start = _varint(head, 1)
        if length < 2 or head[start] not in _GROUP_FIELDS:
            return False
        inner, inner_start = _varint(head, start + 1)
        return inner_start + inner <= start + length
    except IndexError:
        return False


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """The groups of a file, each as a request; what follows a broken one cannot be found again."""
    offset = 0
    while tag := stream.read(1):
        place = f"byte {offset}"
        size = _read_varint(stream)
        if tag[0] != _GROUP or size is None:
            yield Flaw("damaged", place, "no OTLP from here on, left out")
            return
        prefix, length = size
        body = stream.read(length)
        if len(body) < length:
            yield Flaw("damaged", place, "the file ends in the middle of a message")
            return
        yield _part(tag + prefix + body, body, place)
        offset += 1 + len(prefix) + length


def _part(message: bytes, group: bytes, place: str) -> Part | Flaw:
    try:
        signal = _signal(group)
    except (IndexError, ValueError):
        return Flaw("damaged", place, "no valid OTLP message, left out")
    return Part(NAME, place, iter(()) if signal is None else records_from_protobuf(message, signal))


def _signal(group: bytes) -> Signal | None:
    """What the first record of a group is; None for metrics, profiles and an empty group."""
    for number, kind, body in _fields(group):
        if (number, kind) != (2, _LEN):
            continue
        for inner, inner_kind, record in _fields(body):
            if (inner, inner_kind) == (2, _LEN):
                return _signal_of_record(record)
    return None


def _signal_of_record(record: bytes) -> Signal | None:
    fields = {(number, kind) for number, kind, _ in _fields(record)}
    if fields & _SPAN_ONLY:
        return "traces"
    return "logs" if fields & _LOG_ONLY else None


def _fields(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, wire type and (of length-delimited ones) content of each field of a message.

    Raises:
        ValueError: A wire type that OTLP has not, or a field beyond the end of its message.
        IndexError: The message ends in the middle of a number.
    """
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        kind, content = tag & 7, b""
        if kind == _VARINT:
            _, at = _varint(body, at)
        elif kind == _LEN:
            length, at = _varint(body, at)
            content = body[at : at + length]
            at += length
        elif kind in (_I64, _I32):
            at += 8 if kind == _I64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(body):
            raise ValueError("a field reaches beyond its message")
        yield tag >> 3, kind, content


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next thing starts."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _read_varint(stream: BinaryIO) -> tuple[bytes, int] | None:
    """The bytes of a number and the number; None when the stream ends in it, or it has no end."""
    raw = b""
    while len(raw) < 10 and (byte := stream.read(1)):
        raw += byte
        if byte[0] < 0x80:
            return raw, _varint(raw, 0)[0]
    return None
