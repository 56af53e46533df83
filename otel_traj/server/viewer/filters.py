"""Which trajectories are asked for, in SQL over the view `trajectories`.

Facets are filters with one field each; several values of one facet are alternatives. The query's
terms all hold. A condition names columns of the run alone where it can: outcome and reward are
joined from what was said of it, which a store of many runs pays for.
"""
# ruff: noqa: S608 - what is put into this SQL are names of columns

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import duckdb

from otel_traj.errors import InputError
from otel_traj.server.jaeger.searching import Condition
from otel_traj.server.viewer import language
from otel_traj.server.viewer.language import Range, Term
from otel_traj.server.viewer.reading import Reader

_AT_ONCE: Final = 200
"""Rows of texts in memory."""

_JUDGED: Final = frozenset({"outcome", "reward"})
"""Fields that the run's own row does not tell."""

_NUMBERS: Final[Mapping[str, str]] = {
    "cost": "t.cost_usd",
    "dur": "t.duration_us / 1e6",
    "steps": "t.n_steps",
    "tokens": "coalesce(t.input_tokens + t.output_tokens, t.input_tokens, t.output_tokens)",
    "errors": "t.n_errors",
    "reward": "t.reward",
}


def _is(column: str) -> str:
    return f"lower({column}) like {{p}} escape '\\'"


def _any(column: str) -> str:
    return f"len(list_filter({column}, lambda x: {_is('x')})) > 0"


_TEXTS: Final[Mapping[str, str]] = {
    "agent": f"{_is('t.agent_name')} or {_any('t.agents')}",
    "outcome": _is("t.outcome"),
    "status": _is("t.status"),
    "tool": _any("t.tools"),
    "model": _any("t.models"),
    "error": f"{_is('t.error_type')} or t.trajectory_id in"
    f" (select trajectory_id from live.steps where {_is('error_type')})",
    "task": f"{_is('t.task_id')} or {_is('coalesce(t.task, t.user_input)')}",
    "service": _is("t.service"),
    "conversation": _is("t.conversation_id"),
    "id": f"{_is('t.trajectory_id')} or {_any('t.aliases')} or {_any('t.trace_ids')}",
}
"""Field -> condition on a pattern of LIKE, in lower case."""

_OF_TASK: Final = ("task_id", "task", "user_input")
_OF_RUN: Final = ("task", "user_input", "final_answer", "error_message", "failure_rationale")
_OF_STEPS: Final = (
    "output_text",
    "reasoning",
    "arguments",
    "result",
    "model_saw",
    "error_message",
    "new_messages",
    "observation",
)
"""Where a text is looked for."""

# Words and what stands between them in a sentence; all else may be a part of a secret.
_PLAIN: Final = re.compile(r"[^\W\d_]*(?:[\s.,'?!*]+[^\W\d_]*)*")

FACETS: Final = ("agent", "outcome", "status", "tool", "model", "error", "task", "service")
"""Fields that are asked for as parameters of their own too, and counted by `facets`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is asked for.

    Attributes:
        terms: Of the query.
        facets: Field -> values, any of which.
        ranges: Field of numbers -> bounds.
        since, until: Bounds of the start, the second one excluded.
    """

    terms: tuple[Term, ...] = ()
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    def without(self, facet: str) -> Filters:
        """The same, whatever the value of one facet."""
        others = {name: values for name, values in self.facets.items() if name != facet}
        return replace(self, facets=others)

    def checked(self, reader: Reader) -> Filters:
        """The same, where texts are only compared with what may be shown.

        Else who looks for the beginnings of a secret would find out the whole, letter by letter.
        A text that cannot be a part of one is left to the engine, which is quicker.

        Args:
            reader: Tells what may be shown.
        """
        if not reader.redaction or all(_is_plain(term) for term in self.terms):
            return self
        terms = (
            term if _is_plain(term) else replace(term, value=_holding(reader, term))
            for term in self.terms
        )
        return replace(self, terms=tuple(terms))

    @property
    def needs_judgement(self) -> bool:
        """Whether outcome or reward decide."""
        named = {term.field for term in self.terms} | {*self.facets, *self.ranges}
        return bool(named & _JUDGED)

    def condition(self) -> Condition:
        """What holds for a row `t` of the view `trajectories`."""
        found = Condition()
        for term in self.terms:
            _add(found, term)
        for name, values in self.facets.items():
            _add_facet(found, name, values)
        for name, bounds in self.ranges.items():
            _add(found, Term(name, bounds))
        if self.since is not None:
            found.add("t.start_time >= {since}", since=self.since)
        if self.until is not None:
            found.add("t.start_time < {until}", until=self.until)
        return found


