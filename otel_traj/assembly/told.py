"""What only messages tell: tools that ran without a span, their arguments, their results.

A model call's output names the tools it wants; the next request carries what they answered. Both
are matched with the tool spans that there are: by call id, else by name and arguments, else by
name, in order of time, among the calls asked for before the tool began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from otel_traj.assembly.calls import FINAL_ANSWER_TOOLS, Call
from otel_traj.assembly.names import is_named_for
from otel_traj.dialects import Facts
from otel_traj.dialects.messages import Message, Part, as_text, loads

_TOOL_FINISH: Final = frozenset({"tool_calls", "tool_call", "tool_use", "tool-calls"})


@dataclass(eq=False, slots=True)
class Ask:
    """A tool call in a model call's output, and the tool that answered it."""

    llm: Call
    position: int
    part: Part
    tool: Call | None = None


def complete_tools(calls: list[Call]) -> list[Call]:
    """Match tools with what asked for them; add the tools that only messages tell.

    Args:
        calls: All calls of one run, by start time; tool calls among them are completed in place.

    Returns:
        The tools that no span tells.
    """
    llms = [call for call in calls if call.kind == "llm"]
    _read_answers_from_histories(llms)
    tools = [call for call in calls if call.kind in ("tool", "handoff")]
    asks = [
        Ask(llm, position, part)
        for llm in llms
        for position, part in enumerate(llm.asks)
        if part.name not in FINAL_ANSWER_TOOLS
    ]
    _match(tools, asks)
    for ask in asks:
        if ask.tool is not None:
            _adopt(ask.tool, ask)
    _ask_for_answered(llms, tools)
    added = [_told(ask) for ask in asks if ask.tool is None and _went_on(ask.llm, llms)]
    added += _nameless(llms, tools)
    for tool in (*tools, *added):
        _put_after_its_question(tool)
    _give_results([*tools, *added], llms)
    return added


def _put_after_its_question(tool: Call) -> None:
    """Clocks of two processes differ, and clocks tick coarser than calls follow each other."""
    if tool.asked_by is None or tool.start_ns > tool.asked_by.start_ns:
        return
    if tool.start_ns < tool.asked_by.start_ns:
        tool.inferred.append("start_time: after the call that asked")
    tool.start_ns = tool.asked_by.start_ns + 1


# --- answers that no span tells ----------------------------------------------------------------


def _read_answers_from_histories(llms: Sequence[Call]) -> None:
    """A call that tells no answer, or no calls beside its text: the next request shows both."""
    for index, llm in enumerate(llms):
        if llm.asks or llm.facts.failed or not llm.facts.input:
            continue
        said = _shown_answer(llm, llms[index + 1 :])
        if said is None:
            continue
        text = _joined_text(llm)
        if llm.facts.output is None or (said.tool_calls and (said.text or "") == text):
            llm.facts.output = (said,)
            llm.inferred.append("output: the next request")


def _shown_answer(llm: Call, later: Sequence[Call]) -> Message | None:
    """What stands right after this request in the next one that begins with it."""
    given = _without_system(llm)
    for other in later:
        history = _without_system(other)
        if len(history) > len(given) and history[: len(given)] == given:
            said = history[len(given)]
            return said if said.role == "assistant" else None
    return None


def _without_system(llm: Call) -> list[Message]:
    """A request's messages; the system text changes when another agent takes over."""
    return [message for message in llm.facts.input or () if message.role != "system"]


def _joined_text(llm: Call) -> str:
    return "\n".join(message.text for message in llm.facts.output or () if message.text)


