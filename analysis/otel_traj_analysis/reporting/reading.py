"""Asks a store what the report tells: each analysis once, all on one snapshot, redacted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from otel_traj import semconv
from otel_traj.redaction import Redaction
from otel_traj.store.arrow import functions as pc
from otel_traj.store.redacting import ATTRIBUTES, NOT_TEXT
from otel_traj.words import count
from otel_traj_analysis import load, names, runner, sentences, values
from otel_traj_analysis.header import Analysis
from otel_traj_analysis.reporting.views import CHAPTERS, LISTINGS, Chapter, View

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

Row = dict[str, Any]

_ALL: Final = "all"
"""Kind of the row that tells of all runs."""

_LONGEST: Final = 12
"""Entries of a list that are shown."""

_DEFAULT_COLUMNS: Final = 8
_CITED: Final = 3
"""Places that a row cites."""

RUNS: Final = """\
select count(*) as n_runs, count(*) filter (where status = 'open') as n_open,
    min(start_time) as first_start, max(start_time) as last_start, sum(cost_usd) as cost_usd,
    count(cost_usd) as n_cost, median(duration_s) as median_duration_s,
    list_sort(list_distinct(list(agent_name))) as agents
from trajectories where coalesce(relation, '') not in ('fork', 'replay')"""

JUDGED: Final = """\
select coalesce(left_out, '') as left_out, count(*) as n,
    count(*) filter (where is_success) as n_success
from attempts group by all order by n desc, left_out"""

CITED: Final = """\
select trajectory_id, agent_name, coalesce(task_id, task) as task, start_time, status, outcome,
    outcome_source, n_steps, n_errors, duration_s, cost_usd
from trajectories where list_contains($ids, trajectory_id) order by start_time, trajectory_id"""


@dataclass(frozen=True, slots=True)
class Place:
    """A run, or a step of it, that a row speaks of; what is not told is None."""

    trajectory_id: str | None
    step: int | None = None
    trace_id: str | None = None
    span_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The first rows of an analysis. `n` counts all; `types` are DuckDB's, by column."""

    view: View
    analysis: Analysis
    types: Mapping[str, str]
    rows: Sequence[Row]
    n: int
    overall: Row | None = None
    labels: Mapping[str, int] = field(default_factory=dict)

    def columns(self) -> tuple[str, ...]:
        """The columns to be shown, in order: those of which any row tells something."""
        wanted = self.view.columns or tuple(self.types)[:_DEFAULT_COLUMNS]
        there = [column for column in wanted if column in self.types]
        return tuple(c for c in there if any(row[c] is not None for row in self.rows))

    def cites(self) -> bool:
        """Whether any row names a run or span."""
        return any(map(places, self.rows))

    def findings(self) -> list[tuple[str, Row]]:
        """What the first rows say, each with its row."""
        said = ((sentences.say(self.analysis.name, row), row) for row in self.rows)
        return [(sentence, row) for sentence, row in said if sentence][: self.view.findings]

    def verdict(self) -> str | None:
        """What an answer that judges patterns comes to; None of other answers."""
        if self.overall is None or "finding" not in self.overall:
            return None
        found = [row for row in self.rows if row["label"] == "established"]
        if found:
            name = values.text("pattern", found[0]["pattern"])
            others = self.labels["established"] - 1
            more = f" (and {others:,} more hold within tasks)" if others else ""
            return f"{name}{more}: {found[0]['finding']}"
        missing = [row["missing"] for row in self.rows if row.get("missing")]
        more = (
            f", the nearest needs {count(min(missing), 'more run')} of mixed tasks"
            if missing
            else ""
        )
        return f"No pattern is known to hold within tasks{more}; {self.overall['finding']}"


@dataclass(frozen=True, slots=True)
class Told:
    """All that the page tells. `cited` are the runs that rows name."""

    store: str
    where: str | None
    redaction: Redaction
    runs: Row
    judged: Sequence[Row]
    chapters: Sequence[tuple[Chapter, Sequence[Answer]]]
    cited: Sequence[Row]


def read(
    store: TrajectoryStore,
    where: str | None,
    redaction: Redaction,
    progress: Callable[[str, int, int], None],
) -> Told:
    """Ask every analysis that the report shows.

    Raises:
        QueryError: `where` does not bind.
    """
    connection = store.connection()
    if where is not None:
        runner.narrow(connection, where)
    hide = Hiding(redaction)
    chapters = _shipped()
    n, done = sum(len(views) for _, views in chapters), 0
    answered = []
    for chapter, views in chapters:
        answers = []
        for view in views:
            progress(view.analysis, done, n)
            answers.append(answer(connection, view, hide))
            done += 1
        answered.append((chapter, answers))
    [runs] = asked(connection, RUNS)
    shown = [row for _, answers in answered for each in answers for row in each.rows]
    ids = {place.trajectory_id for row in shown for place in places(row)}
    return Told(
        store=store.path.name,
        where=None if where is None else hide("where", where),
        redaction=redaction,
        runs=hide.row(runs),
        judged=asked(connection, JUDGED),
        chapters=answered,
        cited=_cited(connection, ids - {None}, hide),
    )


