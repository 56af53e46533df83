"""What the faces share: a recording that is on, runs that end elsewhere than they began."""

from __future__ import annotations

import contextvars
import functools
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from otel_traj.capture import TrajectorySpan, instrument, state
from otel_traj.capture.guard import guard
from otel_traj.errors import ConfigurationError

if TYPE_CHECKING:
    from otel_traj.capture import Recording
    from otel_traj.store import TrajectoryStore

ResultT = TypeVar("ResultT")

logger = logging.getLogger("otel_traj.compat")


def ensure_recording(store: Path | None = None) -> None:
    """Begin to record into `store` unless a recording is on; calls of model clients are left alone.

    Providers of its own: nothing global is set. Who wants model calls recorded as well calls
    `otel_traj.instrument()` before.
    """
    if state.active() is None:
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.trace import TracerProvider

        instrument(
            store,
            instrumentors=(),
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            logger_provider=LoggerProvider(shutdown_on_exit=False),
        )


def ensure_recording_into(store: Path | str | None) -> None:
    """As `ensure_recording`, for who will read from that store again.

    Raises:
        ConfigurationError: The recording that is on goes elsewhere.
    """
    ensure_recording(None if store is None else Path(store))
    recorded = store_folder(None)
    if store is not None and Path(store).absolute() != recorded:
        raise ConfigurationError(
            f"This process records into {str(recorded)!r}, not into {str(store)!r}: give no store,"
            " or call `otel_traj.instrument(STORE)` with the one that is meant before"
        )


def recording() -> Recording | None:
    """The recording that is on."""
    return None if state.active() is None else instrument()


def store_folder(given: Path | str | None) -> Path:
    """The folder that was given, else that of the recording that is on, else the default one."""
    present = recording()
    recorded = present.store if given is None and present is not None else None
    return Path(given or recorded or os.environ.get("OTEL_TRAJ_STORE") or "traces").absolute()


def opened(folder: Path | str | None) -> TrajectoryStore:
    """The store, to be read: with everything that this process has recorded so far."""
    present = recording()
    if present is not None:
        present.flush()
    path = store_folder(folder)
    made = path / "format.json"
    born = made.stat().st_mtime_ns if made.exists() else 0
    return _kept_open(path, os.getpid(), born)


@functools.lru_cache(maxsize=8)
def _kept_open(path: Path, process: int, born: int) -> TrajectoryStore:
    """One open store per folder: its views take longer to make than what is asked of them.

    A forked child has none of the parent's threads, and a folder that was made anew is another.
    """
    from otel_traj.store import open_store  # brings DuckDB, which recording does without

    return open_store(path)


def rows(
    store: TrajectoryStore, query: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What a query gives, as column -> value."""
    found: list[dict[str, Any]] = store.sql(query, parameters).to_arrow_table().to_pylist()
    return found


class FailingRun(TrajectorySpan):
    """A run that somebody's exception makes a failure, whatever was said of it before.

    A cancelled one is `partial`, as with every run.
    """

    failure_reward: float | None = None
    """Reward of a run that raises; None tells none."""

    def _end(self, error: BaseException | None = None, *, ended_ns: int | None = None) -> None:
        if isinstance(error, Exception):
            with guard("record a failure"):
                self.outcome("failure", rationale=f"{type(error).__name__}: {error}")
                if self.failure_reward is not None:
                    self.reward(self.failure_reward)
        super()._end(error, ended_ns=ended_ns)


class OpenRun:
    """A run that begins in one call and ends in another, in whatever thread or task either is.

    A block would make the run current where it begins, which only the same context can undo. So
    the block is entered and left in a context of its own.
    """

    def __init__(self, run: TrajectorySpan) -> None:
        """Begin the run now."""
        self.run = run
        self._context = contextvars.copy_context()
        self._context.run(run.__enter__)

    def within(self, function: Callable[..., ResultT], *args: Any, **kwargs: Any) -> ResultT:
        """Call a function as a part of the run."""
        return self._context.run(function, *args, **kwargs)

    def end(self, error: BaseException | None = None) -> None:
        """End it now, by an error if one is given; to be called once."""
        self._context.run(self.run.__exit__, type(error) if error else None, error, None)


class Ignored:
    """Calls that could not be recorded: each is counted, the first of a kind is told."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # protects `_counts`

    def add(self, kind: str, message: str, *args: Any) -> None:
        """Count one, and warn if it is the first of its kind."""
        with self._lock:
            self._counts[kind] += 1
            is_first = self._counts[kind] == 1
        if is_first:
            logger.warning(message + "; further ones are only counted", *args)

    @property
    def total(self) -> int:
        """How many there were."""
        with self._lock:
            return self._counts.total()
