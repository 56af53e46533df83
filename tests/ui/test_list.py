"""The list of runs, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_traj.store import TrajectoryStore
from tests.ui.browsers import looking_at
from tests.ui.conftest import N_PLAIN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.sources]

ALL = N_PLAIN + 6


def found(page: Page, n: int) -> None:
    expect(page.get_by_role("grid", name="Runs")).to_have_attribute("aria-rowcount", str(n + 1))


def rows(page: Page) -> object:
    return page.get_by_role("grid", name="Runs").get_by_role("row")


def test_more_runs_come_as_the_list_is_scrolled(page: Page) -> None:
    page.goto("/")
    found(page, ALL)
    drawn = page.locator(".run.row").count()
    for _ in range(6):
        page.locator(".runs .scroll").evaluate("it => it.scrollTo(0, it.scrollHeight)")
        page.wait_for_timeout(150)

    expect(page.locator(f'.run.row[aria-rowindex="{ALL + 1}"]')).to_be_visible()
    assert drawn < 60
    assert page.locator(".run.row").count() < 60


def test_what_is_chosen_stands_in_the_address_and_is_there_again(page: Page) -> None:
    page.goto("/t")
    page.get_by_role("checkbox", name=re.compile("failure")).check()
    found(page, 1)

    page.reload()

    found(page, 1)
    assert "outcome=failure" in page.url
    page.get_by_role("button", name="Take away outcome: failure").click()
    found(page, ALL)
    page.go_back()
    found(page, 1)


def test_the_search_box_completes_fields_and_values(page: Page) -> None:
    page.goto("/t")
    found(page, ALL)
    page.keyboard.press("/")
    page.keyboard.type("age")
    expect(page.get_by_role("option", name="agent:")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("plan")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")

    found(page, 1)
    expect(page.get_by_role("combobox")).to_have_value("agent:planner")


def test_a_query_that_cannot_be_read_says_what_would_be(page: Page) -> None:
    page.goto("/t?q=agnet:coder")

    expect(page.locator("#search-error")).to_contain_text("Did you mean 'agent'")


def test_nothing_found_offers_the_way_back(page: Page) -> None:
    page.goto("/t?q=agent:nobody")
    page.get_by_role("button", name="Show all runs").click()

    found(page, ALL)


def test_dragging_over_the_histogram_chooses_a_time_range(page: Page) -> None:
    page.goto("/t")
    found(page, ALL)
    box = page.locator(".histogram > svg").bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
    page.mouse.up()

    expect(page).to_have_url(re.compile("since=.*until="))
    expect(page.get_by_role("status").filter(has_text="of")).to_have_text(
        re.compile(rf"^1?\d\d runs of {ALL}$")
    )


def test_runs_are_sorted_selected_and_opened_by_keyboard(page: Page) -> None:
    page.goto("/t?sort=-steps")
    found(page, ALL)
    expect(page.locator(".run.row").first).to_contain_text("counter")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)

    expect(page.get_by_text("2 selected")).to_be_visible()
    expect(page).to_have_url(re.compile("sel=.*sel="))
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("counter")


def test_a_view_is_saved_under_a_name(page: Page) -> None:
    page.goto("/t?outcome=failure")
    found(page, 1)
    page.locator("summary", has_text="Views").click()
    page.get_by_label("Save this list as").fill("Failures")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/t")
    found(page, ALL)

    page.locator("summary", has_text="Views").click()
    page.get_by_role("link", name="Failures").click()

    found(page, 1)


def test_an_empty_store_says_how_to_record_the_first_run(browser: Browser, tmp_path: Path) -> None:
    with looking_at(TrajectoryStore.create(tmp_path / "traces").path) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.get_by_role("heading", name="Nothing is recorded yet")).to_be_visible()
        expect(page.get_by_text("otel_traj.instrument(")).to_be_visible()
        page.close()


def test_a_server_that_went_away_is_told_and_asked_again(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    with looking_at(TrajectoryStore.create(tmp_path / "traces").path) as address:
        page.goto(f"{address}/t")
        expect(page.get_by_role("heading", name="Nothing is recorded yet")).to_be_visible()
    page.get_by_role("textbox").or_(page.get_by_role("combobox")).first.fill("anything")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="The server does not answer")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.close()


def test_beyond_this_machine_the_token_of_the_link_opens_the_door(
    browser: Browser, tmp_path: Path
) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    with looking_at(store.path, token="open sesame") as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address.partition("#")[0] + "t")
        page.get_by_label("Token of this server").fill("open barley")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_text("That was not it")).to_be_visible()

        page.goto(address)

        expect(page.get_by_role("heading", name="Nothing is recorded yet")).to_be_visible()
        assert "sesame" not in page.url
        context.close()
