"""A kit for testing agents: what they record, with ids 1, 2, 3 and a clock that ticks in seconds.

    def test_agent_looks_before_it_answers(otel_traj_capture):
        my_agent("where is order 42?")

        (run,) = otel_traj_capture.trajectories()
        assert [step.tool_name for step in run.steps] == ["lookup", "answer"]

`otel_traj_capture` is a fixture of the pytest plug-in that comes with otel-traj; elsewhere
`capture()` gives the same in a `with` block. Nothing is written anywhere. The functions at the end
make Hypothesis strategies for records.

Every test run of every user imports this module, so nothing heavy is imported at its top.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace import TracerProvider

    from otel_traj.model import LogRecord, SpanRecord, Trajectory

START_NS: Final = 1_767_225_600_000_000_000
"""What the clock shows first: 2026-01-01 00:00:00 UTC."""

SECOND_NS: Final = 1_000_000_000


class SequentialIds:
    """An id generator for the SDK: trace ids 1, 2, 3 ..., span ids 1, 2, 3 ..."""

    def __init__(self) -> None:
        """Begin at 1."""
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def generate_trace_id(self) -> int:
        """The next trace id."""
        return next(self._traces)

    def generate_span_id(self) -> int:
        """The next span id."""
        return next(self._spans)

    def is_trace_id_random(self) -> bool:
        """False."""
        return False


class TickingClock:
    """A clock in Unix nanoseconds that goes on by one second whenever it is read."""

    def __init__(self) -> None:
        """Begin at `START_NS`."""
        self._seconds = itertools.count()

    def __call__(self) -> int:
        """The time."""
        return START_NS + next(self._seconds) * SECOND_NS


@dataclass(slots=True)
class Capture:
    """What has been recorded so far, in order: of spans, the order in which they ended."""

    tracer_provider: TracerProvider
    logger_provider: LoggerProvider
    spans: list[SpanRecord] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)

    def trajectories(self) -> list[Trajectory]:
        """The runs that the ended spans tell of, by start, with their steps."""
        from otel_traj.assembly import assemble

        return [assembly.trajectory for assembly in assemble(self.spans, self.logs)]


@contextlib.contextmanager
def capture(
    *, instrumentors: Collection[str] = (), content: bool = True, deterministic: bool = True
) -> Iterator[Capture]:
    """Record what the block does, in memory.

    The verbs of `otel_traj` record into it, whether or not `instrument` was called before; spans of
    other tracers do if they are of `tracer_provider`.

    Args:
        instrumentors: Libraries to instrument, as for `instrument`.
        content: Whether to record prompts, answers, arguments and results.
        deterministic: Ids and times from `SequentialIds` and `TickingClock`, not random and real.
    """
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from otel_traj.capture import instrumentors as switches
    from otel_traj.capture import lines, recording, state

    resource = Resource({"service.name": "test"})
    ids: Any = SequentialIds() if deterministic else None
    captured = Capture(
        TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False),
        LoggerProvider(resource=resource, shutdown_on_exit=False),
    )
    numbers = itertools.count()
    begun: dict[int, int] = {}

    class Spans(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            begun[span.context.span_id] = next(numbers)

        def on_end(self, span: Any) -> None:
            captured.spans.append(lines.span_record(span, begun.get(span.context.span_id)))

    class Logs(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            captured.logs.append(lines.log_record(log_record))

        def shutdown(self) -> None:
            """Nothing to do."""

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    def attach(provider: Any) -> None:
        if hasattr(provider, "add_span_processor"):
            provider.add_span_processor(Spans())

    attach(captured.tracer_provider)
    captured.logger_provider.add_log_record_processor(Logs())
    switched = switches.switch_on(
        instrumentors,
        content=content,
        tracer_provider=captured.tracer_provider,
        logger_provider=captured.logger_provider,
        attach=attach,
    )
    before = state.active()
    state.set_active(
        recording.active_of(captured.tracer_provider, captured.logger_provider, content)
    )
    with pytest.MonkeyPatch.context() as patch:
        if deterministic:
            clock = TickingClock()
            for module in ("sdk.trace", "_logs._internal"):
                patch.setattr(f"opentelemetry.{module}.time_ns", clock)
            patch.setattr("otel_traj.capture.recording.time_ns", clock)
        try:
            yield captured
        finally:
            state.set_active(before)
            switched.off()


@pytest.fixture
def otel_traj_capture() -> Iterator[Capture]:
    """What the test records, with deterministic ids and times."""
    with capture() as captured:
        yield captured


# --- Hypothesis strategies: records of every shape that the model allows ------------------------


def values() -> SearchStrategy[Any]:
    """Attribute values: any text (lone surrogates too), int64, floats with NaN, bytes, nested."""
    from hypothesis import strategies as st

    scalars = st.none() | st.booleans() | _int64() | st.floats() | _text() | st.binary(max_size=20)
    keys = _text() | st.sampled_from(["$b64", "$f", "$$f", "$"])
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )


def attributes() -> SearchStrategy[dict[str, Any]]:
    """Attributes with `values()`."""
    from hypothesis import strategies as st

    return st.dictionaries(_text(), values(), max_size=4)


def spans() -> SearchStrategy[SpanRecord]:
    """Spans, ended and open, with every field."""
    from hypothesis import strategies as st

    from otel_traj.model import SpanEvent, SpanLink, SpanRecord

    events = st.builds(SpanEvent, _int64(), _text(), attributes())
    links = st.builds(SpanLink, _trace_ids(), _span_ids(), attributes())
    return st.builds(
        SpanRecord,
        trace_id=_trace_ids(),
        span_id=_span_ids(),
        parent_span_id=st.none() | _span_ids(),
        name=_text(),
        start_ns=_int64(),
        end_ns=st.none() | _int64(),
        kind=st.sampled_from(["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT"]),
        status=st.sampled_from(["UNSET", "OK", "ERROR"]),
        status_message=_maybe_text(),
        attributes=attributes(),
        events=st.lists(events, max_size=2).map(tuple),
        links=st.lists(links, max_size=2).map(tuple),
        resource=attributes(),
        scope_name=_maybe_text(),
        scope_version=_maybe_text(),
        scope_attributes=attributes(),
        schema_url=_maybe_text(),
        trace_state=_maybe_text(),
        flags=st.none() | _counts(),
        dropped_attributes=_counts(),
        dropped_events=_counts(),
        dropped_links=_counts(),
        start_seq=st.none() | _counts(),
    )


def logs() -> SearchStrategy[LogRecord]:
    """Log records with every field."""
    from hypothesis import strategies as st

    from otel_traj.model import LogRecord

    return st.builds(
        LogRecord,
        trace_id=st.none() | _trace_ids(),
        span_id=st.none() | _span_ids(),
        time_ns=st.none() | _int64(),
        observed_ns=st.none() | _int64(),
        event_name=_maybe_text(),
        severity=_maybe_text(),
        body=values(),
        attributes=attributes(),
        scope_name=_maybe_text(),
        resource=attributes(),
    )


def records() -> SearchStrategy[Any]:
    """Records of all kinds, as `otel_traj.model.Record`."""
    from hypothesis import strategies as st

    from otel_traj.model import Annotation, Close

    # `isoformat` does not tell which of two equal local times is meant; UTC has none.
    instants = st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(fold=0))
    annotations = st.builds(
        Annotation,
        annotation_id=_text(),
        target=st.sampled_from(["trajectory", "step", "span"]),
        trajectory_id=_maybe_text(),
        trace_id=st.none() | _trace_ids(),
        span_id=st.none() | _span_ids(),
        tool_call_id=_maybe_text(),
        name=_text(),
        kind=st.sampled_from(["reward", "outcome", "score", "label", "feedback", "comment"]),
        value_num=st.none() | st.floats(),
        value_text=_maybe_text(),
        value_json=_maybe_text(),
        source=_text(),
        annotator=_maybe_text(),
        created=instants,
        deleted=st.booleans(),
    )
    closes = st.builds(
        Close,
        trajectory_id=_text(),
        trace_ids=st.lists(_trace_ids(), max_size=2).map(tuple),
        root_span_id=st.none() | _span_ids(),
        n_open=_counts(),
        dropped_spans=_counts(),
        dropped_logs=_counts(),
    )
    return spans() | logs() | annotations | closes


def _text() -> SearchStrategy[str]:
    from hypothesis import strategies as st

    return st.text(st.characters(), max_size=20)


def _maybe_text() -> SearchStrategy[str | None]:
    from hypothesis import strategies as st

    return st.none() | _text()


def _int64() -> SearchStrategy[int]:
    from hypothesis import strategies as st

    return st.integers(-(2**63), 2**63 - 1)


def _counts() -> SearchStrategy[int]:
    from hypothesis import strategies as st

    return st.integers(0, 2**32 - 1)


def _trace_ids() -> SearchStrategy[str]:
    return _hex(32)


def _span_ids() -> SearchStrategy[str]:
    return _hex(16)


def _hex(digits: int) -> SearchStrategy[str]:
    from hypothesis import strategies as st

    return st.text("0123456789abcdef", min_size=digits, max_size=digits)
