"""Which of several accounts of one trajectory counts: the one that was given last.

A program that stores finished trajectories as a whole may store another content under the same id.
Both are spans of one trace, for raw spans are never rewritten; an event `traj.revision` of a root
span says when its account was given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from otel_traj import semconv
from otel_traj.assembly.tree import Node, roots


def without_former(nodes: Sequence[Node]) -> list[Node]:
    """The nodes without accounts that a later one replaces, `told_ns` set on those that stay."""
    accounts: dict[tuple[str, object], list[Node]] = defaultdict(list)
    for root in roots(nodes):
        given_id = root.span.attributes.get(semconv.TRAJECTORY_ID)
        if given_id:
            accounts[root.span.trace_id, given_id].append(root)
    former: set[Node] = set()
    for rivals in accounts.values():
        tellings = sorted(_tellings(rivals), key=lambda told: (told[0], told[1].span.span_id))
        if tellings:
            present = tellings[-1][1]
            present.told_ns = _reign(tellings)
            former.update(node for root in rivals if root is not present for node in root.subtree())
    return [node for node in nodes if node not in former]


def _tellings(accounts: Iterable[Node]) -> list[tuple[int, Node]]:
    return [
        (log.time_ns or log.observed_ns or 0, root)
        for root in accounts
        for log in root.logs
        if log.event_name == semconv.EVENT_REVISION
    ]


def _reign(tellings: Sequence[tuple[int, Node]]) -> int:
    """Since when the last account has been told without another one in between.

    Told again it is no news: what somebody said of the run in the meantime stands.
    """
    present = tellings[-1][1]
    since = tellings[-1][0]
    for when, root in reversed(tellings):
        if root is not present:
            break
        since = when
    return since
