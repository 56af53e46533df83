"""Who acts: agent invocations, and to which of them each call belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otel_traj.assembly.calls import Actor, Call
from otel_traj.assembly.tree import Node


def assign_actors(calls: Sequence[Call]) -> None:
    """Give every call its actor.

    An agent's name comes from the nearest span above that names an agent. What a call says of its
    own agent counts only where no such span is: several instrumentors write one name everywhere.
    Where nobody names an agent, the workflow they all run in does.
    """
    actors: dict[Node | None, Actor] = {}
    for call in calls:
        call.actor = _actor_of(_scope(call.node), actors)
    nobody = actors.get(None)
    if nobody is not None:
        unclaimed = [call for call in calls if call.actor is nobody]
        nobody.name = _only_name(call.facts.agent_name for call in unclaimed)
        if nobody.name is None and len(actors) == 1:
            nobody.name = _only_name(_root(call.node).facts.workflow_name for call in unclaimed)
    acting = set(acting_in(calls))
    for actor in actors.values():
        while actor.above is not None and actor.above not in acting:
            actor.above = actor.above.above  # an agent that does nothing is only a label


def acting_in(calls: Iterable[Call]) -> list[Actor]:
    """The actors of these calls, by first call."""
    return list(dict.fromkeys(call.actor for call in calls if call.actor is not None))


def _scope(node: Node) -> Node | None:
    """The outermost of the nearest spans that name the agent at work."""
    nearest = next((n for n in (node, *node.ancestors()) if agent_of(n)), None)
    if nearest is None:
        return None
    top = nearest
    for above in nearest.ancestors():
        if agent_of(above) == agent_of(nearest):
            top = above
        elif agent_of(above):
            break
    return top


def agent_of(node: Node) -> str | None:
    """The agent that a span names as the one at work in it."""
    if node.facts.acting_agent:
        return node.facts.acting_agent
    return node.facts.agent_name if node.facts.kind == "agent" else None


def _actor_of(top: Node | None, actors: dict[Node | None, Actor]) -> Actor:
    known = actors.get(top)
    if known is not None:
        return known
    actor = actors[top] = Actor(agent_of(top) if top is not None else None, top)
    if top is not None and top.parent is not None:
        above = _scope(top.parent)
        actor.above = _actor_of(above, actors) if above is not None else None
    return actor


def _root(node: Node) -> Node:
    return list(node.ancestors())[-1] if node.parent is not None else node


def _only_name(names: Iterable[str | None]) -> str | None:
    told = {name for name in names if name}
    return told.pop() if len(told) == 1 else None
