"""Spans as trees: one `Node` per span with its facts, whatever the order they arrived in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from otel_traj import semconv
from otel_traj.dialects import Facts, Kind, kind_of, read, stray_target
from otel_traj.model import LogRecord, SpanRecord

Key = tuple[str, str]
"""(trace_id, span_id)."""


@dataclass(eq=False, slots=True, repr=False)
class Node:
    """One span, what it says, and where it stands. Compared by identity.

    `told_ns` is when its account was given, where that is not its end (see `revisions`).
    """

    span: SpanRecord
    logs: list[LogRecord]
    facts: Facts
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    is_orphan: bool = False
    told_ns: int | None = None

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

    def may_be_one_call(self, other: Node) -> bool:
        """Whether two spans that tell of the same response may tell of one call.

        They overlap; of two processes, one is a gateway's: it lies in the other's time, and in no
        agent. Ids repeat in the wild (test servers, replays), so an id alone says nothing.
        """
        if self.span.trace_id == other.span.trace_id or _is_one_process(self.span, other.span):
            return self.overlaps(other)
        outer, inner = sorted((self, other), key=lambda node: node.start_ns)
        is_inside = outer.start_ns < inner.start_ns and inner.end_ns < outer.end_ns
        return is_inside and all(up.facts.kind != "agent" for up in inner.ancestors())

    def ancestors(self) -> Iterator[Node]:
        """From the parent up to the root."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def subtree(self) -> Iterator[Node]:
        """This node and everything below it, parents first."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


def resource_key(span: SpanRecord) -> str:
    """What tells one process from another: its instance id, else everything its resource says."""
    instance = span.resource.get(semconv.SERVICE_INSTANCE_ID)
    return str(instance) if instance else repr(sorted(span.resource.items(), key=str))


def _is_one_process(left: SpanRecord, right: SpanRecord) -> bool:
    return resource_key(left) == resource_key(right)


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
    known = unique(spans)
    logs_of = _logs_by_span(known, logs)
    nodes: dict[Key, Node] = {}
    for span in known:
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
    for node in nodes.values():
        if node.facts.kind == "llm" and _holds_several_calls(node):
            kind: Kind = "agent" if _name_of_agent(node.facts) else "wrapper"
            node.facts = replace(node.facts, kind=kind, agent_name=_name_of_agent(node.facts))
    return list(nodes.values())


def _holds_several_calls(node: Node) -> bool:
    """Whether several answers came back in a model's span, other than to agents and tools in it."""
    answered: set[str] = set()
    called: list[Node] = []
    waiting = [(child, True) for child in node.children]
    while waiting:
        below, is_outermost = waiting.pop()
        if below.facts.kind in ("tool", "agent", "handoff"):
            continue
        is_call = below.facts.kind == "llm"
        if is_call and is_outermost:
            called.append(below)
        if is_call and below.facts.response_id:
            answered.add(below.facts.response_id)
        else:
            waiting += [(child, is_outermost and not is_call) for child in below.children]
    called.sort(key=lambda call: call.start_ns)
    follow = any(earlier.end_ns <= later.start_ns for earlier, later in pairwise(called))
    return follow or len(answered) > 1


def _name_of_agent(facts: Facts) -> str | None:
    return facts.agent_name or facts.acting_agent or facts.workflow_name


def _logs_by_span(
    spans: Sequence[SpanRecord], logs: Iterable[LogRecord]
) -> dict[Key, list[LogRecord]]:
    """Log records by the span that they tell of: mostly, not always, the one that they carry."""
    by_key = {(span.trace_id, span.span_id): span for span in spans}
    found: dict[Key, list[LogRecord]] = defaultdict(list)
    stray: list[tuple[LogRecord, Kind]] = []
    for log in logs:
        if not log.trace_id or not log.span_id:
            continue
        key = log.trace_id, log.span_id
        kind = stray_target(by_key[key], log) if key in by_key else None
        if kind is None:
            found[key].append(log)
        else:
            stray.append((log, kind))
    if stray:
        kinds = {key: kind_of(span) for key, span in by_key.items()}
        for log, kind in stray:
            candidates = [span for key, span in by_key.items() if kinds[key] == kind]
            home = _home_of(log, candidates)
            found[home if home is not None else (log.trace_id or "", log.span_id or "")].append(log)
    return found


_CALL_IDS: Final = (semconv.TOOL_CALL_ID, "tool_use_id", "tool_call_id", "tool.call.id")


def _home_of(log: LogRecord, candidates: Sequence[SpanRecord]) -> Key | None:
    """Of the spans of one kind in its trace: that of its tool call, else the nearest by end."""
    same = [span for span in candidates if span.trace_id == log.trace_id]
    call_id = next((log.attributes[key] for key in _CALL_IDS if log.attributes.get(key)), None)
    if call_id is not None:
        same = [s for s in same if call_id in (s.attributes.get(key) for key in _CALL_IDS)]
        return (same[0].trace_id, same[0].span_id) if same else None
    when = log.time_ns or log.observed_ns or 0
    below = [span for span in same if span.parent_span_id == log.span_id] or same
    nearest = min(below, key=lambda s: abs((s.end_ns or 0) - when), default=None)
    return (nearest.trace_id, nearest.span_id) if nearest is not None else None


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


def take_apart(nodes: Iterable[Node]) -> None:
    """Unlink nodes that have served, so that they go at once: Python has to search for cycles."""
    for node in nodes:
        node.parent = None
        node.children.clear()


def roots(nodes: Iterable[Node]) -> list[Node]:
    """The nodes without a parent, by start time."""
    return [node for node in nodes if node.parent is None]
