"""The process in which the console's SQL runs: nothing that a query does harms the server.

The engine's own limits are not enough. Texts and lists of one call are no part of its limit of
memory (`repeat('x', 2000000000)`), and an interrupt waits for the end of such a call. So the system
limits this process, and the server ends it: when the time is over, at a cancel, when the asker is
gone. A process answers one question after the other, and ends with the server.

Messages are a length in 8 bytes, then so many bytes. In: pickled `Settings`, then questions, as
JSON. Out: "ready"; then for each question a head (JSON: `{}`, or what went wrong) and a body.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import re
import sys
import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

import duckdb
import pyarrow as pa

from otel_traj.errors import OtelTrajError, QueryError, QueryRefusedError
from otel_traj.redaction import Redaction
from otel_traj.server.viewer import shown
from otel_traj.server.viewer.answers import SqlResult
from otel_traj.server.viewer.asking import encoded
from otel_traj.store import TrajectoryStore, query, results, snapshot
from otel_traj.store.views import Setup

Form: TypeAlias = Literal["json", "csv", "arrow", "parquet"]

ROWS: Final = 1_000
MOST_ROWS: Final = 10_000
"""Rows of an answer that is looked at, where nobody says how many, and at most."""

MOST_BYTES: Final = 8 * 1024 * 1024
LONGEST_CELL: Final = 20_000
"""Characters of such an answer, and of one cell in it."""

MOST_EXPORTED: Final = 64 * 1024 * 1024
"""Bytes of a file; what is larger is refused, as half a file would be taken for the whole."""

MEMORY_MB: Final = 1024
"""Of the engine; the process may have twice as much more than it begins with."""

THREADS: Final = max(1, (os.cpu_count() or 2) // 2)
_NICE: Final = 5
"""So much less than the server's own turn at the cores."""

_LATE_S: Final = 10.0
"""So long after its time is over a process ends itself, where no server is left to do it."""

_EXACT: Final = 2**53
"""Integers beyond this are texts: JavaScript would round them."""

READY: Final = b"ready"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked, and what must not be seen of it."""

    store: Path
    seals: bool
    redaction: Redaction


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        sql: One SELECT.
        form: How the rows come.
        limit: At most so many rows; None is `ROWS` for JSON, and all for files.
        timeout_ms: How long it may take.
    """

    sql: str
    form: Form
    limit: int | None
    timeout_ms: int


class CancelledError(OtelTrajError):
    """A query was cancelled."""


class TooLargeError(QueryError):
    """A file would be larger than is given out."""


class _LocatedError(QueryError):
    """What the engine says, and where; `at` is in characters, None where nobody knows."""

    def __init__(self, message: str, at: int | None) -> None:
        super().__init__(message)
        self.at = at


class _Desk:
    """Answers questions on one store."""

    def __init__(self, settings: Settings) -> None:
        self._is_redacted = bool(settings.redaction)

        def finish(connection: duckdb.DuckDBPyConnection) -> None:
            if self._is_redacted:
                shown.add(connection, settings.redaction)

        setup = Setup(f"{MEMORY_MB}MiB", THREADS, finish)
        self._store = TrajectoryStore(settings.store, seals=settings.seals, setup=setup)

    def open(self) -> None:
        """Make the engine, before anybody waits for it."""
        self._store.connection()

    def answer(self, question: Question) -> bytes:
        """The rows of a question, in its form.

        Raises:
            QueryError: It cannot be answered.
        """
        try:
            query.check(question.sql)
        except QueryRefusedError:
            raise
        except QueryError as error:
            raise self._located(str(error), question.sql) from error
        while True:
            before = snapshot.numbers(self._store.path)[-1:]
            cursor = self._store.connection()
            if self._is_redacted:
                cursor.execute(f"use {shown.SCHEMA}")
            try:
                return _written(cursor.sql(question.sql), question)
            except TooLargeError:
                raise
            except (QueryError, duckdb.Error) as error:
                if snapshot.numbers(self._store.path)[-1:] != before:
                    continue  # a file of that snapshot may have been erased
                raise self._failed(cursor, question.sql, str(error)) from error

    def _failed(self, cursor: duckdb.DuckDBPyConnection, sql: str, message: str) -> QueryError:
        """What the engine says; where, it tells of names only to who asks for the plan."""
        if "\nLINE " not in message:
            before = "explain\n"
            try:
                cursor.execute(before + sql)
            except duckdb.Error as error:
                return self._located(str(error), before + sql, len(before))
        return self._located(message, sql)

    def _located(self, message: str, sql: str, before: int = 0) -> QueryError:
        told, at = _place(message, sql)
        told = told.replace(str(self._store.path), "the store")
        return _LocatedError(told, None if at is None else max(0, at - before))


_LINE: Final = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^", re.DOTALL)


def _place(message: str, sql: str) -> tuple[str, int | None]:
    """A message of the engine without the line that it shows, and where in the SQL that points."""
    found = _LINE.search(message)
    if found is None:
        return message, None
    n = int(found[1])
    lines = sql.split("\n")
    line = lines[n - 1] if n <= len(lines) else ""
    column = len(found[3]) - len(f"LINE {n}: ")
    if found[2].startswith("..."):  # of a long line it shows a part
        column += max(0, line.find(found[2][3:].removesuffix("..."))) - 3
    at = sum(len(each) + 1 for each in lines[: n - 1]) + min(max(0, column), len(line))
    return message[: found.start()], at


