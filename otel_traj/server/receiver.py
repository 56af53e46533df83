"""What both transports do with a request: keep it in bounds, check it, make it durable.

Memory is bounded by `Limits`: the bytes of all requests under way by `memory`, those of one by
`body`. At most `WORKERS` are unpacked and parsed at a time, which takes about five times their
size; JSON, which can be made to take thirty times its size, one at a time. A request gets its room
before it is read; who finds none waits a little, and is then told to come again. Who holds room for
a request that does not come makes way for those who wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from otel_traj.errors import InputError
from otel_traj.otlp import Signal
from otel_traj.redaction import Redaction
from otel_traj.server import encodings, refusals, requests
from otel_traj.server.encodings import Coding
from otel_traj.server.journal import Journal
from otel_traj.server.metrics import Metrics
from otel_traj.server.refusals import Refusal
from otel_traj.server.requests import Checked, Encoding

WORKERS: Final = 2
"""Parsing holds the interpreter; the second one unpacks, or computes a checksum, meanwhile."""

WAIT_S: Final = 5.0
"""How long a request waits for room: senders give up after ten seconds."""

PATIENCE_S: Final = 2.0
SLOW_BYTES_S: Final = 64 * 1024
"""While others wait for room, who has held some for so long must have sent so much a second."""

_GLANCE_S: Final = 0.2
"""How often those who wait look for one who must make way."""

RETRY_S: Final = 1
"""When to come again if there was no room: requests take milliseconds."""

DISK_RETRY_S: Final = 5
"""When to come again if the disk was full, or the sealer is far behind: that takes longer."""

_MIB: Final = 1024 * 1024

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a receiver bears.

    Attributes:
        body: Bytes of one request, as it came and unpacked.
        memory: Bytes of all requests under way.
        slow_s: Seconds that a request may take to arrive.
        backlog: Bytes of the log that may wait to be sealed.
        connections: So many at most, on each port.
        calls: So many over gRPC at a time at most.
    """

    body: int = 64 * _MIB
    memory: int = 512 * _MIB
    slow_s: float = 30.0
    backlog: int = 8 * 1024 * _MIB
    connections: int = 4096
    calls: int = 1024


class Room:
    """Memory for requests; who finds none waits a little, and is then told to come again."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        """All of it is free; `hold` is how to get some."""
        self._limits = limits
        self._metrics = metrics
        self._used = 0
        self._freed = asyncio.Event()
        self._arriving: dict[Hold, asyncio.Timeout] = {}  # in order of their begin

    @contextlib.contextmanager
    def hold(self) -> Iterator[Hold]:
        """What one request holds; given back when the block ends."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.free(hold.bytes)

    async def take(self, n_bytes: int) -> None:
        """Take some.

        Raises:
            Refusal: There has not been that much for `WAIT_S`.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                while self._used + n_bytes > self._limits.memory:
                    self._freed.clear()
                    self._send_one_off()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_GLANCE_S):
                            await self._freed.wait()
        except TimeoutError:
            raise Refusal(
                refusals.NO_ROOM, "Too many requests at once: send it again", retry_s=RETRY_S
            ) from None
        self._change(n_bytes)

    def free(self, n_bytes: int) -> None:
        """Give some back."""
        self._change(-n_bytes)
        self._freed.set()

    @contextlib.asynccontextmanager
    async def arrival(self, hold: Hold) -> AsyncIterator[None]:
        """A block in which a request that has its room comes in.

        Raises:
            Refusal: It took too long, or was slow while others waited.
        """
        slow_s = self._limits.slow_s
        try:
            async with asyncio.timeout(slow_s) as end:
                self._arriving[hold] = end
                yield
        except TimeoutError:
            if hold not in self._arriving:
                message = "The request came slowly while others waited: send it again"
                raise Refusal(refusals.NO_ROOM, message, retry_s=RETRY_S) from None
            message = f"The request did not come within {slow_s:g} s"
            raise Refusal(refusals.TOO_SLOW, message) from None
        finally:
            self._arriving.pop(hold, None)

    def _send_one_off(self) -> None:
        """Let the eldest of those that come too slowly make way."""
        for hold, end in self._arriving.items():
            if hold.is_slow() and not end.expired():
                del self._arriving[hold]
                end.reschedule(0)  # at once
                return

    def _change(self, n_bytes: int) -> None:
        self._used += n_bytes
        self._metrics.in_flight(self._used)


class Hold:
    """What one request holds of a `Room`.

    Attributes:
        bytes: So much.
        arrived: Bytes of the request that have come, as far as the transport tells.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._began_s = time.monotonic()
        self.bytes = 0
        self.arrived = 0

    async def resize(self, n_bytes: int) -> None:
        """Hold so much from now on.

        Raises:
            Refusal: There is not that much.
        """
        if n_bytes > self.bytes:
            await self._room.take(n_bytes - self.bytes)
        else:
            self._room.free(self.bytes - n_bytes)
        self.bytes = n_bytes

    def arrival(self) -> contextlib.AbstractAsyncContextManager[None]:
        """See `Room.arrival`."""
        self._began_s = time.monotonic()
        return self._room.arrival(self)

    def is_slow(self) -> bool:
        """Whether it has come more slowly than others have to wait for."""
        seconds = time.monotonic() - self._began_s
        return seconds >= PATIENCE_S and self.arrived < seconds * SLOW_BYTES_S


