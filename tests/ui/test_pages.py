"""Every page: hostile content is only text, everybody can read it, on any screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.episodes import HOSTILE
from tests.ui.browsers import VIEWS, has_no_barrier, settled
from tests.ui.test_run import opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def test_what_strangers_wrote_is_text_and_its_tricks_are_seen(page: Page) -> None:
    """The page fails by itself where a script runs, a dialog opens, or anybody else is asked."""
    opened(page, HOSTILE)
    for view in VIEWS:
        page.get_by_role("tab", name=view).click()
        settled(page)
        assert page.locator("img[src='x']").count() == 0, view
    page.keyboard.press("2")
    page.get_by_role("treegrid").locator("[role=row]").last.click()
    details = page.get_by_role("complementary", name="Details")
    for tab in details.get_by_role("tab").all():
        tab.click()
        settled(page)

    expect(details.locator(".sign", has_text="RLO").first).to_be_visible()
    assert "\u202e" not in page.locator("body").inner_text()
    assert "\u202e" not in page.title()
    page.goto("/t")
    settled(page)
    assert "\u202e" not in page.locator("body").inner_text()


def test_no_page_has_a_barrier(page: Page) -> None:
    run = opened(page, "coder")
    looked_at = ["/t", "/t?q=agnet:x", "/settings", "/t/nosuchrun"]
    looked_at += [f"{run}?view={view}" for view in VIEWS]
    looked_at += [f"{run}?step=3", f"{run}?view=waterfall&span=1"]
    for address in looked_at:
        page.goto(address)
        settled(page)
        has_no_barrier(page)


@pytest.mark.parametrize("width", [360, 640])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    """640 is what is left of 1280 at 200 % zoom; the names are longer than any of these."""
    page.set_viewport_size({"width": width, "height": 740})
    rows = page.request.get("/api/ot/v1/trajectories", params={"q": "agent:averyvery*"}).json()
    run = f"/t/{rows['rows'][0]['trajectory_id']}"
    for address in ("/t", "/settings", *(f"{run}?view={view}" for view in VIEWS), f"{run}?step=0"):
        page.goto(address)
        settled(page)

        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, address
