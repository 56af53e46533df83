"""What later requests show of earlier calls: a model's answers, the results of tools.

Requests carry their history. A call whose own span tells no answer is read from the request after
it; a tool's result stands there under its call id, or, where ids differ, in its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from otel_traj.assembly.calls import Call, ModelCalls, Order
from otel_traj.dialects.messages import Message, Part, as_text, loads

_REACH: Final = 8
"""How many later requests are looked at for a history that goes on; the next one mostly does."""


# --- answers of models -------------------------------------------------------------------------


def read_answers(models: ModelCalls) -> None:
    """A call that tells no answer, or no calls beside its text: a later request shows both."""
    for llm in models.calls:
        if llm.asks or llm.facts.failed or not llm.facts.input:
            continue
        said = _shown_answer(llm, models)
        if said is None:
            continue
        text = "\n".join(message.text for message in llm.facts.output or () if message.text)
        if llm.facts.output is None or (said.tool_calls and (said.text or "") == text):
            llm.facts.output = (said,)
            llm.inferred.append("output: the next request")


def _shown_answer(llm: Call, models: ModelCalls) -> Message | None:
    """What stands right after this request in the next one that begins with it."""
    given = _without_system(llm)
    for later in islice(models.after(llm.order), _REACH):
        history = _without_system(later)
        if len(history) > len(given) and history[: len(given)] == given:
            said = history[len(given)]
            return said if said.role == "assistant" else None
    return None


def _without_system(llm: Call) -> list[Message]:
    """A request's messages; the system text changes when another agent takes over."""
    return [message for message in llm.facts.input or () if message.role != "system"]


# --- results of tools --------------------------------------------------------------------------


class Answers:
    """The tool results that the requests of a run carry."""

    def __init__(self, models: ModelCalls, tools: Sequence[Call]) -> None:
        """Index what the requests carry, by call id, and the tools by who asked for them."""
        self._requests = ModelCalls(llm for llm in models.calls if llm.facts.input)
        self._by_id: dict[str, list[tuple[Order, Part]]] = defaultdict(list)
        for llm in models.calls:
            for message in llm.facts.input or ():
                for part in message.tool_results:
                    if part.id is not None:
                        self._by_id[part.id].append((llm.order, part))
        self._asked = {part.id for llm in models.calls for part in llm.asks}
        self._siblings: dict[Call, list[Call]] = defaultdict(list)
        for tool in tools:
            if tool.asked_by is not None:
                self._siblings[tool.asked_by].append(tool)
        for siblings in self._siblings.values():
            siblings.sort(key=lambda tool: tool.position)

    def by_id(self, tool: Call) -> Part | None:
        """The first answer to this tool's id in a request after the one that asked."""
        after = (tool.asked_by or tool).order
        told = self._by_id.get(tool.facts.tool_call_id or "", ())
        return next((part for order, part in told if order > after), None)

    def by_order(self, tool: Call) -> Part | None:
        """Where answers name ids that nobody asked with: the n-th call gets the n-th answer."""
        if tool.asked_by is None:
            return None
        siblings = self._siblings[tool.asked_by]
        following = next(self._requests.after(tool.asked_by.order), None)
        shown = _last_answers(following) if following is not None else []
        answers = [part for part in shown if part.id is None or part.id not in self._asked]
        return answers[siblings.index(tool)] if len(answers) == len(siblings) else None


def _last_answers(llm: Call) -> list[Part]:
    """The tool results after the last thing the model said."""
    answers: list[Part] = []
    for message in llm.facts.input or ():
        if message.role == "assistant":
            answers = []
        answers += message.answers
    return answers


def give_results(tools: Sequence[Call], models: ModelCalls) -> None:
    """Give each tool what the next request carries as its answer."""
    answers = Answers(models, tools)
    for tool in tools:
        tool.seen = answers.by_id(tool)
        if tool.seen is None:
            tool.seen = answers.by_order(tool)
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


def _judge_by_text(tool: Call, seen: Part) -> None:
    """A tool without a span failed if its answer says so; a text that begins so is a guess."""
    text = as_text(seen.value) or ""
    if seen.failed is None and text.lstrip().startswith(("Error", "Exception")):
        tool.facts.failed, tool.facts.error_message = True, text
        tool.inferred.append("error_message: the text of the result")
    elif seen.failed:
        tool.facts.failed, tool.facts.error_message = True, text
