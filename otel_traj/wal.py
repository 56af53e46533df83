"""The write-ahead log: one append-only segment per writing process, and records as JSON.

A process that records appends *frames* to a file of its own, so writers never wait for anyone. A
frame is a line `#<crc32, 8 hex digits> <bytes of body> <kind>` and the body.

`append` returns when the frame is on disk; whoever seals the store reads frames back by `frames`.
What a killed writer leaves half-written is a torn tail: it was never acknowledged, and reading
stops before it. Damage *inside* a segment is reported and skipped. While a writer lives it holds
the segment's lock; the kernel frees it when the writer dies, however it dies (`is_abandoned`).

A body of kind `json` is one record per line (`encode`, `decode`): key `k` says which, the other
keys are the fields of the class in `otel_traj.model`, without those that have their default value.
JSON has no bytes and no NaN: `{"$b64": "AAE="}` and `{"$f": "NaN"}` stand for them; a map whose
only key begins with `$` gets one more, so as not to be taken for one of these. `tests/test_wal.py`
proves the round trip.

Standard library only: this module is all that a recording process imports for its store.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import secrets
import sys
import threading
import time
import uuid
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from otel_traj.errors import (
    InputError,
    StoreDamagedError,
    StoreError,
    StoreNotWritableError,
    StoreVersionError,
    advice_on,
)
from otel_traj.model import Annotation, Close, LogRecord, Record, SpanEvent, SpanLink, SpanRecord

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

FrameKind: TypeAlias = Literal["json", "otlp-traces", "otlp-logs"]
Durability: TypeAlias = Literal["fsync", "os"]

FORMAT: Final = 1
"""Version of the store's layout that this module writes."""

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""A segment that has grown beyond this is followed by a new one, so that sealed ones can go."""

# --- the store's folder ------------------------------------------------------------------------


def initialise(store: Path) -> None:
    """Make `store` ready to be written: folder, `_wal`, and `format.json` if nobody wrote it yet.

    Raises:
        StoreNotWritableError: The folder cannot be created, or nothing can be written in it.
        StoreVersionError: A newer otel-traj made it.
        StoreDamagedError: Its `format.json` is unreadable.
    """
    try:
        _make_folders(store / "_wal")
        _probe(store / "_wal")
        if not (store / "format.json").exists():
            _put_if_absent(
                store / "format.json",
                {"format": FORMAT, "id": str(uuid.uuid4()), "min_reader": 1, "min_writer": 1},
            )
    except OSError as error:
        advice = advice_on(error) or (
            ". Give a folder that this user may write: instrument('PATH') or OTEL_TRAJ_STORE"
        )
        raise StoreNotWritableError(
            f"Cannot write the store {str(store)!r}: {error.strerror or error}{advice}"
        ) from error
    check_format(store, "min_writer")


def _make_folders(folder: Path) -> None:
    """Create a folder and those above it; their names are durable, as what is in them will be."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def check_format(store: Path, role: Literal["min_reader", "min_writer"]) -> None:
    """Refuse a store that this version must not read (`min_reader`) or write (`min_writer`).

    Raises:
        StoreVersionError: It asks for a newer version.
        StoreDamagedError: `format.json` is missing or no JSON object.
    """
    path = store / "format.json"
    try:
        needed = int(json.loads(path.read_bytes())[role])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreDamagedError(f"Cannot read {str(path)!r}: {error!r}") from error
    if needed > FORMAT:
        raise StoreVersionError(
            f"The store {str(store)!r} needs format {needed}; this otel-traj knows {FORMAT}. "
            "Install a newer one: pip install -U otel-traj"
        )


def _probe(folder: Path) -> None:
    """Write and remove a file: permission bits say nothing about root, quotas or full disks."""
    path = folder / f".probe-{ulid()}"
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.close(fd)
    path.unlink()


