"""`rules.toml`: what counts as an outcome here, and as a reward, beside what is said of the runs.

    outcome_evaluations = ["correctness"]     # evaluations whose label is an outcome

    [[outcome]]
    name = "refunded"
    when = "status = 'completed' and list_contains(tools, 'refund') and scores['safety'] > 0.9"
    outcome = "success"

    [[reward]]
    name = "quick"
    value = "case when labels['feedback'] = 'good' then 1.0 else 1 / (1 + n_turns) end"

    [[retain]]
    older_than = "30d"
    keep = 10_000
    max_bytes = "5GB"
    outcome = "success"                   # the limits are for these
    agent = "support"

    [[infrastructure]]                        # `otel-traj annotate --infrastructure` writes it
    tool = "submit"
    signature = "submit() takes # positional arguments but # were given"

`when` is one SQL condition, `value` one SQL number, on the columns of `trajectories` and on what
evaluations and users said of the run as a whole: `scores` and `labels`, the last word under each
name. Nothing may ask for the outcome, and a reward not for the reward. The first rule that holds,
or gives a finite number, decides; one that cannot be computed for a row does not. All agents are
judged by the same rules. They are checked when they are read: a mistake names its file and itself.
`[[retain]]` is what `otel-traj retain` does when it is not told what (`otel_traj.store.retention`),
`[[infrastructure]]` errors of the harness (`otel_traj.store.infrastructure`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, get_args

import duckdb

from otel_traj.errors import ConfigurationError, QueryError
from otel_traj.model import Outcome
from otel_traj.store import query, schema

_OUTCOMES: Final = get_args(Outcome)
_JUDGED_LATER: Final = ("outcome", "outcome_source")
_REWARD: Final = ("reward", "reward_source")

_NUMBER: Final = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DOUBLE$|FLOAT$|DECIMAL\(")

SAID: Final = {"scores": "MAP(VARCHAR, DOUBLE)", "labels": "MAP(VARCHAR, VARCHAR)"}
"""What rules see beside the columns of `trajectories` -> its DuckDB type."""


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """Trajectories for which the SQL condition `when` holds have this outcome."""

    name: str
    when: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RewardRule:
    """Trajectories that were given no reward have this one, the SQL number `value`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How much is kept. Each limit is for itself; None sets none.

    Attributes:
        older_than: What ended so long ago goes; zero means now.
        keep: All but so many, the newest, go.
        max_bytes: The oldest go until the rest has about so many bytes.
        outcome: The limits are for trajectories of this outcome.
        agent: And of this agent at the top.
    """

    older_than: timedelta | None = None
    keep: int | None = None
    max_bytes: int | None = None
    outcome: Outcome | None = None
    agent: str | None = None

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ConfigurationError: It has no limit, or a negative one, or the outcome is none.
        """
        limits = (self.older_than, self.keep, self.max_bytes)
        if all(limit is None for limit in limits):
            raise ConfigurationError(
                "Give a limit: an age, a number of trajectories to keep, or a number of bytes"
            )
        if (self.older_than or timedelta()) < timedelta() or min(
            limits[1] or 0, limits[2] or 0
        ) < 0:
            raise ConfigurationError("A limit of retention cannot be negative")
        if self.outcome is not None and self.outcome not in _OUTCOMES:
            raise ConfigurationError(f"outcome {self.outcome!r} is none of {', '.join(_OUTCOMES)}")


@dataclass(frozen=True, slots=True)
class InfrastructureRule:
    """Failed calls of this tool with this signature are the harness's fault."""

    tool: str
    signature: str


@dataclass(frozen=True, slots=True)
class Rules:
    """A store's `rules.toml`."""

    outcomes: tuple[OutcomeRule, ...] = ()
    rewards: tuple[RewardRule, ...] = ()
    outcome_evaluations: tuple[str, ...] = ()
    retention: tuple[RetentionRule, ...] = ()
    infrastructure: tuple[InfrastructureRule, ...] = ()


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
    if not isinstance(evaluations, list) or not all(isinstance(e, str) for e in evaluations):
        raise ConfigurationError(f"{str(path)!r}: outcome_evaluations is a list of names")
    return Rules(
        outcomes=tuple(_outcome_rule(path, t) for t in _tables(path, content, "outcome")),
        rewards=tuple(_reward_rule(path, t) for t in _tables(path, content, "reward")),
        outcome_evaluations=tuple(evaluations),
        retention=tuple(_retention_rule(path, t) for t in _tables(path, content, "retain")),
        infrastructure=tuple(
            _infrastructure_rule(path, t) for t in _tables(path, content, "infrastructure")
        ),
    )


