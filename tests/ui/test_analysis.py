"""Analyses in a real browser: what they say, where they lead, what they say is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_traj import semconv
from otel_traj.store import TrajectoryStore
from tests.server.attempts import LOSSES, N_TASKS, WINS, attempts
from tests.server.episodes import HOSTILE, episode
from tests.store.runs import root, tool
from tests.ui.browsers import behaved, has_no_barrier, looking_at, options
from tests.ui.conftest import long_names

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.sources]

BOARDS = ("outcomes", "patterns", "flow", "drift", "record")
"""Between them they have every kind of chart."""

N_TOOLS = 200
COUNTING_MS = 60_000


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a viewer of tries at eight tasks, hostile and long names, and 200 tools."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("analysed") / "traces")
    hostile = {semconv.TOOL_NAME: HOSTILE, semconv.ERROR_TYPE: HOSTILE}
    judged = {semconv.AGENT_NAME: HOSTILE, semconv.TASK: HOSTILE, semconv.OUTCOME: "failure"}
    store.append([*attempts(), *episode(1), *long_names(5)])
    store.append([r for n in range(20, 25) for r in (tool(n, 1, **hostile), root(n, **judged))])
    many = {semconv.AGENT_NAME: "handy"}
    store.append([tool(30, n + 1, **{semconv.TOOL_NAME: f"tool{n}"}) for n in range(N_TOOLS)])
    store.append([root(30, **many)])
    options()
    with looking_at(store.path) as address:
        yield address


@pytest.fixture
def page(browser: Browser, analysed: str) -> Iterator[Page]:
    with behaved(browser, analysed) as shown:
        yield shown


def opened(page: Page, board: str, query: str = "") -> None:
    page.goto(f"/analysis/{board}{query}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)


def settled(page: Page) -> None:
    """Until all is counted, which takes as long as other work on the machine lets it."""
    expect(page.locator(".panel").first).to_be_visible()
    expect(page.locator(".panel .loading")).to_have_count(0, timeout=COUNTING_MS)


def panel(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def test_a_finding_leads_to_its_runs_and_to_the_very_step(page: Page) -> None:
    opened(page, "patterns")
    finding = panel(page, "What runs that succeed do").get_by_role("listitem").first

    expect(finding).to_contain_text("read_policy: 32 of 32 runs with it succeed")
    finding.get_by_role("link", name="Runs of finding 1").click()
    expect(page.get_by_role("grid", name="Runs")).to_have_attribute(
        "aria-rowcount", str(WINS * N_TASKS + 1)
    )
    page.go_back()
    settled(page)
    finding.get_by_role("link", name=re.compile("step")).first.click()
    expect(page).to_have_url(re.compile(r"/t/\w+\?step=\d+"))
    expect(page.get_by_role("complementary", name="Details")).to_contain_text("read_policy")


def test_every_figure_says_how_it_was_counted(page: Page) -> None:
    opened(page, "tools", "?agent=clerk")
    tools = panel(page, "How tools do")
    tools.get_by_text("How this was counted").click()

    expect(tools.locator(".counted pre")).to_contain_text("-- name: tool_effectiveness")
    expect(tools.locator(".counted")).to_contain_text("only the runs that match them")
    link = tools.get_by_role("link", name="Open in SQL").get_attribute("href")
    assert link is not None
    assert link.startswith("/sql?q=--%20name%3A%20tool_effectiveness")


def test_too_little_is_said_to_be_too_little_and_how_much_is_missing(page: Page) -> None:
    opened(page, "tools", "?agent=handy")

    label = panel(page, "How tools do").locator("table .badge").first
    expect(label).to_have_text(re.compile(r"insufficient: \d+ more finished calls needed"))


def test_filters_are_those_of_the_list_and_stand_in_the_address(page: Page) -> None:
    opened(page, "outcomes", "?task=refund-3")
    expect(panel(page, "How attempts ended").locator(".stacks > li")).to_have_count(1)

    page.get_by_role("link", name="Tools", exact=True).click()
    expect(page).to_have_url(re.compile(r"/analysis/tools\?task=refund-3"))
    page.get_by_role("button", name="Take away task: refund-3").click()
    expect(page).to_have_url(re.compile(r"/analysis/tools$"))


def test_the_runs_of_the_list_are_analysed_from_there(page: Page) -> None:
    page.goto("/t?task=refund-3&sort=-cost")
    page.get_by_role("link", name="Analysis", exact=True).click()

    expect(page).to_have_url(re.compile(r"/analysis/outcomes\?task=refund-3$"))
    expect(page.locator(".figures")).to_contain_text("4 of 9 judged")


def test_marks_and_rows_lead_to_the_list(page: Page) -> None:
    opened(page, "outcomes")
    ended = panel(page, "How attempts ended")
    ended.get_by_role("link", name=f"refund-3: {LOSSES} failure").click()
    expect(page.get_by_role("grid", name="Runs")).to_have_attribute(
        "aria-rowcount", str(LOSSES + 1)
    )
    page.go_back()
    settled(page)
    ended.get_by_role("link", name="Runs: refund-3").click()
    expect(page.get_by_role("grid", name="Runs")).to_have_attribute(
        "aria-rowcount", str(WINS + LOSSES + 1)
    )


def test_the_flow_says_how_often_and_how_well_and_leads_to_the_runs(page: Page) -> None:
    opened(page, "flow", "?agent=clerk&q=task:refund*")
    arrow = page.get_by_role("link", name=re.compile("^lookup → read_policy: 32 times in 32 runs"))

    expect(arrow).to_have_accessible_name(re.compile("100 % of 32 judged succeed"))
    expect(arrow).to_have_class(re.compile("good"))
    arrow.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("grid", name="Runs")).to_have_attribute(
        "aria-rowcount", str(WINS * N_TASKS + 1)
    )


def test_two_hundred_tools_are_drawn_in_part_and_told_in_whole(page: Page) -> None:
    opened(page, "flow", "?agent=handy")
    flow = panel(page, "Which call follows which")

    expect(flow.locator(".flow .box, .flow .end")).not_to_have_count(0)
    expect(flow).to_contain_text(re.compile(r"\d+ rarer ways are not drawn"))
    flow.get_by_role("button", name="Show 200").click()
    expect(flow.locator("table.answer > tbody > tr")).to_have_count(200)


def test_a_week_of_which_nothing_is_known_is_no_mark(page: Page) -> None:
    opened(page, "drift", "?agent=clerk&q=task:refund*")
    costs = page.get_by_role("group", name="Mean cost by week")

    expect(costs.get_by_role("link")).to_have_count(2)
    expect(costs.get_by_role("link").first).to_have_accessible_name(
        re.compile(r"^clerk, week of 2026-\d\d-\d\d: \$0\.25$")
    )


def test_a_row_opens_with_all_that_it_was_made_of(page: Page) -> None:
    opened(page, "patterns")
    succeed = panel(page, "What runs that succeed do")
    succeed.get_by_role("button", name="All of row 1", exact=True).click()

    whole = succeed.locator(".whole").first
    expect(whole).to_contain_text("odds_ratio")
    expect(whole.locator("table.nested").first).to_contain_text("refund-0")


def test_counting_can_be_stopped_and_begun_again(page: Page) -> None:
    held: list[object] = []
    page.route("**/api/ot/v1/analysis/token_cost*", lambda route: held.append(route))
    page.goto("/analysis/cost")
    page.get_by_role("region", name="token cost").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()

    page.unroute("**/api/ot/v1/analysis/token_cost*")
    page.get_by_role("button", name="Count again").click()

    expect(panel(page, "What models cost").locator("table.answer")).to_be_visible()


def test_a_question_that_cannot_be_answered_says_why(page: Page) -> None:
    page.goto("/analysis/outcomes?q=agnet:x")
    expect(page.locator("#search-error")).to_contain_text("Did you mean 'agent'")

    page.goto("/analysis/nothing")
    expect(page.get_by_role("heading", name="There is no such analysis")).to_be_visible()


def test_nothing_to_tell_says_what_to_record(browser: Browser, tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    store.append([root(1)])
    with looking_at(store.path) as address:
        shown = browser.new_page(base_url=address)
        shown.goto("/analysis/patterns")
        nothing = shown.locator(".nothing").first
        expect(nothing).to_contain_text("What it counts: one attempt that was judged")
        expect(nothing).to_contain_text("outcome is told of none of 1 run")
        nothing.get_by_role("link", name="What to record").click()
        expect(shown.get_by_role("heading", level=1)).to_have_text("Recording")
        shown.goto("/analysis/patterns?agent=nobody")
        shown.get_by_role("button", name="Analyse all runs").click()
        expect(shown).to_have_url(re.compile("/analysis/patterns$"))
        shown.close()


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_can_be_read_by_everybody_and_runs_nothing_of_strangers(
    page: Page, board: str
) -> None:
    """On any screen, in both themes; the page fails by itself where a script runs."""
    opened(page, board)

    assert page.locator("img[src='x']").count() == 0
    assert "\u202e" not in page.locator("body").inner_text()
    has_no_barrier(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    board_width = "(it) => it.scrollWidth <= it.clientWidth"
    assert page.locator(".analysis").evaluate(board_width)
