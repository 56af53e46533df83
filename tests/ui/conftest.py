"""A browser, and a store with runs worth looking at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from tests.server.episodes import delegating, episode, hostile, messages
from tests.store.runs import chat, root, tool
from tests.ui.browsers import PATIENCE_MS, behaved, looking_at, options

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

N_PLAIN = 230
"""Runs of an agent that asks once: more than two pages of the list."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chosen = options()
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(**chosen)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a viewer of 236 runs: `http://host:port`."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("looked-at") / "traces")
    store.append([*episode(1), *delegating(2), *hostile(3), *deep(4), *long_names(5), *code(6)])
    store.append([record for n in range(10, 10 + N_PLAIN) for record in (chat(n, 1), root(n))])
    options()  # no browser, no need
    with looking_at(store.path) as address:
        yield address


def deep(number: int) -> list[SpanRecord]:
    """A run of 400 steps with an error near its end: more than a screen of anything."""
    asked = {semconv.INPUT_MESSAGES: messages("user", "Count to four hundred")}
    steps: list[SpanRecord] = [chat(number, 1, **asked)]
    for position in range(2, 400):
        step = tool(number, position, **{semconv.TOOL_CALL_RESULT: f"it is {position}"})
        is_wrong = position == 390
        steps.append(
            dataclasses.replace(step, status="ERROR", status_message="off by one")
            if is_wrong
            else step
        )
    return [*steps, root(number, **{semconv.AGENT_NAME: "counter"})]


def code(number: int) -> list[SpanRecord]:
    """A run whose model answers with a code block."""
    told = messages("assistant", "So:\n\n```python\ndef f():  # <b>why</b>\n    return 1\n```\n")
    answer = chat(number, 1, **{semconv.OUTPUT_MESSAGES: told})
    return [answer, root(number, **{semconv.AGENT_NAME: "writer"})]


def long_names(number: int) -> list[SpanRecord]:
    """A run whose names are longer than any column."""
    name = "averyveryverylongnamewithoutanyspace" * 12
    told = {semconv.AGENT_NAME: name, semconv.TASK: name, semconv.OUTCOME: "success"}
    return [
        tool(number, 1, **{semconv.TOOL_NAME: name, semconv.TOOL_CALL_RESULT: name * 20}),
        root(number, **told),
    ]


@pytest.fixture
def page(browser: Browser, viewer: str) -> Iterator[Page]:
    with behaved(browser, viewer) as shown:
        yield shown
