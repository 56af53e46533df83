"""A trace that still runs, from seal to seal: `open` in the snapshot.

Its ended spans are stored already; kept here are the spans that only started, so that a run is
visible while it goes on and after its process was killed, and what decides when it is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from otel_traj import wal
from otel_traj.assembly import IDLE_S, OpenTrace
from otel_traj.model import SpanRecord

MANY_SPANS: Final = 2_000
"""From here on an open trace is derived at doubling counts only, or a long run costs O(n^2)."""

_KEPT_TEXT: Final = 4_096
"""Attribute texts of a started span that are longer come with its end, not into every snapshot."""


@dataclass(slots=True)
class LiveTrace:
    """One trace that is not over.

    Attributes:
        state: Its open spans and whether its root has ended.
        date: Partition of all its rows: UTC day of the first span that was seen.
        n_spans: Ended spans that are stored.
        n_derived: How many those were when it was last derived; -1 if never.
        writers: Processes that told of it.
        dropped_spans: Spans that its process lost, as counted there.
        is_closed: Its process said that it is over.
        is_touched: Something of it came in this batch.
    """

    state: OpenTrace
    date: str
    n_spans: int = 0
    n_derived: int = -1
    writers: set[str] = field(default_factory=set)
    dropped_spans: int = 0
    is_closed: bool = False
    is_touched: bool = False

    @property
    def pending(self) -> list[SpanRecord]:
        """Its spans that started and have not been seen to end."""
        return list(self.state.open_spans.values())

    def is_over(self, now: float, *, is_orphaned: bool) -> bool:
        """Whether nothing more is expected.

        Args:
            now: Seconds since 1970.
            is_orphaned: None of its writers lives. What they left open stays open: the run was
                killed; what has no open span is complete.
        """
        if self.is_closed or self.state.is_done(now):
            return True
        return is_orphaned and (self.state.root_ended is not None or not self.state.open_spans)

    def is_due(self, now: float, *, is_orphaned: bool, is_unread: bool) -> bool:
        """Whether to derive it although it goes on.

        Args:
            now: Seconds since 1970.
            is_orphaned: None of its writers lives.
            is_unread: The log has more of one of them; a long run waits for the end of that.
        """
        if is_unread and self.n_spans >= MANY_SPANS:
            return False
        if self.is_touched and (self.n_spans < MANY_SPANS or self.n_spans >= 2 * self.n_derived):
            return True
        is_quiet = is_orphaned or now - self.state.last_seen >= IDLE_S
        return is_quiet and self.n_derived < self.n_spans

    def to_json(self) -> dict[str, Any]:
        """What the snapshot keeps."""
        return {
            "date": self.date,
            "spans": {
                span.span_id: [
                    span.name,
                    span.parent_span_id,
                    span.start_ns,
                    wal.encode([_without_long_texts(span)]).decode("ascii"),
                ]
                for span in self.pending
            },
            "dropped": {"spans": self.dropped_spans},
            **self.state.to_json(),
            "n_spans": self.n_spans,
            "n_derived": self.n_derived,
            "writers": sorted(self.writers),
        }

    @classmethod
    def from_json(cls, trace_id: str, content: Mapping[str, Any]) -> LiveTrace:
        """Inverse of `to_json`."""
        state = OpenTrace(
            trace_id,
            content["last_seen"],
            root_span_id=content["root_span_id"],
            root_ended=content["root_ended"],
        )
        for *_, line in content["spans"].values():
            for span in wal.decode(line.encode("ascii")):
                assert isinstance(span, SpanRecord)  # `to_json` wrote one
                state.open_spans[span.span_id] = span
        return cls(
            state,
            content["date"],
            n_spans=content["n_spans"],
            n_derived=content["n_derived"],
            writers=set(content["writers"]),
            dropped_spans=content["dropped"]["spans"],
        )


def _without_long_texts(span: SpanRecord) -> SpanRecord:
    kept = {
        key: value
        for key, value in span.attributes.items()
        if not (isinstance(value, str) and len(value) > _KEPT_TEXT)
    }
    return replace(span, attributes=kept)
