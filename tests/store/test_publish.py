"""Delta tables in place: other engines read the same rows, round after round, whatever dies."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import deltalake
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from otel_traj import wal
from otel_traj.errors import MissingExtraError, StoreError
from otel_traj.store import (
    TrajectoryStore,
    collection,
    compaction,
    files,
    publish,
    published,
    rewrite,
    schema,
    snapshot,
)
from otel_traj.store.snapshot import DataFile
from tests.store.runs import chat, close, root, run, started, tool

DAY = "2026-11-18"

Read = Callable[[Path], pa.Table]


def by_polars(folder: Path) -> pa.Table:
    return polars.scan_delta(str(folder)).collect().to_arrow()


def by_delta_rs_and_pyarrow(folder: Path) -> pa.Table:
    # Through deltalake's own file system, pyarrow 26 aborts the interpreter at its end.
    local = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    return deltalake.DeltaTable(folder).to_pyarrow_table(filesystem=local)


def by_datafusion(folder: Path) -> pa.Table:
    engine = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(folder))
    return pa.table(engine.execute("select * from t").read_all())


ENGINES = (by_polars, by_delta_rs_and_pyarrow, by_datafusion)
every_engine = pytest.mark.parametrize("read", ENGINES, ids=lambda read: read.__name__)


def cells(rows: pa.Table, table: str) -> list[str]:
    """All rows as texts, in a fixed order: NaN equals NaN, and -0.0 is not 0.0."""
    names = schema.COLUMNS[table]
    return sorted(repr([_plain(row[name]) for name in names]) for row in rows.to_pylist())


def _plain(cell: Any) -> Any:
    return cell.astimezone(UTC).isoformat() if isinstance(cell, datetime) else cell


def live(store: TrajectoryStore, table: str) -> list[str]:
    """What our own engine sees, without the columns that views add."""
    source = f"live.{table}" if schema.TABLES[table].name in _REVISED else f"stored.{table}"
    names = ", ".join(f'"{name}"' for name in schema.COLUMNS[table])
    rows = store.connection().sql(f"select {names} from {source}").to_arrow_table()
    return cells(rows, table)


_REVISED = ("trajectories", "steps", "trajectory_spans", "file_changes")


def assert_published(store: TrajectoryStore, engines: Iterable[Read] = ENGINES) -> None:
    for table in publish.ORDER:
        expected = live(store, table)
        for read in engines:
            assert cells(read(store.path / table), table) == expected, (table, read.__name__)


# --- the same rows -----------------------------------------------------------------------------

_EDGES: dict[str, list[Any]] = {
    "VARCHAR": ["", "Zürich 東京 👩‍🚀", "a\x00b\n\t\"'\\", None],
    "BIGINT": [-(2**63), 2**63 - 1, 0, None],
    "INTEGER": [-(2**31), 2**31 - 1, 0, None],
    "DOUBLE": [math.nan, -math.inf, -0.0, None],
    "BOOLEAN": [True, False, True, None],
    "TIMESTAMP WITH TIME ZONE": [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 11, 18, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2262, 4, 11, 23, 47, 16, 854_775, tzinfo=UTC),
        None,
    ],
    "VARCHAR[]": [[], ["a", "", None], None, ["ß" * 1000]],
}


def edge(column: schema.Column, row: int) -> Any:
    """A value at the edge of a column's type; four of them, one is NULL."""
    values = _EDGES.get(column.duckdb_type)
    if values is not None:
        return values[row]
    fields = list(column.arrow_type.value_type)  # a list of structs
    whole = {f.name: 2**31 - 1 if pa.types.is_integer(f.type) else None for f in fields}
    texts = {f.name: "é" for f in fields if pa.types.is_string(f.type)}
    return [[], [whole, whole | texts], None, [whole | texts]][row]


@every_engine
def test_every_type_at_its_edges_reads_back_the_same(store: TrajectoryStore, read: Read) -> None:
    expected = {}
    for table in publish.ORDER:
        columns = schema.TABLES[table].columns
        rows = pa.Table.from_pylist(
            [{c.name: edge(c, row) for c in columns} for row in range(4)],
            schema=schema.arrow_schema(table),
        )
        expected[table] = cells(rows, table)
        commit(store, table, files.write(store.path, table, DAY, rows))

    publish.publish(store.path)

    assert {t: cells(read(store.path / t), t) for t in publish.ORDER} == expected


