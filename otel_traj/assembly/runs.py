"""Which spans make one run: traces stitched together, traces that hold several runs cut."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeAlias

from otel_traj.assembly.tree import Node, resource_key, roots
from otel_traj.dialects.messages import Message, Part, as_text, dumps, loads

WINDOW_NS: Final = 600 * 10**9
"""Traces further apart than this are never stitched by their messages: 10 minutes."""


@dataclass(eq=False, slots=True)
class Run:
    """The nodes of one run, by start time.

    Attributes:
        rules: By which its traces were stitched, with the confidence of each.
        apart: By which it may belong to another run, though not surely enough.
    """

    nodes: list[Node]
    rules: list[tuple[str, float]] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

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
        asked_ids: Tool calls that models ask for here.
        call_ids: Tool calls that another trace may tell of: those that model calls without a root
            ask for or answer, those that tools without a root run, those that are asked for here
            and have no span.
        run_ids: Of these, those that tools without a root run.
        prefixes: Where tool calls have no ids, hashes of the messages that the asking or answering
            calls without a root have in common.
    """

    may_stitch: bool
    resource: str
    start_ns: int
    end_ns: int
    trace_ids: frozenset[str]
    response_ids: frozenset[str]
    asked_ids: frozenset[str]
    call_ids: frozenset[str]
    run_ids: frozenset[str]
    prefixes: frozenset[str]


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


class UnionFind:
    """Traces joined so far."""

    def __init__(self, trace_ids: Iterable[str]) -> None:
        """Each by itself."""
        self._root = {trace_id: trace_id for trace_id in trace_ids}

    def find(self, trace_id: str) -> str:
        """The trace that stands for all that are joined with this one."""
        while self._root[trace_id] != trace_id:
            self._root[trace_id] = trace_id = self._root[self._root[trace_id]]
        return trace_id

    def join(self, left: str, right: str) -> tuple[str, str]:
        """Join two; returns (the trace that stands for both, the one that no longer does)."""
        first, second = sorted((self.find(left), self.find(right)))
        self._root[second] = first
        return first, second

    def all(self) -> list[list[str]]:
        """Every trace, with those that it is joined with."""
        members: dict[str, list[str]] = defaultdict(list)
        for trace_id in self._root:
            members[self.find(trace_id)].append(trace_id)
        return list(members.values())


