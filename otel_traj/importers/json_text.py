"""JSON as files hold it: one value per line, pretty-printed documents, arrays of values.

All are one grammar here: values that end where their brackets balance, with the brackets and commas
of an outer array passed over. So everything streams, and a torn value ends at the next line that is
a whole one.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_DEPTH: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_BETWEEN: Final = b", \t\r\n"


@dataclass(frozen=True, slots=True)
class Text:
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
        """Whether the line has no end, as the last one of a torn file."""
        return not self.body.endswith(b"\n")


def texts(stream: BinaryIO, is_known: Callable[[Any], bool]) -> Iterator[Text]:
    """Cut a file into its values.

    Args:
        stream: The file, decompressed.
        is_known: Whether a value can only be one of its own, never a part of another: a line that
            holds such a value ends what was torn before it.
    """
    pending: list[bytes] = []
    start = depth = 0
    for number, line in enumerate(stream, start=1):
        if pending and (whole := _resumed(number, line, is_known)):
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


def _resumed(number: int, line: bytes, is_known: Callable[[Any], bool]) -> Text | None:
    """The line as a value, if what is pending before it was torn: its end never came."""
    bare = line.strip()
    if not (bare.startswith(b"{") and bare.endswith(b"}") and b":" in bare):
        return None
    whole = _text(number, line)
    return whole if whole.error is None and is_known(whole.value) else None


def _balance(line: bytes) -> int:
    """Brackets opened less brackets closed, those in strings aside."""
    return sum(_DEPTH.get(token, 0) for token in _TOKENS.findall(line))


def _text(line: int, body: bytes, *, surplus: int = 0) -> Text:
    """Parse a value; `surplus` closing brackets at its end belong to the array round it."""
    core = body.strip(_BETWEEN)
    for _ in range(surplus):
        core = core.removesuffix(b"]").rstrip(_BETWEEN)
    try:
        try:
            return Text(line, body, json.loads(core))
        except UnicodeDecodeError:
            return Text(line, body, json.loads(core.decode("utf-8", "replace")), is_repaired=True)
    except json.JSONDecodeError as error:
        return Text(line, body, error=f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Text(line, body, error=str(error))
