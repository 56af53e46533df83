"""`reassemble`: what changed on stdout, the summary on stderr."""

from pathlib import Path

import pytest

from otel_traj.dialects.otel import OPERATIONS
from otel_traj.store import open_store
from tests.cli.conftest import CORPUS, Run


def test_nothing_to_say_where_nothing_changed(run: Run, store: Path) -> None:
    ran = run("reassemble", "--store", store)

    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "1 trajectory rebuilt: 0 changed, 0 new, 0 gone.\n"


def test_the_ids_of_what_changed_are_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setitem(OPERATIONS, "chat", "wrapper")  # rules that know no model calls
        run("ingest", CORPUS, "--store", tmp_path / "traces")
        before = {t.trajectory_id for t in open_store(tmp_path / "traces").trajectories()}

    ran = run("reassemble", "--store", tmp_path / "traces")

    after = {t.trajectory_id for t in open_store(tmp_path / "traces").trajectories()}
    told = {tuple(line.split()) for line in ran.out.splitlines()}
    assert ran.status == 0
    assert {i for what, i in told if what == "new"} == after - before
    assert {i for what, i in told if what == "gone"} == before - after
    assert {i for what, i in told if what == "changed"} < before & after
    assert ran.err.startswith("5 trajectories rebuilt: ")


def test_one_run_is_rebuilt_by_the_beginning_of_its_id(run: Run, store: Path) -> None:
    (trajectory,) = open_store(store).trajectories()

    ran = run("reassemble", trajectory.trajectory_id[:8], "--store", store)

    assert (ran.status, ran.out) == (0, "")
    assert ran.err.startswith("1 trajectory rebuilt: ")


def test_an_unknown_id_is_wrong_use(run: Run, store: Path) -> None:
    ran = run("reassemble", "0123456789", "--store", store)

    assert (ran.status, ran.out) == (2, "")
    assert "No trajectory '0123456789'" in ran.err
