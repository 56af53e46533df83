"""The report of a store, read as a browser would."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from otel_traj import analysis, semconv
from otel_traj.errors import MissingExtraError, QueryError
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from otel_traj_analysis.reporting import flow
from otel_traj_analysis.reporting.views import CHAPTERS, LISTINGS
from tests.store.runs import chat, root, run, started, tool

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SECRET = "sk-proj-" + "A1b2C3d4" * 6
HOSTILE = "</style></svg><script>alert(1)</script>\"'><img src=//x onerror=alert(2)>{{7*7}}"

VOID = {"meta", "link", "img", "br", "input"}
REORDERED = "evil\u202egpj.exe"

HARMLESS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav"),
    *("section", "h1", "h2", "h3", "p", "a", "code", "ul", "li", "dl", "dt", "dd", "div", "span"),
    *("strong", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("svg", "defs", "marker", "g", "rect", "path", "text"),
}


class Page(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def attempts(
    number: int, *, wins: int, losses: int, name: str, fails: bool = False
) -> Iterator[SpanRecord]:
    """Tries at one task: those that call the tool `name` succeed, those that do not fail."""
    for position in range(wins + losses):
        is_won = position < wins
        one = 100 * number + position
        error = {semconv.ERROR_TYPE: "KeyError"} if fails and not is_won else {}
        yield from (chat(one, 1), tool(one, 2, **error))
        if is_won:
            yield tool(one, 3, **{semconv.TOOL_NAME: name})
        outcome = "success" if is_won else "failure"
        yield root(one, **{semconv.TASK: f"order-{number}", semconv.OUTCOME: outcome})


def harmful(page: Page) -> list[tuple[str, dict[str, str | None]]]:
    """Elements that load, run or restyle anything."""
    return [
        (tag, found)
        for tag, found in page.elements
        if tag not in HARMLESS
        or not (found.get("href") or "#").startswith("#")
        or any(name.startswith("on") or name in ("style", "src", "srcset") for name in found)
    ]


Progress = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    """Tries at eight tasks, of which those that read the policy succeed; one run is still open."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("many") / "support")
    store.append(
        span
        for number in range(1, 9)
        for span in attempts(number, wins=4, losses=5, name="read_policy", fails=True)
    )
    store.append([chat(9000, 1), started(root(9000))])
    return store


@pytest.fixture(scope="module")
def progress() -> Progress:
    return []


@pytest.fixture(scope="module")
def html(store: TrajectoryStore, progress: Progress) -> str:
    return analysis.report(store, now=NOW, progress=lambda *at: progress.append(at))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    """Failed runs of an agent, a task and tools with hostile names, of which one is a secret."""
    folder = tmp_path_factory.mktemp("hostile") / HOSTILE.replace("/", "")
    store = TrajectoryStore.create(folder)
    named = {semconv.AGENT_NAME: HOSTILE, semconv.TASK: HOSTILE, semconv.OUTCOME: "failure"}
    for number, name in enumerate([HOSTILE, HOSTILE, SECRET, REORDERED, "start", "end"]):
        broken = {semconv.TOOL_NAME: name, semconv.ERROR_TYPE: HOSTILE}
        store.append([chat(number, 1), tool(number, 2, **broken), root(number, **named)])
    return store


@pytest.fixture(scope="module")
def hostile(hostile_store: TrajectoryStore) -> str:
    return analysis.report(hostile_store, where=f"task <> '{SECRET}'", now=NOW)


@pytest.mark.slow
def test_the_page_loads_nothing_and_runs_nothing(html: str, page: Page) -> None:
    [policy] = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]
    [style] = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"url\(|@import|https?:|//[a-z]", style)
    assert harmful(page) == []


@pytest.mark.slow
def test_what_strangers_wrote_is_text(hostile: str) -> None:
    page = Page(hostile)

    assert harmful(page) == []
    assert HOSTILE in page.text


@pytest.mark.slow
def test_what_reorders_or_hides_text_is_seen(hostile: str) -> None:
    assert "\u202e" not in hostile
    assert "evil<U+202E>gpj.exe" in Page(hostile).text


@pytest.mark.slow
def test_secrets_stay_at_home(hostile_store: TrajectoryStore, hostile: str) -> None:
    assert SECRET not in hostile
    assert "[redacted:openai-key]" in hostile
    assert SECRET in analysis.report(hostile_store, redact=False, now=NOW)


@pytest.mark.slow
def test_every_link_leads_somewhere_and_every_place_is_one(page: Page) -> None:
    ids = Counter(found["id"] for _, found in page.elements if "id" in found)
    assert [identity for identity, n in ids.items() if n > 1] == []
    assert {str(link["href"]).removeprefix("#") for link in page.of("a")} <= ids.keys()
    assert {found["aria-labelledby"] for found in page.of("section")} <= ids.keys()


@pytest.mark.slow
def test_a_pattern_that_holds_is_named_with_its_counts_and_its_query(page: Page) -> None:
    assert "32 of 72 judged; 34 to 56 %" in page.text
    assert re.search(r"What runs that succeed do : \S+ .*?32 of 32 runs with it succeed", page.text)
    assert "✓ established" in page.text
    assert "otel-traj analyze success_patterns" in page.text


