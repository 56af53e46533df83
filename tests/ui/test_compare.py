"""Two runs side by side, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from tests.server.episodes import hostile, repair
from tests.store.runs import chat, root, tool
from tests.ui.browsers import behaved, has_no_barrier, looking_at, options, settled
from tests.ui.conftest import long_names

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.sources]

LONG = 1_000
"""Steps of each of two long runs; every 50th has other arguments."""


def long(number: int) -> list[SpanRecord]:
    def asked(position: int) -> str:
        other = number if position % 50 == 0 else 0
        return f'{{"page": {position}, "of": {other}}}'

    steps = [
        tool(number, at, **{semconv.TOOL_CALL_ARGUMENTS: asked(at)}) for at in range(1, LONG + 1)
    ]
    return [*steps, root(number, **{semconv.AGENT_NAME: f"reader-{number}"})]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a viewer; runs in order of start: failure, success, two long ones, others."""
    options()
    store = TrajectoryStore.create(tmp_path_factory.mktemp("compared") / "traces")
    five = [(f"{letter}.py", letter) for letter in "pqrst"]
    store.append(
        [
            *repair(1, *five, ("a.py", "two"), ("b.py", "x"), outcome="failure"),
            *repair(2, *five, ("a.py", "TWO"), outcome="success"),
            *long(3),
            *long(4),
            *hostile(5),
            *long_names(6),
            chat(7, 1),
            root(7),
        ]
    )
    with looking_at(store.path) as address:
        yield address


@pytest.fixture
def page(browser: Browser, compared: str) -> Iterator[Page]:
    with behaved(browser, compared) as shown:
        yield shown


def run(page: Page, number: int) -> str:
    """Id of a run, percent-encoded as in an address."""
    rows = page.request.get("/api/ot/v1/trajectories", params={"sort": "start"}).json()["rows"]
    return quote(rows[number - 1]["trajectory_id"], safe="")


def path(page: Page, a: int, b: int) -> str:
    return f"/compare/{run(page, a)}/{run(page, b)}"


def steps(page: Page) -> Locator:
    return page.get_by_role("list", name="Steps side by side")


def opened(page: Page) -> Locator:
    return steps(page).locator(".pair[aria-expanded=true]")


def test_two_runs_of_the_list_are_compared_by_keyboard(page: Page) -> None:
    page.goto("/t?sort=start")
    expect(page.get_by_role("grid", name="Runs")).to_be_visible()
    for key in ("j", "x"):
        page.keyboard.press(key)
    expect(page.get_by_text("select two to compare them")).to_be_visible()
    for key in ("j", "x", "c"):
        page.keyboard.press(key)

    expect(steps(page)).to_be_visible()
    assert page.url.endswith(path(page, 1, 2))
    expect(page.get_by_role("region", name="Run A")).to_contain_text("fail")
    expect(page.get_by_role("region", name="Run B")).to_contain_text("pass")


def test_the_figures_of_both_and_their_differences_are_told(page: Page) -> None:
    page.goto(path(page, 1, 2))

    figures = page.get_by_role("table", name="What B has more of than A")
    expect(figures.get_by_role("row", name="Δ")).to_contain_text("±0")
    expect(figures.get_by_role("row", name="Δ")).to_contain_text("\N{MINUS SIGN}1")
    expect(page.get_by_text(re.compile("Files: 2 of 7 differ"))).to_be_visible()


def test_keys_lead_from_difference_to_difference_and_the_address_keeps_the_step(
    page: Page,
) -> None:
    page.goto(path(page, 1, 2))
    expect(page.get_by_role("button", name="First divergence: step 8")).to_be_visible()
    page.keyboard.press("f")
    lines = page.get_by_role("table", name="Lines of arguments")
    expect(lines.locator("tr.removed")).to_contain_text('"line": "two"')
    expect(lines.locator("tr.added")).to_contain_text('"line": "TWO"')
    expect(page).to_have_url(re.compile(r"step=8$"))

    page.reload()
    expect(lines.locator("tr.added")).to_contain_text('"line": "TWO"')

    page.keyboard.press("n")
    expect(opened(page)).to_contain_text("only in A")
    expect(page).to_have_url(re.compile(r"step=9$"))
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(opened(page)).to_contain_text("the same was done")
    page.keyboard.press("Escape")
    expect(opened(page)).to_have_count(0)


def test_steps_that_are_the_same_are_folded_until_they_are_wanted(page: Page) -> None:
    page.goto(path(page, 1, 2))
    folded = steps(page).get_by_role("button", name=re.compile("6 steps the same"))
    folded.click()

    expect(folded).to_have_count(0)
    steps(page).get_by_role("button", name=re.compile("A 4.*edit")).click()
    expect(page.get_by_text(re.compile("The same on both sides: .*arguments"))).to_be_visible()


def test_what_became_of_a_file_is_shown_line_by_line(page: Page) -> None:
    page.goto(f"{path(page, 1, 2)}?step=8")

    expect(page.get_by_role("table", name="Lines of file a.py").locator("tr.added")).to_have_text(
        re.compile("TWO")
    )


def test_a_failed_run_leads_to_the_nearest_success(page: Page) -> None:
    page.goto(f"/t/{run(page, 1)}")
    page.get_by_role("link", name="Compare").click()

    expect(page).to_have_url(re.compile(f"{path(page, 1, 2)}$"))
    expect(steps(page)).to_be_visible()


def test_without_a_success_it_says_why(page: Page) -> None:
    page.goto(f"/compare/{run(page, 7)}")

    expect(page.get_by_role("heading", name="There is no success")).to_be_visible()
    expect(page.get_by_text("No other run of this task is judged")).to_be_visible()


def test_long_runs_draw_what_is_on_screen_and_reach_the_last_difference(page: Page) -> None:
    page.goto(path(page, 3, 4))
    expect(steps(page)).to_be_visible()
    expect(page.get_by_text(re.compile("20 changed"))).to_be_visible()
    assert page.locator("*").count() < 1_500

    page.keyboard.press("p")

    expect(opened(page)).to_contain_text("999")
    expect(page.get_by_role("table", name="Lines of arguments")).to_be_visible()


def test_a_run_that_is_not_there_says_so(page: Page) -> None:
    page.goto(f"/compare/{run(page, 1)}/nosuchrun")

    expect(page.get_by_role("alert")).to_contain_text("nosuchrun")
    expect(page.get_by_role("link", name="All runs")).to_be_visible()


def test_what_strangers_wrote_is_only_text(page: Page) -> None:
    page.goto(path(page, 5, 1))
    settled(page)
    for _ in range(4):
        page.keyboard.press("n")
        settled(page)

        assert page.locator("img[src='x']").count() == 0
        assert "\u202e" not in page.locator("body").inner_text()
    assert "\u202e" not in page.title()


def test_comparing_has_no_barrier(page: Page) -> None:
    both = path(page, 1, 2)
    lone = f"/compare/{run(page, 7)}"
    for address in (f"{both}?step=8", f"{both}?step=9", lone):
        page.goto(address)
        settled(page)
        has_no_barrier(page)


@pytest.mark.parametrize("width", [360, 640])
def test_comparing_is_never_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    for address in (path(page, 1, 2), f"{path(page, 1, 2)}?step=8", f"{path(page, 6, 1)}?step=0"):
        page.goto(address)
        settled(page)

        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, address
