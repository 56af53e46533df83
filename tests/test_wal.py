"""What is appended is read back, whatever happened to the writer; what is encoded decodes equal."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj import testing, wal
from otel_traj.errors import (
    InputError,
    StoreDamagedError,
    StoreNotWritableError,
    StoreVersionError,
)
from otel_traj.model import Annotation
from tests.frames import bodies


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "traces"
    wal.initialise(path)
    return path


# --- frames ------------------------------------------------------------------------------------


def test_what_was_appended_is_read_back(store: Path) -> None:
    writer = wal.WalWriter(store)

    writer.append(b"one\n")
    writer.append(b"\x00\xff" * 3, "otlp-traces")

    (segment,) = wal.segments(store)
    frames = list(wal.frames(segment))
    assert frames == [
        wal.Frame("json", b"one\n", 21),
        wal.Frame("otlp-traces", b"\x00\xff" * 3, 21 + 24 + 6),
    ]
    assert list(wal.frames(segment, offset=21)) == frames[1:]
    writer.close()


def test_many_appended_with_one_sync_are_read_back_one_by_one(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(wal, "_fdatasync", synced.append)
    writer = wal.WalWriter(store)

    writer.append_all([(b"one\n", "json"), (b"\x00\xff", "otlp-logs"), (b"", "otlp-traces")])

    (segment,) = wal.segments(store)
    frames = [(f.kind, f.body) for f in wal.frames(segment) if isinstance(f, wal.Frame)]
    assert frames == [("json", b"one\n"), ("otlp-logs", b"\x00\xff"), ("otlp-traces", b"")]
    assert len(synced) == 1


def test_lock_tells_whether_the_writer_lives(store: Path) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"x")
    (segment,) = wal.segments(store)

    assert not wal.is_abandoned(segment)
    writer.close()
    assert wal.is_abandoned(segment)


@pytest.mark.parametrize("tail", [b"", b"\0" * 9, b"123", b"#", b"#0000", os.urandom(40)])
def test_tail_torn_at_any_byte_ends_the_segment_silently(store: Path, tail: bytes) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"whole\n")
    writer.append(b"torn\n" * 3, "otlp-logs")
    writer.close()
    (segment,) = wal.segments(store)
    content = segment.read_bytes()
    whole = next(wal.frames(segment))
    assert isinstance(whole, wal.Frame)

    for cut in range(whole.end, len(content)):
        segment.write_bytes(content[:cut] + tail)
        assert list(wal.frames(segment)) == [whole]


@pytest.mark.parametrize("broken", ["body", "length", "mark"])
def test_damage_inside_a_segment_is_reported_and_skipped(store: Path, broken: str) -> None:
    writer = wal.WalWriter(store)
    for body in (b"first\n", b"second\n", b"third\n"):
        writer.append(body)
    writer.close()
    (segment,) = wal.segments(store)
    first, second, third = (f for f in wal.frames(segment) if isinstance(f, wal.Frame))
    content = bytearray(segment.read_bytes())
    at = {"body": second.end - 3, "length": first.end + 10, "mark": first.end}[broken]
    content[at] ^= 0x04
    segment.write_bytes(content)

    assert list(wal.frames(segment)) == [first, wal.Damage(first.end, second.end), third]


def test_frame_that_is_being_written_is_waited_for_although_it_holds_another_one(
    store: Path,
) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"inner\n")
    [segment] = wal.segments(store)
    inner = segment.read_bytes()
    writer.append(b"a tool read this: " + inner + b" and more", "otlp-traces")
    content = segment.read_bytes()
    whole = list(wal.frames(segment))

    for cut in range(len(inner), len(content)):
        segment.write_bytes(content[:cut])
        assert list(wal.frames(segment, is_over=False)) == whole[:1], cut
    writer.close()


def test_new_segment_above_the_limit(store: Path) -> None:
    writer = wal.WalWriter(store, durability="os")
    large = b"x" * wal.SEGMENT_BYTES

    for body in (large, b"a", b"b"):
        writer.append(body)

    assert len(wal.segments(store)) == 2
    assert bodies(store) == [large, b"a", b"b"]
    writer.close()


def test_threads_share_a_writer(store: Path) -> None:
    writer = wal.WalWriter(store, durability="os")

    def write(n: int) -> None:
        for i in range(50):
            writer.append(b"%d-%d" % (n, i))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(bodies(store)) == sorted(b"%d-%d" % (n, i) for n in range(4) for i in range(50))
    writer.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_writes_its_own_segment(store: Path) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"parent\n")

    child = os.fork()
    if not child:
        writer.append(b"child\n")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.append(b"parent again\n")

    assert len(wal.segments(store)) == 2
    assert sorted(bodies(store)) == [b"child\n", b"parent\n", b"parent again\n"]
    writer.close()
    assert all(wal.is_abandoned(segment) for segment in wal.segments(store))


def test_acknowledged_frames_survive_a_kill(store: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from otel_traj import wal\n"
        "writer = wal.WalWriter(Path(sys.argv[1]))\n"
        "for i in range(1_000_000):\n"
        "    writer.append(b'%d' % i); print(i, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(store)], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(20)]

    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()

    acknowledged += rest.splitlines()
    assert bodies(store)[: len(acknowledged)] == acknowledged
    assert all(wal.is_abandoned(segment) for segment in wal.segments(store))


def test_full_disk_raises_and_space_found_again_is_used(store: Path) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"before\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError):  # noqa: PT011 - whichever errno the system gives
            writer.append(b"x" * 1000)
        writer.append(b"small\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.append(b"after\n")
    writer.close()

    assert bodies(store) == [b"before\n", b"small\n", b"after\n"]


def test_names_sort_by_order_of_call_within_one_millisecond() -> None:
    names = [wal.ulid() for _ in range(2_000)]

    assert names == sorted(set(names))


def environment() -> dict[str, str]:
    """The environment for a subprocess that imports this checkout (or the installed package)."""
    return {**os.environ, "PYTHONPATH": str(Path(wal.__file__).parents[1])}


# --- the folder --------------------------------------------------------------------------------


def test_initialise_twice_keeps_the_identity(store: Path) -> None:
    before = (store / "format.json").read_bytes()

    wal.initialise(store)

    assert (store / "format.json").read_bytes() == before
    assert sorted(path.name for path in store.iterdir()) == ["_wal", "format.json"]
    assert json.loads(before).items() >= {"format": 1, "min_reader": 1, "min_writer": 1}.items()


def test_newer_store_is_refused(store: Path) -> None:
    (store / "format.json").write_text('{"format": 2, "min_reader": 1, "min_writer": 2}')

    with pytest.raises(StoreVersionError, match="needs format 2"):
        wal.initialise(store)
    wal.check_format(store, "min_reader")


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreNotWritableError, match="OTEL_TRAJ_STORE"):
        wal.initialise(tmp_path / "file" / "traces")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may be another user")
def test_folder_of_another_user_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:  # under `tmp_path` nobody else may look
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(StoreNotWritableError, match="Permission denied"):
                wal.initialise(Path(folder) / "traces")
        finally:
            os.seteuid(0)


def test_unreadable_format_is_told(store: Path) -> None:
    (store / "format.json").write_text("{")

    with pytest.raises(StoreDamagedError, match=r"format\.json"):
        wal.initialise(store)


# --- the JSON form -----------------------------------------------------------------------------


@given(st.lists(testing.records(), max_size=4))
def test_records_survive_encoding(records: list[Any]) -> None:
    body = wal.encode(records)

    assert repr(list(wal.decode(body))) == repr(records)  # repr, as NaN is not equal to itself
    assert body.isascii()
    assert body.count(b"\n") == len(records)


@given(testing.values())
def test_values_survive_encoding(value: Any) -> None:
    assert repr(wal.loads(wal.dumps(value))) == repr(value)


class Foreign:
    def __repr__(self) -> str:
        return "Foreign()"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


CIRCULAR: list[Any] = [1]
CIRCULAR += [CIRCULAR, CIRCULAR]
DEEP: Any = 0
for _ in range(50_000):  # Python 3.13 encodes 10,000 levels without a word
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Foreign(), "Foreign()"),
        ({"a": Foreign(), "n": math.inf}, {"a": "Foreign()", "n": math.inf}),
        ({b"k": 1, None: 2, 3: 4, True: 5}, {"b'k'": 1, "null": 2, "3": 4, "true": 5}),
        ((1, (2,)), [1, [2]]),
        ({7}, [7]),
        (2**63, str(2**63)),
        ([-(2**70), math.inf], [str(-(2**70)), math.inf]),
        (10**5000, hex(10**5000)),
        (Rude(), "<Rude: repr raised RuntimeError>"),
        (CIRCULAR, [1, "<circular>", "<circular>"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_has_not_are_told_in_words(value: Any, expected: Any) -> None:
    assert wal.loads(wal.dumps(value)) == expected


def test_depth_is_bounded() -> None:
    assert "deeper than 100" in wal.dumps(DEEP)


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{", b'{"k":"span"}', b'{"k":"other"}', b'{"k":"close","n":1}', b"\xff", b'"x"'],
)
def test_line_that_is_no_record_is_told(line: bytes) -> None:
    with pytest.raises(InputError, match="Not a record"):
        list(wal.decode(line))


def test_instants_keep_their_offset() -> None:
    created = datetime(2026, 11, 21, 9, 30, 0, 5, tzinfo=UTC) + timedelta(microseconds=1)
    note = Annotation(
        "a", "trajectory", "t", None, None, None, "reward", "reward", 1.0, None, None, "me", None,
        created,
    )  # fmt: skip

    assert b'"created":"2026-11-21T09:30:00.000006+00:00"' in wal.encode([note])


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_store_that_is_gone_is_made_again_and_the_old_one_takes_no_more(
    store: Path, how: str
) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"1")
    elsewhere = store.with_name("elsewhere")
    store.rename(elsewhere)
    if how == "removed":
        shutil.rmtree(elsewhere)

    writer.append(b"2")
    writer.append(b"3")

    wal.check_format(store, "min_writer")
    assert bodies(store) == [b"2", b"3"]
    assert how == "removed" or bodies(elsewhere) == [b"1"]
    writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_descriptor_that_somebody_closed_and_used_is_left_alone(store: Path) -> None:
    writer = wal.WalWriter(store)
    writer.append(b"1")
    [fd] = [fd for fd in map(int, os.listdir("/proc/self/fd")) if is_segment(fd, store)]
    os.close(fd)
    theirs = os.open(store / "theirs", os.O_CREAT | os.O_RDWR)

    writer.append(b"2")
    writer.close()

    assert theirs == fd
    assert os.read(theirs, 100) == b""
    assert sorted(bodies(store)) == [b"1", b"2"]
    os.close(theirs)


def is_segment(fd: int, store: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(store / "_wal"))
    except FileNotFoundError:
        return False