# --- forms -------------------------------------------------------------------------------------


def _written(relation: duckdb.DuckDBPyRelation, question: Question) -> bytes:
    if question.form == "json":
        return encoded(_told(relation, question.limit or ROWS))
    if question.limit is not None:
        relation = relation.limit(question.limit)
    out = _File()
    if question.form == "parquet":
        results.write_parquet(relation, out)
    elif question.form == "arrow":
        _write_arrow(relation, out)
    else:
        text = io.TextIOWrapper(out, "utf-8", newline="\n", write_through=True)
        results.write_csv(results.rows(relation), text)
        text.detach()
    return out.getvalue()


class _File(io.BytesIO):
    """A file in memory that does not grow beyond `MOST_EXPORTED`."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > MOST_EXPORTED:
            raise TooLargeError(
                f"This file would be larger than {MOST_EXPORTED // 2**20} MB: ask for fewer rows or"
                " columns, or use `otel-traj sql`"
            )
        return super().write(data)


def _write_arrow(relation: duckdb.DuckDBPyRelation, out: io.BytesIO) -> None:
    reader = relation.to_arrow_reader(results.BATCH)
    with pa.ipc.new_stream(out, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _told(relation: duckdb.DuckDBPyRelation, limit: int) -> SqlResult:
    """Rows as columns, as many as fit."""
    begun = time.perf_counter()
    types = [str(kind) for kind in relation.types]
    found = results.rows(relation.limit(limit + 1))
    columns: list[list[Any]] = [[] for _ in found.names]
    cut: list[tuple[int, int, int]] = []
    size = n = 0
    limited_by: Literal["rows", "bytes"] | None = None
    for row in found.values:
        if n == limit or size > MOST_BYTES:
            limited_by = "rows" if n == limit else "bytes"
            break
        for at, value in enumerate(row):
            cell = _cell(value)
            if isinstance(cell, str) and len(cell) > LONGEST_CELL:
                cut.append((n, at, len(cell)))
                cell = cell[:LONGEST_CELL]
            size += len(cell) if isinstance(cell, str) else 8
            columns[at].append(cell)
        n += 1
    return {
        "columns": [
            {"name": name, "type": kind, "is_number": is_number}
            for name, kind, is_number in zip(found.names, types, found.is_number, strict=True)
        ],
        "values": columns,
        "n_rows": n,
        "limit": limit,
        "limited_by": limited_by,
        "cut": [{"row": row, "column": at, "length": length} for row, at, length in cut],
        "took_ms": round((time.perf_counter() - begun) * 1000, 3),
    }


def _cell(value: Any) -> str | int | float | bool | None:
    """A value as JSON has it, where a browser would read the same; else its text."""
    match value:
        case None | bool():
            return value
        case results.Literal():
            return str(value)
        case str():
            return value
        case int():
            return value if -_EXACT <= value <= _EXACT else str(value)
        case float():
            return value if math.isfinite(value) else _NOT_FINITE[repr(value)]
        case Decimal():
            return format(value, "f")
    return results.plain_text(value)


_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


# --- messages ----------------------------------------------------------------------------------


def message(content: bytes) -> bytes:
    """Content as it is sent."""
    return len(content).to_bytes(8) + content


def _received(stream: IO[bytes]) -> bytes:
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    return stream.read(int.from_bytes(size))


def _reply(desk: _Desk, question: Question) -> tuple[dict[str, Any], bytes]:
    try:
        return {}, desk.answer(question)
    except (QueryError, MemoryError) as error:
        is_memory = isinstance(error, MemoryError) or "Out of Memory" in str(error)
        kind = "refused" if isinstance(error, QueryRefusedError) else "failed"
        kind = "too_large" if isinstance(error, TooLargeError) else kind
        kind = "memory" if is_memory else kind
        return {"kind": kind, "detail": str(error), "at": getattr(error, "at", None)}, b""


def _limit_memory() -> None:
    """Beyond this the system gives none: a query fails, or its process ends."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not of this system
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + 2 * MEMORY_MB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Answer questions until there are no more."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not do so in between
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICE)
    with contextlib.suppress(EOFError, BrokenPipeError):
        desk = _Desk(pickle.loads(_received(questions)))
        desk.open()
        _limit_memory()
        answers.write(message(READY))
        answers.flush()
        while True:
            question = Question(**json.loads(_received(questions)))
            late = threading.Timer(question.timeout_ms / 1000 + _LATE_S, os._exit, (1,))
            late.daemon = True
            late.start()
            head, body = _reply(desk, question)
            late.cancel()
            answers.write(message(json.dumps(head).encode("utf-8", "replace")) + message(body))
            answers.flush()
    os._exit(0)  # nothing here is worth tidying up


if __name__ == "__main__":
    from otel_traj.server.viewer.console_worker import (
        main as _main,  # so that what is pickled is of the module
    )

    _main()
