"""Calls: what happened, each once, whoever told of it and however often.

A `Call` is a step to be. Its owner is the span that tells of it from outside; spans of the same
call further in, or in a trace of their own, are merged into it and fill its gaps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_traj.assembly.tree import Node
from otel_traj.dialects import Facts
from otel_traj.dialects.events import handoffs_in
from otel_traj.dialects.messages import Messages, Part, weight

Order = tuple[int, int, int, int]
"""Place of a call in its run: time, then cause."""

CallKind = Literal["user", "llm", "tool", "handoff", "retrieval", "memory", "thought"]

FINAL_ANSWER_TOOLS: Final = frozenset({"final_answer", "final_result"})
"""Built-in pseudo tools by which frameworks let a model answer; they are no tool calls."""

_STEP_KINDS: Final[dict[str, CallKind]] = {
    "llm": "llm",
    "tool": "tool",
    "handoff": "handoff",
    "retrieval": "retrieval",
    "memory": "memory",
    "thought": "thought",
}


@dataclass(eq=False, slots=True, repr=False)
class Actor:
    """One invocation of an agent, or (`top` None) what runs without one. Compared by identity."""

    name: str | None
    top: Node | None = None
    above: Actor | None = None
    index: int = -1

    def __repr__(self) -> str:
        return f"<actor {self.name!r} {self.index}>"


@dataclass(eq=False, slots=True, repr=False)
class Call:
    """One thing that happened. Compared by identity.

    Attributes:
        node: The span that owns it; of a tool told only by messages, that of the model call.
        facts: What all its spans tell together.
        start_ns: When it began; never before the call that asked for it.
        merged: (span, rule, confidence) of the other spans that told of it.
        asked_by: The model call that asked for this tool.
        position: Place among the calls that this model call asked for.
        told_by: "span", or "messages" where no span of its own tells of it.
        seen: What the next request carries as its result.
    """

    kind: CallKind
    node: Node
    facts: Facts
    start_ns: int
    end_ns: int | None
    told_by: Literal["span", "messages"] = "span"
    merged: list[tuple[Node, str, float]] = field(default_factory=list)
    asked_by: Call | None = None
    position: int = 0
    seen: Part | None = None
    actor: Actor | None = None
    handoff_mode: Literal["transfer", "delegate"] | None = None
    inferred: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        name = self.facts.tool_name or self.facts.model or ""
        return f"<call {self.kind} {name!r} told by {self.told_by} {self.node!r}>"

    @property
    def order(self) -> Order:
        """Sort key: time, then cause; tools before the model call that sees their results."""
        is_answer = self.kind == "llm"
        return self.start_ns, is_answer, self.position, self.node.span.start_seq or 0

    @property
    def asks(self) -> list[Part]:
        """The tool calls in a model call's output."""
        return [part for message in self.facts.output or () for part in message.tool_calls]


class ModelCalls:
    """The model calls of a run in order, to be asked what comes after something."""

    def __init__(self, calls: Iterable[Call]) -> None:
        """Index the model calls among `calls`."""
        self.calls = in_order(call for call in calls if call.kind == "llm")
        self._orders = [call.order for call in self.calls]
        self._next: dict[Call, Call] = {}
        last: dict[Actor | None, Call] = {}
        for call in self.calls:
            if call.actor in last:
                self._next[last[call.actor]] = call
            last[call.actor] = call

    def after(self, order: Order) -> Iterator[Call]:
        """Those that begin after a place in the order, first ones first."""
        for index in range(bisect_right(self._orders, order), len(self.calls)):
            yield self.calls[index]

    def next_of_actor(self, call: Call) -> Call | None:
        """The next one of the same actor."""
        return self._next.get(call)


def find_calls(nodes: Iterable[Node]) -> list[Call]:
    """One call per thing that these spans tell of, by start time."""
    by_kind: dict[str, list[Node]] = defaultdict(list)
    said: list[Call] = []
    for node in nodes:
        if node.span.events:
            said += _handoffs_said(node)
        if node.facts.kind != "tool" or node.facts.tool_name not in FINAL_ANSWER_TOOLS:
            by_kind[node.facts.kind].append(node)
    calls = _merge_nested(by_kind["llm"], stops=("tool", "agent", "handoff"))
    calls = _merge_same_response(calls)
    for kind in ("tool", "handoff", "retrieval", "memory"):
        calls += _merge_nested(by_kind[kind], stops=("llm", "agent"))
    calls = _merge_served(calls)
    calls += map(_call, by_kind["thought"])
    return in_order([*calls, *said])