def places(row: Row) -> list[Place]:
    """The runs and spans that a row names, up to three."""
    found = dict.fromkeys(_places(row))
    return list(found)[:_CITED]


def _places(row: Row) -> Iterator[Place]:
    run = row.get("trajectory_id")
    spans = [span for value in row.values() for span in _spans(value)]
    for span in spans:
        named = {name: span[name] for name in ("step", "trace_id", "span_id") if name in span}
        yield Place(span.get("trajectory_id", run), **named)
    if not spans:
        ids = [value for name, value in row.items() if name.endswith("trajectory_id") and value]
        for trajectory_id in ids:
            is_own = trajectory_id == run
            told = [row.get(name) if is_own else None for name in ("step", "trace_id", "span_id")]
            yield Place(trajectory_id, *told)


def _spans(value: Any) -> list[Row]:
    """The spans that a value names: it is one, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, dict) and "span_id" in each]


def _shipped() -> list[tuple[Chapter, tuple[View, ...]]]:
    """The chapters with the views whose analyses are there; last, analyses without a view."""
    there = set(names())
    placed = {view.analysis for chapter in CHAPTERS for view in chapter.views}
    others = tuple(View(name, name, ()) for name in sorted(there - placed - LISTINGS))
    more = Chapter("more", "More", others)
    found = [
        (chapter, tuple(view for view in chapter.views if view.analysis in there))
        for chapter in (*CHAPTERS, more)
    ]
    return [(chapter, views) for chapter, views in found if views]


def answer(connection: duckdb.DuckDBPyConnection, view: View, hide: Hiding) -> Answer:
    """The first rows of an analysis, and what all of them come to.

    Args:
        connection: One that nobody else uses.
        view: What is shown of it.
        hide: Redacts.

    Raises:
        MissingExtraError: It labels its rows, and scipy or statsmodels is not installed.
    """
    analysis = load(view.analysis)
    relation = runner.answer(connection, analysis, {})
    if analysis.labels:
        relation = runner.labelled(connection, relation, analysis.labels)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    told = relation.project(", ".join(_read(name, types[name]) for name in types)).to_arrow_table()
    overall, rest = _parted(told)
    return Answer(
        view,
        analysis,
        types,
        [hide.row(row) for row in _listed(rest.slice(0, view.rows))],
        rest.num_rows,
        overall=hide.row(overall) if overall else None,
        labels=_counts(rest),
    )


def _parted(table: pa.Table) -> tuple[Row | None, pa.Table]:
    """The row that tells of all runs, and the others."""
    if "kind" not in table.column_names:
        return None, table
    is_all = pc.fill_null(pc.equal(table["kind"], _ALL), False)
    overall = _listed(table.filter(is_all))
    return (overall[0] if overall else None), table.filter(pc.invert(is_all))


def _counts(table: pa.Table) -> Counter[str]:
    """How many rows have which label."""
    labels = table["label"].to_pylist() if "label" in table.column_names else []
    return Counter(label for label in labels if label)


def _listed(table: pa.Table) -> list[Row]:
    found: list[Row] = table.to_pylist(maps_as_pydicts="lossy")
    return found


def _read(column: str, duckdb_type: str) -> str:
    """SQL of a column in a form that Python holds, without the far end of long lists."""
    name = '"' + column.replace('"', '""') + '"'
    if duckdb_type.endswith("[]"):
        return f"{name}[:{_LONGEST}] as {name}"
    return f"{name}::bigint as {name}" if duckdb_type == "HUGEINT" else name


def asked(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    """The rows of a query of ours."""
    return _listed(connection.sql(sql).to_arrow_table())


def _cited(connection: duckdb.DuckDBPyConnection, ids: set[Any], hide: Hiding) -> list[Row]:
    found = connection.sql(CITED, params={"ids": sorted(hide.original(i) for i in ids)})
    return [hide.row(row) for row in _listed(found.to_arrow_table())]


class Hiding:
    """Redacts values of answers, and remembers which run a redacted id stands for."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._originals: dict[str, str] = {}

    def __call__(self, column: str, value: Any) -> Any:
        """A value of a column, redacted however deep it lies."""
        match value:
            case str() if column not in NOT_TEXT:
                return self._text(column, value)
            case list():
                return [self(column, item) for item in value]
            case dict():
                return {key: self(key, item) for key, item in value.items()}
        return value

    def row(self, row: Row) -> Row:
        """All values of a row."""
        return {column: self(column, value) for column, value in row.items()}

    def original(self, trajectory_id: str) -> str:
        """The id of a run that was shown by this one."""
        return self._originals.get(trajectory_id, trajectory_id)

    def _text(self, column: str, text: str) -> Any:
        is_id = column.endswith("trajectory_id")
        key = semconv.TRAJECTORY_ID if is_id else ATTRIBUTES.get(column, column)
        shown = self._redaction.value(key, text)
        if is_id and isinstance(shown, str):
            self._originals[shown] = text
        return shown