def _put_if_absent(path: Path, content: Mapping[str, object]) -> None:
    """Create `path` whole or not at all; whoever is first wins."""
    draft = path.with_name(f".{path.name}-{ulid()}")
    with draft.open("wb") as file:
        file.write(json.dumps(content).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_folder(path.parent)


# --- writing -----------------------------------------------------------------------------------


class WalWriter:
    """Appends frames to this process's segment; safe to share between threads and across `fork`.

    The segment is created by the first `append`, and again above `SEGMENT_BYTES`, in a forked
    child, where somebody removed, moved or closed it, and after a write or sync that failed: what a
    failed sync covered may be gone although the next one succeeds. A store that was removed is made
    again, unless its disk is what is missing. Appends of several threads follow one another.
    """

    def __init__(self, store: Path, *, durability: Durability = "fsync") -> None:
        """Prepare to write; touches nothing yet (see `initialise`).

        Args:
            store: The store's folder.
            durability: `fsync` survives a power cut, `os` only the death of the process.
        """
        self._store = store
        self._sync: Callable[[int], None] = _fdatasync if durability == "fsync" else _no_sync
        self._lock = threading.Lock()  # protects what stands below
        self._path = store
        self._fd: int | None = None
        self._file = (0, 0)  # device and inode of the segment
        self._size = 0
        self._pid = 0
        _writers.add(self)

    def append(self, body: bytes, kind: FrameKind = "json") -> None:
        """Write one frame; it is durable when this returns.

        Raises:
            OSError: It could not be written, to the present segment or to a new one. Nothing of it
                counts as written.
        """
        self.append_all([(body, kind)])

    def append_all(self, bodies: Iterable[tuple[bytes, FrameKind]]) -> None:
        """Write a frame for each body, all with one sync; all are durable when this returns.

        Raises:
            OSError: As `append`. Some of the first may be read back all the same.
        """
        frames = b"".join(part for body, kind in bodies for part in (_head(body, kind), body))
        with self._lock:
            if self._is_usable():
                with contextlib.suppress(OSError):
                    return self._write(frames)
            self._open()
            try:
                self._write(frames)
            except OSError:
                self._discard()
                raise

    def close(self) -> None:
        """Let go of the segment; a later `append` opens a new one."""
        with self._lock:
            self._close()

    def _is_usable(self) -> bool:
        if self._fd is None or self._pid != os.getpid() or self._size >= SEGMENT_BYTES:
            return False
        # Writes into a file that somebody has removed or moved succeed, and are nowhere.
        return self._is_at(self._fd) and self._is_at(self._path)

    def _is_at(self, place: int | Path) -> bool:
        """Whether a path or descriptor is still our segment."""
        try:
            found = os.stat(place)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def _write(self, frames: bytes) -> None:
        fd = cast(int, self._fd)
        try:
            if os.write(fd, frames) != len(frames):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._sync(fd)
        except OSError:
            # Half a frame takes room that a full disk lacks, and looks like a writer that died.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, self._size)
            raise
        self._size += len(frames)

    def _open(self) -> None:
        self._close()
        name = f"{ulid()}-{_process()}.wal"
        self._path = self._store / "_wal" / name
        # Windows cannot rename an open file; there, nobody can unlink one either.
        draft = self._path if sys.platform == "win32" else self._path.with_name(f".{name}")
        try:
            fd = os.open(draft, _NEW_SEGMENT, 0o644)
        except FileNotFoundError:
            self._make_store_again()
            fd = os.open(draft, _NEW_SEGMENT, 0o644)
        try:
            # The lock comes before the name: a visible segment that nobody locks has lost its
            # writer.
            if not try_lock(fd):  # pragma: no cover
                raise OSError(errno.ENOLCK, f"cannot lock {str(draft)!r}")
            draft.rename(self._path)
            sync_folder(self._path.parent)
            found = os.fstat(fd)
        except OSError:
            os.close(fd)
            for path in (draft, self._path):
                with contextlib.suppress(OSError):
                    path.unlink()
            raise
        self._fd, self._size, self._pid = fd, 0, os.getpid()
        self._file = (found.st_dev, found.st_ino)

    def _make_store_again(self) -> None:
        """Somebody removed the folder: begin anew there, if the disk that it lay on is there.

        What is written below the empty mount point of a disk is not seen when the disk is back.
        """
        there = next(path for path in (self._store, *self._store.parents) if path.exists())
        device, _ = self._file
        if device and os.stat(there).st_dev != device:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), str(self._store))
        try:
            initialise(self._store)
        except StoreError as error:
            raise OSError(errno.EIO, str(error)) from error

    def _discard(self) -> None:
        """Remove a segment that holds nothing acknowledged."""
        self._close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _close(self) -> None:
        # Who closes descriptors that are not his may have got ours for a file of his own.
        if self._fd is not None and self._is_at(self._fd):
            os.close(self._fd)
        self._fd = None

    def _forget_in_child(self) -> None:
        """After `fork`: the segment is the parent's; a thread left behind may hold the lock."""
        self._lock = threading.Lock()
        self._close()


