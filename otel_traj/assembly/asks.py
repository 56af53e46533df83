"""Which model call asked for which tool.

A tool span is matched by call id, else by name and arguments, else by name, however that is spelt
(a framework may show people `Delegate work` and the model `delegate_work`); among what fits, with
the latest model call before it. What a matched call tells completes what the span does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, Final

from otel_traj.assembly.calls import FINAL_ANSWER_TOOLS, Call, ModelCalls
from otel_traj.assembly.names import is_named_for, plain
from otel_traj.dialects.messages import Part, loads

ARGUMENTS_OF_ASK: Final = "arguments: the call that asked"
"""In `inferred` of a tool whose arguments the model's output tells, and not its own span."""


@dataclass(eq=False, slots=True)
class Ask:
    """A tool call in a model call's output, and the tool that answered it."""

    llm: Call
    position: int
    part: Part
    tool: Call | None = None


def find_asks(models: ModelCalls) -> list[Ask]:
    """Everything that models asked for, in order."""
    return [
        Ask(llm, position, part)
        for llm in models.calls
        for position, part in enumerate(llm.asks)
        if part.name not in FINAL_ANSWER_TOOLS
    ]


def match(tools: Sequence[Call], asks: Sequence[Ask]) -> None:
    """Tell each tool by whom it was asked for, and what the model said it wanted."""
    by_id, by_name = defaultdict(list), defaultdict(list)
    for ask in asks:
        by_id[ask.part.id].append(ask)
        by_name[plain(ask.part.name or "")].append(ask)
    for tool in tools:
        if tool.facts.tool_call_id:
            _take(tool, by_id[tool.facts.tool_call_id], lambda ask: True)
    for may_differ in (False, True):
        for tool in tools:
            if tool.asked_by is None and tool.kind == "tool":
                candidates = by_name[plain(tool.facts.tool_name or "")]
                _take(tool, candidates, _fitting(tool, may_differ=may_differ))
    for tool in tools:
        if tool.asked_by is None and tool.kind == "handoff":
            _take(tool, asks, _named_for(tool))
    for ask in asks:
        if ask.tool is not None:
            _adopt(ask.tool, ask)


def _fitting(tool: Call, *, may_differ: bool) -> Callable[[Ask], bool]:
    """Asks for a tool of this name, with these arguments unless they may differ."""

    def fits(ask: Ask) -> bool:
        if tool.facts.tool_call_id and ask.part.id:
            return False  # both know their id, and it is another one
        if ask.llm.start_ns > tool.node.end_ns:
            return False
        return may_differ or are_equal(tool.facts.arguments, ask.part.value)

    return fits


def _named_for(handoff: Call) -> Callable[[Ask], bool]:
    def fits(ask: Ask) -> bool:
        begun = ask.llm.start_ns <= handoff.node.end_ns
        return begun and is_named_for(ask.part.name, handoff.facts.handoff_to)

    return fits


def _take(tool: Call, candidates: Sequence[Ask], fits: Callable[[Ask], bool]) -> None:
    """Match a tool with one of several asks, in order of their model calls.

    The tool's own agent comes first, then the latest model call before the tool; of its calls the
    first that is free. Where clocks differ, a model call after the tool will do.
    """
    for is_own in (True, False):
        free = (
            ask
            for ask in _nearest_first(tool, candidates)
            if ask.tool is None and (ask.llm.actor is tool.actor) is is_own and fits(ask)
        )
        nearest = next(free, None)
        if nearest is not None:
            same_call = takewhile(partial(_is_of, nearest.llm), free)
            ask = min((nearest, *same_call), key=lambda ask: ask.position)
            ask.tool, tool.asked_by, tool.position = tool, ask.llm, ask.position
            return


def _is_of(llm: Call, ask: Ask) -> bool:
    return ask.llm is llm


def _nearest_first(tool: Call, candidates: Sequence[Ask]) -> Iterator[Ask]:
    """Asks before the tool from the latest on, then those after it."""
    begun = bisect_right(candidates, tool.node.start_ns, key=lambda ask: ask.llm.start_ns)
    yield from (candidates[index] for index in range(begun - 1, -1, -1))
    yield from (candidates[index] for index in range(begun, len(candidates)))


def are_equal(told: Any, asked: Any) -> bool:
    """Whether two arguments say the same; nothing, {} and "" are equal.

    One-argument tools are sometimes told by the bare value of their argument.
    """
    told, asked = loads(told) or None, loads(asked) or None
    if told == asked:
        return True
    if isinstance(asked, dict) and len(asked) == 1 and not isinstance(told, dict):
        return bool(str(next(iter(asked.values()))) == str(told))
    return False


def _adopt(tool: Call, ask: Ask) -> None:
    """Take from the model's own call what the tool's span does not tell, or tells worse."""
    facts, part = tool.facts, ask.part
    if facts.tool_call_id is None and part.id:
        facts.tool_call_id = part.id
        tool.inferred.append("tool_call_id: name, arguments and order")
    if facts.tool_name is None and part.name:
        tool.inferred.append("tool_name: the call that asked")
    # The name the model used; a server's own name for it stays in the span.
    facts.tool_name = part.name or facts.tool_name
    is_bare = not isinstance(facts.arguments, dict)
    if part.value is not None and is_bare and _may_replace(facts.arguments, part.value):
        facts.arguments = part.value
        tool.inferred.append(ARGUMENTS_OF_ASK)


def _may_replace(told: Any, asked: Any) -> bool:
    return told is None or are_equal(told, asked)
