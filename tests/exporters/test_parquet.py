"""The Parquet copy: what was written is read back by a DuckDB that knows nothing of us."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from otel_traj import exporters, model
from otel_traj.errors import ConfigurationError
from otel_traj.model import Trajectory
from otel_traj.store import TrajectoryStore, rows, schema

RUNS = Path(__file__).parents[1] / "data" / "corpus"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    """Real recorded runs, and a trajectory that is not exported."""
    from otel_traj import importers

    opened = TrajectoryStore.create(tmp_path_factory.mktemp("store"))
    opened.append(importers.read(RUNS))
    opened.seal(final=True)
    return opened


def read(path: Path, order: str) -> list[dict[str, object]]:
    connection = duckdb.connect()
    found = connection.execute(f"select * from '{path}' order by {order}")
    return [dict(zip(columns(path), row, strict=True)) for row in found.fetchall()]


def columns(path: Path) -> list[str]:
    described = duckdb.connect().execute(f"select column_name from (describe '{path}')")
    return [name for (name,) in described.fetchall()]


def test_trajectories_alone_come_back_as_they_were(store: TrajectoryStore, tmp_path: Path) -> None:
    given = sorted(store.trajectories(), key=lambda t: t.trajectory_id)

    n = exporters.export(iter(given), "parquet", tmp_path / "copy")

    copied = [rows.trajectory(row) for row in read(tmp_path / "copy/trajectories.parquet", "1")]
    steps = [rows.step(row) for row in read(tmp_path / "copy/steps.parquet", "1, step")]
    assert n == len(given)
    assert copied == given
    assert steps == [step for trajectory in given for step in trajectory.steps]


def test_a_copy_with_the_store_has_every_public_table(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    chosen = next(store.trajectories())

    n = exporters.export([chosen], "parquet", tmp_path / "copy", store=store)

    for view, expected in schema.VIEW_COLUMNS.items():
        copied = columns(tmp_path / "copy" / f"{view}.parquet")
        assert copied == [column.name for column in expected]
    [header] = read(tmp_path / "copy/trajectories.parquet", "1")
    spans = read(tmp_path / "copy/spans.parquet", "start_ns, span_id")
    assert n == 1
    assert header["trajectory_id"] == chosen.trajectory_id
    assert header["outcome_source"] is not None
    assert len(spans) == chosen.n_spans


def test_an_empty_choice_gives_empty_tables_with_all_columns(tmp_path: Path) -> None:
    assert exporters.export([], "parquet", tmp_path / "copy") == 0

    path = tmp_path / "copy" / "trajectories.parquet"
    assert (columns(path), read(path, "1")) == (list(model.columns(Trajectory)), [])


def test_a_folder_that_exists_is_not_written_into(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists already"):
        exporters.export([], "parquet", tmp_path)


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield from ()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        exporters.export(broken(), "parquet", tmp_path / "copy")  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []
