"""The tables of one snapshot as SQL views, in our locked-down engine and in any other DuckDB.

Three schemas: `stored` is what the files hold, `live` leaves dead revisions out, and the default
one has the public views (`schema.VIEW_COLUMNS`), which join what is kept apart: outcome and
rewards, which may be given long after a run, and the trajectory of a span. The same text, with
paths relative to the store, is written to `views.sql` at each commit: start DuckDB in the store,
`.read views.sql`.
"""
# ruff: noqa: S608 - what is put into this SQL are names of schema.py, quoted texts, checked rules

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, cast, get_args

import duckdb
import pyarrow as pa

from otel_traj.errors import StoreDamagedError
from otel_traj.model import Outcome
from otel_traj.store import attempts
from otel_traj.store import rules as rules_module
from otel_traj.store.rules import SAID, Rules
from otel_traj.store.schema import BY_A_PERSON, COLUMNS, SCHEMA_ID, SUPERSEDED, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot
from otel_traj.wal import ulid

MEMORY_LIMIT: Final = "4GB"
"""What one query may use, where nobody says less."""

Tail: TypeAlias = "Mapping[str, pa.Table]"
"""Table -> rows that no file holds yet, with a column `date`: the log of a read-only store."""

REVISED: Final = ("trajectories", "steps", "trajectory_spans", "file_changes")
"""Tables whose rows have a revision."""


@dataclass(frozen=True, slots=True)
class Said:
    """What sorts of annotations there may be; views without the rare ones are planned faster.

    Attributes:
        any_nameless: Some name only a trace or span.
        any_former: Some may name a trajectory by an id that it had before.
        any_step_reward: Some are rewards of steps.
    """

    any_nameless: bool = True
    any_former: bool = True
    any_step_reward: bool = True


@dataclass(frozen=True, slots=True)
class Setup:
    """What an engine may use, and what it gets beside the public views.

    Attributes:
        memory: What one query may use, as DuckDB writes it; it spills nowhere, so a greedier one
            fails with a clear error.
        threads: How many it uses; None for all cores.
        finish: Adds to the engine, before it is locked; None for nothing.
    """

    memory: str = MEMORY_LIMIT
    threads: int | None = None
    finish: Callable[[duckdb.DuckDBPyConnection], None] | None = None


class Engine(NamedTuple):
    """An engine with the public views, and what these need not look for."""

    connection: duckdb.DuckDBPyConnection
    said: Said


def connect(
    store: Path,
    snapshot: Snapshot,
    rules: Rules | None = None,
    tail: Tail | None = None,
    setup: Setup | None = None,
) -> Engine:
    """A private engine with the public views of one snapshot.

    It reads the store's folder and can change no setting. `COPY` into the store is not prevented
    here: what strangers write goes through `query.check`.

    Raises:
        StoreDamagedError: A file that the snapshot names cannot be read.
    """
    setup = setup or Setup()
    connection = _engine(setup)
    for name, rows in (tail or {}).items():
        connection.execute("create schema if not exists tail")
        connection.register("rows_of_tail", rows)
        connection.execute(f'create table tail."{name}" as from rows_of_tail')
        connection.unregister("rows_of_tail")
    _run(connection, store, _joined(_internal_views(snapshot, store, frozenset(tail or ()))))
    said = _said(connection, snapshot, tail or {})
    _run(connection, store, _joined(_public_views(rules or Rules(), said)))
    if setup.finish is not None:
        setup.finish(connection)
    _lock(connection, store)
    return Engine(connection, said)


def connect_to_none(store: Path, rules: Rules, said: Said) -> duckdb.DuckDBPyConnection:
    """The same on no files, for who lets the views in `stored` read some."""
    connection = _engine()
    stored = {f"stored.{name}": no_rows(name) for name in TABLES}
    live = {f"live.{name}": _live(name, any_dead=True) for name in REVISED}
    connection.execute(_joined({**stored, **live, **_public_views(rules, said)}))
    _lock(connection, store)
    return connection


