"""Disks that are full, slow, failing, read-only or gone: the agent goes on, records wait.

Real ones where the machine lets us: a file system of a megabyte in a mount namespace, and a C
library under the process that makes single calls fail (`faulty_disk.c`). Elsewhere those tests are
skipped, and say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_traj.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="namespaces and LD_PRELOAD are Linux's"),
]

HEAD = """
import contextlib, errno, os, resource, shutil, subprocess, sys, threading
from pathlib import Path
import otel_traj
store = Path(sys.argv[1])
recording = otel_traj.instrument(store, instrumentors=(), seal=False)

def work(n, text=""):
    with otel_traj.trajectory(f"run {n}"), otel_traj.tool_call("look", arguments={"text": text}):
        pass
"""

ONCE = "Cannot write to the store: "

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs a program to its end, with `HEAD` before it, maybe behind another command."""

    def run(
        program: str, *arguments: object, behind: list[str] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "program.py"
        file.write_text(HEAD + program)
        done = subprocess.run(
            [*(behind or []), sys.executable, "-W", "error", str(file), *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def runs(store: Path) -> list[tuple[Any, ...]]:
    """Task, spans and lost spans of each run, by task."""
    opened = open_store(store)
    assert [problem for problem in opened.verify() if problem.severity == "error"] == []
    sql = "select task, n_spans, n_dropped_spans from trajectories order by task"
    return opened.sql(sql).fetchall()


# --- a small disk --------------------------------------------------------------------------------

FILL = """
def fill():
    with contextlib.suppress(OSError), open(store.parent / "filler", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)

def make_room():
    os.unlink(store.parent / "filler")

def keep():
    shutil.copytree(store, sys.argv[2])
"""


@pytest.fixture
def on_small_disk(python: Python, tmp_path: Path) -> Callable[[str], tuple[Path, str]]:
    """Runs a program whose store is alone on a disk of 2 MB; the store it kept, and its stderr."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    mount = f"mount -t tmpfs -o size=2m small {disk} && exec "
    disk.mkdir()
    tried = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f"{mount} true"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no mount namespace to be had here: {tried.stderr.decode().strip()}")

    def run(program: str) -> tuple[Path, str]:
        behind = ["unshare", "-Urm", "sh", "-c", f'{mount} "$0" "$@"']
        done = python(FILL + program, disk / "store", kept, behind=behind)
        return kept, done.stderr

    return run


def test_full_disk_is_waited_for_and_nothing_is_lost(on_small_disk: Any) -> None:
    store, told = on_small_disk(
        "work(0)\n"
        "assert recording.flush()\n"
        "fill()\n"
        "for n in range(1, 5): work(n, 'x' * 50_000)\n"
        "assert not recording.flush()\n"
        "assert recording.stats().write_failures and recording.stats().bytes_waiting\n"
        "make_room()\n"
        "assert recording.flush()\n"
        "work(5)\n"
        "recording.shutdown()\n"
        "assert not recording.stats().bytes_waiting\n"
        "keep()\n"
    )

    assert runs(store) == [(f"run {n}", 2, 0) for n in range(6)]
    assert told.count("\n") == 1
    assert ONCE + "[Errno 28] No space left on device" in told


def test_disk_that_stays_full_costs_the_newest_runs_which_is_told(on_small_disk: Any) -> None:
    store, told = on_small_disk(
        "work(0)\n"
        "assert recording.flush()\n"
        "fill()\n"
        "work(1, 'x' * 50_000)\n"
        "recording.shutdown()\n"
        "assert recording.stats().dropped_spans == 2\n"
        "make_room()\n"
        "keep()\n"
    )

    assert runs(store) == [("run 0", 2, 0)]
    assert "2 spans or logs are lost" in told


def test_sealer_on_a_full_disk_fails_cleanly_and_goes_on_when_there_is_room(
    on_small_disk: Any,
) -> None:
    store, _ = on_small_disk(
        "from otel_traj.store import open_store, sealing\n"
        "for n in range(40): work(n, f'{n} ' * 2_000)\n"
        "recording.shutdown()\n"
        "fill()\n"
        "def left(): return [p for p in store.rglob('*') if p.suffix == '.parquet' or"
        " (p.parent.name == '_tmp' and not p.name.startswith('lease'))]\n"
        "for _ in range(3):\n"
        "    try: sealing.seal(store)\n"
        "    except OSError as error: assert error.errno == errno.ENOSPC, error\n"
        "    else: raise AssertionError('there was room')\n"
        "    assert left() == [], left()\n"
        "count = 'select count(*) from steps'\n"
        "assert open_store(store).sql(count).fetchall() == [(40,)]\n"
        "command = [sys.executable, '-m', 'otel_traj.cli', '--store', str(store)]\n"
        "listed = subprocess.run([*command, 'list'], capture_output=True, text=True)\n"
        "assert listed.returncode == 0 and 'run 39' in listed.stdout, listed\n"
        "assert 'Make room' in listed.stderr, listed\n"
        "failed = subprocess.run([*command, 'compact'], capture_output=True, text=True)\n"
        "assert failed.returncode == 2 and 'Make room' in failed.stderr, failed\n"
        "make_room()\n"
        "assert open_store(store).sql(count).fetchall() == [(40,)]\n"
        "assert not list((store / '_wal').iterdir())\n"
        "keep()\n"
    )

    assert len(runs(store)) == 40


def test_disk_that_is_mounted_read_only_for_a_while_is_waited_for(on_small_disk: Any) -> None:
    store, told = on_small_disk(
        "def mount(how):\n"
        "    subprocess.run(['mount', '-o', f'remount,{how}', store.parent], check=True)\n"
        "mount('ro')\n"
        "work(0)\n"
        "assert not recording.flush()\n"
        "mount('rw')\n"
        "assert recording.flush()\n"
        "recording.shutdown()\n"
        "keep()\n"
    )

    assert runs(store) == [("run 0", 2, 0)]
    assert told.count("\n") == 1
    assert "Read-only file system" in told


def test_disk_that_vanishes_is_not_written_beside_and_is_written_when_it_is_back(
    on_small_disk: Any,
) -> None:
    store, told = on_small_disk(
        "work(0)\n"
        "assert recording.flush()\n"
        "aside = Path(sys.argv[2]).with_name('aside'); aside.mkdir()\n"
        "subprocess.run(['mount', '--move', store.parent, aside], check=True)\n"
        "work(1)\n"
        "assert not recording.flush()\n"
        "assert list(store.parent.iterdir()) == []\n"
        "subprocess.run(['mount', '--move', aside, store.parent], check=True)\n"
        "assert recording.flush()\n"
        "recording.shutdown()\n"
        "keep()\n"
    )

    assert runs(store) == [("run 0", 2, 0), ("run 1", 2, 0)]
    assert told.count("\n") == 1


# --- a disk that fails ---------------------------------------------------------------------------

FAULTS = """
def fault(name, number=None):
    path = Path(os.environ["FAULTS"]) / name
    path.write_text(str(number)) if number is not None else path.unlink(missing_ok=True)
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`faulty_disk.c`, compiled."""
    compiler = shutil.which("cc") or ""
    if not compiler:
        pytest.skip("no C compiler here, which these tests need")
    compiled = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    source = Path(__file__).with_name("faulty_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", compiled, "-ldl"], check=True)
    return compiled


@pytest.fixture
def on_faulty_disk(
    python: Python, library: Path, tmp_path: Path
) -> Callable[[str], tuple[Path, str]]:
    """Runs a program that may call `fault`; its store, and what it said on stderr."""
    faults, store = tmp_path / "faults", tmp_path / "store"
    faults.mkdir()

    def run(program: str) -> tuple[Path, str]:
        environment = {"FAULTS": str(faults), "FAULTS_UNDER": str(store)}
        done = python(FAULTS + program, store, LD_PRELOAD=str(library), **environment)
        return store, done.stderr

    return run


def test_after_a_sync_that_failed_nothing_acknowledged_is_missing(on_faulty_disk: Any) -> None:
    store, told = on_faulty_disk(
        "for n in range(20):\n"
        "    if n % 3 == 1: fault('sync-errno', errno.EIO)\n"
        "    work(n)\n"
        "    assert recording.flush(), n\n"
        "os.kill(os.getpid(), 9) if os.fork() == 0 else os.wait()\n"
        "recording.shutdown()\n"
    )

    assert sorted(runs(store)) == sorted((f"run {n}", 2, 0) for n in range(20))
    assert told == ""


def test_disk_that_fails_every_write_is_waited_for(on_faulty_disk: Any) -> None:
    store, told = on_faulty_disk(
        "work(0)\n"
        "assert recording.flush()\n"
        "fault('write-errno', errno.EIO)\n"
        "for n in range(1, 300): work(n)\n"
        "assert not recording.flush()\n"
        "fault('write-errno')\n"
        "assert recording.flush()\n"
        "recording.shutdown()\n"
    )

    assert len(runs(store)) == 300
    assert told.count("\n") == 1
    assert ONCE + "[Errno 5] Input/output error" in told


def test_slow_sync_stops_neither_the_agent_nor_its_end(on_faulty_disk: Any) -> None:
    _, told = on_faulty_disk(
        "from otel_traj.capture import processor\n"
        "processor._EXIT_S = 0.5\n"
        "fault('sync-ms', 3_600_000)\n"
        "for n in range(3_000): work(n)\n"
        "assert not recording.flush(timeout=0.1)\n"
        "assert recording.stats().dropped_spans == 0\n"
    )

    assert "does not answer" in told


@pytest.mark.parametrize("ahead_s", [-86_400, 86_400])
def test_clock_that_jumps_tears_no_run_apart(on_faulty_disk: Any, ahead_s: int) -> None:
    store, told = on_faulty_disk(
        "from otel_traj.store import sealing\n"
        "work(0)\n"
        "with otel_traj.trajectory('across'):\n"
        "    with otel_traj.tool_call('before'): pass\n"
        "    recording.flush()\n"
        "    sealing.seal(store)\n"
        f"    fault('clock-s', {ahead_s})\n"
        "    with otel_traj.tool_call('after'): pass\n"
        "    recording.flush()\n"
        "    sealing.seal(store)\n"
        "work(1)\n"
        "recording.shutdown()\n"
        "sealing.seal(store)\n"
    )

    assert runs(store) == [("across", 3, 0), ("run 0", 2, 0), ("run 1", 2, 0)]
    [(status, n_late, tools)] = (
        open_store(store)
        .sql("select status, n_late, list_sort(tools) from trajectories where task = 'across'")
        .fetchall()
    )
    assert (status, n_late, tools) == ("completed", 0, ["after", "before"])
    assert told == ""


# --- a process that runs short -------------------------------------------------------------------


def test_without_a_free_descriptor_records_wait_and_none_is_leaked(
    python: Python, tmp_path: Path
) -> None:
    done = python(
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "taken = []\n"
        "with contextlib.suppress(OSError):\n"
        "    while True: taken.append(os.open(os.devnull, os.O_RDONLY))\n"
        "work(0)\n"
        "assert not recording.flush()\n"
        "os.close(taken.pop())\n"  # enough for a segment, not for the sync of its folder
        "for _ in range(3): assert not recording.flush()\n"
        "taken.append(os.open(os.devnull, os.O_RDONLY))\n"
        "for fd in taken: os.close(fd)\n"
        "assert recording.flush()\n"
        "recording.shutdown()\n",
        tmp_path / "store",
    )

    assert runs(tmp_path / "store") == [("run 0", 2, 0)]
    assert done.stderr.count("\n") == 1
    assert "Too many open files" in done.stderr


def test_program_that_is_short_of_memory_counts_what_could_not_be_kept(
    python: Python, tmp_path: Path
) -> None:
    done = python(
        "work(0)\n"
        "assert recording.flush()\n"
        "now = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "text = 'x' * 4_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 90_000_000, -1))\n"
        "for n in range(1, 40): work(n, text)\n"
        "recording.flush()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "recording.flush()\n"
        "recording.shutdown()\n"
        "stats = recording.stats()\n"
        "assert stats.spans + stats.dropped_spans >= 80, stats\n"
        "print(stats.dropped_spans)\n",
        tmp_path / "store",
    )

    runs(tmp_path / "store")
    [(stored,)] = open_store(tmp_path / "store").sql("select count(*) from spans").fetchall()
    assert stored + int(done.stdout) == 80


# --- a folder that goes --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_store_that_goes_while_recording_is_begun_anew(
    python: Python, tmp_path: Path, how: str
) -> None:
    store, aside = tmp_path / "store", tmp_path / "aside"
    done = python(
        "from otel_traj import wal\n"
        "work(0)\n"
        "assert recording.flush()\n"
        "store.rename(sys.argv[2])\n"
        f"if {how == 'replaced'}: wal.initialise(store)\n"
        "work(1)\n"
        "assert recording.flush()\n"
        "recording.shutdown()\n",
        store,
        aside,
    )

    assert (runs(aside), runs(store)) == ([("run 0", 2, 0)], [("run 1", 2, 0)])
    assert done.stderr == ""