class _Groups:
    """Traces joined so far, and by which rules."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            self._nodes[node.span.trace_id].append(node)
        self._joined = UnionFind(self._nodes)
        self._rules: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self._apart: dict[str, list[str]] = defaultdict(list)

    def find(self, trace_id: str) -> str:
        return self._joined.find(trace_id)

    def join(self, left: str, right: str, rule: str, confidence: float) -> None:
        first, second = self._joined.join(left, right)
        if first != second:
            self._rules[first] += [*self._rules.pop(second, ()), (rule, confidence)]

    def leave_apart(self, trace_id: str, rule: str) -> None:
        """Note that a trace may belong to one of several runs by a rule."""
        self._apart[trace_id].append(rule)

    def runs(self) -> list[Run]:
        merged: dict[str, list[Node]] = defaultdict(list)
        for trace_id, nodes in self._nodes.items():
            merged[self.find(trace_id)] += nodes
        return [
            Run(
                sorted(nodes, key=lambda n: (n.start_ns, n.span.start_seq or 0, n.key)),
                self._rules.get(trace_id, []),
                [
                    rule
                    for own in {node.span.trace_id for node in nodes}
                    for rule in self._apart[own]
                ],
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
    """One model call told in two traces: an instrumentor whose spans are not made current.

    Or a gateway tells of it, a process of its own.
    """
    by_id: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.facts.kind == "llm" and node.facts.response_id:
            by_id[node.facts.response_id].append(node)
    for same in by_id.values():
        for left, right in pairwise(same):
            if left.may_be_one_call(right):
                groups.join(left.span.trace_id, right.span.trace_id, "response id", 0.99)


def _join_rootless(groups: _Groups, nodes: Sequence[Node]) -> None:
    """Model calls that are traces of their own: one run if each answers the one before.

    The later request must end in answers to the tool calls that the earlier one asked for, and hold
    no new user message: that would be the next turn, a run of its own. Where several may have asked
    (ids repeat, or are not told), what they were asked decides, then that nobody answered yet.
    """
    alone = [node for node in roots(nodes) if node.facts.kind == "llm"]
    asking = _Asking(alone)
    for later in alone:
        rule, askers = asking.answered_by(later)
        trace_ids = {groups.find(node.span.trace_id) for node in askers}
        if len(trace_ids) == 1:
            groups.join(trace_ids.pop(), later.span.trace_id, rule, _ROOTLESS[rule])
        elif trace_ids:
            groups.leave_apart(later.span.trace_id, rule)


_ROOTLESS: Final = {"answers the call": 0.9, "message prefix": 0.85}
"""Rule -> how sure it is."""


class _Asking:
    """Model calls without a root that asked for tools."""

    def __init__(self, alone: Iterable[Node]) -> None:
        self._by_id: dict[tuple[str, str], list[Node]] = defaultdict(list)
        self._by_messages: dict[tuple[str, _Gist], list[Node]] = defaultdict(list)
        self._are_answered: set[Node] = set()
        for node in alone:
            resource = resource_key(node.span)
            for id_ in _asked_ids(node):
                self._by_id[resource, id_].append(node)
            if _asks_without_ids(node):
                self._by_messages[resource, _conversation(node)].append(node)

    def answered_by(self, later: Node) -> tuple[str, list[Node]]:
        """The calls whose tools a request may bring the results of, and by which rule."""
        answers, resource = _last_answers(later), resource_key(later.span)
        ids = {part.id for part in answers if part.id}
        if ids:
            rule, told = "answers the call", self._by_id.get((resource, min(ids)), [])
            told = [node for node in told if ids <= _asked_ids(node)]
        elif answers:
            rule, told = "message prefix", self._by_messages.get((resource, _before(later)), [])
        else:
            return "", []
        askers = [node for node in told if _is_just_before(node, later)]
        if len(askers) > 1:
            askers = [node for node in askers if _conversation(node) == _before(later)] or askers
        if len(askers) > 1:
            askers = [node for node in askers if node not in self._are_answered] or askers
        self._are_answered.update(askers[:1] if len(askers) == 1 else ())
        return rule, askers


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
        elif trace_ids:
            groups.leave_apart(tool.span.trace_id, "tool call id")


def _askers(nodes: Iterable[Node], call_ids: set[str]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for id_ in call_ids & _asked_ids(node):
            found[id_].append(node)
    return found


def _may_have_asked(asker: Node, tool: Node) -> bool:
    is_one_process = resource_key(asker.span) == resource_key(tool.span)
    return is_one_process and _is_just_before(asker, tool)


def _is_just_before(node: Node, later: Node) -> bool:
    return node.start_ns < later.start_ns and later.start_ns - node.end_ns <= WINDOW_NS


def _run_ids(node: Node) -> set[str]:
    """The id of the call that a tool runs; of other nodes none."""
    told = node.facts.tool_call_id if node.facts.kind == "tool" else None
    return {told} if told else set()


def _last_answers(node: Node) -> list[Part]:
    """The answers to tool calls that end a request; none when a user speaks after them."""
    new: list[Message] = []
    for message in node.facts.input or ():
        new = [] if message.role == "assistant" else [*new, message]
    if any(m.role == "user" and m.text and not m.answers for m in new):
        return []
    return [part for message in new for part in message.tool_results]


def _answered_ids(node: Node) -> set[str]:
    return {part.id for part in _last_answers(node) if part.id}


def _asked_ids(node: Node) -> set[str]:
    return {part.id for m in node.facts.output or () for part in m.tool_calls if part.id}


def _asks_without_ids(node: Node) -> bool:
    calls = [part for m in node.facts.output or () for part in m.tool_calls]
    return bool(calls) and not any(part.id for part in calls)


_Gist: TypeAlias = tuple[tuple[Any, ...], ...]
"""Messages as one compares them: who said what, without ids, reasons to stop and thoughts."""


def _gist(messages: Iterable[Message]) -> _Gist:
    return tuple(
        (
            message.role,
            message.text,
            tuple((part.name, dumps(loads(part.value))) for part in message.tool_calls),
            tuple(as_text(part.value) for part in message.tool_results),
        )
        for message in messages
        if message.role != "system"
    )


def _conversation(node: Node) -> _Gist:
    """What a model call was given and said."""
    return _gist((*(node.facts.input or ()), *(node.facts.output or ())))


def _before(node: Node) -> _Gist:
    """What a request repeats, up to the last word of the model."""
    said = list(node.facts.input or ())
    while said and said[-1].role != "assistant":
        said.pop()
    return _gist(said)


# --- cutting -----------------------------------------------------------------------------------


def _cut(run: Run) -> list[Run]:
    """Cut a trace that evaluates a data set, or works off a batch, at its agents' invocations.

    Agents under one workflow or agent belong together, whatever they do to each other.
    """
    tops = [node for node in run.nodes if _has_no_agent_above(node)]
    cases = [node for node in tops if _is_evaluated(node)]
    if len(cases) < 2:
        cases = _batch(run, tops)
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
    return [Run(nodes, list(run.rules), list(run.apart)) for nodes in parts.values()]


def _has_no_agent_above(node: Node) -> bool:
    return node.facts.kind in _RUNNING and not any(
        up.facts.kind in _RUNNING for up in node.ancestors()
    )


_RUNNING: Final = ("agent", "workflow")


def _is_evaluated(node: Node) -> bool:
    return any(up.facts.kind == "evaluation" for up in node.ancestors())


def _batch(run: Run, tops: Sequence[Node]) -> list[Node]:
    """Invocations of one agent, each asked by a user, beside which nothing is done; else none."""
    cases = [node for node in tops if _is_asked_by_a_user(node)]
    inside = {node for case in cases for node in case.subtree()}
    names = {node.facts.agent_name for node in cases}
    is_all = all(node in inside for node in run.nodes if node.facts.kind in _STEPS)
    return cases if is_all and len(names) == 1 and None not in names else []


_STEPS: Final = ("llm", "tool", "handoff", "retrieval", "memory")


def _is_asked_by_a_user(case: Node) -> bool:
    """Whether the first request of an invocation ends with what a user says."""
    first = min(
        (node for node in case.subtree() if node.facts.kind == "llm"),
        key=lambda node: node.start_ns,
        default=None,
    )
    given = first.facts.input if first is not None else None
    return given is not None and bool(given) and given[-1].role == "user" and not given[-1].answers


# --- for the sealer ----------------------------------------------------------------------------


def connected(traces: Mapping[str, Relations]) -> list[list[str]]:
    """Traces that `split_runs` must see together, as it may join them; each trace is in one list.

    Args:
        traces: Trace -> what it has to do with others.
    """
    groups = UnionFind(traces)
    tellers: dict[tuple[str, str], str] = {}
    detached = {id_ for relation in traces.values() for id_ in relation.run_ids}
    for trace_id, relation in traces.items():
        for linked in relation.trace_ids & traces.keys():
            groups.join(trace_id, linked)
        calls = relation.call_ids if relation.may_stitch else relation.run_ids
        shared = (
            *(("response", id_) for id_ in relation.response_ids),
            *(("call", id_) for id_ in calls),
            *(("call", id_) for id_ in detached & relation.asked_ids),
            *(("prefix", prefix) for prefix in relation.prefixes),
        )
        for told in shared:
            groups.join(trace_id, tellers.setdefault(told, trace_id))
    return groups.all()


def _does_something(node: Node) -> bool:
    return node.facts.kind in ("llm", "tool", "agent", "handoff", "retrieval")


def relations(nodes: Sequence[Node]) -> Relations | None:
    """What else must be read before these nodes are derived; None when there are no nodes."""
    if not nodes:
        return None
    tops = roots(nodes)
    alone = [node for node in tops if node.facts.kind == "llm"]
    asked = set[str]().union(*map(_asked_ids, nodes))
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
        asked_ids=frozenset(asked),
        call_ids=frozenset().union(
            *(_asked_ids(node) | _answered_ids(node) for node in alone),
            *(_run_ids(node) for node in tops),
            asked.difference(*map(_run_ids, nodes)),
        ),
        run_ids=frozenset().union(*map(_run_ids, tops)),
        prefixes=frozenset(
            hashlib.sha256(dumps(gist).encode("utf-8", "surrogatepass")).hexdigest()
            for node in alone
            for gist in (
                *([_conversation(node)] if _asks_without_ids(node) else ()),
                *([_before(node)] if _last_answers(node) and not _answered_ids(node) else ()),
            )
        ),
    )
