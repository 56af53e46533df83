"""What stands above the columns of an answer, and the figures that tell of all runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from otel_traj.errors import MissingExtraError
from otel_traj_analysis import values
from otel_traj_analysis.reporting.reading import Answer, Row

Kind: TypeAlias = Literal["text", "number", "label", "finding", "calls"]
"""What stands in the cells of a column."""


@dataclass(frozen=True, slots=True)
class Head:
    """A column's name as words, what it means, and the kind of its cells."""

    text: str
    meaning: str
    kind: Kind


class Figure(NamedTuple):
    """A number that tells of all runs, and what it is made of."""

    name: str
    figure: str
    made_of: str


def heads(answer: Answer) -> list[Head]:
    """The heads of the columns that are shown."""
    meanings = {column.name: column.meaning for column in answer.analysis.columns}
    return [
        Head(words(column), meanings.get(column, ""), kind(column, answer.types[column]))
        for column in answer.columns()
    ]


def kind(column: str, duckdb_type: str) -> Kind:
    """Of which kind the cells of a column are."""
    if column in values.ORDERED:
        return "calls"
    return _NAMED.get(column) or ("number" if values.is_number(duckdb_type) else "text")


_NAMED: Final[Mapping[str, Kind]] = {"label": "label", "finding": "finding"}

_UNSAID: Final = frozenset({"usd", "s", "seconds", "name"})
"""Words of column names that their cells say, or that go without saying."""

_TITLES: Final = {"wasted_s": "time wasted", "task": "task", "name": "name"}


def words(column: str) -> str:
    """The name of a column as words: `n_calls` is calls, `cost_usd` cost."""
    if column in _TITLES:
        return _TITLES[column]
    told = column.removeprefix("n_").split("_")
    return " ".join(word for word in told if word not in _UNSAID) or column


def figures(runs: Row, judged: Sequence[Row]) -> Iterator[Figure]:
    """How many runs there are, how many succeed, and what they cost and took.

    Args:
        runs: The row of `reading.RUNS`.
        judged: The rows of `reading.JUDGED`.

    Raises:
        MissingExtraError: The extra `analysis` is not installed.
    """
    try:
        from otel_traj_analysis import statistics
    except ImportError as error:
        raise MissingExtraError("The rate", "scipy and statsmodels", "analysis") from error

    counted = _counted(judged)
    yield Figure("runs", f"{runs['n_runs']:,}", f"{runs['n_open']:,} still open")
    n, won = counted.get("", (0, 0))
    rate = statistics.wilson(won, n)
    yield Figure(
        "succeed",
        values.text("rate", rate.estimate) if n else values.UNKNOWN,
        f"{won:,} of {n:,} judged; {100 * rate.low:.0f} to {100 * rate.high:.0f} %"
        if n
        else "no attempt was judged",
    )
    left_out = {reason: n for reason, (n, _) in counted.items() if reason}
    yield Figure(
        "not counted",
        f"{sum(left_out.values()):,}",
        ", ".join(f"{n:,} {reason}" for reason, n in left_out.items()) or "every run counts",
    )
    yield Figure(
        "cost",
        values.text("cost_usd", runs["cost_usd"]),
        f"known of {runs['n_cost']:,} of {runs['n_runs']:,} runs",
    )
    yield Figure(
        "median time", values.text("duration_s", runs["median_duration_s"]), "of runs that ended"
    )


def _counted(judged: Sequence[Row]) -> dict[str, tuple[int, int]]:
    """Why attempts do not count, "" for those that do -> how many, and how many succeeded."""
    return {row["left_out"]: (row["n"], row["n_success"]) for row in judged}
