"""The words of the search box: `tool:bash -outcome:success cost>0.5 "no such file"`.

    query := { ["-"] (field op value | text) }     all of them hold; "-" turns one round
    op    := ":" | ">" | ">=" | "<" | "<="         ":" is equality; numbers also take `1..5`
    text  := word | quoted                         found anywhere in the run's messages
    value := word | quoted                         `*` in it stands for any characters

A quoted text may hold spaces, and quotes and backslashes behind a backslash.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from otel_traj.errors import InputError
from otel_traj.model import Outcome, RunStatus

MAX_LENGTH: Final = 2_000
MAX_TERMS: Final = 32

Kind: TypeAlias = Literal["text", "word", "number", "seconds"]
"""What a field compares with: any text, one of a few words, a number, a time span."""

FIELDS: Final[Mapping[str, Kind]] = {
    "agent": "text",
    "outcome": "word",
    "status": "word",
    "tool": "text",
    "model": "text",
    "error": "text",
    "task": "text",
    "service": "text",
    "conversation": "text",
    "id": "text",
    "cost": "number",
    "dur": "seconds",
    "steps": "number",
    "tokens": "number",
    "errors": "number",
    "reward": "number",
}
"""Field -> what it compares with."""

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "outcome": get_args(Outcome),
    "status": get_args(RunStatus),
}
"""Field of words -> which there are."""

Operator: TypeAlias = Literal[":", ">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers between two bounds, each of which may be open; time spans are in seconds."""

    low: float | None = None
    high: float | None = None
    has_low: bool = True
    has_high: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """Runs by id and, at the same place, by revision."""

    ids: tuple[str, ...]
    revs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        field: One of `FIELDS`; None is a text in messages.
        value: What it is compared with, a text still with its `*`; or the ids of the trajectories
            for which it holds, or those themselves, where they were found out before.
        is_negated: It must not hold.
    """

    field: str | None
    value: str | Range | tuple[str, ...] | Found
    is_negated: bool = False


class SearchError(InputError):
    """A query that cannot be read.

    Attributes:
        at: Where, in characters from its beginning.
    """

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


_TERM: Final = re.compile(
    r'(?P<not>-)?(?:(?P<field>[A-Za-z_]+)(?P<op>:|>=|<=|>|<))?(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]+)?'
)
_NUMBER: Final = re.compile(r"(-?[$]?)(\d+(?:\.\d*)?|\.\d+)([kKmM]?)")
_TIME: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|d)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIMES: Final = {"": 1.0, "k": 1e3, "m": 1e6}


def parse(text: str) -> list[Term]:
    """Read a query.

    Raises:
        SearchError: It is none; the message says what would be.
    """
    if len(text) > MAX_LENGTH:
        raise SearchError(f"A query may have {MAX_LENGTH:,} characters", MAX_LENGTH)
    terms: list[Term] = []
    at = 0
    while (at := _after_space(text, at)) < len(text):
        match = _TERM.match(text, at)
        assert match is not None  # every part of it may be missing
        terms.append(_term(text, match))
        at = match.end()
        if len(terms) > MAX_TERMS:
            raise SearchError(f"A query may have {MAX_TERMS} terms", match.start())
    return terms


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _term(text: str, match: re.Match[str]) -> Term:
    at, end = match.start(), match.end()
    if end < len(text) and text[end] == '"' and not _is_quoted(match["value"]):
        raise SearchError("This quote is not closed, or stands within a word", end)
    if end < len(text) and _is_quoted(match["value"]) and not text[end].isspace():
        raise SearchError("After a quoted text a space is missing", end)
    value = _unquoted(match["value"])
    field = match["field"]
    if not value:
        what = f"a value after '{field}{match['op']}'" if field else "a text after '-'"
        raise SearchError(f"There is {what} missing", end)
    is_negated = match["not"] is not None
    if field is None:
        return Term(None, value, is_negated)
    name = field.lower()
    if name not in FIELDS:
        raise SearchError(_no_field(name, text[match.start("field") : end]), at)
    operator: Operator = match["op"]  # type: ignore[assignment]
    return Term(name, compared(name, operator, value, at), is_negated)


def _is_quoted(value: str | None) -> bool:
    return value is not None and value.startswith('"')


def _unquoted(value: str | None) -> str:
    if value is None or not _is_quoted(value):
        return value or ""
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)


def _no_field(name: str, whole: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else f" There is: {', '.join(FIELDS)}."
    return f"There is no field '{name}'.{hint} To look for the text, quote it: \"{whole}\""


def compared(field: str, operator: Operator, value: str, at: int = 0) -> str | Range:
    """What a field is compared with.

    Raises:
        SearchError: The field has no such values.
    """
    kind = FIELDS[field]
    if kind in ("number", "seconds"):
        return _range(field, operator, value, at)
    if operator != ":":
        raise SearchError(f"'{field}' is no number: write {field}:{value}", at)
    if kind == "word" and value.lower() not in WORDS[field]:
        raise SearchError(f"No {field} is '{value}'. There is: {', '.join(WORDS[field])}", at)
    return value.lower() if kind == "word" else value


def _range(field: str, operator: Operator, value: str, at: int) -> Range:
    read = _seconds if FIELDS[field] == "seconds" else _number
    match operator:
        case ">" | ">=":
            return Range(low=read(field, value, at), has_low=operator == ">=")
        case "<" | "<=":
            return Range(high=read(field, value, at), has_high=operator == "<=")
    low, is_range, high = value.partition("..")
    if not is_range:
        return Range(read(field, value, at), read(field, value, at))
    if not (low or high):
        raise SearchError(f"Both ends of '{field}:{value}' are missing", at)
    return Range(
        read(field, low, at) if low else None,
        read(field, high, at) if high else None,
    )


def _number(field: str, text: str, at: int) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise SearchError(f"'{text}' is no number for '{field}': write {field}>0.5", at)
    sign = -1.0 if match[1].startswith("-") else 1.0
    return sign * float(match[2]) * _TIMES[match[3].lower()]


def _seconds(field: str, text: str, at: int) -> float:
    parts = _TIME.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise SearchError(f"'{text}' is no time span: write {field}>90s, 5m, 1h30m, 250ms", at)
    return sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)
