"""User messages: steps that no span tells, only the requests in which they first appear."""

from __future__ import annotations

from collections.abc import Sequence

from otel_traj.assembly.calls import Call
from otel_traj.dialects import Facts
from otel_traj.dialects.messages import Message


def user_messages(calls: Sequence[Call]) -> list[Call]:
    """One call per user message, in front of the first model call that is given it.

    Only agents that nobody invoked hear a user; what is said to a sub-agent is its delegation.
    """
    seen: set[str] = set()
    added = []
    for call in calls:
        if call.kind != "llm" or call.actor is None or call.actor.above is not None:
            continue
        for position, message in enumerate(call.facts.input or ()):
            if not _is_from_user(message) or (message.text or "") in seen:
                continue
            seen.add(message.text or "")
            added.append(_said(call, position, message))
    return added


def _is_from_user(message: Message) -> bool:
    return message.role == "user" and bool(message.text) and not message.answers


def _said(llm: Call, position: int, message: Message) -> Call:
    facts = Facts(dialects=llm.facts.dialects, input=(message,))
    call = Call("user", llm.node, facts, llm.start_ns, None, told_by="messages")
    call.position, call.actor = position, llm.actor
    return call
