"""Hand-overs: which tool calls gave the run to another agent, and who acts after them.

A *delegate* is a tool in whose span another agent, or a model call, ran. A *transfer* is a call, a
span or a command after which another agent, or the same loop under another system text, goes on.
Agents that merely follow each other hand nothing over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from otel_traj import semconv
from otel_traj.assembly.actors import acting_in, agent_of
from otel_traj.assembly.calls import Actor, Call, ModelCalls
from otel_traj.assembly.names import is_named_for, plain, target_in
from otel_traj.assembly.tree import Node
from otel_traj.dialects import Facts


def find_handoffs(calls: Sequence[Call]) -> None:
    """Turn tool calls that hand over into hand-offs, in place."""
    models = ModelCalls(calls)
    model_at = {call.node: call for call in models.calls}
    names = {call.actor.name for call in calls if call.actor is not None and call.actor.name}
    uninvited = [actor for actor in acting_in(calls) if actor.top is not None and not actor.above]
    for call in calls:
        if call.kind == "tool":
            worker = (
                _called_by_name(call, models)
                if call.told_by == "messages"
                else _inside(call, model_at) or _meanwhile(call, uninvited)
            )
            if worker is not None:
                _delegate(call, worker, calls)
    for call in calls:
        if call.kind in ("tool", "handoff") and call.handoff_mode is None:
            _transfer(call, models, names)


# --- delegates ---------------------------------------------------------------------------------


def _delegate(tool: Call, worker: Actor, calls: Sequence[Call]) -> None:
    """A tool is a delegation if somebody else worked in its span, or on its behalf in its time."""
    tool.kind, tool.handoff_mode = "handoff", "delegate"
    if worker is not tool.actor:
        tool.facts.handoff_to = worker.name or tool.facts.handoff_to
        worker.above = worker.above or tool.actor
        return
    if tool.facts.handoff_to is None and (name := _introduced(tool, calls)):
        tool.facts.handoff_to = name
        tool.inferred.append("handoff_to: an argument that the other's instructions name")
    if tool.facts.handoff_to:
        _rename_inside(tool, calls)


def _introduced(tool: Call, calls: Iterable[Call]) -> str | None:
    """The argument that names the worker: in the instructions below a tool, not in the asker's."""
    inside = set(tool.node.subtree())
    models = [call for call in calls if call.kind == "llm" and call.node in inside]
    below = system_of(min(models, key=lambda call: call.order)) if models else None
    above = system_of(tool.asked_by) if tool.asked_by is not None else None
    arguments = tool.facts.arguments
    if not below or not above or not isinstance(arguments, Mapping):
        return None
    names = [
        said
        for said in arguments.values()
        if isinstance(said, str) and _names(below, said) and not _names(above, said)
    ]
    return names[0] if len(names) == 1 else None


def _names(instructions: str, name: str) -> bool:
    return bool(name) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", instructions) is not None


def _inside(tool: Call, model_at: Mapping[Node, Call]) -> Actor | None:
    """Who calls a model, or is invoked, in the span of a tool."""
    below = list(tool.node.subtree())
    models = [model_at[node] for node in below if node in model_at]
    if models:
        return min(models, key=lambda call: call.order).actor
    invoked = next((node for node in below if node.facts.kind == "agent"), None)
    return Actor(agent_of(invoked), invoked) if invoked is not None else None


def _meanwhile(tool: Call, uninvited: Iterable[Actor]) -> Actor | None:
    """An agent that nobody invoked, whose whole run lies in the time of a tool."""
    for actor in uninvited:
        top = actor.top
        if top is None or actor is tool.actor or actor.above is not None:
            continue
        ended = None not in (tool.end_ns, top.span.end_ns)
        if ended and tool.node.start_ns <= top.start_ns and top.end_ns <= tool.node.end_ns:
            return actor
    return None


def _called_by_name(tool: Call, models: ModelCalls) -> Actor | None:
    """The agent that a tool is named for, if it begins next, invoked by the one that asked."""
    following = next(models.after(tool.order), None)
    actor = following.actor if following is not None else None
    if actor is None or actor is tool.actor or actor.above is not tool.actor:
        return None
    return actor if is_named_for(tool.facts.tool_name, actor.name) else None


