"""The snapshot: one JSON file that names all live files, and how much of the log is in them.

Publishing snapshot n+1 is the store's only commit point. It is a `link()` that fails when the name
exists, so two sealers that both think they hold the lock cannot both win, and a reader sees all
tables of one commit or none. Snapshots are immutable; the highest number is the current one.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from otel_traj.errors import StoreDamagedError, StoreError
from otel_traj.store.schema import COLUMNS, SCHEMA_ID, TABLES
from otel_traj.wal import sync_folder, ulid

Operation: TypeAlias = Literal[
    "seal", "reassemble", "compact", "retain", "erase", "migrate", "repair"
]


class SnapshotConflictError(StoreError):
    """Somebody else published this number first: the work is void and starts from the beginning."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A live Parquet file.

    Attributes:
        path: Where it is, relative to the store.
        rows: How many it has.
        bytes: How long it is.
        t0: Least time in it, microseconds since 1970; None without rows or times.
        t1: Greatest time in it.
        level: How often its rows have been merged; 0 as sealed.
        schema: Id of the columns that it was written with.
        sha256: Hash of its bytes, hex; None in files of before hashes were kept.
    """

    path: str
    rows: int
    bytes: int
    t0: int | None
    t1: int | None
    level: int = 0
    schema: int = SCHEMA_ID
    sha256: str | None = None

    @property
    def date(self) -> str:
        """Its partition: the UTC day in its path."""
        return self.path.split("/")[1].removeprefix("date=")


Files: TypeAlias = Mapping[str, tuple[DataFile, ...]]
"""Table -> files of it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of a store at one commit.

    Attributes:
        n: Its number; 0 is the empty store, which has no file.
        ts: When it was made, seconds since 1970.
        files: Table -> its live files, in order of commit.
        wal: Segment name -> offset up to which the tables contain it.
        open: Trace id -> what is known of a trace that still runs (see `otel_traj.store.traces`).
        schemas: Schema id -> table -> its columns, for every id that a live file has.
    """

    n: int = 0
    ts: float = 0.0
    op: Operation = "seal"
    files: Files = field(default_factory=dict)
    wal: Mapping[str, int] = field(default_factory=dict)
    open: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    schemas: Mapping[int, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    def live(self, table: str) -> tuple[DataFile, ...]:
        """The files of a table."""
        return self.files.get(table, ())

    def following(
        self,
        new_files: Files,
        wal: Mapping[str, int],
        open_traces: Mapping[str, dict[str, Any]],
    ) -> Snapshot:
        """The next snapshot after a seal: files are only added."""
        return replace(self.changed({}, new_files, "seal"), wal=wal, open=open_traces)

    def changed(self, drop: Files, add: Files, op: Operation) -> Snapshot:
        """The next snapshot, without some files and with others."""
        gone = paths(drop)
        files = {
            name: tuple(f for f in self.live(name) if f.path not in gone) + add.get(name, ())
            for name in TABLES
        }
        return replace(self, n=self.n + 1, ts=time.time(), op=op, files=files)


def paths(files: Files) -> set[str]:
    """Where the files are, relative to the store."""
    return {file.path for own in files.values() for file in own}


_FOLDER: Final = "_snap"


def numbers(store: Path) -> list[int]:
    """Numbers of the snapshots that are there, ascending."""
    return sorted(int(path.stem) for path in (store / _FOLDER).glob("[0-9]*.json"))


def newest(store: Path) -> Snapshot:
    """The current snapshot; the empty one where nothing was sealed yet.

    Raises:
        StoreDamagedError: It is there but cannot be read.
    """
    while True:
        found = numbers(store)
        if not found:
            return Snapshot()
        try:
            return read(store, found[-1])
        except FileNotFoundError:
            continue  # collected between the listing and the opening: there is a newer one


def read(store: Path, n: int) -> Snapshot:
    """Snapshot number `n`.

    Raises:
        FileNotFoundError: There is none of this number (any more).
        StoreDamagedError: Its file cannot be read.
    """
    path = path_of(store, n)
    there = path.stat()
    return _read(path, there.st_ino, there.st_mtime_ns, there.st_size)


@functools.lru_cache(maxsize=8)  # a read asks for the newest several times; a long one takes 10 ms
def _read(path: Path, *_: int) -> Snapshot:
    try:
        return _from_json(json.loads(_unsealed(path.read_bytes())))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"Cannot read snapshot {str(path)!r}: {error!r}. Restore it: otel-traj verify --repair"
        ) from error


def is_seal(store: Path, n: int) -> bool:
    """Whether snapshot `n` only added files to those of `n - 1`; reads its beginning only.

    Raises:
        FileNotFoundError: There is none of this number (any more).
    """
    with path_of(store, n).open("rb") as file:
        return b'"op":"seal"' in file.read(_BEGINNING)


_BEGINNING: Final = 256
"""Where `_to_json` has written the operation, before anything long."""


def commit(store: Path, snapshot: Snapshot) -> None:
    """Publish a snapshot, durably; the files it names must be durable already.

    Raises:
        SnapshotConflictError: Its number is taken.
        OSError: It could not be written; it may be published all the same, and not yet durable.
    """
    draft = store / "_tmp" / f"{ulid()}.json"
    draft.parent.mkdir(exist_ok=True)
    target = path_of(store, snapshot.n)
    if not target.parent.exists():
        target.parent.mkdir(exist_ok=True)
        sync_folder(store)
    try:
        with draft.open("wb") as file:
            file.write(_sealed(json.dumps(_to_json(snapshot), separators=(",", ":")).encode()))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)
    except FileExistsError as error:
        raise SnapshotConflictError(f"Snapshot {snapshot.n} of {str(store)!r} exists") from error
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(target.parent)


_SEAL: Final = re.compile(rb',"sha256":"([0-9a-f]{64})"}$')


def _sealed(text: bytes) -> bytes:
    """A JSON object with the hash of itself as its last entry."""
    return text[:-1] + b',"sha256":"%s"}' % hashlib.sha256(text).hexdigest().encode()


def _unsealed(text: bytes) -> bytes:
    """The object as it was sealed; older versions sealed none.

    Raises:
        ValueError: It has changed since.
    """
    seal = _SEAL.search(text)
    if seal is None:
        return text
    content = text[: seal.start()] + b"}"
    if hashlib.sha256(content).hexdigest().encode() != seal[1]:
        raise ValueError("it has other bytes than were written (SHA-256)")
    return content


def path_of(store: Path, n: int) -> Path:
    """The file of snapshot `n`."""
    return store / _FOLDER / f"{n:020d}.json"


def _to_json(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "n": snapshot.n,
        "ts": snapshot.ts,
        "base": snapshot.n - 1,
        "op": snapshot.op,
        "files": {
            name: [
                {
                    "p": file.path,
                    "rows": file.rows,
                    "bytes": file.bytes,
                    "t0": file.t0,
                    "t1": file.t1,
                    "lvl": file.level,
                    "schema": file.schema,
                    "sha256": file.sha256,
                }
                for file in files
            ]
            for name, files in snapshot.files.items()
        },
        "wal": dict(snapshot.wal),
        "open": dict(snapshot.open),
        "schemas": {
            str(schema_id): {name: list(columns) for name, columns in tables.items()}
            for schema_id, tables in _schemas(snapshot).items()
        },
    }


def _schemas(snapshot: Snapshot) -> dict[int, Mapping[str, tuple[str, ...]]]:
    """Columns of every schema that a live file has, and of this version's."""
    used = {file.schema for own in snapshot.files.values() for file in own}
    known = {i: tables for i, tables in snapshot.schemas.items() if i in used}
    return known | {SCHEMA_ID: COLUMNS}


def _from_json(content: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        n=content["n"],
        ts=content["ts"],
        op=content["op"],
        files={
            name: tuple(
                DataFile(
                    f["p"],
                    f["rows"],
                    f["bytes"],
                    f["t0"],
                    f["t1"],
                    f["lvl"],
                    f["schema"],
                    f.get("sha256"),
                )
                for f in files
            )
            for name, files in content["files"].items()
        },
        wal=content["wal"],
        open=content["open"],
        schemas={
            int(schema_id): {name: tuple(columns) for name, columns in tables.items()}
            for schema_id, tables in content["schemas"].items()
        },
    )
