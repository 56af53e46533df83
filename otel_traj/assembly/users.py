"""User messages: steps that no span tells, only the requests in which they first appear."""

from __future__ import annotations

import re
from collections.abc import Sequence

from otel_traj.assembly.calls import Actor, Call
from otel_traj.dialects import Facts
from otel_traj.dialects.messages import Message


def user_messages(calls: Sequence[Call]) -> list[Call]:
    """One call per user message, in front of the first model call that is given it.

    Only agents that nobody invoked hear a user; what is said to a sub-agent is its delegation.
    """
    seen: set[str] = set()
    others = _Others()
    added = []
    for call in calls:
        if call.kind == "llm" and call.actor is not None and call.actor.above is None:
            for position, message in enumerate(call.facts.input or ()):
                text = message.text or ""
                if _is_from_user(message) and text not in seen:
                    seen.add(text)
                    if not others.told(text, call.actor):
                        added.append(_said(call, position, message))
        others.note(call)
    return added


def _is_from_user(message: Message) -> bool:
    return message.role == "user" and bool(message.text) and not message.answers


class _Others:
    """What agents did before, which some frameworks tell the next agent in the user's name."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._tools: set[str] = set()
        self._names: dict[Actor, str] = {}

    def note(self, call: Call) -> None:
        """Remember what was done."""
        if call.actor is not None and call.actor.name:
            self._names[call.actor] = call.actor.name
        if call.facts.tool_name:
            self._tools.add(call.facts.tool_name)
        self._said.update(message.text for message in call.facts.output or () if message.text)

    def told(self, text: str, actor: Actor) -> bool:
        """Whether a text is what another agent said, or tells of its words or tools by its name."""
        names = [name for other, name in self._names.items() if other is not actor]
        if not names:
            return False
        if text in self._said:
            return True
        is_named = any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)
        return is_named and any(known in text for known in (*self._tools, *self._said))


def _said(llm: Call, position: int, message: Message) -> Call:
    facts = Facts(dialects=llm.facts.dialects, input=(message,))
    call = Call("user", llm.node, facts, llm.start_ns, None, told_by="messages")
    call.position, call.actor = position, llm.actor
    return call
