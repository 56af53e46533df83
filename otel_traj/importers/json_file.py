"""A file of JSON: which format each value in it has is told by the value alone.

So one file may mix formats, and a broken value does not hide what the others are.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final, Protocol

from otel_traj.importers import (
    atif,
    inspect_log,
    jaeger,
    langfuse,
    mini_swe_agent,
    otlp_json,
    reflexion,
    spans_js,
    spans_python,
    stratus,
    swe_agent,
    tau2,
    tau_bench,
    tempo,
    who_and_when,
)
from otel_traj.importers.checks import MALFORMED, checked, not_valid
from otel_traj.importers.json_text import Text, texts
from otel_traj.importers.parts import Flaw, Part, Records


class Shape(Protocol):
    """A module that reads one format of JSON."""

    @property
    def NAME(self) -> str:
        """What messages call the format."""
        ...

    def fits(self, value: Mapping[str, Any]) -> bool:
        """Whether an object has this format; by its keys, at little cost."""
        ...

    def pieces(self, value: Mapping[str, Any]) -> Iterator[tuple[str, Records]]:
        """Read an object piece by piece, the smallest that can be read on their own.

        Yields:
            Where the piece stands in the object, in words ("" for the whole of it), and its
            records. What raises in one piece's records (see `MALFORMED`) spoils no other piece.
        """
        ...


_TELEMETRY: Final[tuple[Shape, ...]] = (
    otlp_json,
    tempo,
    jaeger,
    langfuse,
    spans_js,
    spans_python,
)
_RUNS: Final[tuple[Shape, ...]] = (
    tau_bench,
    tau2,
    swe_agent,
    mini_swe_agent,
    atif,
    inspect_log,
    stratus,
    reflexion,
    who_and_when,
)

SHAPES: Final = (*_TELEMETRY, *_RUNS)

_OPENING: Final = re.compile(rb'\s*[{\[]\s*(["{}\[\]]|$)')
_KEYS: Final = (
    rb'"(?:resource_?(?:spans|logs|metrics|profiles)|batches|observations|spanContext'
    rb'|trace_?id|span_?id|spans)"'
)
_TELLING: Final = re.compile(_KEYS, re.I)
_OBJECT_LINE: Final = re.compile(rb"^[ \t]*\{\s*" + _KEYS, re.I | re.M)


def recognises(head: bytes) -> bool:
    """It opens as JSON, or some line in it opens as telemetry (the lines before may be broken)."""
    head = head.removeprefix(codecs.BOM_UTF8)
    # 0x0A opens a protobuf request and is also a line end: control characters tell them apart.
    if head.startswith(b"\n") and re.search(rb"[\x00-\x08\x0e-\x1f]", head[:256]):
        return False
    return bool(_OPENING.match(head) or _OBJECT_LINE.search(head))


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """The telemetry of a file; what is none is a flaw, and the reading goes on behind it."""
    is_telemetry = False
    for text in texts(stream, lambda value: _shape_of(value) is not None):
        place = f"line {text.line}"
        if text.error is not None:
            yield _broken(text, place, is_telemetry or bool(_TELLING.search(text.body)))
            continue
        if text.is_repaired:
            yield Flaw("repaired", place, "bytes that are no UTF-8 were replaced by U+FFFD")
        for item in text.value if isinstance(text.value, list) else [text.value]:
            for part in _parts(item, place):
                is_telemetry |= isinstance(part, Part)
                yield part


def _shape_of(value: Any) -> Shape | None:
    if not isinstance(value, Mapping):
        return None
    return next((shape for shape in SHAPES if shape.fits(value)), None)


def _parts(value: Any, place: str) -> Iterator[Part | Flaw]:
    shape = _shape_of(value)
    if shape is None:
        yield Flaw("foreign", place, "JSON, but no telemetry")
        return
    try:
        for where, records in shape.pieces(value):
            inner = f"{place}, {where}" if where else place
            yield Part(shape.NAME, inner, checked(shape.NAME, records))
    except MALFORMED as error:
        yield Flaw("damaged", place, not_valid(shape.NAME, error))


def _broken(text: Text, place: str, is_ours: bool) -> Flaw:
    if not is_ours:
        return Flaw("foreign", place, f"no JSON ({text.error})")
    if text.is_cut:
        return Flaw("unfinished", place, "the file ends in the middle of a request")
    return Flaw("damaged", place, f"broken JSON, left out ({text.error})")
