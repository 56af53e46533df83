"""`rules.toml`: what counts as an outcome here, beside what the runs say of themselves.

    outcome_evaluations = ["correctness"]     # evaluations whose label is an outcome

    [[outcome]]
    name = "refunded"
    when = "status = 'completed' and list_contains(tools, 'refund')"
    outcome = "success"

`when` is one SQL condition on the columns of `trajectories` (`reward` and `duration_s` included,
the outcome itself not). The first rule that holds decides; one that cannot be computed for a row
does not hold for it. A rule is checked when it is read: a mistake names its file and itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import duckdb

from otel_traj.errors import ConfigurationError, QueryError
from otel_traj.model import Outcome
from otel_traj.store import query, schema

_OUTCOMES: Final = get_args(Outcome)
_JUDGED_LATER: Final = ("outcome", "outcome_source")


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """Trajectories for which the SQL condition `when` holds have this outcome."""

    name: str
    when: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Rules:
    """All of a store's `rules.toml` that views need."""

    outcomes: tuple[OutcomeRule, ...] = ()
    outcome_evaluations: tuple[str, ...] = ()


def load(store: Path) -> Rules:
    """The rules of a store; none where it has no `rules.toml`.

    Raises:
        ConfigurationError: The file or one of its rules is wrong; the message names both.
    """
    path = store / "rules.toml"
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Rules()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Cannot read {str(path)!r}: {error}") from error
    evaluations = content.get("outcome_evaluations", [])
    tables = content.get("outcome", [])
    if not isinstance(tables, list):
        raise ConfigurationError(f"{str(path)!r}: write [[outcome]], not [outcome]")
    if not isinstance(evaluations, list) or not all(isinstance(e, str) for e in evaluations):
        raise ConfigurationError(f"{str(path)!r}: outcome_evaluations is a list of names")
    return Rules(tuple(_outcome_rule(path, table) for table in tables), tuple(evaluations))


def _outcome_rule(path: Path, table: Mapping[str, Any]) -> OutcomeRule:
    rule = f"{str(path)!r}, [[outcome]] {table.get('name', '?')!r}"
    if not table.keys() == {"name", "when", "outcome"}:
        raise ConfigurationError(f"{rule}: needs exactly name, when and outcome; has {[*table]}")
    if not all(isinstance(value, str) for value in table.values()):
        raise ConfigurationError(f"{rule}: name, when and outcome are texts")
    if table["outcome"] not in _OUTCOMES:
        raise ConfigurationError(
            f"{rule}: outcome {table['outcome']!r} is none of {', '.join(_OUTCOMES)}"
        )
    try:
        _check_condition(table["when"])
    except (QueryError, duckdb.Error) as error:
        raise ConfigurationError(
            f"{rule}: `when` is no condition on trajectories: {error}"
        ) from error
    return OutcomeRule(table["name"], table["when"], table["outcome"])


def _check_condition(condition: str) -> None:
    """Refuse what is not one boolean expression over the columns of `trajectories`."""
    query.check_expression(condition)
    connection = duckdb.connect()
    connection.execute(schema.create_table_sql("trajectories"))
    for column in _JUDGED_LATER:
        connection.execute(f"alter table trajectories drop {column}")
    described = connection.execute(
        f"select column_type from (describe select ({condition}) from trajectories)"  # noqa: S608 (checked above)
    ).fetchall()
    if described != [("BOOLEAN",)]:
        raise QueryError(f"it is {described[0][0]}, not BOOLEAN")
