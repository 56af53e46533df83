"""Recordings into a store of the test's own; faults of ours fail the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_traj import wal
from otel_traj.capture import guard, recording
from otel_traj.capture.processor import TrajectorySpanProcessor
from otel_traj.model import Record

R = TypeVar("R", bound=Record)

Records = Callable[[type[R]], list[R]]
Instrument = Callable[..., recording.Recording]


@pytest.fixture(autouse=True)
def _faults_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RERAISE", True)
    monkeypatch.setattr(guard, "_causes", Counter())


@pytest.fixture
def faults_are_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a user's process; for tests that make something of ours fail."""
    monkeypatch.setattr(guard, "RERAISE", False)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "traces"
    wal.initialise(path)
    return path


@pytest.fixture
def records(store: Path) -> Records[Any]:
    """What the store's log holds of a class, in order."""

    def read(cls: type[R]) -> list[R]:
        return [
            record
            for segment in wal.segments(store)
            for frame in wal.frames(segment)
            if isinstance(frame, wal.Frame)
            for record in wal.decode(frame.body)
            if isinstance(record, cls)
        ]

    return read


@pytest.fixture
def instrument(store: Path) -> Iterator[Instrument]:
    """`instrument()` into the test's store, with providers of its own, undone at the end."""
    begun: list[recording.Recording] = []

    def begin(**arguments: Any) -> recording.Recording:
        defaults: dict[str, Any] = {
            "store": store,
            "instrumentors": (),
            "seal": False,
            "tracer_provider": TracerProvider(shutdown_on_exit=False),
            "logger_provider": LoggerProvider(shutdown_on_exit=False),
        }
        begun.append(recording.instrument(**{**defaults, **arguments}))
        return begun[-1]

    yield begin
    for each in begun:
        each.shutdown()


@pytest.fixture
def processors(store: Path) -> Iterator[Callable[..., tuple[TrajectorySpanProcessor, Any]]]:
    """Makes a processor into the test's store, and a tracer that feeds it."""
    made: list[TrajectorySpanProcessor] = []

    def make(**arguments: Any) -> tuple[TrajectorySpanProcessor, Any]:
        processor = TrajectorySpanProcessor(wal.WalWriter(store), **arguments)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        made.append(processor)
        return processor, provider.get_tracer("test", "1")

    yield make
    for processor in made:
        processor.shutdown()
