"""Which trajectories are asked for, in SQL over the view `trajectories`.

Facets are filters with one field each; several values of one facet are alternatives. The query's
terms all hold. A condition names columns of the run alone where it can: outcome and reward are
joined from what was said of it, which a store of many runs pays for.
"""
# ruff: noqa: S608 - what is put into this SQL are names of columns

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

import duckdb

from otel_traj.errors import InputError
from otel_traj.server.jaeger.searching import Condition
from otel_traj.server.viewer import language
from otel_traj.server.viewer.language import Found, Range, Term
from otel_traj.server.viewer.reading import Reader
from otel_traj.server.viewer.searching import (
    Hit,
    hits,
    is_like,
    is_plain,
    is_text,
    pattern,
    places,
)

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


def _any(column: str) -> str:
    return f"len(list_filter({column}, lambda x: {is_like('x')})) > 0"


class Spelling(NamedTuple):
    """How SQL compares what a run `t` holds; the functions are given the name of a column.

    Attributes:
        like: The text is of the pattern `{p}`.
        equal: The text is `{v}`.
        any_like: A member of the list is of the pattern `{p}`.
        any_equal: A member of the list is `{v}`.
        none: The list has no member.
        step_like, step_equal: The same as of a text, for the type of some step's error.
        task_equal: The task's id or its text is `{v}`.
        no_task: There is neither.
    """

    like: Callable[[str], str]
    equal: Callable[[str], str]
    any_like: Callable[[str], str]
    any_equal: Callable[[str], str]
    none: Callable[[str], str]
    step_like: str
    step_equal: str
    task_equal: str
    no_task: str


def _of_steps(condition: str) -> str:
    return f"t.trajectory_id in (select trajectory_id from live.steps where {condition})"


VIEWS: Final = Spelling(
    like=lambda column: is_like(f"t.{column}"),
    equal=lambda column: f"t.{column} = {{v}}",
    any_like=lambda column: _any(f"t.{column}"),
    any_equal=lambda column: f"list_contains(t.{column}, {{v}})",
    none=lambda column: f"coalesce(len(t.{column}), 0) = 0",
    step_like=_of_steps(is_like("error_type")),
    step_equal=_of_steps("error_type = {v}"),
    task_equal="t.task_id = {v} or coalesce(t.task, t.user_input) = {v}",
    no_task="t.task_id is null and t.task is null and t.user_input is null",
)
"""Of the view `trajectories`."""


def _in_sets(column: str, condition: str) -> str:
    return f"t.{column} in (select hash from sets where {condition})"


_HASH: Final = "hash({v}::varchar)"

ROSTER: Final = Spelling(
    like=lambda column: f"t.{column} in (select hash from words where {is_like('text')})",
    equal=lambda column: f"t.{column} = {_HASH}",
    any_like=lambda column: _in_sets(column, _any("members")),
    any_equal=lambda column: _in_sets(column, "list_contains(members, {v})"),
    none=lambda column: f"t.{column} is null",
    step_like=_in_sets("step_errors", _any("members")),
    step_equal=_in_sets("step_errors", "list_contains(members, {v})"),
    task_equal=f"t.task_id = {_HASH} or t.asked = {_HASH}",
    no_task="t.task is null",
)
"""Of the table `runs` of a roster, where a text is known by its hash."""


def _texts(s: Spelling) -> Mapping[str, str]:
    """Field -> condition on a pattern of LIKE, in lower case."""
    return {
        "agent": f"{s.like('agent_name')} or {s.any_like('agents')}",
        "outcome": is_like("t.outcome"),
        "status": is_like("t.status"),
        "tool": s.any_like("tools"),
        "model": s.any_like("models"),
        "error": f"{s.like('error_type')} or {s.step_like}",
        "task": f"{is_like('t.task_id')} or {is_like('coalesce(t.task, t.user_input)')}",
        "service": s.like("service"),
        "conversation": s.like("conversation_id"),
        "id": f"{is_like('t.trajectory_id')} or {_any('t.aliases')} or {_any('t.trace_ids')}",
    }


def _exactly(s: Spelling) -> Mapping[str, str]:
    """Facet -> condition that `{v}` is one of its values."""
    return {
        "agent": f"{s.equal('agent_name')} or {s.any_equal('agents')}",
        "outcome": "t.outcome = {v}",
        "status": "t.status = {v}",
        "tool": s.any_equal("tools"),
        "model": s.any_equal("models"),
        "error": f"{s.equal('error_type')} or {s.step_equal}",
        "task": s.task_equal,
        "service": s.equal("service"),
        "id": "t.trajectory_id = {v}",
    }


