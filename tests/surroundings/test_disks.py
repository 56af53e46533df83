"""Disks that are full, slow, failing, read-only or gone: the agent goes on, what can be kept is kept.

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
    store, told = on_small_disk(
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
        "print(listed.stderr, file=sys.stderr)\n"
        "said = subprocess.run([*command, 'sql', count, '--format', 'csv'], capture_output=True)\n"
        "assert said.stdout.split() == [b'count_star()', b'40'], said\n"
        "failed = subprocess.run([*command, 'compact'], capture_output=True, text=True)\n"
        "assert failed.returncode == 2, failed\n"
        "print(failed.stderr, file=sys.stderr)\n"
        "make_room()\n"
        "assert open_store(store).sql(count).fetchall() == [(40,)]\n"
        "assert not list((store / '_wal').iterdir())\n"
        "keep()\n"
    )

    assert len(runs(store)) == 40
    print(told)
    assert told.count("No space left on device") > 1