def commit(store: TrajectoryStore, table: str, file: DataFile) -> None:
    rewrite.publish(store.path, rewrite.Change({}, {table: (file,)}), op="seal")


def test_the_day_is_a_column_that_no_file_holds(store: TrajectoryStore) -> None:
    store.append(run(1))
    store.publish()

    [file] = deltalake.DeltaTable(store.path / "steps").file_uris()

    steps = by_polars(store.path / "steps")
    assert steps["date"].to_pylist() == [date(2026, 11, 18)] * 3
    assert "date" not in pq.ParquetFile(file).schema_arrow.names


def test_times_are_moments_in_utc(store: TrajectoryStore) -> None:
    store.append(run(1))
    store.publish()
    start = datetime(2026, 11, 18, 11, 6, 41, 1_000, tzinfo=UTC)

    after = polars.scan_delta(str(store.path / "steps")).filter(
        polars.col("start_time") > start, polars.col("date") == start.date()
    )
    told = store.sql("select count(*) from steps where start_time > $start", {"start": start})

    assert after.collect().height == told.fetchall()[0][0] == 2


# --- round after round ---------------------------------------------------------------------------


def test_append_late_spans_compaction_and_removal_are_followed(store: TrajectoryStore) -> None:
    for number in range(6):
        store.append(run(number))
        if number % 2:
            store.append([tool(number, 4)])  # late: its trajectory is derived again
        if number % 3 == 0:
            store.compact(full=True)
        if number == 5:
            store.delete([next(store.trajectories(task="order-2")).trajectory_id])
            assert_published(store, [by_polars])  # at once, and not only with the next publication
        store.publish()
        assert_published(store, [by_polars])

    assert_published(store)
    assert len(live(store, "trajectories")) == 5


def test_nothing_is_copied(store: TrajectoryStore) -> None:
    store.append(run(1))
    before = set(store.path.rglob("*.parquet"))

    report = store.publish()

    assert set(store.path.rglob("*.parquet")) == before
    assert (report.added, report.removed) == (4, 0)


def test_publishing_twice_commits_once(store: TrajectoryStore) -> None:
    store.append(run(1))
    first = store.publish()

    second = store.publish()

    assert second == replace(first, added=0)


