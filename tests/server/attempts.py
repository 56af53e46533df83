"""Tries at tasks, some of which succeed, over some weeks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from otel_traj import semconv
from otel_traj.model import SpanRecord
from tests.store.runs import chat, root, tool

N_TASKS: Final = 8
WINS, LOSSES = 4, 5
"""Of each task: who reads the policy succeeds."""

_WEEK_NS: Final = 7 * 86_400 * 10**9


def attempts() -> Iterator[SpanRecord]:
    """Tries of agent clerk, four tasks a week; its tool `lookup` fails where the run does."""
    for task in range(N_TASKS):
        for number in range(WINS + LOSSES):
            for span in _attempt(1000 + 100 * task + number, task, is_won=number < WINS):
                yield _later(span, task // 4 * _WEEK_NS)


def _attempt(number: int, task: int, *, is_won: bool) -> Iterator[SpanRecord]:
    failed: dict[str, Any] = {} if is_won else {semconv.ERROR_TYPE: "KeyError"}
    named = {semconv.TOOL_NAME: "lookup"}
    yield chat(number, 1, **{semconv.COST_USD: 0.25} if is_won else {})
    yield tool(number, 2, **named, **failed)
    if is_won:
        yield tool(number, 3, **{semconv.TOOL_NAME: "read_policy"})
    outcome = "success" if is_won else "failure"
    yield root(number, **{semconv.TASK: f"refund-{task}", semconv.OUTCOME: outcome})


def _later(span: SpanRecord, by_ns: int) -> SpanRecord:
    assert span.end_ns is not None
    return dataclasses.replace(span, start_ns=span.start_ns + by_ns, end_ns=span.end_ns + by_ns)