def _head(body: bytes, kind: FrameKind) -> bytes:
    return b"#%08x %d %s\n" % (zlib.crc32(body), len(body), kind.encode())


def _process() -> str:
    """Name of this process among all that write: ids come again, and are 1 in every container."""
    global _token
    pid, token = _token
    if pid != os.getpid():
        pid, token = _token = (os.getpid(), secrets.token_hex(4))
    return f"{pid}.{token}"


_token = (0, "")

_writers: weakref.WeakSet[WalWriter] = weakref.WeakSet()


def _forget_all_in_child() -> None:
    global _ulid_lock, _last_ulid
    # Counting on from the parent's last number, two children would come to the same one.
    _ulid_lock, _last_ulid = threading.Lock(), 0
    for writer in list(_writers):
        writer._forget_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all_in_child)


def _no_sync(fd: int) -> None:
    """`durability="os"`: the page cache outlives the process."""


def _fdatasync(fd: int) -> None:
    """Put the data of a file on the disk, not only into the drive's cache."""
    if sys.platform == "darwin":  # pragma: no cover
        with contextlib.suppress(OSError):  # not every filesystem knows it
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    if sys.platform in ("darwin", "win32"):  # pragma: no cover
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    if sys.platform == "win32":  # pragma: no cover
        return  # NTFS journals names itself, and a folder cannot be opened
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Take the lock of an open file without waiting; whether it was free."""
    try:
        if sys.platform == "win32":  # pragma: no cover
            # Windows locks bytes, not files, and what is locked cannot be read: lock one far away.
            os.lseek(fd, 1 << 40, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


_BINARY: Final[int] = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_NEW_SEGMENT: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | _BINARY
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid() -> str:
    """26 characters that never collide and sort by time, and by order of call in one process."""
    global _last_ulid
    with _ulid_lock:
        number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
        if number >> 80 <= _last_ulid >> 80:  # within one millisecond, or the clock was set back
            number = _last_ulid + 1 + secrets.randbits(60)
        _last_ulid = number
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def ulid_s(text: str) -> float:
    """When a ULID was made, in seconds since 1970; it may go on after its 26 characters."""
    ms = 0
    for digit in text[:10]:
        ms = ms * 32 + max(_CROCKFORD.find(digit), 0)
    return ms / 1000


_ulid_lock = threading.Lock()  # protects what stands below
_last_ulid = 0


# --- reading -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame read back; `end` is the offset in its segment after it."""

    kind: FrameKind
    body: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes `start` to `end` of a segment are no frame any more, though frames follow."""

    start: int
    end: int


def segments(store: Path) -> list[Path]:
    """The segments of a store, oldest first; hidden ones (being created) are left out."""
    return sorted((store / "_wal").glob("[!.]*.wal"))


def is_abandoned(segment: Path) -> bool:
    """Whether nobody holds the segment's lock: its writer has closed it or is dead."""
    fd = os.open(segment, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        return try_lock(fd)
    finally:
        os.close(fd)


def is_sealing(store: Path) -> bool:
    """Whether a process holds the lock of the store's sealer."""
    try:
        fd = os.open(store / "_lock", os.O_RDWR | _BINARY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def frames(segment: Path, offset: int = 0, *, is_over: bool = True) -> Iterator[Frame | Damage]:
    """Read the frames of a segment from `offset` on, in order.

    Stops without a word where the rest is no whole frame: it is still being written, or its writer
    died writing it.

    Args:
        segment: Its file.
        offset: Where a frame begins.
        is_over: Nobody writes it any more. While somebody does, a frame that reaches beyond the end
            is one of which only a part can be seen yet, even if that part holds what looks like a
            frame: what a tool read from somebody's log.
    """
    with segment.open("rb") as file:
        file.seek(offset)
        content = file.read()
    position = 0
    while position < len(content):
        header, end = _header(content, position)
        if header is not None and _is_intact(content, header):
            kind = cast(FrameKind, header["kind"].decode())
            yield Frame(kind, content[header.end() : end], offset + end)
            position = end
            continue
        if header is not None and end >= len(content) and not is_over:
            return
        following = _following(content, position, end)
        if following is None:
            return
        yield Damage(offset + position, offset + following)
        position = following


_HEADER: Final = re.compile(
    rb"#(?P<crc>[0-9a-f]{8}) (?P<size>[0-9]{1,12}) (?P<kind>json|otlp-traces|otlp-logs)\n"
)


def _header(content: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
    """The frame header at a position and the position after its body."""
    header = _HEADER.match(content, position)
    return header, header.end() + int(header["size"]) if header else position


def _is_intact(content: bytes, header: re.Match[bytes]) -> bool:
    body = content[header.end() : header.end() + int(header["size"])]
    return len(body) == int(header["size"]) and zlib.crc32(body) == int(header["crc"], 16)


def _following(content: bytes, position: int, end: int) -> int | None:
    """Where reading goes on after a broken frame; None if nothing whole comes after it.

    Its own length is believed if a frame begins where it says; else the next intact frame counts.
    """
    if position < end < len(content) and _HEADER.match(content, end):
        return end
    intact = (
        header.start()
        for header in _HEADER.finditer(content, position + 1)
        if _is_intact(content, header)
    )
    return next(intact, None)


# --- the JSON form -----------------------------------------------------------------------------


def encode(records: Iterable[Record]) -> bytes:
    """Records as NDJSON, each line ended; pure ASCII, so that lone surrogates survive."""
    return b"".join(_line(record) for record in records)


def decode(body: bytes) -> Iterator[Record]:
    """Read what `encode` wrote; tuples and sets come back as lists, foreign objects as `repr`.

    Raises:
        InputError: A line is not a record; the lines before it have been yielded.
    """
    for line in body.splitlines():
        try:
            yield _record(loads(line.decode()))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"Not a record: {line[:80]!r}: {error!r}") from error


def dumps(value: Any) -> str:
    """Any Python value as one line of ASCII JSON for `loads`; foreign objects as their `repr`."""
    try:
        text = _encode(value)
    except (ValueError, TypeError, RecursionError):
        return _encode(_plain(value))
    # `{"$` stands only at the head of a map, as quotes within texts are escaped.
    return _encode(_plain(value)) if '{"$' in text else text


def loads(text: str) -> Any:
    """Inverse of `dumps`. Integers beyond 64 bits, which OTLP does not have, come back as text."""
    return _parse_special(text) if '{"$' in text else _parse(text)


KINDS: Final[Mapping[type[Any], str]] = {
    SpanRecord: "span",
    LogRecord: "log",
    Annotation: "annotation",
    Close: "close",
}
_CLASSES: Final = {**{kind: cls for cls, kind in KINDS.items()}, "start": SpanRecord}


def _line(record: Record) -> bytes:
    kind = KINDS[type(record)]
    if isinstance(record, SpanRecord) and record.is_open:
        kind = "start"
    fields = {"k": kind, **_fields(record)}
    return dumps(fields).encode("ascii") + b"\n"


def _fields(record: Any) -> dict[str, Any]:
    """The fields of a record that say something, by name; nested events and links likewise."""
    fields: dict[str, Any] = {}
    for name, default in _DEFAULTS[type(record)]:
        value = getattr(record, name)
        if name in ("events", "links"):
            value = tuple(_fields(part) for part in value)
        elif isinstance(value, datetime):
            value = value.isoformat()
        if default is _REQUIRED or value != default:
            fields[name] = value
    return fields


_REQUIRED: Final = object()


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return _REQUIRED if field.default_factory is dataclasses.MISSING else field.default_factory()


_DEFAULTS: Final[Mapping[type[Any], Sequence[tuple[str, Any]]]] = {
    cls: [(field.name, _default(field)) for field in dataclasses.fields(cls)]
    for cls in (*KINDS, SpanEvent, SpanLink)
}


def _record(fields: dict[str, Any]) -> Record:
    cls = _CLASSES[fields.pop("k")]
    for name, part in (("events", SpanEvent), ("links", SpanLink)):
        if name in fields:
            fields[name] = tuple(part(**item) for item in fields[name])
    if cls is Close:
        fields["trace_ids"] = tuple(fields["trace_ids"])
    if cls is Annotation:
        fields["created"] = datetime.fromisoformat(fields["created"])
    return cast(Record, cls(**fields))


def _foreign(value: Any) -> Any:
    """What the C encoder does not know: bytes, mappings and sequences of others, anything else."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set):
        return list(value)
    return text_of(value)


def text_of(value: Any) -> str:
    """`repr` of a foreign object; one whose `repr` raises is named by its type."""
    try:
        return repr(value)
    except Exception as error:  # the user's code
        return f"<{type(value).__qualname__}: repr raised {type(error).__name__}>"


_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_foreign).encode

_MAX_DEPTH: Final = 100
"""Containers nested deeper become text; far below what would exhaust the interpreter's stack."""


def _plain(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """`value` of nothing but JSON types, with the stand-ins for what JSON lacks.

    Args:
        value: Anything.
        inside: `id` of each container round it, so that one that holds itself ends.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else _long(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$f": _NON_FINITE[str(float(value))]}
    if isinstance(value, bytes | bytearray | memoryview):
        return _foreign(value)
    if id(value) in inside or len(inside) > _MAX_DEPTH:
        return "<circular>" if id(value) in inside else f"<deeper than {_MAX_DEPTH}>"
    inside = (*inside, id(value))
    if isinstance(value, Mapping):
        plain = {_key(key): _plain(item, inside) for key, item in value.items()}
        if len(plain) == 1 and (only := next(iter(plain))).startswith("$"):
            return {f"${only}": plain[only]}
        return plain
    if isinstance(value, Sequence | Set):
        return [_plain(item, inside) for item in value]
    return text_of(value)


_NON_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _long(value: int) -> str:
    """An integer as text; Python refuses decimals of more than some thousand digits."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def _key(key: Any) -> str:
    """A map's key as the C encoder would write it, or as text."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | int):
        return _encode(key)
    return text_of(key)


def _restore(pairs: list[tuple[str, Any]]) -> Any:
    """Undo the stand-ins; called from the innermost object outwards."""
    if len(pairs) == 1:
        ((key, value),) = pairs
        if key == "$b64":
            return base64.b64decode(value, validate=True)
        if key == "$f":
            return float(value)
        return {key.removeprefix("$"): value}
    return dict(pairs)


def _integer(text: str) -> int | str:
    if len(text) > 20:  # also keeps clear of the interpreter's limit on digits
        return text
    value = int(text)
    return value if -(2**63) <= value < 2**63 else text


_parse: Final = json.JSONDecoder(parse_int=_integer).decode
_parse_special: Final = json.JSONDecoder(parse_int=_integer, object_pairs_hook=_restore).decode
