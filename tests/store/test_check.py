"""`verify` finds what is wrong, names it, and finds nothing where all is well."""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otel_traj import wal
from otel_traj.errors import StoreDamagedError
from otel_traj.store import (
    Problem,
    TrajectoryStore,
    files,
    open_store,
    rewrite,
    rows,
    schema,
    snapshot,
)
from tests.store.runs import chat, run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two runs."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("whole") / "traces")
    store.append([*run(1), *run(2)])
    return store.path


@pytest.fixture
def damaged(tmp_path: Path, whole: Path) -> TrajectoryStore:
    """A copy of it, whole until a test damages it."""
    return TrajectoryStore(Path(shutil.copytree(whole, tmp_path / "copy")))


def only_file(store: TrajectoryStore, table: str) -> Path:
    [path] = (store.path / table).glob("date=*/*.parquet")
    return path


def ids(store: TrajectoryStore) -> tuple[str, ...]:
    found = store.sql("select trajectory_id from trajectories order by 1").fetchall()
    return tuple(row[0] for row in found)


def errors(store: TrajectoryStore) -> list[str]:
    return [problem.what for problem in store.verify() if problem.severity == "error"]


def test_a_whole_store_has_nothing_to_say(damaged: TrajectoryStore) -> None:
    assert damaged.verify() == []


def test_a_missing_file_is_an_error(damaged: TrajectoryStore) -> None:
    both = ids(damaged)
    path = only_file(damaged, "steps")
    path.unlink()

    [problem] = damaged.verify()

    relative = path.relative_to(damaged.path).as_posix()
    assert problem == Problem(
        "error",
        f"{relative} is missing. Lost: 6 rows of steps of 2026-11-18, of trajectories"
        f" 2: {', '.join(both)}; the rows can be derived again from their spans."
        " To go on without it: otel-traj verify --repair",
        relative,
        both,
    )
    with pytest.raises(StoreDamagedError, match=r"(?s)steps/.*otel-traj verify"):
        open_store(damaged.path).sql("select 1")


def test_a_file_that_was_cut_is_an_error(damaged: TrajectoryStore) -> None:
    path = only_file(damaged, "spans")
    path.write_bytes(path.read_bytes()[:-10])

    [what] = errors(damaged)

    assert "bytes, not" in what


def test_a_flipped_bit_in_the_middle_of_a_file_is_an_error(damaged: TrajectoryStore) -> None:
    path = only_file(damaged, "spans")
    content = bytearray(path.read_bytes())
    first = pq.ParquetFile(path).metadata.row_group(0).column(0)
    content[first.data_page_offset + first.total_compressed_size - 1] ^= 0x10
    path.write_bytes(content)

    [what] = errors(damaged)

    assert "has other bytes than were written" in what


def commit(store: TrajectoryStore, table: str, file: snapshot.DataFile) -> None:
    """Publish one more file, as a broken sealer would."""
    current = snapshot.newest(store.path)
    snapshot.commit(store.path, current.following({table: (file,)}, current.wal, current.open))


def test_a_span_that_is_stored_twice_is_an_error(damaged: TrajectoryStore) -> None:
    again = rows.spans_table([chat(1, 1)])
    commit(damaged, "spans", files.write(damaged.path, "spans", "2026-11-18", again))

    [what] = errors(damaged)

    assert what.startswith("spans are stored twice: 1")


def test_a_second_live_revision_is_an_error(damaged: TrajectoryStore) -> None:
    header = damaged.connection().sql("from live.trajectories limit 1").to_arrow_table()
    header = header.select([c.name for c in schema.TABLES["trajectories"].columns])
    position = header.schema.get_field_index("rev")
    table = header.set_column(position, "rev", [[9]])
    commit(damaged, "trajectories", files.write(damaged.path, "trajectories", "2026-11-18", table))

    assert any("several live revisions" in what for what in errors(damaged))


