"""Which spans make one run: traces stitched together, traces that hold several runs cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from otel_traj.assembly.tree import Node, resource_key, roots
from otel_traj.dialects.messages import Message

WINDOW_NS: Final = 600 * 10**9
"""Traces further apart than this are never stitched by their messages: 10 minutes."""


@dataclass(eq=False, slots=True)
class Run:
    """The nodes of one run, by start time; `confidence` is the lowest of its stitches."""

    nodes: list[Node]
    rules: list[tuple[str, float]] = field(default_factory=list)

    @property
    def trace_ids(self) -> list[str]:
        """Its traces, by first span."""
        return list(dict.fromkeys(node.span.trace_id for node in self.nodes))


@dataclass(frozen=True, slots=True)
class Relations:
    """Which stored traces must be derived together with these.

    Attributes:
        may_stitch: A trace without an agent root is among them: look within `WINDOW_NS` at the same
            resource.
        resource: Equal for traces of one process, by `service.instance.id` or all attributes.
        start_ns, end_ns: When these traces ran.
        trace_ids: Traces that span links name.
        response_ids: Model calls that another trace may tell of as well.
        call_ids: Tool calls that another trace may tell of: those that model calls without a root
            ask for or answer, those that tools without a root run, those that are asked for here
            and have no span.
    """

    may_stitch: bool
    resource: str
    start_ns: int
    end_ns: int
    trace_ids: frozenset[str]
    response_ids: frozenset[str]
    call_ids: frozenset[str]


def split_runs(nodes: Sequence[Node]) -> list[Run]:
    """The runs that these nodes make, by start time."""
    groups = _Groups(nodes)
    _join_linked(groups, nodes)
    _join_same_calls(groups, nodes)
    _join_rootless(groups, nodes)
    _join_tools(groups, nodes)
    runs = [run for group in groups.runs() for run in _cut(group)]
    return sorted(runs, key=lambda run: (run.nodes[0].start_ns, run.nodes[0].key))


# --- stitching ---------------------------------------------------------------------------------


class _Groups:
    """Traces joined so far (union-find by trace id)."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            self._nodes[node.span.trace_id].append(node)
        self._root = {trace_id: trace_id for trace_id in self._nodes}
        self._rules: dict[str, list[tuple[str, float]]] = defaultdict(list)

    def find(self, trace_id: str) -> str:
        while self._root[trace_id] != trace_id:
            trace_id = self._root[trace_id]
        return trace_id

    def join(self, left: str, right: str, rule: str, confidence: float) -> None:
        first, second = sorted((self.find(left), self.find(right)))
        if first != second:
            self._root[second] = first
            self._rules[first] += [*self._rules.pop(second, ()), (rule, confidence)]

    def __contains__(self, trace_id: str) -> bool:
        return trace_id in self._nodes

    def runs(self) -> list[Run]:
        merged: dict[str, list[Node]] = defaultdict(list)
        for trace_id, nodes in self._nodes.items():
            merged[self.find(trace_id)] += nodes
        return [
            Run(
                sorted(nodes, key=lambda n: (n.start_ns, n.span.start_seq or 0, n.key)),
                self._rules.get(trace_id, []),
            )
            for trace_id, nodes in merged.items()
        ]


def _join_linked(groups: _Groups, nodes: Iterable[Node]) -> None:
    """A span link between two traces that do something says that they belong together."""
    busy = {node.span.trace_id for node in nodes if _does_something(node)}
    for node in nodes:
        for link in node.span.links:
            trace_id = node.span.trace_id
            if link.trace_id != trace_id and {link.trace_id, trace_id} <= busy:
                groups.join(trace_id, link.trace_id, "span link", 0.95)


def _join_same_calls(groups: _Groups, nodes: Iterable[Node]) -> None:
    """One model call told in two traces: an instrumentor whose spans are not made current."""
    by_id: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.facts.kind == "llm" and node.facts.response_id:
            by_id[node.facts.response_id].append(node)
    for same in by_id.values():
        for left, right in pairwise(same):
            if left.overlaps(right) and resource_key(left.span) == resource_key(right.span):
                groups.join(left.span.trace_id, right.span.trace_id, "response id", 0.99)


def _join_rootless(groups: _Groups, nodes: Sequence[Node]) -> None:
    """Model calls that are traces of their own: one run if each answers the one before.

    The later request must end in answers to tool calls that the earlier one asked for, and hold no
    new user message: that would be the next turn, a run of its own.
    """
    alone = [node for node in roots(nodes) if node.facts.kind == "llm"]
    for later in alone:
        answered = _answered_ids(later)
        if not answered:
            continue
        asker = next(
            (
                earlier
                for earlier in reversed(alone)
                if earlier.start_ns < later.start_ns
                and later.start_ns - earlier.end_ns <= WINDOW_NS
                and resource_key(earlier.span) == resource_key(later.span)
                and answered <= _asked_ids(earlier)
            ),
            None,
        )
        if asker is not None:
            groups.join(asker.span.trace_id, later.span.trace_id, "answers the call", 0.9)


