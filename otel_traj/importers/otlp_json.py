"""OTLP in the JSON encoding: one request per line, as the Collector's file exporter writes it.

Pretty-printed documents, one or several, and arrays of requests are read too. All are one grammar
here: values that end where their brackets balance, with the brackets and commas of an outer array
passed over. So everything streams, and a torn value ends at the next line that is a whole request.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from otel_traj.importers.parts import Flaw, Part
from otel_traj.otlp import records_from_json

NAME: Final = "OTLP JSON"

_OPENING: Final = re.compile(rb'\s*[{\[]\s*(["{}\[\]]|$)')
_REQUEST: Final = re.compile(rb'[ \t]*\{\s*"resource_?(spans|logs|metrics|profiles)"', re.I)
_REQUEST_LINE: Final = re.compile(rb"^" + _REQUEST.pattern, re.I | re.M)
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_DEPTH: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_OURS: Final = ("resourceSpans", "resourceLogs", "resource_spans", "resource_logs")
_OTHER_SIGNALS: Final = ("resourceMetrics", "resourceProfiles")
_BETWEEN: Final = b", \t\r\n"


def recognises(head: bytes) -> bool:
    """It opens as JSON, or some line in it opens as a request (the lines before may be broken)."""
    head = head.removeprefix(codecs.BOM_UTF8)
    # 0x0A opens a protobuf request and is also a line end: control characters tell them apart.
    if head.startswith(b"\n") and re.search(rb"[\x00-\x08\x0e-\x1f]", head[:256]):
        return False
    return bool(_OPENING.match(head) or _REQUEST_LINE.search(head))


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """The requests of a file; what is no request is a flaw, and the reading goes on behind it."""
    is_telemetry = False
    for text in _texts(stream):
        place = f"line {text.line}"
        if text.error is not None:
            is_ours = is_telemetry or any(key.encode() in text.body for key in _OURS)
            yield _broken(text, place, is_ours)
            continue
        if text.is_repaired:
            yield Flaw("repaired", place, "bytes that are no UTF-8 were replaced by U+FFFD")
        for item in text.value if isinstance(text.value, list) else [text.value]:
            part = _part(item, place)
            is_telemetry |= isinstance(part, Part)
            yield part


def _part(value: Any, place: str) -> Part | Flaw:
    if isinstance(value, dict):
        if any(key in value for key in _OURS):
            return Part(place, records_from_json(value))
        if any(key in value for key in _OTHER_SIGNALS):
            return Part(place, ())
    return Flaw("foreign", place, "JSON, but no OTLP request")


def _broken(text: _Text, place: str, is_ours: bool) -> Flaw:
    if not is_ours:
        return Flaw("foreign", place, f"no JSON ({text.error})")
    if text.is_cut:
        return Flaw("unfinished", place, "the file ends in the middle of a request")
    return Flaw("damaged", place, f"broken JSON, left out ({text.error})")


# --- cutting into values -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    """The text of one JSON value, from line `line` on, with its `value` or the `error` in it.

    `is_repaired`: it held bytes that are no UTF-8. `is_cut`: the file ended before its line did.
    """

    line: int
    body: bytes
    value: Any = None
    error: str | None = None
    is_repaired: bool = False

    @property
    def is_cut(self) -> bool:
        return not self.body.endswith(b"\n")


def _texts(stream: BinaryIO) -> Iterator[_Text]:
    pending: list[bytes] = []
    start = depth = 0
    for number, line in enumerate(stream, start=1):
        if pending and _REQUEST.match(line) and not line.rstrip().endswith(b","):
            whole = _text(number, line)
            if whole.error is None:  # so what is pending was torn: its end never came
                yield _text(start, b"".join(pending))
                yield whole
                pending = []
                continue
        if not pending:
            line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip(_BETWEEN) in (b"", b"[", b"]"):
                continue
            whole = _text(number, line)
            if whole.error is None:  # one parse and no counting where lines are values
                yield whole
                continue
            start, depth = number, 0
        pending.append(line)
        depth += _balance(line)
        if depth <= 0:
            yield _text(start, b"".join(pending), surplus=-depth)
            pending = []
    if pending:
        yield _text(start, b"".join(pending))


def _balance(line: bytes) -> int:
    """Brackets opened less brackets closed, those in strings aside."""
    return sum(_DEPTH.get(token, 0) for token in _TOKENS.findall(line))


def _text(line: int, body: bytes, *, surplus: int = 0) -> _Text:
    """Parse a value; `surplus` closing brackets at its end belong to the array round it."""
    core = body.strip(_BETWEEN)
    for _ in range(surplus):
        core = core.removesuffix(b"]").rstrip(_BETWEEN)
    try:
        try:
            return _Text(line, body, json.loads(core))
        except UnicodeDecodeError:
            return _Text(line, body, json.loads(core.decode("utf-8", "replace")), is_repaired=True)
    except json.JSONDecodeError as error:
        return _Text(line, body, error=f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return _Text(line, body, error=str(error))
