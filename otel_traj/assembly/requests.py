"""Requests of a run: what each adds to the one before, its hashes, and how to build it again.

Requests carry their history, so a step stores only the messages that are new in it. Where they go
on from is told by a hash: that of the chain over the messages before them (`canonical`). Whoever
has the steps can follow it back and has the whole request again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from otel_traj import semconv
from otel_traj.assembly.calls import Call
from otel_traj.assembly.keys import keys_of
from otel_traj.assembly.tree import Node
from otel_traj.dialects import canonical
from otel_traj.dialects.canonical import Body, Hashes, Numbering, Written, message_bodies
from otel_traj.dialects.messages import Messages, from_json
from otel_traj.model import Step


@dataclass(frozen=True, slots=True)
class Request:
    """What a step stores of a request.

    Attributes:
        new: The messages that neither the request before nor its answer holds.
        hashes: Of the whole request.
        lacks_tools: The model was given tools, as it called one, but nothing tells them.
        lacks_history: The request goes on from messages that nothing tells.
    """

    new: Messages
    hashes: Hashes
    lacks_tools: bool = False
    lacks_history: bool = False


def read_requests(calls: Sequence[Call]) -> dict[Call, Request]:
    """The request of each model call, compared with the one before it in the same run of an agent.

    Args:
        calls: In order. A user's message is a request of its own, without hashes.
    """
    found: dict[Call, Request] = {}
    last: dict[Node | None, _History] = {}
    named = {call.facts.previous_response_id for call in calls}
    by_response: dict[str, _History] = {}
    by_span: dict[str, _History] = {}
    continues = {call: _continues(call) for call in calls if call.kind == "llm"}
    wanted = {span_id for span_id in continues.values() if span_id is not None}
    written = Written()
    for call in calls:
        if call.kind == "user":
            found[call] = Request(call.facts.input or (), Hashes())
        if call.kind != "llm":
            continue
        thread = call.actor.top if call.actor is not None else None
        continued = by_span.get(continues[call] or "") or by_response.get(
            call.facts.previous_response_id or ""
        )
        found[call], last[thread] = _read(call, last.get(thread, _NOTHING), continued, written)
        if call.facts.response_id and call.facts.response_id in named:
            by_response[call.facts.response_id] = last[thread]
        if call.node.span.span_id in wanted:
            by_span[call.node.span.span_id] = last[thread]
    return found


def _continues(call: Call) -> str | None:
    """The span of the call that a request goes on from, if it tells only what is new in it."""
    told = call.node.span.attributes.get(semconv.REQUEST_CONTINUES)
    return told if isinstance(told, str) else None


def _read(
    call: Call, before: _History, continued: _History | None, written: Written
) -> tuple[Request, _History]:
    """A request, and the history that it and its answer leave behind.

    One that names the response it goes on from need not repeat what came before; its instructions
    are its own, unless it tells none and only what is new in it.
    """
    facts, given, numbering = call.facts, call.facts.input or (), Numbering()
    bodies = message_bodies(given, numbering, written)
    kept = before.shared_with(bodies)
    new = given[kept:]
    top = canonical.count_leading_system(given)
    is_rest = _continues(call) is not None
    past = continued.tellings[0] if continued is not None else None
    if past is not None and not (is_rest and top == 0):
        past = past.without_instructions()
    if continued and past and (is_rest or (given and not _shared(past.bodies, bodies[top:]))):
        numbering = continued.numbering.copy()
        new = given[min(kept, top) :]
        bodies = [*bodies[:top], *past.bodies, *message_bodies(given[top:], numbering, written)]
        given, kept = (*given[:top], *past.messages, *given[top:]), top + len(past.messages)
    hashes = canonical.hash_request(facts, given, bodies, kept, written)
    lacks_tools = bool(call.asks) and facts.tool_definitions is None
    lacks_history = (
        _answers_unseen_calls(given)
        or before.goes_on_without_calls(kept, new)
        or bool((is_rest or facts.previous_response_id) and continued is None)
    )
    if not given:
        hashes = hashes._replace(request=None, messages=None, prefix=None)
    elif _is_cut(call) or lacks_history:
        hashes = hashes._replace(request=None, messages=None)
    elif lacks_tools:
        hashes = hashes._replace(request=None)
    history = _History.after(_Telling(given, bodies), facts.output or (), numbering, written)
    return Request(new, hashes, lacks_tools, lacks_history), history


def _answers_unseen_calls(given: Messages) -> bool:
    """Whether a request answers more calls than it shows: it goes on from a stored response.

    Counted, not compared by id: some tell an item's id with the call, the call's with its answer.
    """
    calls = sum(len(message.tool_calls) for message in given)
    return sum(len(message.tool_results) for message in given) > calls


def _is_cut(call: Call) -> bool:
    """Whether values of the span were cut off or dropped, so that nobody knows the whole."""
    span = call.node.span
    is_cut = call.facts.cut_keys or span.dropped_attributes
    return bool(is_cut) or keys_of(span).n_truncated > 0


def rebuild(steps: Sequence[Step], k: int) -> Messages | None:
    """The messages of a model call's request, from what the steps up to it store.

    What comes out has the canonical form of what the span told. Only messages that say nothing
    may be there or not, and a message told apart by an earlier step may be told together.

    Args:
        steps: All steps of a trajectory, in order.
        k: Index of a model call.

    Returns:
        None where the request is not told, or goes on from one that is not.
    """
    earlier: list[tuple[Step, _History]] = []
    written = Written()
    request = None
    for step in steps[: k + 1]:
        if step.kind != "llm":
            continue
        request = _rebuilt(step, earlier[::-1])
        numbering = Numbering()
        telling = _Telling(request or (), message_bodies(request or (), numbering, written))
        answer = from_json(step.output)
        earlier.append((step, _History.after(telling, answer, numbering, written)))
    return request


def _rebuilt(step: Step, earlier: Sequence[tuple[Step, _History]]) -> Messages | None:
    """The request of a step, given the ones before it, latest first."""
    if step.prefix_hash is None:
        return None
    new = from_json(step.new_messages)
    top = canonical.count_leading_system(new)
    instructions = new[:top] or _instructions(step, earlier)
    if step.prefix_hash == canonical.chain_of(step.system_hash, step.tools_hash, ())[0]:
        return (*instructions, *new[top:])
    tellings = (telling for _, history in earlier for telling in history.tellings)
    for telling in tellings:
        begun = telling.first(telling.end_of(step))
        past = begun.without_instructions().messages
        for request in ((*begun.messages, *new), (*instructions, *past, *new[top:])):
            if past and step.messages_hash in (None, canonical.hash_messages(request)):
                return request
    return None


def _instructions(step: Step, earlier: Sequence[tuple[Step, _History]]) -> Messages:
    """System messages that a request repeats: the chain begins after them."""
    same = (history for past, history in earlier if past.system_hash == step.system_hash)
    messages = next((history.tellings[0].messages for history in same), ())
    return messages[: canonical.count_leading_system(messages)]


# --- histories ---------------------------------------------------------------------------------


class _Telling(NamedTuple):
    """Messages, and the canonical bytes of each."""

    messages: Messages
    bodies: Sequence[Body]

    def then(self, messages: Messages, numbering: Numbering, written: Written) -> _Telling:
        """These, and others after them."""
        bodies = message_bodies(messages, numbering, written)
        return _Telling((*self.messages, *messages), [*self.bodies, *bodies])

    def first(self, count: int) -> _Telling:
        """The first so many of them."""
        return _Telling(self.messages[:count], self.bodies[:count])

    def without_instructions(self) -> _Telling:
        """What comes after the leading system messages."""
        top = canonical.count_leading_system(self.messages)
        return _Telling(self.messages[top:], self.bodies[top:])

    def end_of(self, step: Step) -> int:
        """How many of these messages a step's request begins with, by its prefix hash."""
        leading = canonical.count_leading_system(self.messages)
        chain = canonical.chain_of(step.system_hash, step.tools_hash, self.bodies, leading=leading)
        return max((n for n, state in enumerate(chain) if state == step.prefix_hash), default=0)