def read(
    *,
    q: str | None,
    facets: Mapping[str, Iterable[str]],
    ranges: Mapping[str, str | None],
    since: str | None,
    until: str | None,
) -> Filters:
    """The filters of a request.

    Raises:
        InputError: One of them cannot be read.
    """
    return Filters(
        terms=tuple(language.parse(q or "")),
        facets={name: tuple(values) for name, values in facets.items() if values},
        ranges={name: _bounds(name, text) for name, text in ranges.items() if text},
        since=_time("since", since),
        until=_time("until", until),
    )


def _bounds(name: str, text: str) -> Range:
    bounds = language.compared(name, ":", text)
    assert isinstance(bounds, Range)  # `name` is a field of numbers
    return bounds


def _time(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"'{name}' is no time: write 2026-11-21 or 2026-11-21T10:02:11Z") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


# --- what may be looked for --------------------------------------------------------------------


def _is_plain(term: Term) -> bool:
    """Whether a term cannot tell anything of a secret."""
    if term.field not in (None, "task") or not isinstance(term.value, str):
        return True
    return _PLAIN.fullmatch(term.value) is not None


def _holding(reader: Reader, term: Term) -> tuple[str, ...]:
    """Ids of the trajectories that hold the text of a term where it may be shown."""
    assert isinstance(term.value, str)  # it is not plain
    key = ("holding", term.field or "", term.value)
    return reader.kept(key, lambda: tuple(_looked_up(reader, term)))


def _looked_up(reader: Reader, term: Term) -> set[str]:
    text = str(term.value)
    if term.field == "task":
        condition = Condition()
        condition.add(" or ".join(map(_is, _OF_TASK)), p=pattern(text))
        return _of_shown(reader, "live.trajectories", _OF_TASK, condition, _like(text))
    looked_for = re.compile(_spelt(text), re.IGNORECASE)
    found: set[str] = set()
    for table, columns in (("live.trajectories", _OF_RUN), ("live.steps", _OF_STEPS)):
        condition = Condition()
        condition.add(_holds(columns), p=_spelt(text))
        found |= _of_shown(reader, table, columns, condition, looked_for)
    return found


def _like(text: str) -> re.Pattern[str]:
    """A text with `*` as a regular expression of all of another."""
    anything = ".*".join(map(re.escape, text.split("*")))
    return re.compile(rf"\A{anything}\Z", re.IGNORECASE | re.DOTALL)


def _of_shown(
    reader: Reader,
    table: str,
    columns: Sequence[str],
    condition: Condition,
    looked_for: re.Pattern[str],
) -> set[str]:
    """Ids of the rows that the engine finds, if they are still found in what may be shown."""

    def ask(cursor: duckdb.DuckDBPyConnection) -> set[str]:
        found: set[str] = set()
        told = cursor.execute(
            f"select trajectory_id, {', '.join(columns)} from {table} where {condition.sql}",
            condition.parameters,
        )
        while some := told.fetchmany(_AT_ONCE):
            for trajectory_id, *texts in some:
                shown = map(reader.shown, columns, texts)
                if trajectory_id not in found and any(
                    text is not None and looked_for.search(text) for text in shown
                ):
                    found.add(trajectory_id)
        return found

    return reader.read(ask)


