"""A question of Jaeger's in SQL over the columns of `spans`.

A tag is narrowed down here and decided later, on what is really shown (`shows`): attributes are
shown in current names and redacted, which no column holds. Of a tag that has a column in `spans` or
`steps` little is left to decide; so is it where attributes stand as JSON and the pair is looked for
in the text. Messages, arguments and other words of the conventions without a column are not
narrowed.
"""
# ruff: noqa: S608 - what is put into this SQL are names of columns

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.server.jaeger import legacy
from otel_traj.server.jaeger.asked import ServiceFrom, TraceQuery
from otel_traj.store.rows import ATTRIBUTE_OF
from otel_traj.store.schema import COLUMNS, TABLES

NO_SERVICE: Final = "missing-service-name"
"""What Jaeger itself calls the service of spans that name none."""

_OWN_SERVICE: Final = f"coalesce(nullif(s.service, ''), '{NO_SERVICE}')"

_SPANS: Final[Mapping[ServiceFrom, str]] = {
    "service": f"select s.*, {_OWN_SERVICE} as shown_service from stored.spans s",
    "agent": f"select s.*, coalesce(nullif(a.agent, ''), {_OWN_SERVICE}) as shown_service"
    " from stored.spans s left join ("
    "  select m.trace_id, m.span_id, coalesce(st.agent_name, t.agent_name) as agent"
    "  from live.trajectory_spans m"
    "  left join live.steps st using (trajectory_id, step)"
    "  left join live.trajectories t on t.trajectory_id = m.trajectory_id"
    " ) a using (trace_id, span_id)",
}


def spans(by: ServiceFrom) -> str:
    """SQL for the rows of `spans`, with `date` and the service that Jaeger shows."""
    return _SPANS[by]


@dataclass(slots=True)
class Condition:
    """A condition on a row of `spans(...)`, and its parameters."""

    parts: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    def add(self, sql: str, **parameters: Any) -> None:
        """One more condition, which holds too; `{name}` stands for a parameter of its own."""
        own = {name: f"p{len(self.parameters) + i}" for i, name in enumerate(parameters)}
        self.parts.append(sql.format(**{name: f"${own[name]}" for name in own}))
        self.parameters |= {own[name]: value for name, value in parameters.items()}

    @property
    def sql(self) -> str:
        """All of it."""
        return " and ".join(f"({part})" for part in self.parts) or "true"


def condition(query: TraceQuery) -> Condition:
    """What holds for each span that a query looks for; for more of them where it has tags."""
    found = Condition()
    if query.service is not None:
        found.add("s.shown_service = {service}", service=query.service)
    if query.operation is not None:
        found.add("s.name = {operation}", operation=query.operation)
    for bound, sql in (
        (query.start_min_ns, "s.start_ns >= {ns}"),
        (query.start_max_ns, "s.start_ns <= {ns}"),
        (query.duration_min_ns, "s.end_ns - s.start_ns >= {ns}"),
        (query.duration_max_ns, "s.end_ns - s.start_ns <= {ns}"),
    ):
        if bound is not None:
            found.add(sql, ns=min(max(bound, -(2**63)), 2**63 - 1))
    for key, value in query.tags.items():
        _narrow(found, key, value)
    return found


# --- tags --------------------------------------------------------------------------------------

_COLUMN: Final = {key: column for column, key in ATTRIBUTE_OF.items()}
_NUMBERS: Final = frozenset(
    column.name for column in TABLES["spans"].columns if column.duckdb_type in ("BIGINT", "DOUBLE")
)


def _narrow(found: Condition, key: str, value: str) -> None:
    column = _COLUMN.get(key, "")
    if key in legacy.FIELDS:
        found.add(f"{legacy.FIELDS[key]} = {{value}}", value=value)
    elif key == semconv.SERVICE_NAME:
        found.add("s.shown_service = {value}", value=value)
    elif key in _OF_RUN:
        found.add(_OF_RUN[key], value=value)
    elif key == "event":
        names = 'list_transform(s.events, lambda e: e."name")'
        found.add(f"list_contains({names}, {{value}})", value=value)
    elif column in COLUMNS["steps"]:
        _narrow_by_column(found, column, value)
    elif column in _NUMBERS:
        found.add(f's."{column}" = try_cast({{value}} as double)', value=value)
    elif not key.startswith("gen_ai."):  # which a span may have said in another dialect
        _narrow_by_text(found, key, value)


_OF_RUN: Final[Mapping[str, str]] = {
    semconv.CONVERSATION_ID: "s.conversation_id = {value} or s.trace_id in ("
    " select unnest(trace_ids) from live.trajectories where conversation_id = {value})",
    semconv.AGENT_NAME: "s.agent_name = {value} or s.trace_id in ("
    " select trace_id from live.steps where agent_name = {value} or handoff_to = {value}"
    " union all select unnest(trace_ids) from live.trajectories where agent_name = {value})",
}
"""What spans round the steps also show, in whatever dialect they say it: looked for by the run."""


def _narrow_by_column(found: Condition, column: str, value: str) -> None:
    """What the span says itself, or a step of its trace: those columns have the same name."""
    cell = f'"{column}"'
    given = "try_cast({value} as double)" if column in _NUMBERS else "{value}"
    is_it = f"{cell} = {given}"
    found.add(
        f"s.{is_it} or s.trace_id in (select trace_id from live.steps where {is_it})",
        value=value,
    )


def _narrow_by_text(found: Condition, key: str, value: str) -> None:
    """Where attributes are JSON: the pair stands there as it is written, quoted if it is a text."""
    before = json.dumps(key, ensure_ascii=False) + ":"
    own, resource, scope, event = (
        f"contains({place}, {{plain}}) or contains({place}, {{quoted}})"
        for place in ("s.attributes", "s.resource", "s.scope_attributes", "e.attributes")
    )
    found.add(
        f"{own} or {resource} or {scope} or len(list_filter(s.events, lambda e: {event})) > 0",
        plain=before + value,
        quoted=before + json.dumps(value, ensure_ascii=False),
    )


def decided_later(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that SQL only narrows."""
    return {
        key: value
        for key, value in tags.items()
        if key not in legacy.FIELDS and key != semconv.SERVICE_NAME
    }


def shows(span: SpanRecord, tags: Mapping[str, str]) -> bool:
    """Whether a span, as it is emitted, shows all of these."""
    return set(tags.items()) <= set(_shown(span))


def _shown(span: SpanRecord) -> Iterator[tuple[str, str]]:
    for attributes in (span.resource, span.scope_attributes, span.attributes):
        yield from ((key, legacy.text_of(value)) for key, value in attributes.items())
    for event in span.events:
        yield "event", event.name
        yield from ((key, legacy.text_of(value)) for key, value in event.attributes.items())