def test_steps_without_a_header_are_an_error(damaged: TrajectoryStore) -> None:
    step = next(damaged.trajectories()).steps[0]
    alone = rows.derived_table("steps", [replace(step, trajectory_id="nobody")])
    commit(damaged, "steps", files.write(damaged.path, "steps", "2026-11-18", alone))

    [what] = errors(damaged)

    assert "but no header: 1: nobody" in what


def test_an_unreadable_snapshot_is_an_error_and_stops_questions(damaged: TrajectoryStore) -> None:
    [path] = (damaged.path / "_snap").iterdir()
    path.write_text("{")

    assert len(errors(damaged)) == 1
    with pytest.raises(StoreDamagedError, match="Cannot read snapshot"):
        damaged.sql("select 1 from trajectories")


def test_checking_changes_nothing(damaged: TrajectoryStore) -> None:
    def state() -> dict[Path, int]:
        scratch = damaged.path / "_tmp"  # where a reader says which snapshot it reads
        return {p: p.stat().st_mtime_ns for p in damaged.path.rglob("*") if p != scratch}

    before = state()

    damaged.verify(sample=None)

    assert state() == before


# --- one contradiction each ----------------------------------------------------------------------


def tampered(
    store: TrajectoryStore,
    table: str,
    change: Callable[[pa.Table], pa.Table],
    *,
    date: str = "2026-11-18",
    **claims: Any,
) -> None:
    """Replace a table's only file by one that is whole, and that a broken writer wrote."""
    current = snapshot.newest(store.path)
    [file] = current.live(table)
    with pq.ParquetFile(store.path / file.path) as parquet:
        rows_now = parquet.read()
    written = files.write(store.path, table, date, change(rows_now))
    rewrite.publish(
        store.path,
        rewrite.Change({table: (file,)}, {table: (replace(written, **claims),)}),
        op="repair",
    )


def with_column(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """The same rows, with one value for all in a column."""

    def change(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(name)
        column = pa.array([value] * table.num_rows, table.schema.field(name).type)
        return table.set_column(position, name, column)

    return change


def same(table: pa.Table) -> pa.Table:
    return table


def without_last(table: pa.Table) -> pa.Table:
    return table.slice(0, table.num_rows - 1)


def backwards(table: pa.Table) -> pa.Table:
    return table.take(list(range(table.num_rows))[::-1])


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        ("spans", without_last, "spans of trajectories are not stored: 1"),
        ("steps", without_last, "do not have the steps that their header counts: 1"),
        ("steps", with_column("step", 1), "do not have the steps that their header counts: 2"),
        ("steps", with_column("span_id", "beef"), "steps of spans that are not theirs: 2"),
        ("steps", with_column("output_text", "no"), r"told otherwise .*\(steps.output_text\): 2"),
        ("trajectories", with_column("n_llm", 7), r"told otherwise .*\(trajectories.n_llm\): 2"),
        ("trajectories", without_last, "but no header: 1"),
        ("trajectories", without_last, "spans of runs are stored, but not the runs: 1"),
        ("trajectories", with_column("trace_ids", ["f" * 32]), "of other traces than their header"),
        ("trajectories", with_column("trajectory_id", "x"), "several live revisions: 1: x"),
        ("trajectory_spans", without_last, "do not have the spans that their header counts: 1"),
        (
            "trajectory_spans",
            with_column("span_id", "beef"),
            "spans of trajectories are not st",
        ),
        ("spans", with_column("trace_id", "f" * 32), "spans are stored twice|not stored"),
    ],
)
def test_rows_that_contradict_each_other_are_errors(
    damaged: TrajectoryStore, table: str, change: Callable[[pa.Table], pa.Table], told: str
) -> None:
    tampered(damaged, table, change)

    assert [what for what in errors(damaged) if re.search(told, what)] != []


@pytest.mark.parametrize("table", ["spans", "trajectories", "steps", "trajectory_spans"])
def test_rows_in_another_days_partition_are_errors(damaged: TrajectoryStore, table: str) -> None:
    tampered(damaged, table, same, date="2026-11-19")

    assert [what for what in errors(damaged) if "another day's partition" in what] != []