# --- conditions --------------------------------------------------------------------------------


def _add(found: Condition, term: Term) -> None:
    n = len(found.parts)
    if isinstance(term.value, tuple):
        found.add("t.trajectory_id in (select unnest({ids}))", ids=list(term.value))
    elif isinstance(term.value, Range):
        _add_range(found, _NUMBERS[str(term.field)], term.value)
    elif term.field is None:
        _add_text(found, term.value)
    else:
        found.add(_TEXTS[term.field], p=pattern(term.value))
    if term.is_negated:
        found.parts[n:] = [
            f"not coalesce({' and '.join(f'({p})' for p in found.parts[n:])}, false)"
        ]


def _add_range(found: Condition, sql: str, bounds: Range) -> None:
    if bounds.low is not None and bounds.low == bounds.high:
        found.add(f"{sql} = {{low}}", low=bounds.low)
        return
    if bounds.low is not None:
        found.add(f"{sql} {'>=' if bounds.has_low else '>'} {{low}}", low=bounds.low)
    if bounds.high is not None:
        found.add(f"{sql} {'<=' if bounds.has_high else '<'} {{high}}", high=bounds.high)


def _add_facet(found: Condition, name: str, values: tuple[str, ...]) -> None:
    """Exactly one of the values, as facets tell them; "" is the run without any."""
    one_of = Condition(parameters=found.parameters)
    for value in values:
        if value:
            one_of.add(_EXACTLY[name], v=value)
        else:
            one_of.add(_NOTHING[name])
    found.parameters = one_of.parameters
    found.parts.append(" or ".join(f"({part})" for part in one_of.parts))


_EXACTLY: Final[Mapping[str, str]] = {
    "agent": "t.agent_name = {v} or list_contains(t.agents, {v})",
    "outcome": "t.outcome = {v}",
    "status": "t.status = {v}",
    "tool": "list_contains(t.tools, {v})",
    "model": "list_contains(t.models, {v})",
    "error": "t.error_type = {v} or t.trajectory_id in"
    " (select trajectory_id from live.steps where error_type = {v})",
    "task": "t.task_id = {v} or coalesce(t.task, t.user_input) = {v}",
    "service": "t.service = {v}",
}

_NOTHING: Final[Mapping[str, str]] = {
    "agent": "t.agent_name is null",
    "outcome": "t.outcome is null",
    "status": "t.status is null",
    "tool": "coalesce(len(t.tools), 0) = 0",
    "model": "coalesce(len(t.models), 0) = 0",
    "error": "t.error_type is null and coalesce(t.n_errors, 0) = 0",
    "task": "t.task_id is null and t.task is null and t.user_input is null",
    "service": "t.service is null",
}


def _add_text(found: Condition, text: str) -> None:
    """In any message, whatever its case; in JSON as JSON spells it."""
    found.add(
        "t.trajectory_id in"
        f" (select trajectory_id from live.trajectories where {_holds(_OF_RUN)})"
        f" or t.trajectory_id in (select trajectory_id from live.steps where {_holds(_OF_STEPS)})",
        p=_spelt(text),
    )


def _spelt(text: str) -> str:
    """A text as it stands in other texts, or in JSON, as a regular expression."""
    both = dict.fromkeys((text, json.dumps(text, ensure_ascii=False)[1:-1]))
    return "|".join(map(re.escape, both))


def _holds(columns: Iterable[str]) -> str:
    """Condition that some column matches `{p}`, whatever its case.

    A regular expression is looked for three times as fast as a text in texts made lower case.
    """
    return " or ".join(f"regexp_matches({column}, {{p}}, 'i')" for column in columns)


def pattern(text: str) -> str:
    """A text with `*` as a pattern of LIKE, in lower case; its other characters mean themselves."""
    return re.sub(r"([\\%_])", r"\\\1", text.lower()).replace("*", "%")