@pytest.mark.slow
def test_what_cannot_be_told_says_what_is_missing(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "few")
    store.append(attempts(1, wins=5, losses=2, name="read_policy"))
    store.append(attempts(2, wins=1, losses=4, name="other"))

    text = Page(analysis.report(store, now=NOW)).text

    assert "No pattern is known to hold within tasks" in text
    assert re.search(r"\d+ more runs of mixed tasks", text)
    assert "? insufficient" in text


@pytest.mark.slow
def test_a_condition_narrows_all_of_it_and_is_told(store: TrajectoryStore) -> None:
    text = Page(analysis.report(store, where="task = 'order-3'", now=NOW)).text

    assert "Only runs where task = 'order-3' ." in text
    assert "4 of 9 judged" in text
    assert "order-4" not in text
    assert r"--where 'task = '\''order-3'\'''" in text


def test_a_wrong_condition_is_said_to_be_one(store: TrajectoryStore) -> None:
    with pytest.raises(QueryError, match=r"condition 'no_such' on trajectories: .*no_such"):
        analysis.report(store, where="no_such")


@pytest.mark.slow
def test_without_runs_the_page_says_how_to_record_some(tmp_path: Path) -> None:
    empty = TrajectoryStore.create(tmp_path / "empty")

    page = Page(analysis.report(empty, now=NOW))

    assert "There are no runs. Record some with otel_traj.instrument()" in page.text
    assert page.of("table") == []


@pytest.mark.slow
def test_runs_that_nobody_judged_make_no_rate(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")
    store.append([*run(1), *run(2)])

    text = Page(analysis.report(store, now=NOW)).text

    assert "no attempt was judged" in text
    assert "not counted 2 2 unjudged" in text
    assert "outcome is told of none of 2 runs; to have it: run.outcome(...)" in text


@pytest.mark.slow
def test_every_analysis_has_its_place(page: Page, progress: Progress) -> None:
    shown = set(analysis.names()) - LISTINGS
    assert shown <= {found.get("id") for _, found in page.elements}
    assert {name for name, _, _ in progress} == shown
    assert [(done, n) for _, done, n in progress] == [(i, len(shown)) for i in range(len(shown))]


def test_views_name_columns_of_their_analysis() -> None:
    for view in (view for chapter in CHAPTERS for view in chapter.views):
        columns = {column.name for column in analysis.describe(view.analysis).columns}

        measured = {view.measure, view.low, view.high} - {None}
        assert {*view.columns, *measured} <= columns, view.analysis


def test_without_its_extra_the_report_says_what_to_install(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "otel_traj_analysis.reporting.page", raising=False)
    monkeypatch.delattr("otel_traj_analysis.reporting.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'otel-traj\[report\]'"):
        analysis.report(store)


# --- the drawing ---------------------------------------------------------------------------------


def arc(source: str | None, target: str | None, n: int = 1) -> dict[str, object]:
    return {"source": source, "target": target, "n": n, "n_runs": 1}


def test_calls_are_boxes_and_their_order_arrows() -> None:
    drawing = flow.draw([arc(None, "find", 4), arc("find", "find", 2), arc("find", None, 4)], 3)

    assert drawing is not None
    assert {box.name for box in drawing.boxes} == {"start", "find", "end"}
    assert [arrow.title for arrow in drawing.arrows] == [
        "start → find: 4 times in 1 runs",
        "find → find: 2 times in 1 runs",
        "find → end: 4 times in 1 runs",
    ]
    assert drawing.arrows[0].width > drawing.arrows[1].width
    for box in drawing.boxes:
        assert 0 <= box.x <= box.x + box.width <= drawing.width
        assert 0 <= box.y <= box.y + box.height <= drawing.height


def test_a_call_named_start_is_not_the_start() -> None:
    drawing = flow.draw([arc(None, "start"), arc("start", "end"), arc("end", None)], 3)

    assert drawing is not None
    assert sorted((box.name, box.is_end) for box in drawing.boxes) == [
        ("end", False),
        ("end", True),
        ("start", False),
        ("start", True),
    ]


def test_of_many_calls_the_most_frequent_are_drawn() -> None:
    arcs = [arc(None, f"tool-{number}", 100 - number) for number in range(50)]

    drawing = flow.draw(arcs, 60)

    assert drawing is not None
    assert {box.name for box in drawing.boxes} == {"start", *(f"tool-{n}" for n in range(17))}
    assert drawing.n_left_out == 60 - 17


def test_a_long_name_is_cut_in_its_box_and_whole_in_its_title() -> None:
    drawing = flow.draw([arc(None, "x" * 200)], 1)

    assert drawing is not None
    assert [(box.name, box.label) for box in drawing.boxes if not box.is_end] == [
        ("x" * 200, "x" * 25 + "…")
    ]


def test_nothing_is_drawn_of_nothing() -> None:
    assert flow.draw([], 0) is None
