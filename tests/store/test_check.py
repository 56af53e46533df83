from pathlib import Path

import pyarrow.parquet as pq
import pytest

from otel_traj.errors import StoreDamagedError
from otel_traj.store import Problem, TrajectoryStore, files, open_store, rows, schema, snapshot
from tests.store.runs import chat, run


@pytest.fixture
def damaged(store: TrajectoryStore) -> TrajectoryStore:
    """A store of two runs, whole until a test damages it."""
    store.append([*run(1), *run(2)])
    return store


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
        f" 2: {', '.join(both)}; the rows can be derived again from their spans",
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
    content[first.dictionary_page_offset + first.total_compressed_size - 1] ^= 0x10
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
    from dataclasses import replace

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
