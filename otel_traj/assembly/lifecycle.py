"""Which traces still run: told by starts and ends of spans, in any order, by whoever sees them.

The span processor asks it when to write a `Close`, the sealer when a trace without one is over. A
trace is *done* when its local root has ended and none of its known spans is open, or when it has
been quiet for too long; a span that comes later makes it late, never wrong (see `assemble`).
Times are seconds of the caller's clock; nothing here reads one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from otel_traj.model import SpanRecord

LINGER_S = 5.0
"""How long after the end of its local root a trace waits for spans that are still open."""

IDLE_S = 30.0
"""How long a trace without a known open span may be silent before it counts as over."""


@dataclass(slots=True)
class OpenTrace:
    """Open spans of one trace, and whether its local root has ended. Mutable, not thread-safe."""

    trace_id: str
    last_seen: float
    open_spans: dict[str, SpanRecord] = field(default_factory=dict)
    root_span_id: str | None = None
    root_ended: float | None = None
    _ended: set[str] = field(default_factory=set)

    def start(self, span: SpanRecord, now: float) -> None:
        """Note that a span is running; ignored when its end has been seen already."""
        self.last_seen = now
        if span.span_id not in self._ended:
            self.open_spans[span.span_id] = span

    def end(self, span_id: str, now: float, *, is_local_root: bool) -> None:
        """Note that a span has ended; twice is once."""
        self.last_seen = now
        self._ended.add(span_id)
        self.open_spans.pop(span_id, None)
        if is_local_root:
            self.root_span_id = span_id
            self.root_ended = now

    def forget_ended(self) -> None:
        """Keep no ids of ended spans: for those who see every start before its end."""
        self._ended.clear()

    def is_done(self, now: float) -> bool:
        """Whether nothing more is expected of this trace at `now`.

        A local root may never end here: its parent is of another provider, or was not sampled.
        """
        if self.root_ended is not None:
            return not self.open_spans or now - self.root_ended >= LINGER_S
        return not self.open_spans and now - self.last_seen >= IDLE_S

    def to_json(self) -> dict[str, Any]:
        """The state that a snapshot keeps; ended ids are left out, the store knows them."""
        return {
            "last_seen": self.last_seen,
            "root_span_id": self.root_span_id,
            "root_ended": self.root_ended,
        }
