"""What only messages tell: tools that ran without a span, their arguments, their results.

A model call's output names the tools it wants; the next request carries what they answered. Tools
with a span are matched with both (`asks`, `histories`); the others become calls of their own here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from otel_traj.assembly.asks import Ask, find_asks, match
from otel_traj.assembly.calls import Actor, Call, ModelCalls
from otel_traj.assembly.histories import give_results, read_answers
from otel_traj.dialects import Facts
from otel_traj.dialects.messages import Message, Part

_TOOL_FINISH: Final = frozenset({"tool_calls", "tool_call", "tool_use", "tool-calls"})


def complete_tools(calls: Sequence[Call]) -> list[Call]:
    """Match tools with what asked for them; add the tools that only messages tell.

    Args:
        calls: All calls of one run, by start time; tool calls among them are completed in place.

    Returns:
        The tools that no span tells.
    """
    models = ModelCalls(calls)
    read_answers(models)
    tools = [call for call in calls if call.kind in ("tool", "handoff")]
    asks = find_asks(models)
    match(tools, asks)
    _ask_for_answered(models, tools)
    added = [*_told(asks, models), *_nameless(models, tools)]
    for tool in (*tools, *added):
        _put_after_its_question(tool)
    give_results([*tools, *added], models)
    return added


def _ask_for_answered(models: ModelCalls, tools: Sequence[Call]) -> None:
    """A call that ended in tool calls but tells none: the tools that ran before the next call."""
    unasked: dict[Actor | None, list[Call]] = defaultdict(list)
    for tool in tools:
        if tool.asked_by is None:
            unasked[tool.actor].append(tool)
    for llm in models.calls if unasked else ():
        following = models.next_of_actor(llm)
        if llm.asks or not _may_have_asked(llm, following):
            continue
        ran = [
            tool
            for tool in _between(unasked[llm.actor], llm, following)
            if tool.asked_by is None and tool.node not in llm.node.ancestors()
        ]
        for position, tool in enumerate(ran):
            tool.asked_by, tool.position = llm, position
        if ran:
            parts = tuple(
                Part("tool_call", id=f.tool_call_id, name=f.tool_name, value=f.arguments)
                for f in (tool.facts for tool in ran)
            )
            llm.facts.output = (*(llm.facts.output or ()), Message("assistant", parts))
            llm.inferred.append("tool_calls: the tools that ran")


def _may_have_asked(llm: Call, following: Call | None) -> bool:
    if llm.facts.finish_reason is None:
        return following is not None and not llm.facts.failed
    return llm.facts.finish_reason in _TOOL_FINISH


def _between(tools: Sequence[Call], llm: Call, following: Call | None) -> Iterator[Call]:
    """Tools, given by start, that began from one model call on and before another one."""
    for index in range(bisect_left(tools, llm.start_ns, key=_start), len(tools)):
        if following is not None and tools[index].start_ns >= following.start_ns:
            return
        yield tools[index]


def _start(call: Call) -> int:
    return call.start_ns


def _told(asks: Sequence[Ask], models: ModelCalls) -> Iterator[Call]:
    """What was asked for and has no span, if the run went on: then it was done."""
    latest = models.calls[-1].start_ns if models.calls else 0
    is_alone = sum(llm.start_ns == latest for llm in models.calls) == 1
    for ask in asks:
        went_on = ask.llm.start_ns < latest or not is_alone
        if ask.tool is None and went_on:
            facts = Facts(
                kind="tool",
                dialects=ask.llm.facts.dialects,
                tool_name=ask.part.name,
                tool_call_id=ask.part.id,
                arguments=ask.part.value,
            )
            why = "tool: asked for by the model, the run went on"
            yield _spanless(ask.llm, ask.position, facts, why)


def _nameless(models: ModelCalls, tools: Sequence[Call]) -> Iterator[Call]:
    """Tools that ran although contents are off: only the finish reason tells of them."""
    answered = {tool.asked_by for tool in tools}
    for llm, following in pairwise(models.calls):
        if llm.facts.output is not None or llm.facts.finish_reason not in _TOOL_FINISH:
            continue
        if llm not in answered and next(_between(tools, llm, following), None) is None:
            yield _spanless(llm, 0, Facts(kind="tool"), "tool: finish reason, the run went on")


def _spanless(llm: Call, position: int, facts: Facts, why: str) -> Call:
    when = llm.end_ns or llm.start_ns
    call = Call("tool", llm.node, facts, when, None, told_by="messages", asked_by=llm)
    call.position, call.actor = position, llm.actor
    call.inferred.append(why)
    return call


def _put_after_its_question(tool: Call) -> None:
    """Clocks of two processes differ, and clocks tick coarser than calls follow each other."""
    if tool.asked_by is None or tool.start_ns > tool.asked_by.start_ns:
        return
    if tool.start_ns < tool.asked_by.start_ns:
        tool.inferred.append("start_time: after the call that asked")
    tool.start_ns = tool.asked_by.start_ns + 1
