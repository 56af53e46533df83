"""One run in all its views, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.store.runs import span_id

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def opened(page: Page, agent: str, query: str = "") -> str:
    """Open the one run of an agent; its address, without what follows the path."""
    rows = page.request.get("/api/ot/v1/trajectories", params={"agent": agent}).json()["rows"]
    [run] = rows
    address = f"/t/{quote(run['trajectory_id'], safe='')}"
    page.goto(f"{address}{query}")
    return address


def tree(page: Page) -> Locator:
    return page.get_by_role("treegrid", name="Spans")


def chosen(page: Page) -> Locator:
    return tree(page).locator('[role=row][aria-selected="true"]')


def details(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Details")


def test_a_link_opens_the_exact_step_however_far_down(page: Page) -> None:
    opened(page, "counter", "?step=390")

    here = page.locator('article[aria-current="step"]')
    expect(here).to_be_in_viewport()
    expect(here).to_contain_text("#390")
    expect(details(page).get_by_role("heading", level=2)).to_contain_text("Step 390")


def test_a_link_far_down_loads_what_is_about_it_and_what_one_goes_on_to(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda told: asked.append(told.url) if "/transcript" in told.url else None)
    opened(page, "counter", "?step=300")
    here = page.locator('article[aria-current="step"]')
    expect(here).to_be_in_viewport()
    assert [url.partition("transcript?")[2] for url in asked] == ["around=300&limit=100"]

    page.keyboard.press("e")
    expect(here).to_contain_text("off by one")
    expect(here).to_be_in_viewport()
    box = page.get_by_role("feed")
    earlier = box.get_by_role("button", name="Earlier steps")
    box.evaluate("box => box.scrollTo(0, 0)")
    first = box.locator("article").filter(has_text="#365")
    expect(first).to_be_in_viewport()
    earlier.click()
    expect(earlier).to_contain_text("before #165")
    expect(first).to_be_in_viewport()  # where one read, not at what was loaded above it
    box.evaluate("box => box.scrollTo(0, 0)")
    earlier.click()
    expect(earlier).to_have_count(0)
    told = [url.partition("transcript?")[2] for url in asked]
    assert told[1:] == ["around=390&limit=100", "before=365&limit=200", "before=165&limit=400"]


@pytest.mark.parametrize("query", ["", "?step=300", "?view=waterfall", "?view=steps"])
def test_what_came_ahead_of_the_scripts_is_used_and_not_asked_for_again(
    page: Page, query: str
) -> None:
    address = opened(page, "counter", "?view=raw")
    asked: list[str] = []
    page.on("request", lambda told: asked.append(told.url) if "/api/" in told.url else None)

    page.goto(f"{address}{query}")
    page.wait_for_load_state("networkidle")

    assert len(asked) == len(set(asked)) >= 3
    told = page.request.get(f"{address}{query}").headers["link"]
    ahead = re.findall("<([^>]*)>", told)
    assert ahead
    assert {url.partition("/api/")[2] for url in asked} >= {one[len("/api/") :] for one in ahead}


def test_the_step_before_the_first_that_is_loaded_is_one_key_away(page: Page) -> None:
    opened(page, "counter", "?step=275")
    here = page.locator('article[aria-current="step"]')
    expect(here).to_contain_text("#275")

    for step in range(274, 248, -1):
        page.keyboard.press("k")
        expect(here).to_contain_text(f"#{step}")


def test_a_link_opens_the_exact_span(page: Page) -> None:
    opened(page, "counter", f"?view=waterfall&span={span_id(4, 300)}")

    expect(chosen(page)).to_be_in_viewport()
    expect(details(page)).to_contain_text(span_id(4, 300))


def test_a_span_that_is_clicked_stands_in_the_address_by_its_id(page: Page) -> None:
    opened(page, "coder", "?view=waterfall")
    tree(page).get_by_role("row").filter(has_text="chat m-1").click()

    expect(page).to_have_url(re.compile(f"span={span_id(1, 1)}"))
    expect(details(page)).to_contain_text("Fix the failing test")


def test_the_waterfall_is_walked_and_folded_by_keyboard(page: Page) -> None:
    opened(page, "planner", "?view=waterfall")
    expect(tree(page)).to_have_attribute("aria-rowcount", "7")
    page.keyboard.press("Home")
    expect(chosen(page)).to_have_attribute("aria-level", "1")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(chosen(page)).to_contain_text("researcher")

    page.keyboard.press("ArrowLeft")

    expect(chosen(page)).to_have_attribute("aria-expanded", "false")
    expect(tree(page)).to_have_attribute("aria-rowcount", "5")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(chosen(page)).to_have_attribute("aria-level", "3")
    page.keyboard.press("h")
    expect(chosen(page)).to_contain_text("researcher")


def test_errors_and_matches_are_one_key_away(page: Page) -> None:
    opened(page, "counter", "?view=waterfall")
    expect(tree(page)).to_have_attribute("aria-rowcount", "401")
    page.keyboard.press("e")
    expect(details(page)).to_contain_text("off by one")

    page.keyboard.press("/")
    page.keyboard.type("it is 77")
    expect(page.get_by_text("1 found")).to_be_visible()
    page.keyboard.press("Enter")

    expect(details(page)).to_contain_text("it is 77")
    assert "find=it+is+77" in page.url


PRESSED_SLASH = """() => {
    window.dispatchEvent(new KeyboardEvent('keydown', {key: '/', cancelable: true}));
    return document.activeElement.id;
}"""


@pytest.mark.parametrize("view", ["transcript", "waterfall"])
def test_what_is_typed_right_after_the_key_for_finding_is_not_lost(page: Page, view: str) -> None:
    opened(page, "counter", f"?view={view}")
    page.wait_for_load_state("networkidle")

    assert page.evaluate(PRESSED_SLASH) == "find"


def test_the_time_axis_follows_fits_and_zooms(page: Page) -> None:
    opened(page, "counter", "?view=waterfall")
    length = page.locator(".span-bars .tick").last
    following = length.inner_text()

    page.keyboard.press("0")
    expect(page).to_have_url(re.compile("axis=full"))
    expect(length).not_to_have_text(following)
    page.keyboard.press("End")
    page.keyboard.press("z")
    expect(page).to_have_url(re.compile(r"from=\d+&to=\d+|to=\d+&from=\d+"))

    page.keyboard.press("f")
    expect(page).not_to_have_url(re.compile("from="))


def test_numbers_choose_the_view(page: Page) -> None:
    opened(page, "coder")
    expect(page.get_by_role("feed")).to_be_visible()
    for key, seen in {
        "2": "treegrid",
        "3": "grid",
        "4": "navigation",
    }.items():
        page.keyboard.press(key)
        expect(page.locator("#view").get_by_role(seen).first).to_be_visible()  # type: ignore[arg-type]

    page.keyboard.press("5")
    expect(page.locator("#view")).to_contain_text("trajectory_id")
    page.keyboard.press("1")
    expect(page.get_by_role("feed")).to_contain_text("I will edit a.py")


def test_a_sub_agent_is_folded_until_something_in_it_is_asked_for(page: Page) -> None:
    address = opened(page, "planner")
    folded = page.get_by_role("feed").get_by_role("button", name=re.compile("researcher"))
    expect(folded).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("feed")).to_contain_text("What is the tide?")
    steps = page.request.get(f"/api/ot/v1/trajectories/{address.removeprefix('/t/')}/steps").json()
    inner = next(row["step"] for row in steps["rows"] if row["tool_name"] == "search")

    page.goto(f"{address}?step={inner}")

    expect(folded).to_have_attribute("aria-expanded", "true")
    expect(page.locator('article[aria-current="step"]')).to_contain_text("search")


def test_the_outline_leads_to_errors_and_sub_agents_and_steps_aside_for_a_phone(page: Page) -> None:
    opened(page, "counter")
    outline = page.get_by_role("navigation", name="Outline")
    outline.get_by_role("button", name="1 error").click()
    outline.get_by_role("button", name=re.compile("#390 .*failed")).click()

    expect(page.locator('article[aria-current="step"]')).to_contain_text("off by one")
    page.set_viewport_size({"width": 360, "height": 740})
    expect(outline).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 800})
    opened(page, "planner")
    expect(outline.get_by_role("button", name=re.compile("researcher"))).to_have_text(
        re.compile("#1.*researcher2")
    )


def test_code_that_a_model_writes_is_in_colours(page: Page) -> None:
    opened(page, "writer")

    expect(page.locator(".code-keyword", has_text="def")).to_be_visible()
    expect(page.locator(".code-comment")).to_have_text("# <b>why</b>")


def test_steps_tell_rewards_flags_tests_and_errors(page: Page) -> None:
    opened(page, "coder", "?view=steps")
    table = page.get_by_role("grid", name="Steps")

    expect(table).to_contain_text("ToolError")
    expect(table).to_contain_text("⚑ network")
    expect(table).to_contain_text("25 %")
    expect(table).to_contain_text("Σ 1.5")
    expect(page.get_by_role("img", name=re.compile("Rewards"))).to_be_visible()


def test_files_show_what_each_step_changed_and_what_became_of_it(page: Page) -> None:
    opened(page, "coder", "?view=files")
    lines = page.get_by_role("table", name="Lines that changed")
    expect(lines.locator("tr.added")).to_have_count(2)

    page.get_by_role("button", name=re.compile("^step .*1 .1$")).click()

    expect(lines.locator("tr.added")).to_have_text(re.compile("TWO"))
    expect(lines.locator("tr.removed")).to_have_text(re.compile("two"))
    expect(page).to_have_url(re.compile("change="))
    page.reload()
    expect(lines.locator("tr.added")).to_have_count(1)


def test_a_run_that_is_not_there_says_so_and_leads_back(page: Page) -> None:
    page.goto("/t/nosuchrun")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("link", name="All runs").click()

    expect(page.get_by_role("grid", name="Runs")).to_be_visible()


def test_the_help_lists_the_keys_of_the_page(page: Page) -> None:
    opened(page, "coder", "?view=waterfall")
    expect(tree(page)).to_be_visible()
    page.keyboard.press("?")

    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Next error")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
