"""Where records come from: files, the files of folders, standard input; plain or compressed."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from otel_traj.errors import InputError

HEAD: Final = 64 * 1024
"""Bytes by which content is recognised."""

UNREADABLE: Final = (OSError, EOFError, zlib.error)
"""What reading raises when the disk fails, or the compression is cut off or damaged."""

_GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, or standard input (`path` None).

    `size` is in bytes as stored, None where it cannot be known before reading. `skip` says why the
    file is not even opened.
    """

    name: str
    path: Path | None
    size: int | None
    skip: str | None = None


def find(*paths: str | os.PathLike[str]) -> list[Source]:
    """The sources that paths name: a file itself, a folder's files in order of name, "-" for stdin.

    In a folder, hidden files and links to folders are passed over; a store is no source either.

    Raises:
        InputError: A path does not exist or cannot be looked into.
    """
    return [source for path in paths for source in _sources(os.fspath(path))]


def _sources(name: str) -> Iterator[Source]:
    if name == "-":
        yield Source("<stdin>", None, None)
        return
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"Cannot read {name!r}: {reason}.") from error
    if stat.S_ISDIR(mode):
        yield from _folder(path)
    else:
        # A pipe, as the shell's <(...) makes, has no size to speak of.
        yield Source(name, path, path.stat().st_size if stat.S_ISREG(mode) else None)


def _folder(path: Path) -> Iterator[Source]:
    if (path / "format.json").is_file() and (path / "_wal").is_dir():
        yield Source(str(path), path, 0, skip="a trajectory store, not an export")
        return
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"Cannot read folder {str(path)!r}: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(path / entry.name)
        elif entry.is_file():  # not the sockets, devices and pipes, which could block for ever
            yield Source(str(path / entry.name), path / entry.name, entry.stat().st_size)


def open_raw(source: Source) -> IO[bytes]:
    """The bytes as stored; `tell()` of a file is how far it has been read."""
    if source.path is None:
        return cast(IO[bytes], sys.stdin.buffer)
    return open(source.path, "rb", buffering=0)


def unpacked(stream: IO[bytes]) -> tuple[bytes, BinaryIO]:
    """The head of a stream, and the whole stream, both decompressed as often as it takes.

    Cut off or damaged compression shows when the stream is read, as one of `UNREADABLE`, after
    everything before the damage was given.
    """
    head, stream = _peek(stream)
    while head.startswith((_GZIP, ZSTD)):
        head, stream = _peek(_decompressed(head, stream))
    return head, cast(BinaryIO, stream)


def _decompressed(head: bytes, stream: IO[bytes]) -> IO[bytes]:
    if head.startswith(_GZIP):
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    import pyarrow as pa  # Python has zstd of its own only from 3.14 on

    packed = pa.PythonFile(stream, mode="r")
    return cast(IO[bytes], pa.CompressedInputStream(packed, "zstd"))


def _peek(stream: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """The first `HEAD` bytes and the stream from its start; it need not be seekable."""
    chunks: list[bytes] = []
    length = 0
    failure: Exception | None = None
    while length < HEAD:
        try:
            chunk = _read_some(stream, HEAD - length)
        except UNREADABLE as error:
            failure = error
            break
        if not chunk:
            break
        chunks.append(chunk)
        length += len(chunk)
    head = b"".join(chunks)
    return head, cast(IO[bytes], io.BufferedReader(_Rewound(head, stream, failure), HEAD))


def _read_some(stream: IO[bytes], size: int) -> bytes:
    """At most `size` bytes by one read below: `read` loses what it has when its next one fails."""
    read = getattr(stream, "read1", stream.read)
    return cast(bytes, read(size))


class _Rewound(io.RawIOBase):
    """A stream whose head was read already; a failure met behind the head comes up in its place."""

    def __init__(self, head: bytes, rest: IO[bytes], failure: Exception | None) -> None:
        super().__init__()
        self._head = memoryview(head)
        self._rest = rest
        self._failure = failure

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        taken = bytes(self._head[: len(buffer)])
        if taken:
            self._head = self._head[len(taken) :]
        elif self._failure is not None:
            raise self._failure
        else:
            taken = _read_some(self._rest, len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)