def _ask_for_answered(llms: Sequence[Call], tools: Sequence[Call]) -> None:
    """A call that ended in tool calls but tells none: the tools that ran before the next call."""
    for llm in llms:
        following = next((o for o in llms if o.actor is llm.actor and o.order > llm.order), None)
        may_have_asked = llm.facts.finish_reason in _TOOL_FINISH or (
            llm.facts.finish_reason is None and following is not None and not llm.facts.failed
        )
        if llm.asks or not may_have_asked:
            continue
        ran = [
            tool
            for tool in tools
            if tool.asked_by is None
            and tool.actor is llm.actor
            and tool.node not in llm.node.ancestors()
            and tool.start_ns >= llm.start_ns
            and (following is None or tool.start_ns < following.start_ns)
        ]
        for position, tool in enumerate(ran):
            tool.asked_by, tool.position = llm, position
        if ran:
            parts = [
                Part("tool_call", id=f.tool_call_id, name=f.tool_name, value=f.arguments)
                for f in (tool.facts for tool in ran)
            ]
            said = llm.facts.output or ()
            llm.facts.output = (*said, Message("assistant", tuple(parts)))
            llm.inferred.append("tool_calls: the tools that ran")


# --- matching ----------------------------------------------------------------------------------


def _match(tools: Sequence[Call], asks: Sequence[Ask]) -> None:
    for tool in tools:
        if tool.facts.tool_call_id:
            _take(tool, [a for a in asks if a.part.id == tool.facts.tool_call_id])
    waiting = [tool for tool in tools if tool.asked_by is None and tool.kind == "tool"]
    for same_arguments in (True, False):
        for tool in waiting:
            if tool.asked_by is None:
                fitting = [a for a in asks if _fits(tool, a, same_arguments)]
                _take(tool, [a for a in fitting if a.llm.start_ns <= tool.node.end_ns])
    for handoff in tools:
        if handoff.kind == "handoff" and handoff.asked_by is None:
            named = [a for a in asks if is_named_for(a.part.name, handoff.facts.handoff_to)]
            _take(handoff, [a for a in named if a.llm.start_ns <= handoff.node.end_ns])


def _fits(tool: Call, ask: Ask, same_arguments: bool) -> bool:
    if tool.facts.tool_call_id and ask.part.id:
        return False  # both know their id, and it is another one
    if tool.facts.tool_name != ask.part.name:
        return False
    return not same_arguments or are_equal(tool.facts.arguments, ask.part.value)


def _take(tool: Call, candidates: Iterable[Ask]) -> None:
    """The latest model call before the tool; among its calls the first that is free.

    Of equal ids, which repeat from turn to turn, the one before counts; where clocks differ, any.
    """
    free = [ask for ask in candidates if ask.tool is None]
    for narrower in (
        [ask for ask in free if ask.llm.actor is tool.actor],
        [ask for ask in free if ask.llm.start_ns <= tool.node.start_ns],
    ):
        free = [ask for ask in free if ask in narrower] or free
    if free:
        latest = max(ask.llm.order for ask in free)
        ask = next(ask for ask in free if ask.llm.order == latest)
        ask.tool, tool.asked_by, tool.position = tool, ask.llm, ask.position


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
        facts.tool_name = part.name
        tool.inferred.append("tool_name: the call that asked")
    if part.name and facts.tool_name != part.name:
        facts.tool_name = part.name  # the name the model used; the server's own is in the span
    is_bare = not isinstance(facts.arguments, dict)
    if part.value is not None and is_bare and _may_replace(facts.arguments, part.value):
        facts.arguments = part.value
        tool.inferred.append("arguments: the call that asked")


def _may_replace(told: Any, asked: Any) -> bool:
    return told is None or are_equal(told, asked)


# --- tools without a span ----------------------------------------------------------------------


def _went_on(llm: Call, llms: Sequence[Call]) -> bool:
    """Whether the run went on after this model call: then what it asked for was done."""
    return any(other is not llm and other.start_ns >= llm.start_ns for other in llms)


def _told(ask: Ask) -> Call:
    facts = Facts(
        kind="tool",
        dialects=ask.llm.facts.dialects,
        tool_name=ask.part.name,
        tool_call_id=ask.part.id,
        arguments=ask.part.value,
    )
    return _spanless(ask.llm, ask.position, facts, "tool: asked for by the model, the run went on")