def test_times_that_a_file_does_not_have_are_an_error(damaged: TrajectoryStore) -> None:
    tampered(damaged, "spans", same, t0=0)

    [what] = errors(damaged)

    assert re.search(r"spans/.* has times from 17\d+ to 17\d+ .* reads by time may miss rows", what)


@pytest.mark.parametrize("table", ["spans", "trajectories", "steps"])
def test_a_file_out_of_order_is_a_note(damaged: TrajectoryStore, table: str) -> None:
    tampered(damaged, table, backwards)

    [problem] = damaged.verify()

    assert problem.severity == "note"
    assert "is not in the order of its table from row 1 on" in problem.what


def test_columns_that_are_not_those_of_the_schema_are_damage(damaged: TrajectoryStore) -> None:
    [file] = snapshot.newest(damaged.path).live("steps")
    path = damaged.path / file.path
    with pq.ParquetFile(path) as parquet:
        pq.write_table(parquet.read().drop_columns(["kind"]), path)
    current = snapshot.newest(damaged.path)
    other = replace(file, bytes=path.stat().st_size, sha256=None)
    snapshot.commit(
        damaged.path, current.changed({"steps": (file,)}, {"steps": (other,)}, "repair")
    )

    [what] = errors(damaged)

    assert f"has other columns than schema {schema.SCHEMA_ID}: kind" in what


def test_what_is_annotated_and_not_stored_is_a_note(damaged: TrajectoryStore) -> None:
    run_id = ids(damaged)[0]
    damaged.annotate(run_id, "outcome", "success")
    damaged.seal()
    tampered(damaged, "annotations", with_column("trajectory_id", "elsewhere"))

    [problem] = damaged.verify()

    assert problem.severity == "note"
    assert "annotations are about trajectories that are not stored: 1" in problem.what


def test_a_segment_that_ends_before_what_was_sealed_is_an_error(damaged: TrajectoryStore) -> None:
    with closing(wal.WalWriter(damaged.path)) as writer:
        writer.append(wal.encode(run(3)))
        damaged.seal()
        [segment] = wal.segments(damaged.path)
        os.truncate(segment, 10)

        [what] = errors(damaged)

    assert "has 10 bytes, but" in what


def test_another_sample_is_taken_of_another_snapshot(store: TrajectoryStore) -> None:
    store.append([span for number in range(30) for span in run(number)])
    tampered(store, "steps", lambda table: wrong_in_one(table))

    found = 0
    for _ in range(5):
        found += bool(any(p.severity == "error" for p in store.verify(sample=10)))
        rewrite.publish(store.path, rewrite.Change(), op="compact")

    assert 0 < found < 5
    assert len([p for p in store.verify(sample=None) if p.severity == "error"]) == 1


def wrong_in_one(table: pa.Table) -> pa.Table:
    names: list[str | None] = [None] * table.num_rows
    names[0] = "wrong"
    return table.set_column(
        table.schema.get_field_index("reasoning"), "reasoning", pa.array(names, pa.string())
    )


def test_progress_is_told(damaged: TrajectoryStore) -> None:
    told: list[tuple[str, int, int]] = []

    damaged.verify(on_progress=lambda *now: told.append(now))

    assert {what for what, _, _ in told} == {"reading files", "comparing tables", "deriving again"}
    assert all(0 <= done <= total for _, done, total in told)


def test_what_older_rules_derived_is_a_note_and_not_compared(damaged: TrajectoryStore) -> None:
    tampered(
        damaged,
        "trajectories",
        lambda table: with_column("n_llm", 7)(with_column("derive_version", "0")(table)),
    )

    [problem] = damaged.verify()

    assert problem.severity == "note"
    assert "by the rules of another version: 2: " in problem.what
    assert problem.ids == ids(damaged)