def _nothing(s: Spelling) -> Mapping[str, str]:
    """Facet -> condition that a run has no value of it."""
    return {
        "agent": "t.agent_name is null",
        "outcome": "t.outcome is null",
        "status": "t.status is null",
        "tool": s.none("tools"),
        "model": s.none("models"),
        "error": "t.error_type is null and coalesce(t.n_errors, 0) = 0",
        "task": s.no_task,
        "service": "t.service is null",
        "id": "false",
    }


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
        if not reader.redaction:
            return self
        terms = (
            term if is_plain(term) else replace(term, value=_holding(reader, term))
            for term in self.terms
        )
        return replace(self, terms=tuple(terms))

    @property
    def texts(self) -> tuple[Term, ...]:
        """Terms with a text that a roster does not hold."""
        return tuple(filter(is_text, self.terms))

    def without_texts(self) -> Filters:
        """The same, whatever stands in texts."""
        return replace(self, terms=tuple(term for term in self.terms if not is_text(term)))

    def with_found(self, found: Mapping[Term, Collection[Hit]]) -> Filters:
        """The same, where the runs with a text were found out."""
        terms = (
            replace(term, value=_revisions(found[term])) if term in found else term
            for term in self.terms
        )
        return replace(self, terms=tuple(terms))

    @property
    def needs_judgement(self) -> bool:
        """Whether outcome or reward decide."""
        named = {term.field for term in self.terms} | {*self.facets, *self.ranges}
        return bool(named & _JUDGED)

    def condition(self, spelling: Spelling = VIEWS) -> Condition:
        """What holds for a row `t`.

        Args:
            spelling: Of what; for a roster, texts must have been looked for: `with_found`.
        """
        found = Condition()
        for term in self.terms:
            _add(found, term, spelling)
        for name, values in self.facets.items():
            _add_facet(found, name, values, spelling)
        for name, bounds in self.ranges.items():
            _add(found, Term(name, bounds), spelling)
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


def _revisions(hits_of_term: Collection[Hit]) -> Found:
    return Found(tuple(i for i, _ in hits_of_term), tuple(rev for _, rev in hits_of_term))


def _holding(reader: Reader, term: Term) -> tuple[str, ...]:
    """Ids of the trajectories that hold the text of a term where it may be shown."""

    def ask(cursor: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
        found = [hits(cursor, f"live.{place.table}", place, reader.shown) for place in places(term)]
        return tuple({trajectory_id for own in found for trajectory_id, _ in own})

    key = ("holding", term.field or "", str(term.value))
    return reader.kept(key, lambda: reader.read(ask))


# --- conditions --------------------------------------------------------------------------------


def _add(found: Condition, term: Term, spelling: Spelling) -> None:
    n = len(found.parts)
    if isinstance(term.value, tuple):
        found.add("t.trajectory_id in (select unnest({ids}))", ids=list(term.value))
    elif isinstance(term.value, Found):
        _add_found(found, term.value)
    elif isinstance(term.value, Range):
        _add_range(found, _NUMBERS[str(term.field)], term.value)
    elif term.field is None:
        _add_text(found, term)
    else:
        found.add(_texts(spelling)[term.field], p=pattern(term.value))
    if term.is_negated:
        found.parts[n:] = [
            f"not coalesce({' and '.join(f'({p})' for p in found.parts[n:])}, false)"
        ]


def _add_found(found: Condition, runs: Found) -> None:
    found.add(
        "(t.trajectory_id, t.rev) in (select unnest({ids}), unnest({revs}))",
        ids=list(runs.ids),
        revs=list(runs.revs),
    )


def _add_range(found: Condition, sql: str, bounds: Range) -> None:
    if bounds.low is not None and bounds.low == bounds.high:
        found.add(f"{sql} = {{low}}", low=bounds.low)
        return
    if bounds.low is not None:
        found.add(f"{sql} {'>=' if bounds.has_low else '>'} {{low}}", low=bounds.low)
    if bounds.high is not None:
        found.add(f"{sql} {'<=' if bounds.has_high else '<'} {{high}}", high=bounds.high)


def _add_facet(found: Condition, name: str, values: tuple[str, ...], spelling: Spelling) -> None:
    """Exactly one of the values, as facets tell them; "" is the run without any."""
    one_of = Condition(parameters=found.parameters)
    for value in values:
        if value:
            one_of.add(_exactly(spelling)[name], v=value)
        else:
            one_of.add(_nothing(spelling)[name])
    found.parameters = one_of.parameters
    found.parts.append(" or ".join(f"({part})" for part in one_of.parts))


def _add_text(found: Condition, term: Term) -> None:
    """In any message, whatever its case; in JSON as JSON spells it."""
    told = {place.table: place.condition for place in places(term)}
    found.add(
        " or ".join(
            f"t.trajectory_id in (select trajectory_id from live.{table} where"
            f" {condition.sql.replace('$p0', '{p}')})"
            for table, condition in told.items()
        ),
        p=told["steps"].parameters["p0"],
    )
