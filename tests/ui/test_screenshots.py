"""Every view as a picture, light and dark, for people to look at.

`OTEL_TRAJ_SCREENSHOTS` names the folder; CI keeps it. Without, nothing is drawn.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.server.episodes import HOSTILE
from tests.ui.browsers import VIEWS, looking_at, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER: Final = os.environ.get("OTEL_TRAJ_SCREENSHOTS", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="OTEL_TRAJ_SCREENSHOTS names no folder"),
]

SIZES: Final = {"": (1440, 900), "-phone": (360, 740)}

AGENTS: Final = {"coder": "coder", "planner": "planner", "counter": "counter", "hostile": HOSTILE}
"""Runs made for tests: with rewards and files, with sub-agents, with 400 steps, with tricks."""


def shoot(page: Page, name: str, address: str) -> None:
    """A page in both themes, on a desk and on a phone."""
    for (suffix, (width, height)), scheme in itertools.product(SIZES.items(), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(address)
        settled(page)
        page.screenshot(path=Path(FOLDER) / f"{name}{suffix}-{scheme}.png", animations="disabled")


def run_of(page: Page, **asked: str) -> str:
    """Address of the newest run of those that are asked for."""
    found = page.request.get("/api/ot/v1/trajectories", params={**asked, "limit": "1"}).json()
    return f"/t/{quote(found['rows'][0]['trajectory_id'], safe='')}"


@pytest.mark.parametrize("name", [*AGENTS, "long-names"])
def test_runs_that_were_made_for_tests(page: Page, name: str) -> None:
    asked = {"q": "agent:averyvery*"} if name == "long-names" else {"agent": AGENTS[name]}
    run = run_of(page, **asked)
    for view in VIEWS:
        shoot(page, f"run-{name}-{view}", f"{run}?view={view}")
    shoot(page, f"run-{name}-step", f"{run}?step=1")
    shoot(page, f"run-{name}-span", f"{run}?view=waterfall&span=1")


def test_pages_that_have_nothing_to_show(page: Page) -> None:
    shoot(page, "run-not-there", "/t/nosuchrun")
    plain = run_of(page, agent="clerk")
    for view in VIEWS:
        shoot(page, f"run-plain-{view}", f"{plain}?view={view}")


def test_a_page_that_waits(page: Page) -> None:
    """The answer never comes: what is seen until it does."""
    run = run_of(page, agent="coder")
    page.route("**/transcript*", lambda _: None)
    page.goto(run)
    page.get_by_text("Loading the transcript").wait_for()
    page.screenshot(path=Path(FOLDER) / "run-loading-light.png")
    page.unroute_all(behavior="ignoreErrors")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer of recorded runs: those of the corpus, else those that are shipped."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("real") / "traces")
    store.append(corpus.together(corpus.runs(corpus.WHOLE) or corpus.runs(corpus.SHIPPED)))
    with looking_at(store.path) as address:
        yield address


def test_recorded_runs(browser: Browser, real: str) -> None:
    context = browser.new_context(base_url=real)
    page = context.new_page()
    shoot(page, "list-recorded", "/t")
    rows = page.request.get("/api/ot/v1/trajectories", params={"sort": "-steps"}).json()["rows"]
    for row in rows[:: max(1, len(rows) // 6)]:
        name = "".join(c if c.isalnum() else "-" for c in row["trajectory_id"])[:24]
        for view in ("transcript", "waterfall", "steps"):
            address = f"/t/{quote(row['trajectory_id'], safe='')}?view={view}"
            shoot(page, f"recorded-{name}-{view}", address)
    context.close()