def test_a_run_that_goes_on_is_published_as_far_as_it_is(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    for position in range(1, 4):
        writer.append(wal.encode([started(root(1)), chat(1, position)]))
        store.publish()
        assert_published(store, [by_polars])
    writer.append(wal.encode([root(1), close(1)]))

    store.publish()
    writer.close()

    assert_published(store)
    [status] = by_polars(store.path / "trajectories")["status"].to_pylist()
    assert status == "completed"


def test_a_revision_that_dies_while_others_are_left_out_is_not_published(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(run(1))
    store.append([tool(1, 4)])
    real = rewrite.without
    late = [tool(1, 5)]

    def with_a_late_span(*arguments: Any) -> Any:
        change = real(*arguments)
        if late:
            store.append([late.pop()])
        return change

    monkeypatch.setattr(rewrite, "without", with_a_late_span)

    store.publish()

    assert_published(store)
    assert [len(live(store, "trajectories")), len(live(store, "spans"))] == [1, 6]


def test_spans_and_days_without_dead_revisions_are_not_rewritten(store: TrajectoryStore) -> None:
    store.append([*run(1), *run(2)])
    before = {table: snapshot.newest(store.path).live(table) for table in publish.ORDER}
    store.append([tool(1, 4)])

    store.publish()

    after = {table: snapshot.newest(store.path).live(table) for table in publish.ORDER}
    assert {t for t in publish.ORDER if not set(before[t]) <= set(after[t])} == {
        "trajectories",
        "steps",
        "trajectory_spans",
    }
    assert_published(store)


def test_a_column_of_a_newer_version_is_added(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(run(1))
    [file] = snapshot.newest(store.path).live("trajectories")
    written_before(store, file)
    with monkeypatch.context() as before:  # the version before knew no `task`
        before.setattr(publish, "_schema", lambda table: without_task(real_schema(table)))
        publish.publish(store.path)

    store.append(run(2))
    store.publish()

    for read in ENGINES:
        tasks = read(store.path / "trajectories")["task"].to_pylist()
        assert sorted(tasks, key=str) == [None, "order-2"], read.__name__


real_schema = publish._schema


def without_task(columns: pa.Schema) -> pa.Schema:
    return pa.schema([column for column in columns if column.name != "task"])


def written_before(store: TrajectoryStore, file: DataFile) -> None:
    """Put a file without `task` in the place of one."""
    with pq.ParquetFile(store.path / file.path) as parquet:
        rows = parquet.read().drop_columns(["task"])
    old = store.path / file.path
    old.unlink()
    pq.write_table(rows, old)
    other = replace(file, bytes=old.stat().st_size, sha256=None, schema=0)
    names = {t: tuple(c for c in own if c != "task") for t, own in schema.COLUMNS.items()}
    current = snapshot.newest(store.path)
    following = current.changed({"trajectories": (file,)}, {"trajectories": (other,)}, "seal")
    snapshot.commit(store.path, replace(following, schemas={0: names}))


def test_older_versions_of_a_table_stay_readable(store: TrajectoryStore) -> None:
    store.append(run(1))
    first = store.publish().versions["steps"]
    store.append(run(2))
    store.publish()

    then = polars.scan_delta(str(store.path / "steps"), version=first).collect()
    now = polars.scan_delta(str(store.path / "steps")).collect()

    assert (then.height, now.height) == (3, 6)


def test_a_long_log_gets_checkpoints(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(publish._SETTINGS, "delta.checkpointInterval", "5")
    store.append(run(1))
    store.publish()
    [file] = snapshot.newest(store.path).live("steps")
    for _ in range(6):
        change = rewrite.Change({"steps": (file,)}, {"steps": (copied(store, file),)})
        [file] = rewrite.publish(store.path, change, op="compact").live("steps")
        publish.publish(store.path)

    assert list((store.path / "steps" / "_delta_log").glob("*.checkpoint.parquet"))
    assert_published(store)


def copied(store: TrajectoryStore, file: DataFile) -> DataFile:
    with pq.ParquetFile(store.path / file.path) as parquet:
        return files.write(store.path, "steps", file.date, parquet.read())


# --- what the log tells, and what is kept for its readers -----------------------------------------


def test_the_log_tells_times_but_no_ids_and_no_texts(store: TrajectoryStore) -> None:
    store.append(run(1, secret="sk-very-secret"))
    store.publish()

    log = "".join(p.read_text() for p in store.path.glob("*/_delta_log/*.json"))

    [run_id] = [t.trajectory_id for t in store.trajectories()]
    told = [f"{1:032x}", run_id, "order-1", "clerk", "sk-very-secret", "m-1", f"{1:08x}{1:08x}"]
    assert [text for text in told if text in log] == []
    [add] = [
        json.loads(line)["add"]
        for line in log.splitlines()
        if '"add":{"path"' in line and '"numRecords": 3' in line.replace("\\", "")
    ]
    assert json.loads(add["stats"]) == {
        "numRecords": 3,
        "minValues": {"start_time": "2026-11-18T11:06:41.001000Z"},
        "maxValues": {"start_time": "2026-11-18T11:06:41.003000Z"},
    }


def test_what_is_published_is_kept_until_it_is_brought_up_to_date(store: TrajectoryStore) -> None:
    store.append(run(1))
    store.publish()
    store.append([tool(1, 4)])
    before = {table: cells(by_polars(store.path / table), table) for table in publish.ORDER}
    compaction.compact(store.path, scope="all")
    age(store)

    collection.collect(store.path)

    assert {t: cells(by_polars(store.path / t), t) for t in publish.ORDER} == before
    assert store.verify() == []

    store.publish()
    age(store)
    collection.collect(store.path)

    assert {p.relative_to(store.path).as_posix() for p in store.path.rglob("*/date=*/*")} == (
        published.paths(store.path)
    )
    assert_published(store)


def age(store: TrajectoryStore) -> None:
    """Make everything older than what is kept for readers, and than the last few snapshots."""
    for _ in range(3):
        rewrite.publish(store.path, rewrite.Change(), op="compact")
    before = time.time() - 2 * collection.GRACE_S
    for path in store.path.rglob("*"):
        os.utime(path, (before, before))


def test_tables_whose_files_are_gone_are_told_and_mended(store: TrajectoryStore) -> None:
    store.append(run(1))
    store.publish()
    store.append([tool(1, 4)])
    compaction.compact(store.path, scope="all")
    collection.collect(store.path, grace_s=0)

    [problem] = store.verify()
    store.publish()

    assert "the published Delta tables name files that are gone: 4" in problem.what
    assert store.verify() == []
    assert_published(store)


def test_what_others_wrote_into_a_table_is_taken_out_again(store: TrajectoryStore) -> None:
    store.append(run(1))
    store.append(run(2))
    store.publish()
    deltalake.DeltaTable(store.path / "steps").optimize.compact()
    assert deltalake.DeltaTable(store.path / "steps").version() == 2

    store.publish()

    assert_published(store)
    assert {file.path for file in snapshot.newest(store.path).live("steps")} == {
        f"steps/{Path(uri).parent.name}/{Path(uri).name}"
        for uri in deltalake.DeltaTable(store.path / "steps").file_uris()
    }


# --- death and damage -----------------------------------------------------------------------------


@pytest.mark.parametrize("died_at", ["spans", "trajectories"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_death_between_tables_is_healed_by_the_next(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, died_at: str, after_commit: bool
) -> None:
    store.append(run(1))
    store.publish()
    before = {table: live(store, table) for table in publish.ORDER}
    store.append([*run(2), tool(1, 4)])
    real = publish._publish_table

    def dies(path: Path, current: Any, table: str, report: Any) -> Any:
        if table == died_at:
            if after_commit:
                real(path, current, table, report)
            raise KeyboardInterrupt
        return real(path, current, table, report)

    with monkeypatch.context() as death:
        death.setattr(publish, "_publish_table", dies)
        with pytest.raises(KeyboardInterrupt):
            store.publish()

    for table in publish.ORDER:  # each is that of one snapshot or of the other
        assert cells(by_polars(store.path / table), table) in (before[table], live(store, table))
    named = {
        Path(uri).relative_to(store.path).as_posix()
        for table in publish.ORDER
        for uri in deltalake.DeltaTable(store.path / table).file_uris()
    }
    assert named <= published.paths(store.path)
    store.publish()
    assert_published(store, [by_polars])


@pytest.mark.parametrize("torn", ["", '{"commitInfo":{"timest'])
def test_a_log_that_a_power_cut_tore_is_begun_anew(
    store: TrajectoryStore, torn: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(run(1))
    store.publish()
    (store.path / "steps/_delta_log/00000000000000000001.json").write_text(torn)
    store.append(run(2))

    store.publish()

    assert_published(store)


def test_a_log_that_we_may_not_write_is_an_error_that_names_it(store: TrajectoryStore) -> None:
    store.append(run(1))
    store.publish()
    of_others = store.path / "steps/_delta_log/00000000000000000002.json"
    of_others.write_text('{"protocol":{"minReaderVersion":1,"minWriterVersion":99}}\n')
    store.append(run(2))

    with pytest.raises(StoreError, match=r"(?s)steps.*_delta_log.* and publish again"):
        store.publish()


PUBLISHER = """
import sys
from pathlib import Path
from otel_traj.store import TrajectoryStore
from tests.store.runs import run, tool
store = TrajectoryStore(Path(sys.argv[1]))
first = int(sys.argv[2])
for number in range(first, first + 1000):
    store.append(run(number))
    store.append([tool(number, 4)])
    store.publish()
    print(number, flush=True)
"""


@pytest.mark.slow
def test_publishers_that_are_killed_leave_whole_tables(store: TrajectoryStore) -> None:
    delays = [0.0, 0.15]
    for position, delay in enumerate(delays):
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(store.path), str(1000 * position)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        for table in publish.ORDER:
            by_polars(store.path / table)
        assert [p for p in store.verify() if p.severity == "error"] == []

    store.publish()

    assert_published(store)
    assert len(live(store, "trajectories")) >= len(delays)


# --- only where it was asked for ------------------------------------------------------------------


def test_without_the_extra_it_says_what_to_install(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deltalake.transaction", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'otel-traj\[delta\]'"):
        store.publish()


def test_compaction_brings_up_to_date_what_was_published_and_nothing_else(
    store: TrajectoryStore,
) -> None:
    store.append(run(1))
    store.compact()
    assert not list(store.path.rglob("_delta_log"))
    store.publish()
    store.append(run(2))

    store.compact()

    assert_published(store, [by_polars])


def test_without_the_extra_tables_stay_behind_and_this_is_said(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(run(1))
    store.publish()
    monkeypatch.setitem(sys.modules, "deltalake.transaction", None)

    store.compact()

    assert "stay behind" in caplog.text


def test_an_empty_store_can_be_published(store: TrajectoryStore) -> None:
    store.publish()

    assert_published(store)
