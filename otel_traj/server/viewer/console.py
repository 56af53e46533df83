"""The SQL console: one SELECT over the public views, within limits, and it can be stopped.

    question -> a process of its own (`console_worker`): what may be asked at all is decided by
                `store.query.check`, as for `otel-traj sql`; its engine is locked and read-only
             -> rows as JSON within bounds of rows, bytes and time, or a whole file

Where secrets are replaced, that engine has only redacted texts (`shown`). A few questions are
answered at a time and a few more wait. Who takes too long, is cancelled, or whose asker is gone
loses the process, hence ends at once, whatever it does; the next question gets a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from otel_traj import processes
from otel_traj.errors import InputError, QueryError
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.viewer.answers import SqlSchema
from otel_traj.server.viewer.console_worker import (
    MEMORY_MB,
    MOST_ROWS,
    READY,
    ROWS,
    CancelledError,
    Question,
    Settings,
    TooLargeError,
    message,
)
from otel_traj.server.viewer.problems import BusyError
from otel_traj.server.viewer.reading import Reader, TooSlowError
from otel_traj.store import schema

TIME_MS: Final = 10_000
MOST_MS: Final = 60_000
"""How long a query may take, where nobody says how long, and at most."""

RUNNING: Final = 2
WAITING: Final = 6
"""Questions that are answered at a time, and that wait for it; more are sent away."""

_START_S: Final = 60.0
"""How long a process may take to start, on a machine that does much else."""

_IDLE_S: Final = 120.0
"""A process without a question for so long is ended; it takes memory."""


class SqlError(QueryError):
    """A query that cannot be answered.

    Attributes:
        at: Where, in characters from its beginning; None where nobody knows.
    """

    def __init__(self, detail: str, at: int | None = None) -> None:
        super().__init__(detail)
        self.at = at


class Console:
    """Answers queries on one store."""

    def __init__(self, reader: Reader, threads: Threads) -> None:
        """Answer on a store; a process is started when the first query comes."""
        self._reader = reader
        self._threads = threads
        settings = Settings(reader.store.path, reader.store.seals, reader.redaction)
        self._settings = message(pickle.dumps(settings))
        self._turn = asyncio.Semaphore(RUNNING)
        self._n_asked = 0
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._end: asyncio.Task[None] | None = None
        self._is_preparing = False
        self._cancels: dict[str, asyncio.Event] = {}

    async def answer(
        self, question: Question, name: str | None, left: Callable[[], Awaitable[object]]
    ) -> bytes:
        """The rows of a query in the form that it asks for.

        Args:
            question: The query.
            name: What it is cancelled by; None for nothing.
            left: Returns when the asker is gone.

        Raises:
            SqlError, TooLargeError: It cannot be answered.
            BusyError, CancelledError, TooSlowError: It is not.
            InputError: Another one of its name is being answered.
        """
        if self._n_asked >= RUNNING + WAITING:
            raise BusyError(
                f"{RUNNING} queries run and {WAITING} wait: cancel one, or ask again in a moment"
            )
        if name in self._cancels:
            raise InputError(f"A query named {name!r} is running: choose another id")
        cancelled = asyncio.Event()
        if name is not None:
            self._cancels[name] = cancelled
        self._n_asked += 1
        answered = asyncio.ensure_future(self._answered(question))
        tasks: list[asyncio.Future[Any]] = [
            answered,
            asyncio.ensure_future(left()),
            asyncio.ensure_future(cancelled.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return answered.result()
            raise CancelledError("This query was cancelled")
        finally:
            self._n_asked -= 1
            if name is not None:
                del self._cancels[name]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def cancel(self, name: str) -> bool:
        """Stop the query of a name; False if there is none."""
        event = self._cancels.get(name)
        if event is not None:
            event.set()
        return event is not None

    def prepare(self) -> None:
        """Start a process, as somebody is about to ask."""
        if self._n_asked == 0 and not self._idle and not self._is_preparing:
            self._is_preparing = True
            self._preparing = asyncio.ensure_future(self._prepared())

    async def _prepared(self) -> None:
        with contextlib.suppress(SqlError):  # who asks will be told
            async with self._turn:
                self._keep(await self._hired())
        self._is_preparing = False

    async def _answered(self, question: Question) -> bytes:
        async with self._turn:
            # Sealed here, as the process may be ended at any time.
            await self._threads.call(self._reader.version)
            worker = self._idle.pop() if self._idle else await self._hired()
            worker.is_idle = False
            try:
                async with asyncio.timeout(question.timeout_ms / 1000):
                    head, body = await worker.ask(question)
            except TimeoutError:
                raise _too_slow(question) from None
            except (EOFError, OSError):
                raise SqlError(_MEMORY) from None
            finally:
                self._keep(worker)
        if head:
            raise _error(head)
        return body

    async def _hired(self) -> _Worker:
        if self._end is None:
            self._end = asyncio.create_task(self._end_with_server())
        worker = await _Worker.start()
        self._alive.add(worker)
        try:
            async with asyncio.timeout(_START_S):
                await worker.greet(self._settings)
        except (EOFError, OSError, TimeoutError) as error:
            self._let_go(worker)
            raise SqlError(f"The process for queries does not start: {error!r}") from error
        except asyncio.CancelledError:
            self._let_go(worker)
            raise
        return worker

    def _keep(self, worker: _Worker) -> None:
        """For the next query, if it has answered; else it may still be at the last one."""
        if not worker.has_answered:
            self._let_go(worker)
            return
        self._idle.append(worker)
        worker.is_idle = True
        asyncio.get_running_loop().call_later(_IDLE_S, self._dismiss, worker, worker.n_answered)

    def _dismiss(self, worker: _Worker, n_answered: int) -> None:
        if worker.is_idle and worker.n_answered == n_answered:
            self._idle.remove(worker)
            self._let_go(worker)

    def _let_go(self, worker: _Worker) -> None:
        self._alive.discard(worker)
        worker.end()

    async def _end_with_server(self) -> None:
        """End all processes, where the server says that it stops or its loop just ends."""
        try:
            await self._threads.ending.wait()
        finally:
            alive = list(self._alive)
            for worker in alive:
                worker.end()
            await asyncio.gather(*(worker.ended() for worker in alive))


_MEMORY: Final = (
    f"This query needed more than {MEMORY_MB / 1024:g} GB of memory and was stopped: ask for fewer"
    " rows or shorter texts, or aggregate before you join and sort"
)


def _too_slow(question: Question) -> TooSlowError:
    return TooSlowError(
        f"This took longer than {question.timeout_ms / 1000:g} s and was stopped: narrow it, for"
        " instance to a time range"
    )


def _error(head: dict[str, Any]) -> QueryError:
    if head["kind"] == "memory":
        return SqlError(_MEMORY)
    if head["kind"] == "too_large":
        return TooLargeError(head["detail"])
    return SqlError(head["detail"], head["at"])


class _Worker:
    """One process, as the server sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.is_idle = False
        self.has_answered = False
        self.n_answered = 0

    @classmethod
    async def start(cls) -> _Worker:
        """Start one; it is ready when it has greeted."""
        return cls(
            await asyncio.create_subprocess_exec(
                *processes.command("otel_traj.server.viewer.console_worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=processes.environment(),
                start_new_session=True,  # Ctrl-C is for the server, which ends it then
            )
        )

    async def greet(self, settings: bytes) -> None:
        """Tell what is asked, and wait until it is ready."""
        await self._send(settings)
        if await self._receive() != READY:
            raise EOFError
        self.has_answered = True

    async def ask(self, question: Question) -> tuple[dict[str, Any], bytes]:
        """Head and body of an answer."""
        self.has_answered = False
        await self._send(message(json.dumps(asdict(question)).encode()))
        head = json.loads(await self._receive())
        body = await self._receive()
        self.has_answered = True
        self.n_answered += 1
        return head, body

    async def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(content)
        await self._process.stdin.drain()

    async def _receive(self) -> bytes:
        assert self._process.stdout is not None
        size = int.from_bytes(await self._process.stdout.readexactly(8))
        return await self._process.stdout.readexactly(size)

    def end(self) -> None:
        """End it, whatever it does; the event loop takes note of its end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> None:
        """Wait until nothing of it is left."""
        await self._process.wait()
        await asyncio.sleep(0)  # its pipes notice one turn later


def described() -> SqlSchema:
    """What may be asked: views with the meaning of their columns, and the limits."""
    return {
        "views": [
            {
                "name": name,
                "meaning": schema.VIEW_MEANINGS[name],
                "columns": [
                    {
                        "name": column.name,
                        "type": column.duckdb_type,
                        "meaning": column.meaning,
                        "unit": column.unit,
                    }
                    for column in columns
                ],
            }
            for name, columns in schema.VIEW_COLUMNS.items()
        ],
        "rows": ROWS,
        "most_rows": MOST_ROWS,
        "time_ms": TIME_MS,
        "most_ms": MOST_MS,
        "memory_mb": MEMORY_MB,
    }
