"""Named SQL questions over the trajectory tables, and queries for violations of their promises.

An analysis is one file, `sql/<name>.sql`; its header (see `header`) is all there is to know of it.
A check is one file, `checks/<name>.sql`; no row means healthy. Both run unchanged in a bare DuckDB
that has read the store's `views.sql`. Wherever a name is asked for, the path of a file of your own
works too (it ends in `.sql`), under the same header; `cases` tests it.

Listing names and reading headers needs no database; DuckDB is imported when something runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from otel_traj.errors import InputError, UnknownNameError
from otel_traj_analysis import header
from otel_traj_analysis.header import Analysis, Column, Parameter
from otel_traj_analysis.reporting import report

if TYPE_CHECKING:
    import duckdb

    from otel_traj.store import TrajectoryStore

__all__ = [
    "Analysis",
    "Column",
    "Parameter",
    "Violations",
    "check",
    "checks",
    "describe",
    "names",
    "report",
    "run",
    "sql",
]

SHOWN_VIOLATIONS = 10


@dataclass(frozen=True, slots=True)
class Violations:
    """What a check found: `n` rows, the first ten of them in `rows`, as column -> value."""

    check: str
    sentence: str
    n: int
    rows: tuple[dict[str, object], ...]


def names() -> tuple[str, ...]:
    """Names of the shipped analyses, sorted."""
    return _stems("sql")


def checks() -> tuple[str, ...]:
    """Names of the shipped checks, sorted."""
    return _stems("checks")


def sql(name: str) -> str:
    """Text of an analysis: plain DuckDB SQL.

    Raises:
        UnknownNameError: Nothing is shipped under this name; the message lists what is.
        InputError: The path of an own file cannot be read.
    """
    return _text("sql", name)


def describe(name: str) -> Analysis:
    """What an analysis answers: sentence, grain, parameters, columns with type and meaning.

    Types are those that the query gets over the public views of a store.

    Raises:
        UnknownNameError: Nothing is shipped under this name; the message lists what is.
        ConfigurationError: An own file does not keep the header's format.
        QueryError: The SQL of an own file does not bind, or is more than one `select`.
    """
    from otel_traj_analysis import runner

    return runner.with_types(load(name))


def run(
    store: TrajectoryStore, name: str, /, *, where: str | None = None, **parameters: object
) -> duckdb.DuckDBPyRelation:
    """Answer an analysis over a store, lazily: `.df()`, `.arrow()`, `.pl()`, `.show()`.

    Args:
        store: Only read; the relation sees its newest snapshot.
        name: One of `names()`, or the path of an own `.sql` file.
        where: SQL condition on `trajectories`; only those that it holds for are looked at.
        parameters: By the names that `describe(name).parameters` lists; left out or None is the
            default.

    Raises:
        UnknownNameError: Nothing is shipped under this name; the message lists what is.
        ConfigurationError: A parameter is unknown or of the wrong type, or an own file is wrong.
        QueryError: The SQL of an own file or `where` does not bind, or is more than it should be.
        MissingExtraError: Its rows are to be labelled, and the extra `analysis` is not installed.
    """
    from otel_traj_analysis import runner

    analysis = load(name)
    connection = store.connection()
    if where is not None:
        runner.narrow(connection, where)
    relation = runner.answer(connection, analysis, parameters)
    if analysis.labels:
        return runner.labelled(connection, relation, analysis.labels)
    return relation


def check(store: TrajectoryStore) -> tuple[Violations, ...]:
    """Run every shipped check over a store; what holds is left out, so empty means healthy."""
    from otel_traj_analysis import runner

    found = (runner.violations(store.connection(), load(name, "checks")) for name in checks())
    return tuple(violations for violations in found if violations.n)


def load(name: str, folder: str = "sql") -> Analysis:
    """Parse a shipped file, or an own one if it is harmless; types of columns are still unknown."""
    if not _is_path(name):
        return header.parse(_text(folder, name), f"{name}.sql")
    analysis = header.parse(_text(folder, name), name)
    from otel_traj.store import query

    query.check(analysis.sql)
    return analysis


def _is_path(name: str) -> bool:
    return name.endswith(".sql")


def _stems(folder: str) -> tuple[str, ...]:
    files = resources.files(__name__).joinpath(folder).iterdir()
    return tuple(sorted(f.name.removesuffix(".sql") for f in files if f.name.endswith(".sql")))


def _text(folder: str, name: str) -> str:
    if _is_path(name):
        return _own_text(Path(name))
    if name not in _stems(folder):
        raise UnknownNameError("analysis" if folder == "sql" else "check", name, _stems(folder))
    return resources.files(__name__).joinpath(folder, f"{name}.sql").read_text(encoding="utf-8")


def _own_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the analysis {str(path)!r}: {error}") from error
