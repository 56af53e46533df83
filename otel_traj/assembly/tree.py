"""Spans as trees: one `Node` per span with its facts, whatever the order they arrived in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from otel_traj import semconv
from otel_traj.dialects import Facts, read
from otel_traj.model import LogRecord, SpanRecord

Key = tuple[str, str]
"""(trace_id, span_id)."""


@dataclass(eq=False, slots=True, repr=False)
class Node:
    """One span, what it says, and where it stands. Compared by identity."""

    span: SpanRecord
    logs: list[LogRecord]
    facts: Facts
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    is_orphan: bool = False

    @property
    def key(self) -> Key:
        """(trace_id, span_id)."""
        return self.span.trace_id, self.span.span_id

    @property
    def start_ns(self) -> int:
        """Start, Unix nanoseconds."""
        return self.span.start_ns

    @property
    def end_ns(self) -> int:
        """End, or the start where the span is open or its clock ran backwards."""
        return max(self.span.end_ns or 0, self.span.start_ns)

    def __repr__(self) -> str:
        return f"<{self.facts.kind} {self.span.name!r} {self.span.span_id[:6]}>"

    def overlaps(self, other: Node) -> bool:
        """Whether both ran at some moment."""
        return self.start_ns <= other.end_ns and other.start_ns <= self.end_ns

    def ancestors(self) -> Iterator[Node]:
        """From the parent up to the root."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def subtree(self) -> Iterator[Node]:
        """This node and everything below it, parents first."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


def resource_key(span: SpanRecord) -> str:
    """What tells one process from another: its instance id, else everything its resource says."""
    instance = span.resource.get(semconv.SERVICE_INSTANCE_ID)
    return str(instance) if instance else repr(sorted(span.resource.items(), key=str))


def unique(spans: Iterable[SpanRecord]) -> list[SpanRecord]:
    """One record per span, in an order that does not depend on how they came.

    Of several with the same ids an ended one wins over an open one, then the one that tells more;
    the store has decided before ("first wins") where both were ended.
    """
    best: dict[Key, SpanRecord] = {}
    for span in spans:
        key = (span.trace_id, span.span_id)
        known = best.get(key)
        if known is None or _weight(span) > _weight(known):
            best[key] = span
    return sorted(best.values(), key=_order)


def _weight(span: SpanRecord) -> tuple[bool, int, int, str]:
    told = len(span.attributes) + len(span.events)
    return not span.is_open, told, span.end_ns or 0, repr(span)


def _order(span: SpanRecord) -> tuple[int, int, str, str]:
    # `start_seq` decides only between equal starts: clocks tick coarser than calls follow.
    return span.start_ns, span.start_seq or 0, span.trace_id, span.span_id


def build(spans: Iterable[SpanRecord], logs: Iterable[LogRecord]) -> list[Node]:
    """All nodes by start time, linked to their parents; a parent that never came: an orphan."""
    logs_of: dict[Key, list[LogRecord]] = defaultdict(list)
    for log in logs:
        if log.trace_id and log.span_id:
            logs_of[log.trace_id, log.span_id].append(log)
    nodes: dict[Key, Node] = {}
    for span in unique(spans):
        own = _unique_logs(logs_of.get((span.trace_id, span.span_id), ()))
        nodes[span.trace_id, span.span_id] = Node(span, own, read(span, own))
    for node in nodes.values():
        parent_id = node.span.parent_span_id
        parent = nodes.get((node.span.trace_id, parent_id)) if parent_id else None
        if parent is not None and parent is not node and node not in parent.ancestors():
            node.parent = parent
            parent.children.append(node)
        elif parent_id and not node.span.is_local_root:
            node.is_orphan = True
    return list(nodes.values())


def _unique_logs(logs: Iterable[LogRecord]) -> list[LogRecord]:
    """Each record once, by time; the time when it was observed and its resource do not count."""
    once = {
        (
            log.time_ns or log.observed_ns or 0,
            log.event_name or "",
            repr((log.body, log.attributes)),
        ): log
        for log in logs
    }
    return [once[key] for key in sorted(once)]


def roots(nodes: Iterable[Node]) -> list[Node]:
    """The nodes without a parent, by start time."""
    return [node for node in nodes if node.parent is None]
