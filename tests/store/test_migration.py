"""Files of other versions: older ones are read for ever, newer ones as far as they are known."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otel_traj.errors import StoreVersionError
from otel_traj.store import TrajectoryStore, collection, rewrite, schema, sealing, snapshot
from otel_traj.store.snapshot import DataFile, Snapshot
from tests.store.runs import run, tool

FROZEN = Path(__file__).parents[1] / "data" / "schema-steps.json"


def written_by_another_version(
    store: TrajectoryStore, schema_id: int, change: "type[Other]"
) -> None:
    """Make all live files what a version with other columns would have written."""
    current = snapshot.newest(store.path)
    files = {
        table: tuple(replace(change.file(store.path, f), schema=schema_id) for f in own)
        for table, own in current.files.items()
    }
    columns = {table: change.columns(own) for table, own in schema.COLUMNS.items()}
    other = replace(current.changed(current.files, files, "seal"), schemas={schema_id: columns})
    snapshot.commit(store.path, other)


class Other:
    @classmethod
    def table(cls, rows: pa.Table) -> pa.Table:
        raise NotImplementedError

    @classmethod
    def columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        raise NotImplementedError

    @classmethod
    def file(cls, store: Path, file: DataFile) -> DataFile:
        path = store / file.path
        with pq.ParquetFile(path) as parquet:
            rows = parquet.read()
        copy = path.with_name(f"{path.stem}X.parquet")
        pq.write_table(cls.table(rows), copy)
        return replace(
            file,
            path=copy.relative_to(store).as_posix(),
            bytes=copy.stat().st_size,
            sha256=None,
        )


class Older(Other):
    """`security_flags` and `task` were not there yet."""

    MISSING = ("security_flags", "task")

    @classmethod
    def table(cls, rows: pa.Table) -> pa.Table:
        return rows.drop_columns([n for n in cls.MISSING if n in rows.column_names])

    @classmethod
    def columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in cls.MISSING)


class Newer(Other):
    """It has a column `mood`, first."""

    @classmethod
    def table(cls, rows: pa.Table) -> pa.Table:
        return rows.add_column(0, "mood", pa.array(["glad"] * rows.num_rows))

    @classmethod
    def columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return ("mood", *names)


@pytest.fixture
def older(store: TrajectoryStore) -> TrajectoryStore:
    store.append(run(1))
    written_by_another_version(store, 0, Older)
    store.append(run(2))
    return store


@pytest.fixture
def newer(store: TrajectoryStore) -> TrajectoryStore:
    store.append(run(1))
    written_by_another_version(store, 2, Newer)
    store.append(run(2))
    return store


def schemas(store: TrajectoryStore) -> set[int]:
    return {f.schema for own in snapshot.newest(store.path).files.values() for f in own}


def test_the_columns_are_those_of_the_newest_step() -> None:
    """Who adds a column adds a step; `schema-steps.json` is what each released step wrote."""
    frozen = json.loads(FROZEN.read_text("utf-8"))

    assert [step.id for step in schema.SCHEMA_STEPS] == [int(key) for key in frozen]
    assert {name: list(columns) for name, columns in schema.COLUMNS.items()} == frozen[
        str(schema.SCHEMA_ID)
    ]


def test_what_an_older_file_lacks_is_null(older: TrajectoryStore) -> None:
    told = "select task, agent_name from trajectories order by start_time"
    assert older.sql(told).fetchall() == [(None, "clerk"), ("order-2", "clerk")]
    assert len(list(older.trajectories())) == 2
    assert older.verify() == []


def test_a_late_span_of_an_older_file_makes_a_row_of_today(older: TrajectoryStore) -> None:
    older.append([tool(1, 4)])

    assert older.sql("select n_spans from trajectories order by 1").fetchall() == [(4,), (5,)]
    assert older.verify() == []


def test_migrating_writes_the_columns_of_today(older: TrajectoryStore) -> None:
    before = older.sql("from steps order by all").fetchall()
    assert schemas(older) == {0, 1}

    report = older.migrate()

    assert report.days == ("2026-11-18",)
    assert schemas(older) == {schema.SCHEMA_ID}
    assert older.sql("from steps order by all").fetchall() == before
    assert snapshot.newest(older.path).op == "migrate"
    assert older.migrate().days == ()
    collection.collect(older.path, grace_s=0.0)
    assert set(snapshot.newest(older.path).schemas) == {schema.SCHEMA_ID}


def test_a_newer_file_is_read_without_what_is_not_known(newer: TrajectoryStore) -> None:
    assert len(list(newer.trajectories())) == 2
    assert newer.sql("select count(*) from spans").fetchall() == [(8,)]
    assert newer.verify() == []


def test_what_a_newer_version_wrote_is_not_lost_by_merging(newer: TrajectoryStore) -> None:
    columns = snapshot.newest(newer.path).schemas[2]

    newer.compact(full=True)
    newer.migrate()

    assert schemas(newer) == {1, 2}
    assert snapshot.newest(newer.path).schemas[2] == columns


def test_erasing_from_a_newer_file_says_what_to_do(newer: TrajectoryStore) -> None:
    current = snapshot.newest(newer.path)

    with (
        sealing.held(newer.path, 1.0),
        pytest.raises(StoreVersionError, match="pip install -U otel-traj"),
    ):
        rewrite.without(
            newer.path, current, {"spans": "span_id = (select min(span_id) from stored.spans)"}
        )

    assert snapshot.newest(newer.path) == current


def test_a_snapshot_without_hashes_is_read() -> None:
    content = snapshot._to_json(Snapshot(files={"spans": (DataFile("a", 1, 2, None, None),)}))
    del content["files"]["spans"][0]["sha256"]

    assert snapshot._from_json(content).live("spans")[0].sha256 is None