@dataclass(frozen=True, slots=True)
class Request:
    """An export request as it came.

    Attributes:
        body: Its bytes.
        signal: What it exports.
        encoding: How it is written.
        coding: How it is packed.
        transport: `grpc` or `http`.
    """

    body: bytes
    signal: Signal
    encoding: Encoding
    coding: Coding
    transport: str


class Receiver:
    """Takes export requests for a store; used from one event loop."""

    def __init__(
        self,
        store: Path,
        limits: Limits,
        metrics: Metrics,
        *,
        token: str | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        """Begin to take requests; `close` ends it.

        Args:
            store: A folder that `wal.initialise` has prepared.
            limits: See there.
            metrics: Told of everything.
            token: What senders must show.
            redaction: What must not reach the disk. It takes decoding every request before it is
                acknowledged, so that far fewer are in a second.
        """
        self.limits = limits
        self.metrics = metrics
        self._room = Room(limits, metrics)
        self._journal = Journal(store)
        self._workers = ThreadPoolExecutor(WORKERS, "otel-traj-parse")
        self._unpacking = asyncio.Semaphore(WORKERS)
        self._checking = {"protobuf": asyncio.Semaphore(WORKERS), "json": asyncio.Semaphore(1)}
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._redaction = redaction
        self._backlog = 0  # as it was told last, and what has been appended since
        self.is_stopping = False

    def admit(self, authorization: str | None) -> None:
        """Let a sender in.

        Raises:
            Refusal: It showed no token, or a wrong one; or nothing is taken now.
        """
        if not self.is_known(authorization):
            raise Refusal(refusals.UNAUTHENTICATED, "Send the header 'Authorization: Bearer TOKEN'")
        if self.is_stopping:
            raise Refusal(refusals.STOPPING, "The receiver is being stopped", retry_s=RETRY_S)
        if self._backlog > self.limits.backlog:
            raise Refusal(
                refusals.BEHIND,
                f"More than {self.limits.backlog:,} bytes wait to be sealed",
                retry_s=DISK_RETRY_S,
            )

    def is_known(self, authorization: str | None) -> bool:
        """Whether a header shows the token, if one is asked for."""
        given = (authorization or "").encode("utf-8", "surrogateescape")
        return self._expected is None or hmac.compare_digest(given, self._expected)

    def hold(self) -> contextlib.AbstractContextManager[Hold]:
        """Room for one request."""
        return self._room.hold()

    async def take(self, request: Request, hold: Hold) -> Checked:
        """Store a request; what is accepted of it is durable when this returns.

        Args:
            request: As it came.
            hold: The room that it takes; becomes what it takes unpacked.

        Raises:
            Refusal: It is no such request, or cannot be stored now.
        """
        began = time.perf_counter()
        body = await self._unpacked(request, hold)
        async with self._checking[request.encoding]:
            checked = await self._work(self._checked, body, request)
        sender = (request.signal, request.transport)
        self.metrics.received(*sender, checked, len(request.body))
        if checked.body:
            await self._append(checked)
        self.metrics.durable(*sender, checked, time.perf_counter() - began)
        return checked

    def note_backlog(self, n_bytes: int) -> None:
        """So much of the log was not sealed a moment ago."""
        self._backlog = n_bytes

    def close(self) -> None:
        """Write what was taken, and let go of the log."""
        self._workers.shutdown()
        self._journal.close()

    async def _unpacked(self, request: Request, hold: Hold) -> bytes:
        if request.coding == "identity":
            return request.body
        async with self._unpacking:  # what was unpacked finds room before the next one is
            body = await self._work(
                encodings.unpack, request.body, request.coding, self.limits.body
            )
            await hold.resize(len(body))
        return body

    def _checked(self, body: bytes, request: Request) -> Checked:
        """Check and redact; on a thread of `_workers`."""
        signal, encoding = request.signal, request.encoding
        checked = requests.check(body, signal, encoding)
        if self._redaction and checked.body:
            return requests.redacted(checked, signal, encoding, self._redaction)
        return checked

    async def _work(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function on a thread of `_workers`."""
        call = functools.partial(function, *args, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, call)
        except InputError as error:
            raise Refusal(refusals.MALFORMED, str(error)) from error

    async def _append(self, checked: Checked) -> None:
        try:
            await self._journal.append(checked.body, checked.kind)
            self._backlog += len(checked.body)
        except OSError as error:
            raise Refusal(
                refusals.NOT_WRITABLE,
                f"The store cannot be written: {error.strerror or error}",
                retry_s=DISK_RETRY_S,
            ) from error
