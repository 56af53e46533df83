"""Group commit: durable before it is told, many at once, and each told of its own failure."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from otel_traj import wal
from otel_traj.server.journal import Journal
from tests.frames import bodies


@pytest.fixture
def store(tmp_path: Path) -> Path:
    wal.initialise(tmp_path)
    return tmp_path


def test_what_was_appended_can_be_read_when_it_is_told(store: Path) -> None:
    async def append() -> list[bytes]:
        log = Journal(store)
        await log.append(b"one", "otlp-traces")
        seen = bodies(store)
        log.close()
        return seen

    assert asyncio.run(append()) == [b"one"]


def test_what_comes_during_a_sync_shares_the_next_one(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    began, go_on = threading.Event(), threading.Event()

    def sync(fd: int) -> None:
        syncs.append(os.fstat(fd).st_size)
        began.set()
        assert go_on.wait(10)

    monkeypatch.setattr(wal, "_fdatasync", sync)

    async def append() -> None:
        log = Journal(store)
        first = asyncio.create_task(log.append(b"first", "otlp-traces"))
        await asyncio.to_thread(began.wait, 10)
        others = [asyncio.create_task(log.append(b"%d" % n, "otlp-logs")) for n in range(50)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)
        log.close()

    asyncio.run(append())

    assert bodies(store) == [b"first", *(b"%d" % n for n in range(50))]
    assert len(syncs) == 2


def test_a_full_disk_is_told_and_what_comes_later_is_written(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    disk = usage(10**12, 10**12, 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)

    async def append() -> None:
        nonlocal disk
        log = Journal(store)
        with pytest.raises(OSError, match="No space left") as failure:
            await log.append(b"lost", "otlp-traces")
        assert failure.value.errno == errno.ENOSPC
        disk = usage(10**12, 0, 10**12)
        await log.append(b"kept", "otlp-traces")
        log.close()

    asyncio.run(append())

    assert bodies(store) == [b"kept"]


def test_closing_writes_what_waits_and_lets_go_of_the_segment(store: Path) -> None:
    async def append() -> None:
        log = Journal(store)
        waiting = [asyncio.create_task(log.append(b"%d" % n, "otlp-logs")) for n in range(9)]
        await asyncio.sleep(0)
        await asyncio.to_thread(log.close)
        await asyncio.gather(*waiting)

    asyncio.run(append())

    assert len(bodies(store)) == 9
    assert all(map(wal.is_abandoned, wal.segments(store)))