def _spanless(llm: Call, position: int, facts: Facts, why: str) -> Call:
    when = llm.end_ns or llm.start_ns
    call = Call("tool", llm.node, facts, when, None, told_by="messages", asked_by=llm)
    call.position, call.actor = position, llm.actor
    call.inferred.append(why)
    return call


def _nameless(llms: Sequence[Call], tools: Sequence[Call]) -> list[Call]:
    """Tools that ran although contents are off: only the finish reason tells of them."""
    added = []
    for llm, following in pairwise(llms):
        if llm.facts.output is not None or llm.facts.finish_reason not in _TOOL_FINISH:
            continue
        answered = [
            tool
            for tool in tools
            if tool.asked_by is llm or llm.start_ns <= tool.start_ns <= following.start_ns
        ]
        if not answered:
            added.append(
                _spanless(llm, 0, Facts(kind="tool"), "tool: finish reason, the run went on")
            )
    return added


# --- results -----------------------------------------------------------------------------------


def _give_results(tools: Sequence[Call], llms: Sequence[Call]) -> None:
    """Give each tool what the next request carries as its answer."""
    for tool in tools:
        tool.seen = _answer_by_id(tool, llms)
        if tool.seen is None:
            tool.seen = _answer_by_order(tool, tools, llms)
            if tool.seen is not None and tool.seen.id is not None and tool.told_by == "messages":
                # The request told an item's id; the answer names the call's.
                tool.facts.tool_call_id = tool.seen.id
                tool.inferred.append("tool_call_id: the answer, by order")
        if tool.seen is None or tool.kind != "tool":
            continue
        if _is_wrapped(tool.facts.result, tool.seen.value):
            tool.facts.result = tool.seen.value
        if tool.facts.result is None and not tool.facts.failed:
            tool.facts.result = tool.seen.value
            tool.inferred.append("result: the next request")
        if tool.told_by == "messages":
            _judge_by_text(tool, tool.seen)


def _is_wrapped(result: Any, seen: Any) -> bool:
    """Whether a result is an object round what the model saw, as MCP servers give it."""
    inner = loads(result)
    return isinstance(inner, dict) and len(inner) == 1 and next(iter(inner.values())) == seen


def _answer_by_id(tool: Call, llms: Sequence[Call]) -> Part | None:
    wanted = tool.facts.tool_call_id
    if wanted is None:
        return None
    for llm in _later(tool, llms):
        for message in llm.facts.input or ():
            for part in message.tool_results:
                if part.id == wanted:
                    return part
    return None


def _answer_by_order(tool: Call, tools: Sequence[Call], llms: Sequence[Call]) -> Part | None:
    """Where the answers name ids that nobody asked with: the n-th call gets the n-th answer."""
    if tool.asked_by is None:
        return None
    siblings = sorted(
        (other for other in tools if other.asked_by is tool.asked_by), key=lambda t: t.position
    )
    asked = {part.id for llm in llms for part in llm.asks}
    for llm in _later(tool, llms):
        answers = [part for part in _last_answers(llm) if part.id is None or part.id not in asked]
        if len(answers) == len(siblings):
            return answers[siblings.index(tool)]
        if llm.facts.input:
            return None
    return None


def _last_answers(llm: Call) -> list[Part]:
    """The tool results after the last thing the model said."""
    answers: list[Part] = []
    for message in llm.facts.input or ():
        if message.role == "assistant":
            answers = []
        answers += message.answers
    return answers


def _later(tool: Call, llms: Sequence[Call]) -> list[Call]:
    after = tool.asked_by.order if tool.asked_by is not None else tool.order
    return [llm for llm in llms if llm.order > after and llm is not tool.asked_by]


def _judge_by_text(tool: Call, seen: Part) -> None:
    """A tool without a span failed if its answer says so; a text that begins so is a guess."""
    text = as_text(seen.value) or ""
    if seen.failed is None and text.lstrip().startswith(("Error", "Exception")):
        tool.facts.failed, tool.facts.error_message = True, text
        tool.inferred.append("error_message: the text of the result")
    elif seen.failed:
        tool.facts.failed, tool.facts.error_message = True, text
