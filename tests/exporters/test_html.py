"""A page to hand on: all of a run, nothing that runs, nothing that is loaded."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from otel_traj import exporters, semconv
from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.store.runs import chat, root, run, tool

HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[31m\"'</script></style></pre>{{ 7*7 }}"
KEY = "sk-ant-api03-" + "x" * 24


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    return TrajectoryStore.create(tmp_path / "traces")


def page(store: TrajectoryStore, tmp_path: Path) -> str:
    exporters.export(store.trajectories(), "html", tmp_path / "run.html", store=store)
    return (tmp_path / "run.html").read_text("utf-8")


class Seen(HTMLParser):
    """The tags of a page with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("folder", corpus.runs(corpus.SHIPPED), ids=lambda folder: folder.name)
def test_a_page_has_every_step_with_what_it_said_and_got(
    store: TrajectoryStore, tmp_path: Path, folder: Path
) -> None:
    spans, logs = corpus.records(folder)
    store.append([*spans, *logs])

    seen = Seen(page(store, tmp_path))

    [told] = store.trajectories()
    ids = {attributes.get("id") for _, attributes in seen.tags}
    for step in told.steps:
        assert f"step-{step.step}" in ids
        for text in (step.output_text, step.result):
            assert text is None or text in seen.text
    assert told.trajectory_id in seen.text


def test_nothing_of_a_stranger_becomes_a_tag_and_misleading_signs_are_seen(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": HOSTILE}]}]
    store.append(
        [
            chat(1, 1, **{semconv.INPUT_MESSAGES: json.dumps(asked)}),
            tool(1, 2, **{semconv.TOOL_NAME: HOSTILE, semconv.TOOL_CALL_RESULT: HOSTILE}),
            root(1, **{semconv.AGENT_NAME: HOSTILE, semconv.TASK: HOSTILE}),
        ]
    )

    text = page(store, tmp_path)

    seen = Seen(text)
    assert {tag for tag, _ in seen.tags} <= TAGS
    assert not [name for _, attributes in seen.tags for name in attributes if name[:2] == "on"]
    assert "{{ 7*7 }}" in seen.text
    assert "<U+202E>" in seen.text
    assert "\u202e" not in text
    assert "\x1b" not in text


TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3",
    "p", "code", "dl", "div", "dt", "dd", "ol", "li", "a",
    "span", "strong", "svg", "rect", "pre", "details", "summary", "img",
}  # fmt: skip


def test_a_page_loads_nothing_and_runs_nothing(store: TrajectoryStore, tmp_path: Path) -> None:
    store.append(run(1))

    text = page(store, tmp_path)

    assert "<script" not in text
    assert "default-src 'none'" in text
    assert [url for url in re.findall(r'(?:src|href)="([^"]+)"', text) if url[0] != "#"] == []
    assert "url(" not in text
    assert "@import" not in text


def test_a_picture_is_part_of_the_page_and_one_elsewhere_is_only_named(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    parts = [
        {"type": "blob", "mime_type": "image/png", "content": "aGVsbG8="},
        {"type": "blob", "mime_type": "image/svg+xml", "content": "aGVsbG8="},
        {"type": "image_url", "image_url": {"url": "https://evil.example/x.png"}},
    ]
    asked = json.dumps([{"role": "user", "parts": parts}])
    store.append([chat(1, 1, **{semconv.INPUT_MESSAGES: asked}), root(1)])

    seen = Seen(page(store, tmp_path))

    sources = [attributes["src"] for tag, attributes in seen.tags if tag == "img"]
    assert sources == ["data:image/png;base64,aGVsbG8="]
    assert "https://evil.example/x.png" in seen.text


def test_long_texts_are_folded_and_whole(store: TrajectoryStore, tmp_path: Path) -> None:
    long = "".join(f"line {n}\n" for n in range(2_000)).strip()
    store.append([tool(1, 1, **{semconv.TOOL_CALL_RESULT: long}), root(1)])

    seen = Seen(page(store, tmp_path))

    assert long in seen.text
    assert "details" in {tag for tag, _ in seen.tags}


def test_secrets_do_not_leave(store: TrajectoryStore, tmp_path: Path) -> None:
    store.append([tool(1, 1, **{semconv.TOOL_CALL_RESULT: f"key {KEY}"}), root(1)])

    text = page(store, tmp_path)

    assert KEY not in text
    assert "[redacted:" in text