def _join_tools(groups: _Groups, nodes: Sequence[Node]) -> None:
    """A tool in a trace of its own, whose context was lost on its way through a queue or a thread.

    It belongs to the one model call that asked for it by id just before. Ids repeat (`call_1`):
    where several may have, it stays alone.
    """
    detached = [(id_, tool) for tool in roots(nodes) for id_ in _run_ids(tool)]
    asked = _askers(nodes, {id_ for id_, _ in detached}) if detached else {}
    for id_, tool in detached:
        askers = [node for node in asked.get(id_, ()) if _may_have_asked(node, tool)]
        trace_ids = {groups.find(node.span.trace_id) for node in askers}
        if len(trace_ids) == 1:
            groups.join(trace_ids.pop(), tool.span.trace_id, "tool call id", 0.9)


def _askers(nodes: Iterable[Node], call_ids: set[str]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for id_ in call_ids & _asked_ids(node):
            found[id_].append(node)
    return found


def _may_have_asked(asker: Node, tool: Node) -> bool:
    return (
        asker.start_ns < tool.start_ns
        and tool.start_ns - asker.end_ns <= WINDOW_NS
        and resource_key(asker.span) == resource_key(tool.span)
    )


def _run_ids(node: Node) -> set[str]:
    """The id of the call that a tool runs; of other nodes none."""
    told = node.facts.tool_call_id if node.facts.kind == "tool" else None
    return {told} if told else set()


def _answered_ids(node: Node) -> set[str]:
    """Ids that the end of a request answers; none when a user speaks after them."""
    new: list[Message] = []
    for message in node.facts.input or ():
        new = [] if message.role == "assistant" else [*new, message]
    if any(m.role == "user" and m.text and not m.answers for m in new):
        return set()
    return {part.id for message in new for part in message.tool_results if part.id}


def _asked_ids(node: Node) -> set[str]:
    return {part.id for m in node.facts.output or () for part in m.tool_calls if part.id}


# --- cutting -----------------------------------------------------------------------------------


def _cut(run: Run) -> list[Run]:
    """Cut a trace that evaluates a data set, or works off a batch, at its agents' invocations.

    Agents under one workflow or agent belong together, whatever they do to each other.
    """
    cases = [node for node in run.nodes if _is_own_run(node)]
    if len(cases) < 2:
        return [run]
    owner: dict[Node, Node] = {}
    for case in cases:
        for node in case.subtree():
            owner[node] = case
    parts: Mapping[Node, list[Node]] = {case: [] for case in cases}
    for node in run.nodes:
        if node in owner:  # what no case holds, the evaluation round them, is part of none
            parts[owner[node]].append(node)
    return [Run(nodes, list(run.rules)) for nodes in parts.values()]


def _is_own_run(node: Node) -> bool:
    """An agent or workflow directly below what is neither, in a trace that evaluates."""
    if node.facts.kind not in ("agent", "workflow"):
        return False
    above = [up.facts.kind for up in node.ancestors()]
    return "evaluation" in above and not {"agent", "workflow"} & set(above)


# --- for the sealer ----------------------------------------------------------------------------


def _does_something(node: Node) -> bool:
    return node.facts.kind in ("llm", "tool", "agent", "handoff", "retrieval")


def relations(nodes: Sequence[Node]) -> Relations | None:
    """What else must be read before these nodes are derived; None when there are no nodes."""
    if not nodes:
        return None
    alone = [node for node in roots(nodes) if node.facts.kind == "llm"]
    return Relations(
        may_stitch=bool(alone),
        resource=resource_key(nodes[0].span),
        start_ns=min(node.start_ns for node in nodes),
        end_ns=max(node.end_ns for node in nodes),
        trace_ids=frozenset(link.trace_id for node in nodes for link in node.span.links),
        response_ids=frozenset(
            node.facts.response_id
            for node in nodes
            if node.facts.kind == "llm" and node.facts.response_id
        ),
        call_ids=frozenset().union(
            *(_asked_ids(node) | _answered_ids(node) for node in alone),
            *(_run_ids(node) for node in roots(nodes)),
            set().union(*map(_asked_ids, nodes)) - set().union(*map(_run_ids, nodes)),
        ),
    )