@dataclass(frozen=True, slots=True)
class _History:
    """What a request and its answer leave for the next request to repeat.

    Attributes:
        tellings: All of it; then without the answer's reasoning, which is often not sent back.
        numbering: Of its tool calls.
    """

    tellings: tuple[_Telling, ...]
    numbering: Numbering

    @classmethod
    def after(
        cls, request: _Telling, answer: Messages, numbering: Numbering, written: Written
    ) -> _History:
        """The history of a request and its answer; `numbering` has counted the request's calls."""
        counted = numbering.copy()
        tellings = [request.then(answer, counted, written)]
        if (bare := _without_reasoning(answer)) is not answer:
            tellings.append(request.then(bare, numbering.copy(), written))
        return cls(tuple(tellings), counted)

    def goes_on_without_calls(self, kept: int, new: Messages) -> bool:
        """Whether a request repeats this history up to an answer that asked for tools, and no more.

        Nobody sends that: its teller left out the calls and what they gave.
        """
        left_out = self.tellings[0].messages[kept:]
        asked = kept > 0 and bool(left_out) and bool(left_out[0].tool_calls)
        return asked and not any(message.tool_calls or message.answers for message in new)

    def shared_with(self, bodies: Sequence[Body]) -> int:
        """How many of these messages the history begins with."""
        return max(_shared(telling.bodies, bodies) for telling in self.tellings)


def _without_reasoning(answer: Messages) -> Messages:
    """What is left of an answer; it itself if that is all."""
    if all(m.parts and all(part.kind != "reasoning" for part in m.parts) for m in answer):
        return answer
    parts = [tuple(p for p in message.parts if p.kind != "reasoning") for message in answer]
    return tuple(
        replace(message, parts=kept) for message, kept in zip(answer, parts, strict=True) if kept
    )


def _shared(left: Sequence[Body], right: Sequence[Body]) -> int:
    """The length of the common beginning."""
    length = 0
    for ours, theirs in zip(left, right, strict=False):
        if ours != theirs:
            break
        length += 1
    return length


_NOTHING: Final = _History.after(_Telling((), ()), (), Numbering(), Written())
