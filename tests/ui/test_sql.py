"""The SQL console, in a real browser; every page here fails where the security policy is broken."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.store.escapes import ESCAPES
from tests.ui.browsers import has_no_barrier

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.sources]

ENDLESS = "select count(*) from range(10000000) a, range(10000000) b where a.range * b.range = 17"


def editor(page: Page) -> Locator:
    return page.get_by_role("textbox", name="SQL")


def write(page: Page, text: str) -> None:
    editor(page).click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def asked(page: Page, text: str, path: str = "/sql") -> None:
    """The page with the answer to a query."""
    page.goto(path)
    write(page, text)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".sql-status [role=status]")).to_contain_text(" in ")


def cells(page: Page) -> list[str]:
    found = page.get_by_role("table", name="Result").get_by_role("cell")
    expect(found.first).to_be_visible()
    return found.all_inner_texts()


def test_a_query_runs_by_its_key_and_shows_what_is_null(page: Page) -> None:
    asked(page, "select 1 as one, null as nothing, '' as blank, 'x' as text")

    assert cells(page) == ["1", "NULL", "empty text", "x"]
    expect(page.get_by_text("1 row in")).to_be_visible()
    assert "q=select" in page.url


def test_an_address_fills_the_editor_and_runs_nothing(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.goto(f"/sql?q={quote('select 42 as answer')}")

    expect(editor(page)).to_contain_text("select 42 as answer")
    expect(page.get_by_text("It has not been run")).to_be_visible()
    assert not [each for each in sent if each.startswith("POST")]
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("cell", name="42")).to_be_visible()


def test_what_is_wrong_is_marked_where_it_is(page: Page) -> None:
    page.goto("/sql")
    write(page, "select\n  nme from trajectories")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_role("alert")).to_contain_text('Referenced column "nme" not found')
    expect(page.get_by_text("Line 2, column 3")).to_be_visible()
    expect(page.locator(".cm-wrong")).to_have_text("nme")


def test_names_are_completed_with_their_meaning(page: Page) -> None:
    page.goto("/sql")
    expect(
        page.get_by_role("complementary").get_by_text("file_changes", exact=True)
    ).to_be_visible()
    write(page, "select * from traj")
    page.keyboard.type("e")
    expect(page.get_by_role("option", name=re.compile("^trajectories"))).to_be_visible()
    page.wait_for_timeout(150)  # the list takes no key that comes with it

    page.keyboard.press("Enter")

    expect(editor(page)).to_have_text(re.compile("select \\* from traject"))
    write(page, "select n_s from trajectories")
    for _ in range(len(" from trajectories")):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Control+Space")
    expect(page.get_by_role("option", name=re.compile("n_steps"))).to_be_visible()


def test_a_click_on_a_column_writes_it(page: Page) -> None:
    page.goto("/sql")
    write(page, "select ")
    page.get_by_label("Find a column").fill("given by the run")
    page.get_by_role("complementary").get_by_role(
        "button", name=re.compile("^error_category")
    ).click()

    expect(editor(page)).to_have_text("select error_category")


def test_more_rows_than_are_shown_are_told_and_only_some_are_drawn(page: Page) -> None:
    asked(page, "select range as n, repeat('x', 300) as text from range(20000)")

    expect(page.get_by_text("First 1\u202f000 rows of more in")).to_be_visible()
    table = page.get_by_role("table", name="Result")
    expect(table).to_have_attribute("aria-rowcount", "1001")
    assert table.get_by_role("row").count() < 80
    table.evaluate("it => it.scrollTo(0, it.scrollHeight)")
    expect(table.get_by_role("cell", name="999", exact=True)).to_be_visible()


def test_long_and_hostile_values_are_text_with_signs(page: Page) -> None:
    hostile = "<img src=x onerror=alert(1)> \u202e evil"
    asked(page, f"select '{hostile}' as a, repeat('long ', 9000) as \"<b>\u202ename</b>\"")

    assert "\u202e" not in page.locator("body").inner_text()
    page.get_by_role("button", name=re.compile("^long")).click()
    whole = page.get_by_role("region", name="One value")
    expect(whole).to_contain_text("The beginning of 45\u202f000 characters")
    expect(whole.get_by_role("heading").locator(".sign", has_text="RLO")).to_be_visible()
    assert page.locator("img").count() == 0


def test_rows_lead_to_their_runs_and_become_a_list(page: Page) -> None:
    asked(
        page,
        "select trajectory_id, agent_name from trajectories"
        " where agent_name in ('coder', 'planner') order by agent_name",
    )
    page.get_by_role("link", name="Open 2 runs as a list").click()
    expect(page.get_by_role("grid", name="Runs")).to_have_attribute("aria-rowcount", "3")
    expect(page.get_by_text("2 chosen runs")).to_be_visible()
    page.go_back()

    page.get_by_role("button", name="Run").click()
    page.get_by_role("table", name="Result").get_by_role("link").first.click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("coder")


def test_a_query_that_goes_on_is_cancelled(page: Page) -> None:
    page.goto("/sql")
    write(page, ENDLESS)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("alert")).to_contain_text("This query was cancelled")
    asked(page, "select 7 as seven")


def test_a_result_is_drawn_and_what_was_chosen_stands_in_the_address(page: Page) -> None:
    asked(page, "select kind, count(*) as n, max(step) as last from steps group by kind")
    page.get_by_role("button", name="Chart").click()
    expect(page.locator(".sql-bars li").first).to_be_visible()

    page.get_by_label("Numbers").select_option("last")
    page.get_by_label("Drawn as").select_option("a line")

    expect(page.get_by_role("img", name=re.compile("A line of"))).to_be_visible()
    expect(page).to_have_url(re.compile("view=chart.*y=2.*chart=line"))


@pytest.mark.parametrize(("name", "ending"), [("CSV", "csv"), ("Parquet", "parquet")])
def test_a_download_has_all_rows(page: Page, name: str, ending: str) -> None:
    page.goto("/sql")
    write(page, "select trajectory_id from trajectories")
    page.locator("summary", has_text="Download").click()
    with page.expect_download() as begun:
        page.get_by_role("button", name=name).click()

    path = begun.value.path()
    assert begun.value.suggested_filename == f"query.{ending}"
    if name == "CSV":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert len(rows) == 1 + page.request.get("/api/ot/v1/meta").json()["n_trajectories"]
    else:
        assert path.read_bytes()[:4] == b"PAR1"


def test_a_query_is_saved_under_a_name(page: Page) -> None:
    page.goto("/sql")
    write(page, "select 5 as five")
    page.locator("summary", has_text="Queries").click()
    page.get_by_label("Save this query as").fill("Five")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/sql")
    page.locator("summary", has_text="Queries").click()

    page.get_by_role("button", name="Five", exact=True).click()

    expect(editor(page)).to_have_text("select 5 as five")


def test_typing_is_no_shortcut(page: Page) -> None:
    page.goto("/sql")
    editor(page).click()
    page.keyboard.type("g t ?")

    expect(editor(page)).to_have_text("g t ?")
    assert page.url.endswith("/sql")


def test_what_leads_out_of_the_views_is_refused_by_the_page_too(page: Page) -> None:
    """Every statement of the corpus, written into the editor and run."""
    page.goto("/sql")
    for text in ESCAPES:
        if not text.strip():
            continue
        write(page, text)
        with page.expect_response(re.compile("/api/ot/v1/sql$")) as told:
            page.keyboard.press("Control+Enter")

        assert told.value.status == 400, text
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_role("table", name="Result")).to_have_count(0)


PLACES = (
    "/sql",
    "/sql?q=select%201",
    "select * from trajectories",
    "select nme from trajectories",
    "select 1 where false",
)


@pytest.fixture
def places(page: Page) -> Iterator[str]:
    """The page in each of its states, by name."""

    def each() -> Iterator[str]:
        for place in PLACES:
            page.goto(place if place.startswith("/") else "/sql")
            if not place.startswith("/"):
                write(page, place)
                page.keyboard.press("Control+Enter")
                expect(page.get_by_role("alert").or_(page.locator(".sql-answer"))).to_be_visible()
            expect(editor(page)).to_be_visible()
            yield place
        asked(page, "select kind, count(*) as n from steps group by kind", "/sql?view=chart")
        yield "chart"

    return each()


def test_the_console_has_no_barrier(page: Page, places: Iterator[str]) -> None:
    for _ in places:
        has_no_barrier(page)


@pytest.mark.parametrize("width", [360, 640])
def test_the_console_is_no_wider_than_the_screen(
    page: Page, places: Iterator[str], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    for place in places:
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, place