def _lock(connection: duckdb.DuckDBPyConnection, store: Path) -> None:
    connection.execute(f"set allowed_directories = [{quoted(str(store))}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def connect_without_views() -> duckdb.DuckDBPyConnection:
    """An engine with the schemas `stored` and `live`, for who makes only the views it needs."""
    connection = _engine()
    connection.execute(_joined({}))
    return connection


def connect_for_sealing(store: Path, snapshot: Snapshot) -> duckdb.DuckDBPyConnection:
    """An engine with the schemas `stored` and `live` only, which takes half as long to open.

    Raises:
        StoreDamagedError: A file that the snapshot names cannot be read.
    """
    connection = _engine()
    _run(connection, store, _joined(_internal_views(snapshot, store, frozenset())))
    return connection


@contextlib.contextmanager
def connect_for_rewriting(store: Path, snapshot: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same for work on whole days: what does not fit in memory is spilled into `_tmp`.

    Raises:
        StoreDamagedError: A file that the snapshot names cannot be read.
    """
    spill = store / "_tmp" / f"spill-{ulid()}"
    try:
        with connect_for_sealing(store, snapshot) as connection, reading_files(store):
            connection.execute(f"set temp_directory = {quoted(str(spill))}")
            yield connection
    finally:
        shutil.rmtree(spill, ignore_errors=True)


@contextlib.contextmanager
def reading_files(store: Path) -> Iterator[None]:
    """While SQL of ours runs: an error of the engine is a file that it cannot read.

    Flipped bits show as almost any class of error, down to columns that are not there.

    Raises:
        StoreDamagedError: A file that the snapshot names cannot be read.
    """
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        if "Query interrupted" in str(error):
            raise
        raise StoreDamagedError(
            f"A file of {str(store)!r} cannot be read: {error}. What is lost, and what to do:"
            " otel-traj verify"
        ) from error


def _run(connection: duckdb.DuckDBPyConnection, store: Path, sql: str) -> None:
    with reading_files(store):
        connection.execute(sql)


def _engine(setup: Setup = Setup()) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "memory_limit": setup.memory,
            "threads": setup.threads or os.cpu_count() or 1,
            "temp_directory": "",
        }
    )
    connection.execute("set parquet_metadata_cache = true")  # files never change; halves planning
    return connection


def write_script(store: Path, snapshot: Snapshot) -> None:
    """Write `views.sql` for a snapshot, by rename: a reader sees the old text or the new one."""
    draft = store / "_tmp" / f"{ulid()}.sql"
    draft.parent.mkdir(exist_ok=True)
    text = _header(snapshot) + script(snapshot, rules_module.load(store))
    try:
        draft.write_text(text, "utf-8")
        draft.rename(store / "views.sql")
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def is_current(store: Path, snapshot: Snapshot) -> bool:
    """Whether `views.sql` is that of a snapshot; not so after a death between the two writes."""
    try:
        with (store / "views.sql").open("r", encoding="utf-8") as file:
            return file.readline() == _header(snapshot).splitlines(keepends=True)[0]
    except FileNotFoundError:
        return False


def _header(snapshot: Snapshot) -> str:
    return (
        f"-- Views on snapshot {snapshot.n} of this store, rewritten at each commit.\n"
        "-- Start DuckDB in this folder, then: .read views.sql\n"
    )


def script(
    snapshot: Snapshot, rules: Rules, *, root: Path | None = None, tail: Iterable[str] = ()
) -> str:
    """SQL that makes all views of a snapshot.

    Args:
        snapshot: Whose files are read.
        rules: What else decides on an outcome.
        root: The store's folder, or None for paths relative to it.
        tail: Tables of which more rows are in schema `tail`.
    """
    internal = _internal_views(snapshot, root, frozenset(tail))
    return _joined({**internal, **_public_views(rules, Said())})


def _said(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, tail: Tail) -> Said:
    if not snapshot.live("annotations") and "annotations" not in tail:
        return Said(any_nameless=False, any_former=False, any_step_reward=False)
    row = connection.execute(
        "select exists(from stored.annotations"
        "  where trajectory_id is null and trace_id is not null),"
        " exists(from live.trajectories where len(aliases) > 0),"
        " exists(from stored.annotations where target = 'step' and \"name\" = 'reward')"
    ).fetchone()
    return Said(*cast("tuple[bool, bool, bool]", row))


def _public_views(rules: Rules, said: Said) -> dict[str, str]:
    return {
        "trajectory_aliases": _ALIASES,
        "annotations": _plain("annotations"),
        "live.told": _told(said),
        "live.last": _LAST,
        "annotations_latest": _LATEST if said.any_former else "from live.last",
        "live.verdicts": _verdicts(rules),
        **({"live.said": _SAID} if rules.outcomes or rules.rewards else {}),
        "live.judged": _trajectories(rules),
        "trajectories": _without_date("live.judged"),
        **({"live.step_rewards": _STEP_REWARDS} if said.any_step_reward else {}),
        "live.rewarded": _steps(has_rewards=said.any_step_reward),
        "steps": _without_date("live.rewarded"),
        "spans": _SPANS,
        "logs": _plain("logs"),
        "trajectory_spans": _plain("trajectory_spans", schema="live"),
        "file_changes": _plain("file_changes", schema="live"),
        "infrastructure": _infrastructure(rules),
        **attempts.COMPUTED,
    }


def _infrastructure(rules: Rules) -> str:
    rows = [f"({quoted(i.tool)}, {quoted(i.signature)})" for i in rules.infrastructure]
    if not rows:
        return "select null::varchar as tool_name, null::varchar as signature where false"
    return f"select distinct * from (values {', '.join(rows)}) i(tool_name, signature)"


def _internal_views(snapshot: Snapshot, root: Path | None, tail: Set[str]) -> dict[str, str]:
    any_dead = bool(snapshot.live(SUPERSEDED.name)) or SUPERSEDED.name in tail
    stored = {f"stored.{name}": _stored(name, snapshot, root, name in tail) for name in TABLES}
    return stored | {f"live.{name}": _live(name, any_dead=any_dead) for name in REVISED}


def _joined(views: Mapping[str, str]) -> str:
    set_up = [
        "set timezone = 'UTC'",
        "create schema if not exists stored",
        "create schema if not exists live",
    ]
    statements = [f"create or replace view {name} as\n{text}" for name, text in views.items()]
    return ";\n\n".join(set_up + statements) + ";\n"


# --- what the files hold -----------------------------------------------------------------------


def _stored(table: str, snapshot: Snapshot, root: Path | None, has_tail: bool) -> str:
    parts = []
    if snapshot.live(table):
        parts.append(rows_of(snapshot, table, snapshot.live(table), root))
    if has_tail:
        parts.append(f'select {_names(table)}, "date" from tail."{table}"')
    return "\nunion all\n".join(parts) or no_rows(table)


def rows_of(
    snapshot: Snapshot,
    table: str,
    files: Iterable[DataFile],
    root: Path | None,
    *,
    with_file: bool = False,
) -> str:
    """SQL for the rows of some files of a table: its columns of today, and `date`.

    Args:
        snapshot: One that knows the files' schemas.
        table: Name of the table.
        files: At least one.
        root: The store's folder, or None for paths relative to it.
        with_file: Also `filename`, the path that was read.
    """
    by_schema: dict[int, list[DataFile]] = {}
    for file in files:
        by_schema.setdefault(file.schema, []).append(file)
    return "\nunion all\n".join(
        _read(columns_of(snapshot, table, schema), table, own, root, with_file=with_file)
        for schema, own in sorted(by_schema.items())
    )


def columns_of(snapshot: Snapshot, table: str, schema: int) -> Set[str]:
    """Columns that the files of a schema have; the others of today are NULL in them."""
    return frozenset(COLUMNS[table] if schema == SCHEMA_ID else snapshot.schemas[schema][table])


def _read(
    has: Set[str], table: str, files: Iterable[DataFile], root: Path | None, *, with_file: bool
) -> str:
    paths = ",\n    ".join(
        quoted(file.path if root is None else str(root / file.path)) for file in files
    )
    columns = ", ".join(
        f'"{c.name}"' if c.name in has else f'null::{c.duckdb_type} as "{c.name}"'
        for c in TABLES[table].columns
    )
    return (
        f'select {columns}, "date"{", filename" if with_file else ""}'
        f" from read_parquet([\n    {paths}\n],"
        " hive_partitioning = true, hive_types = {'date': varchar}"
        f"{', filename = true' if with_file else ''})"
    )


def no_rows(table: str) -> str:
    """SQL for a table without rows: its columns of today, and `date`."""
    columns = ", ".join(f'null::{c.duckdb_type} as "{c.name}"' for c in TABLES[table].columns)
    return f'select {columns}, null::varchar as "date" where false'


def _live(table: str, *, any_dead: bool) -> str:
    dead = "\nanti join stored.superseded using (trajectory_id, rev)" if any_dead else ""
    return f"from stored.{table}{dead}"


# --- public views ------------------------------------------------------------------------------


def _plain(table: str, schema: str = "stored") -> str:
    return f"select {_names(table)} from {schema}.{table}"


def _without_date(view: str) -> str:
    return f'select * exclude ("date") from {view}'


def _names(table: str, prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{column.name}"' for column in TABLES[table].columns)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


_SPANS: Final = f"""\
select {_names("spans", "s.")}, m.trajectory_id, m.step
from stored.spans s left join live.trajectory_spans m using (trace_id, span_id)"""

_ALIASES: Final = """\
select distinct unnest(aliases) as alias, trajectory_id from live.trajectories"""

# An annotation names its trajectory by any id it ever had, or only by trace and span. Written so
# that a filter on `trajectory_id` reaches the files in every part.
_OWN: Final = "from stored.annotations where trajectory_id is not null or trace_id is null"

_FORMER: Final = """\
select a.* replace (al.trajectory_id as trajectory_id)
from stored.annotations a join trajectory_aliases al on al.alias = a.trajectory_id"""

_NAMELESS: Final = """\
select a.* replace (m.trajectory_id as trajectory_id)
from stored.annotations a join live.trajectory_spans m using (trace_id, span_id)
where a.trajectory_id is null and a.trace_id is not null
union all
select a.* replace (t.trajectory_id as trajectory_id)
from (
    from stored.annotations anti join live.trajectory_spans using (trace_id, span_id)
    where trajectory_id is null and trace_id is not null
) a left join (
    select trace_id, min_by(trajectory_id, start_time) as trajectory_id from (
        select unnest(trace_ids) as trace_id, trajectory_id, start_time from live.trajectories
    ) group by trace_id
) t using (trace_id)"""


def _told(said: Said) -> str:
    parts = [_OWN]
    if said.any_former:
        parts.append(_FORMER)
    if said.any_nameless:
        parts.append(_NAMELESS)
    return "\nunion all\n".join(parts)


# What an annotation is about, for "the last word on it", leaves out the root span that a run names
# beside its trajectory.
_LAST: Final = f"""\
with ranked as (
    select *, row_number() over (
        partition by trajectory_id, case when trajectory_id is null then trace_id end, target,
            case when target <> 'trajectory' then span_id end,
            case when target <> 'trajectory' then tool_call_id end, "name", source, annotator
        order by created desc, annotation_id desc
    ) as n_later_or_equal
    from live.told
)
select {_names("annotations")} from ranked where n_later_or_equal = 1 and not deleted"""

# What was said under an earlier id stands in `live.last` under both.
_LATEST: Final = """\
from live.last l anti join trajectory_aliases al on al.alias = l.trajectory_id"""


_REASONS: Final = ("failure_rationale", "error_category", "fix_applied")
"""Columns of `trajectories` that show the last word of anybody, like outcome and reward."""


_EXPLICIT: Final = f"'explicit', {quoted(BY_A_PERSON)}"
"""Sources whose word on an outcome stands above evaluations and rules."""


def _verdicts(rules: Rules) -> str:
    evaluations = ", ".join(map(quoted, ("outcome", *rules.outcome_evaluations)))
    outcomes = ", ".join(map(quoted, get_args(Outcome)))
    reasons = ",\n    ".join(
        "max_by(value_text, row(created, annotation_id))"
        f' filter ("name" = {quoted(name)}) as {name}'
        for name in _REASONS
    )
    return f"""\
select trajectory_id,
    max_by(lower(value_text), row(created, annotation_id)) filter (
        "name" = 'outcome' and source in ({_EXPLICIT}) and lower(value_text) in ({outcomes})
    ) as explicit_outcome,
    max_by(lower(value_text), row(created, annotation_id)) filter (
        "name" in ({evaluations}) and source not in ({_EXPLICIT})
            and lower(value_text) in ({outcomes})
    ) as evaluated_outcome,
    max_by(value_num, row(created, annotation_id)) filter (
        "name" = 'reward' and value_num is not null
    ) as reward,
    max_by(source, row(created, annotation_id)) filter (
        "name" = 'reward' and value_num is not null
    ) as reward_source,
    {reasons}
from live.last
where target = 'trajectory' and trajectory_id is not null
group by trajectory_id"""


# What rules see of evaluations and users: the last word under each name on the run as a whole.
_SAID: Final = """\
with last_words as (
    select trajectory_id, "name",
        max_by(value_num, row(created, annotation_id)) filter (value_num is not null) as score,
        max_by(value_text, row(created, annotation_id)) filter (value_text is not null) as label
    from live.last
    where target = 'trajectory' and trajectory_id is not null
    group by trajectory_id, "name"
)
select trajectory_id,
    map_from_entries(list(row("name", score)) filter (score is not null)) as scores,
    map_from_entries(list(row("name", label)) filter (label is not null)) as labels
from last_words group by trajectory_id"""


def _trajectories(rules: Rules) -> str:
    columns = _names("trajectories", "t.")
    for name in _REASONS:
        columns = columns.replace(f't."{name}"', f'coalesce(v.{name}, t.{name}) as "{name}"')
    has_rules = bool(rules.outcomes or rules.rewards)
    said = "".join(
        f", coalesce(s.{name}, map([], [])::{kind}) as {name}" for name, kind in SAID.items()
    )
    rewards = [(rule.name, _finite(f"try(({rule.value})::double)")) for rule in rules.rewards]
    reward_sources = "".join(
        f"\n        when ({value}) is not null then {quoted('rule:' + name)}"
        for name, value in rewards
    )
    holds = [f"coalesce(try(({rule.when})), false)" for rule in rules.outcomes]
    outcomes = "".join(
        f"\n        when {condition} then {quoted(rule.outcome)}"
        for condition, rule in zip(holds, rules.outcomes, strict=True)
    )
    outcome_sources = "".join(
        f"\n        when {condition} then {quoted('rule:' + rule.name)}"
        for condition, rule in zip(holds, rules.outcomes, strict=True)
    )
    return f"""\
with told as (
    select {columns}, t."date", v.explicit_outcome, v.evaluated_outcome, v.reward as given_reward,
        v.reward_source as given_by, t.duration_us / 1e6 as duration_s{said if has_rules else ""}
    from live.trajectories t left join live.verdicts v using (trajectory_id)
    {"left join live.said s using (trajectory_id)" if has_rules else ""}
), judged as (
    select *,
        coalesce({", ".join(["given_reward", *(value for _, value in rewards)])})::double as reward,
        case
            when given_reward is not null then given_by{reward_sources}
        end as reward_source
    from told
)
select {_names("trajectories")},
    case
        when explicit_outcome is not null then explicit_outcome
        when evaluated_outcome is not null then evaluated_outcome{outcomes}
        when status = 'completed' then 'success'
        when status = 'open' then 'unknown'
        else 'error'
    end as outcome,
    case
        when explicit_outcome is not null then 'explicit'
        when evaluated_outcome is not null then 'evaluation'{outcome_sources}
        else 'builtin'
    end as outcome_source,
    reward, reward_source, duration_s, "date"
from judged"""


def _finite(number: str) -> str:
    return f"case when isfinite({number}) then {number} end"


# An annotation on a step names its tool call; without one it means the span's own step, which comes
# before the tool calls that are told by that span only.
_STEP_REWARDS: Final = """\
with told as (
    select trajectory_id, span_id, tool_call_id, value_num, created, annotation_id
    from live.last
    where target = 'step' and "name" = 'reward' and value_num is not null
), placed as (
    select s.trajectory_id, s.step, a.value_num, a.created, a.annotation_id
    from told a join live.steps s
        on s.trajectory_id = a.trajectory_id and s.tool_call_id = a.tool_call_id
        and (a.span_id is null or s.span_id = a.span_id)
    union all
    select a.trajectory_id, min(s.step), a.value_num, a.created, a.annotation_id
    from told a join live.steps s
        on s.trajectory_id = a.trajectory_id and s.span_id = a.span_id
    where a.tool_call_id is null
    group by a.trajectory_id, a.span_id, a.value_num, a.created, a.annotation_id
)
select trajectory_id, step, max_by(value_num, row(created, annotation_id)) as reward
from placed group by trajectory_id, step"""


def _steps(*, has_rewards: bool) -> str:
    if not has_rewards:
        return f'select {_names("steps")}, duration_us / 1e6 as duration_s, "date" from live.steps'
    columns = _names("steps", "s.").replace('s."reward"', "coalesce(r.reward, s.reward) as reward")
    return (
        f'select {columns}, s.duration_us / 1e6 as duration_s, s."date"\n'
        "from live.steps s left join live.step_rewards r using (trajectory_id, step)"
    )