def _tables(path: Path, content: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    tables = content.get(kind, [])
    if not isinstance(tables, list):
        raise ConfigurationError(f"{str(path)!r}: write [[{kind}]], not [{kind}]")
    return tables


def _outcome_rule(path: Path, table: Mapping[str, Any]) -> OutcomeRule:
    rule = _checked_texts(path, "outcome", table, ("name", "when", "outcome"))
    if table["outcome"] not in _OUTCOMES:
        raise ConfigurationError(
            f"{rule}: outcome {table['outcome']!r} is none of {', '.join(_OUTCOMES)}"
        )
    try:
        kind = _type_of(table["when"], without=_JUDGED_LATER)
        if kind != "BOOLEAN":
            raise QueryError(f"it is {kind}, not BOOLEAN")
    except (QueryError, duckdb.Error) as error:
        raise ConfigurationError(
            f"{rule}: `when` is no condition on trajectories: {error}"
        ) from error
    return OutcomeRule(table["name"], table["when"], table["outcome"])


def _reward_rule(path: Path, table: Mapping[str, Any]) -> RewardRule:
    rule = _checked_texts(path, "reward", table, ("name", "value"))
    try:
        kind = _type_of(table["value"], without=_JUDGED_LATER + _REWARD)
        if not _NUMBER.match(kind):
            raise QueryError(f"it is {kind}")
    except (QueryError, duckdb.Error) as error:
        raise ConfigurationError(
            f"{rule}: `value` is no number on trajectories: {error}"
        ) from error
    return RewardRule(table["name"], table["value"])


def _retention_rule(path: Path, table: Mapping[str, Any]) -> RetentionRule:
    try:
        unknown = table.keys() - {field.name for field in fields(RetentionRule)}
        if unknown:
            raise ConfigurationError(f"it has no {min(unknown)!r}")
        older_than, max_bytes = table.get("older_than"), table.get("max_bytes")
        for name, kind in (("keep", int), ("outcome", str), ("agent", str)):
            if type(table.get(name, kind())) is not kind:
                raise ConfigurationError(f"{name} cannot be {table[name]!r}")
        return RetentionRule(
            older_than=None if older_than is None else duration(str(older_than)),
            keep=table.get("keep"),
            max_bytes=None if max_bytes is None else size(str(max_bytes)),
            outcome=table.get("outcome"),
            agent=table.get("agent"),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{str(path)!r}, [[retain]]: {error}") from error


def _infrastructure_rule(path: Path, table: Mapping[str, Any]) -> InfrastructureRule:
    _checked_texts(path, "infrastructure", table, ("tool", "signature"))
    return InfrastructureRule(table["tool"], table["signature"])


_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES: Final = {
    "": 1,
    **{f"{letter}B": 1_000**n for n, letter in enumerate(("", "K", "M", "G", "T"))},
    **{f"{letter}iB": 1_024**n for n, letter in enumerate(("K", "M", "G", "T"), start=1)},
}


def duration(text: str) -> timedelta:
    """Read a length of time: `30d`, `12h`, `2w`.

    Raises:
        ConfigurationError: It is none.
    """
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*([smhdw])\s*", text)
    if found is None:
        raise ConfigurationError(f"{text!r} is no length of time; write 30d, 12h or 2w")
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


def size(text: str) -> int:
    """Read a number of bytes: `5GB`, `500MB`, `2GiB`, `1000000`.

    Raises:
        ConfigurationError: It is none.
    """
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d+)?)\s*([KMGT]?i?B|)\s*", text, re.IGNORECASE)
    units = {unit.lower(): factor for unit, factor in _BYTES.items()}
    if found is None or found[2].lower() not in units:
        raise ConfigurationError(f"{text!r} is no number of bytes; write 5GB, 500MB or 2GiB")
    return int(float(found[1]) * units[found[2].lower()])


def _checked_texts(path: Path, kind: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """How messages name the rule, if it has exactly these keys, all of them texts."""
    rule = f"{str(path)!r}, [[{kind}]] {table.get('name', '?')!r}"
    if table.keys() != set(keys):
        *most, last = keys
        raise ConfigurationError(
            f"{rule}: needs exactly {', '.join(most)} and {last}; has {[*table]}"
        )
    if not all(isinstance(value, str) for value in table.values()):
        *most, last = keys
        raise ConfigurationError(f"{rule}: {', '.join(most)} and {last} are texts")
    return rule


def _type_of(expression: str, *, without: tuple[str, ...]) -> str:
    """The type of one expression over what rules see; refuses whatever else it is."""
    query.check_expression(expression)
    with duckdb.connect() as connection:
        connection.execute(schema.create_table_sql("trajectories"))
        for column in without:
            connection.execute(f"alter table trajectories drop {column}")
        for column, kind in SAID.items():
            connection.execute(f"alter table trajectories add column {column} {kind}")
        [(kind,)] = connection.execute(
            f"select column_type from (describe select ({expression}) from trajectories)"  # noqa: S608 (checked above)
        ).fetchall()
    return str(kind)
