"""What happens, on screen as it happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_traj import semconv
from otel_traj.store import TrajectoryStore
from tests.cli.test_top import now
from tests.store.runs import chat, root, run, started, tool
from tests.ui.browsers import behaved, has_no_barrier, looking_at, options
from tests.ui.proxy import Wire, wire

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Browser, Page, Route

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    """A run that goes on, one that hangs in a tool, one that ended well."""
    made = TrajectoryStore.create(tmp_path / "traces")
    made.append([now(started(root(1)), seconds_ago=5), now(chat(1, 1), seconds_ago=4)])
    evil = root(2, **{semconv.AGENT_NAME: EVIL})
    made.append([now(span, seconds_ago=3000) for span in (started(evil), started(tool(2, 1)))])
    judged = run(3, **{semconv.OUTCOME: "success"})
    made.append([now(span, seconds_ago=60) for span in judged])
    return made


@pytest.fixture
def cable(store: TrajectoryStore) -> Iterator[Wire]:
    options()
    with looking_at(store.path) as address, wire(address) as made:
        yield made


@pytest.fixture
def page(browser: Browser, cable: Wire) -> Iterator[Page]:
    with behaved(browser, cable.address) as shown:
        yield shown


def id_of(store: TrajectoryStore, task: str) -> str:
    [[found]] = store.sql(
        "select trajectory_id from trajectories where task = $task", {"task": task}
    ).fetchall()
    return str(found)


def test_runs_that_go_on_or_hang_and_the_steps_that_ended_are_shown(
    page: Page, store: TrajectoryStore
) -> None:
    """S1.17."""
    page.goto("/live")

    figures = page.get_by_role("region", name="Agents").get_by_role("row")
    runs = page.get_by_role("region", name="Running now").get_by_role("row")
    page.get_by_role("region", name="Steps").get_by_role("link", name="tool lookup").wait_for()
    assert runs.nth(1).inner_text().startswith("■ hung")
    assert EVIL in runs.nth(1).inner_text()
    assert runs.nth(2).inner_text().startswith("▶ running")
    assert figures.nth(1).inner_text().split("\t")[:6] == ["All", "1", "1", "1", "1", "0.02"]

    page.get_by_role("region", name="Running now").get_by_role("link", name="step 0").click()
    page.get_by_role("complementary").or_(page.locator(".detail")).first.wait_for()
    assert page.url.endswith("?step=0")


def test_what_comes_is_shown_but_not_while_it_is_paused(page: Page, store: TrajectoryStore) -> None:
    page.goto("/live")
    steps = page.get_by_role("region", name="Steps")
    steps.wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("status").filter(has_text="paused").wait_for()
    store.append([now(tool(4, 1, **{semconv.TOOL_NAME: "late"}), seconds_ago=1)])
    assert steps.get_by_role("link", name="tool late").count() == 0

    page.get_by_role("button", name="Go on").click()
    steps.get_by_role("link", name="tool late").wait_for()
    assert steps.get_by_role("link", name="tool late").count() == 1


def test_nothing_is_missing_and_nothing_twice_after_the_wire_was_cut(
    page: Page, store: TrajectoryStore, cable: Wire
) -> None:
    n = 602
    store.append([started(root(9)), tool(9, 1)])
    run_id = id_of(store, "order-9")
    page.goto(f"/t/{run_id}?view=waterfall")
    tree = page.get_by_role("treegrid")
    page.get_by_role("status").filter(has_text="live").wait_for()

    for begin in range(2, n, 150):
        store.append([tool(9, position) for position in range(begin, min(n, begin + 150))])
        cable.cut()
    page.locator(f'[role=treegrid][aria-rowcount="{n + 1}"]').wait_for()  # and one of titles
    store.append([root(9)])
    page.get_by_role("status").filter(has_text="live").wait_for(state="detached")

    assert tree.get_attribute("aria-rowcount") == str(n + 1)
    assert cable.n_cuts >= 4


def test_what_is_told_while_all_spans_are_asked_for_is_not_lost(
    page: Page, store: TrajectoryStore
) -> None:
    run_id = id_of(store, "order-1")
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/spans", lambda route: held.append((route, route.fetch())), times=1)
    page.goto(f"/t/{run_id}?view=waterfall")
    page.get_by_role("status").filter(has_text="live").wait_for()
    for position in (2, 3):
        with page.expect_response(f"**/trajectories/{run_id}"):  # as the page hears of it
            store.append([now(tool(1, position), seconds_ago=1)])

    [(route, answer)] = held
    route.fulfill(response=answer)

    page.locator('[role=treegrid][aria-rowcount="5"]').wait_for()  # titles and four spans


def test_a_page_stays_while_the_server_is_away_and_is_current_afterwards(
    page: Page, store: TrajectoryStore, cable: Wire
) -> None:
    page.goto(f"/t/{id_of(store, 'order-3')}")
    page.get_by_role("feed").wait_for()
    away = page.get_by_text("The server does not answer: this is how it was")

    with cable.down():
        page.get_by_role("link", name="Runs", exact=True).click()
        page.get_by_role("alert").filter(has_text="The server does not answer").first.wait_for()
        page.go_back()
        page.get_by_role("feed").wait_for()
        page.get_by_role("link", name="Runs", exact=True).click()
        away.wait_for()
    page.get_by_role("link", name="order-3").wait_for()

    away.wait_for(state="detached")


@pytest.mark.parametrize("width", [1280, 360])
def test_it_can_be_used_by_everybody(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/live")
    page.get_by_role("region", name="Steps").wait_for()
    page.get_by_role("region", name="Running now").wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    has_no_barrier(page)


def test_a_run_is_judged_on_its_page_and_the_judgement_undone(
    page: Page, store: TrajectoryStore
) -> None:
    page.goto(f"/t/{id_of(store, 'order-3')}")
    judge = page.locator("summary", has_text="Judge")
    judge.click()

    page.get_by_label("Outcome").select_option("failure")
    page.get_by_label("Comment").fill(f"wrong order {EVIL}")
    page.get_by_label("Who says so").fill("mona")
    page.get_by_role("button", name="Say it").click()
    page.get_by_title("failure, told by explicit").wait_for()
    said = page.get_by_role("list", name="What was said")
    said.get_by_role("button", name="Undo outcome").click()

    page.get_by_title("success, told by explicit").wait_for()
    assert EVIL in said.inner_text()
    assert "taken back" in said.inner_text()
    has_no_barrier(page, ".annotate")