def _handoffs_said(node: Node) -> Iterator[Call]:
    """Hand-overs that a span tells as events."""
    for when, facts in handoffs_in(node.span):
        facts.dialects = node.facts.dialects
        yield Call("handoff", node, facts, when, when, told_by="messages")


def in_order(calls: Iterable[Call]) -> list[Call]:
    """Calls by time and cause."""
    return sorted(calls, key=lambda call: call.order)


def _merge_nested(nodes: list[Node], stops: tuple[str, ...]) -> list[Call]:
    """The outermost span of a call owns it; spans of the same call below it are merged."""
    calls: dict[Node, Call] = {}
    for node in sorted(nodes, key=lambda n: sum(1 for _ in n.ancestors())):
        outer = _outer(node, calls, stops)
        if outer is None:
            calls[node] = _call(node)
        else:
            _merge(outer, node, "nested", 0.95)
            calls[node] = outer
    return list(dict.fromkeys(calls.values()))


def _merge_served(calls: list[Call]) -> list[Call]:
    """A server's span of a tool beside that of its caller, in whose time it lies, is merged.

    The caller's has the id or the arguments; the server's, which has neither, tells nothing more.
    """
    callers: dict[str | None, list[Call]] = defaultdict(list)
    served: dict[Call, Call] = {}
    for call in calls:
        if call.kind == "tool" and not _tells_a_name_only(call):
            callers[_bare(call.facts.tool_name)].append(call)
    for call in calls:
        if call.kind == "tool" and _tells_a_name_only(call):
            around = [c for c in callers[_bare(call.facts.tool_name)] if _lies_in(call, c)]
            if len(around) == 1:
                served[call] = around[0]
                _merge(around[0], call.node, "in its time", 0.9)
    return [call for call in calls if call not in served]


def _tells_a_name_only(tool: Call) -> bool:
    return tool.facts.tool_call_id is None and tool.facts.arguments is None


def _lies_in(served: Call, caller: Call) -> bool:
    inner, outer = served.node, caller.node
    return (
        inner.span.trace_id == outer.span.trace_id
        and inner.span.scope_name != outer.span.scope_name
        and outer.start_ns <= inner.start_ns
        and inner.end_ns <= outer.end_ns
    )


def _outer(node: Node, calls: dict[Node, Call], stops: tuple[str, ...]) -> Call | None:
    for above in node.ancestors():
        call = calls.get(above)
        if call is not None:
            is_same = _same_call(call.facts, node.facts) and above.overlaps(node)
            return call if is_same else None
        if above.facts.kind in stops:
            return None
    return None


def _same_call(outer: Facts, inner: Facts) -> bool:
    """Whether a span inside another one may tell of the same call."""
    if outer.kind == "tool":
        names = _bare(outer.tool_name), _bare(inner.tool_name)
        return None in names or names[0] == names[1]
    if outer.kind == "llm":
        return None in (outer.response_id, inner.response_id) or (
            outer.response_id == inner.response_id
        )
    return True


def _bare(name: str | None) -> str | None:
    """A tool's own name: `mcp__server__tool` is `tool`."""
    return name.rsplit("__", 1)[-1] if name and name.startswith("mcp__") else name


def _call(node: Node) -> Call:
    kind = _STEP_KINDS[node.facts.kind]
    end = None if node.span.is_open else node.end_ns
    return Call(kind, node, node.facts.copy(), node.start_ns, end)


def _merge(call: Call, node: Node, rule: str, confidence: float) -> None:
    """Fill what a call's spans did not tell yet; of two accounts of messages the fuller counts."""
    for fact in ("input", "output"):
        told: Messages | None = getattr(node.facts, fact)
        if call.kind == "llm" and weight(told) > weight(getattr(call.facts, fact)):
            setattr(call.facts, fact, told)
    call.facts.fill(node.facts)
    call.merged.append((node, rule, confidence))


def _merge_same_response(calls: list[Call]) -> list[Call]:
    """Model calls with one response id are one call, if time and place allow it."""
    kept: list[Call] = []
    by_id: dict[str, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=_owner_order):
        twin = next(
            (
                other
                for other in by_id.get(call.facts.response_id or "", ())
                if other.node.may_be_one_call(call.node)
            ),
            None,
        )
        if twin is None:
            kept.append(call)
            if call.facts.response_id:
                by_id[call.facts.response_id].append(call)
            continue
        _merge(twin, call.node, "response id", 0.99)
        twin.merged += call.merged
    return kept


def _owner_order(call: Call) -> tuple[bool, int, int]:
    """Owners first: inside an agent's run before alone, then the earlier start."""
    return call.node.parent is None, call.start_ns, -(call.end_ns or 0)