def _rename_inside(tool: Call, calls: Iterable[Call]) -> None:
    """Give what runs in a delegation to the agent that it names, where no span names one."""
    inside = set(tool.node.subtree())
    worker = Actor(tool.facts.handoff_to, tool.node, tool.actor)
    for call in calls:
        if call is not tool and call.node in inside and call.actor is tool.actor:
            call.actor = worker


def invocations(nodes: Iterable[Node]) -> list[Call]:
    """Agents invoked by agents, in a run of which nothing else is told."""
    found = []
    actors: dict[Node, Actor] = {}
    for node in nodes:
        if node.facts.kind != "agent":
            continue
        above = next((up for up in node.ancestors() if up in actors), None)
        actors[node] = Actor(agent_of(node), node, actors.get(above) if above else None)
        if above is None or agent_of(above) == agent_of(node):
            continue
        facts = Facts("handoff", node.facts.dialects, handoff_to=agent_of(node))
        end = None if node.span.is_open else node.end_ns
        call = Call("handoff", node, facts, node.start_ns, end, handoff_mode="delegate")
        call.actor = actors[above]
        found.append(call)
    return found


# --- transfers ---------------------------------------------------------------------------------


def _transfer(call: Call, models: ModelCalls, names: set[str]) -> None:
    explicit = call.facts.handoff_to or _goto(call)
    following = _next_model_call(call, models)
    named = target_in(call.facts.tool_name, names) or _addressed(call, following)
    if not (explicit or named or call.kind == "handoff"):
        return
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


def _addressed(call: Call, following: Call | None) -> str | None:
    """The agent that goes on after a call, if an argument of the call is its name."""
    after = following.actor.name if following is not None and following.actor else None
    arguments = call.facts.arguments
    if not after or not isinstance(arguments, Mapping):
        return None
    named = any(
        isinstance(said, str) and plain(said) == plain(after) for said in arguments.values()
    )
    return after if named and (call.actor is None or call.actor.name != after) else None


def _next_model_call(call: Call, models: ModelCalls) -> Call | None:
    """The first model call after a call, and not in its span."""
    inside = set(call.node.subtree()) if call.told_by == "span" else set()
    return next((llm for llm in models.after(call.order) if llm.node not in inside), None)


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
    # The call's name says that another agent goes on; only a request that tells no more than what
    # is new speaks against it, as its instructions are those from before.
    return new is not None or semconv.REQUEST_CONTINUES not in following.node.span.attributes


def system_of(llm: Call) -> str | None:
    """The system text a model call ran under, None when not told."""
    if llm.facts.system:
        return llm.facts.system
    texts = [m.text for m in llm.facts.input or () if m.role == "system" and m.text]
    return "\n".join(texts) or None


def _goto(call: Call) -> str | None:
    """Where a command goes, if a span below a tool's says so."""
    below = call.node.subtree() if call.told_by == "span" else ()
    return next((n.facts.handoff_to for n in below if n.facts.kind == "goto"), None)


# --- who acts afterwards -----------------------------------------------------------------------


def rename_after_transfers(calls: Sequence[Call]) -> None:
    """Give calls after a transfer to the new agent where spans still name the old one or none.

    Spans that enclose a whole run go on naming the agent that began it.
    """
    models = ModelCalls(calls)
    now: dict[Actor, Actor] = {}
    for call in calls:
        original = call.actor
        if original is None:
            continue
        call.actor = now.get(original, original)
        if (
            call.handoff_mode == "transfer"
            and call.facts.handoff_to
            and _stays(call, original, models)
        ):
            now[original] = Actor(call.facts.handoff_to, original.top, original.above)


def _stays(call: Call, original: Actor, models: ModelCalls) -> bool:
    """Whether the next model call stands under the spans of the agent that handed over."""
    following = _next_model_call(call, models)
    return (
        following is not None
        and following.actor is original
        and call.facts.handoff_to != (call.actor.name if call.actor else None)
    )
