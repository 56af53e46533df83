"""Hand-overs: which tool calls gave the run to another agent, and who acts after them.

A *delegate* is a tool in whose span another agent, or a model call, ran. A *transfer* is a call, a
span or a command after which another agent, or the same loop under another system text, goes on.
Agents that merely follow each other hand nothing over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from otel_traj.assembly.calls import Actor, Call
from otel_traj.assembly.tree import Node

_NAMES_A_TARGET: Final = re.compile(
    r"(?:transfer|hand_?off|hand_?over|delegate|route|switch)(?:_(?:control|back|over|task))?_to_(.+)"
)


def find_handoffs(calls: Sequence[Call]) -> None:
    """Turn tool calls that hand over into hand-offs, in place."""
    gotos = _gotos(calls)
    names = {call.actor.name for call in calls if call.actor is not None and call.actor.name}
    for call in calls:
        if call.kind == "tool" and call.told_by == "span":
            _delegate(call, calls)
    for call in calls:
        if call.kind in ("tool", "handoff") and call.handoff_mode is None:
            _transfer(call, calls, names, gotos)


# --- delegates ---------------------------------------------------------------------------------


def _delegate(tool: Call, calls: Iterable[Call]) -> None:
    inside = set(tool.node.subtree())
    llm = next((c for c in calls if c.kind == "llm" and c.node in inside), None)
    if llm is None:
        return
    tool.kind, tool.handoff_mode = "handoff", "delegate"
    actor = llm.actor
    if actor is not None and actor is not tool.actor:
        tool.facts.handoff_to = actor.name


# --- transfers ---------------------------------------------------------------------------------


def _transfer(call: Call, calls: Sequence[Call], names: set[str], gotos: dict[Node, str]) -> None:
    explicit = call.facts.handoff_to or gotos.get(call.node)
    named = _target_in_name(call.facts.tool_name, names)
    if not (explicit or named or call.kind == "handoff"):
        return
    following = _next_model_call(call, calls)
    if call.kind == "tool" and not _moved(call, following, certain=bool(explicit)):
        return
    call.kind, call.handoff_mode = "handoff", "transfer"
    after = following.actor.name if following is not None and following.actor else None
    before = call.actor.name if call.actor else None
    if explicit:
        call.facts.handoff_to = explicit
    elif after and after != before:
        call.facts.handoff_to = after
    else:
        call.facts.handoff_to = named


def _target_in_name(tool_name: str | None, names: set[str]) -> str | None:
    """The agent that a tool is named for: `transfer_to_X`, or a name that holds a known agent's."""
    if not tool_name:
        return None
    found = _NAMES_A_TARGET.fullmatch(tool_name.lower())
    if found:
        wanted = found[1]
        same = (name for name in names if _plain(name) == _plain(wanted))
        return next(same, tool_name[-len(wanted) :])
    return next((name for name in sorted(names) if _plain(name) == _plain(tool_name)), None)


def _plain(name: str) -> str:
    return re.sub(r"\W|_", "", name).lower()


def _next_model_call(call: Call, calls: Iterable[Call]) -> Call | None:
    inside = set(call.node.subtree()) if call.told_by == "span" else set()
    return next(
        (
            other
            for other in calls
            if other.kind == "llm" and other.order > call.order and other.node not in inside
        ),
        None,
    )


def _moved(call: Call, following: Call | None, *, certain: bool) -> bool:
    """Whether somebody else goes on after the call."""
    if following is None:
        return certain
    asker = call.asked_by
    if following.actor is not call.actor and following.actor is not None:
        return following.actor.name != (call.actor.name if call.actor else None)
    old, new = system_of(asker) if asker is not None else None, system_of(following)
    if old is not None and new is not None:
        return old != new
    return True  # the call's name says that another agent goes on; nothing speaks against it


def system_of(llm: Call) -> str | None:
    """The system text a model call ran under, None when not told."""
    if llm.facts.system:
        return llm.facts.system
    texts = [m.text for m in llm.facts.input or () if m.role == "system" and m.text]
    return "\n".join(texts) or None


def _gotos(calls: Iterable[Call]) -> dict[Node, str]:
    """Tool spans below which a span says where a command goes."""
    found = {}
    for call in calls:
        if call.kind != "tool" or call.told_by != "span":
            continue
        for node in call.node.subtree():
            if node.facts.kind == "goto" and node.facts.handoff_to:
                found[call.node] = node.facts.handoff_to
    return found


# --- who acts afterwards -----------------------------------------------------------------------


def rename_after_transfers(calls: Sequence[Call]) -> None:
    """Give calls after a transfer to the new agent where spans still name the old one or none.

    Spans that enclose a whole run go on naming the agent that began it.
    """
    now: dict[Actor, Actor] = {}
    for call in calls:
        original = call.actor
        if original is None:
            continue
        call.actor = now.get(original, original)
        if (
            call.handoff_mode == "transfer"
            and call.facts.handoff_to
            and _stays(call, original, calls)
        ):
            now[original] = Actor(call.facts.handoff_to, original.top, original.above)


def _stays(call: Call, original: Actor, calls: Sequence[Call]) -> bool:
    """Whether the next model call stands under the spans of the agent that handed over."""
    following = _next_model_call(call, calls)
    return (
        following is not None
        and following.actor is original
        and call.facts.handoff_to != (call.actor.name if call.actor else None)
    )
