"""Disks under a receiver that are full, failing, read-only or gone: what was acknowledged is kept.

What cannot be stored is answered with a reason and a time to come again, and once it can, the same
process stores it. Real file systems of a few megabytes where root may mount them, and a C library
under the process that makes single calls fail.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_traj import otlp
from otel_traj.store import open_store
from tests.server.serving import Answer, Serving, serving, wait_for
from tests.store.runs import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="mount and LD_PRELOAD are Linux's"),
]

FAULTY_DISK = Path(__file__).resolve().parents[1] / "surroundings" / "faulty_disk.c"


def send(served: Serving, number: int, size: int = 0) -> Answer:
    """A run of four spans, with a text of some bytes."""
    body = otlp.traces_to_protobuf(run(number, note="x" * size))
    return served.post("/v1/traces", body)


def refused_for_now(answer: Answer, why: str) -> bool:
    """Whether the sender is told to come again, and why."""
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    return f"The store cannot be written: {why}".encode() in answer.body


def tasks(store: Path) -> set[str]:
    """Of the runs in a store that is in order."""
    opened = open_store(store)
    assert [problem for problem in opened.verify() if problem.severity == "error"] == []
    found = opened.sql("select task, n_spans from trajectories").fetchall()
    assert len(found) == len(dict(found))
    assert set(dict(found).values()) <= {4}
    return {task for task, _ in found}


def mount(*arguments: object) -> None:
    done = subprocess.run(
        ["mount", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB; only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=16m", "none", disk)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_of_a_disk_that_fills_up_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    """The sealer, too, finds it full; when there is room, both go on."""
    with serving(small_disk / "traces", "--seal-every", "0.2") as served:
        answers = [send(served, number, size=200_000) for number in range(1, 100)]
        acknowledged = {f"order-{n}" for n, told in enumerate(answers, 1) if told.status == 200}
        mount("-o", "remount,size=300m", small_disk)
        last = send(served, 1_000)
        served.stop()

    refused = [told for told in answers if told.status != 200]
    assert acknowledged
    assert refused
    assert all(refused_for_now(told, "No space left on device") for told in refused)
    assert last.status == 200
    assert tasks(small_disk / "traces") == {*acknowledged, "order-1000"}


def test_a_disk_that_becomes_read_only_is_waited_for(small_disk: Path) -> None:
    store = small_disk / "traces"
    with serving(store, "--seal-every", "1000") as served:
        wait_for(lambda: served.metrics()["otel_traj_sealer_last_seal_seconds"] > 0)
        mount("-o", "remount,ro", small_disk)  # which a file that is open would hinder
        refused = send(served, 1)
        mount("-o", "remount,rw", small_disk)
        again = send(served, 1)
        served.stop()

    assert refused_for_now(refused, "Read-only file system")
    assert again.status == 200
    assert tasks(store) == {"order-1"}


def test_a_disk_that_is_gone_is_not_written_beside(small_disk: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    with serving(small_disk / "traces") as served:
        taken = send(served, 1)
        mount("--bind", small_disk, aside)
        subprocess.run(["umount", "--lazy", str(small_disk)], check=True)
        refused = send(served, 2)
        beside = list(small_disk.iterdir())
        mount("--bind", aside, small_disk)
        again = send(served, 2)
        served.stop()
    subprocess.run(["umount", "--lazy", str(aside)], check=True)

    assert (taken.status, again.status) == (200, 200)
    assert refused_for_now(refused, "No such device")
    assert beside == []
    assert tasks(small_disk / "traces") == {"order-1", "order-2"}


def test_a_store_that_is_removed_is_begun_anew(store: Path) -> None:
    with serving(store, "--seal-every", "0.2") as served:
        before = send(served, 1)
        shutil.rmtree(store)
        store.write_text("in the way")
        in_the_way = send(served, 2)
        store.unlink()
        after = send(served, 2)
        served.stop()

    assert (before.status, in_the_way.status, after.status) == (200, 503, 200)
    assert tasks(store) == {"order-2"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`faulty_disk.c`, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or not FAULTY_DISK.exists():
        pytest.skip("no C compiler here, which these tests need")
    compiled = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", FAULTY_DISK, "-o", compiled, "-ldl"], check=True)
    return compiled


def test_after_a_disk_that_failed_nothing_acknowledged_is_missing(
    library: Path, store: Path, tmp_path: Path
) -> None:
    """Syncs fail now and then, and writes once for a while; in the end the receiver is killed."""
    faults = tmp_path / "faults"
    faults.mkdir()
    under = {"FAULTS": str(faults), "FAULTS_UNDER": str(store / "_wal")}
    with serving(store, LD_PRELOAD=str(library), **under) as served:
        for number in range(1, 31):
            if number % 3 == 1:
                (faults / "sync-errno").write_text(str(errno.EIO))
            if number == 20:
                (faults / "write-errno").write_text(str(errno.EIO))
            while (answer := send(served, number)).status != 200:
                assert refused_for_now(answer, "Input/output error")
                (faults / "write-errno").unlink(missing_ok=True)
        served.kill()

    assert tasks(store) == {f"order-{number}" for number in range(1, 31)}
