"""The scripted model speaks as providers do, and the truth says what the tools really do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from otel_traj.demo.model_server import ToolCall
from tests.frameworks import catalogue, travel, truth
from tests.frameworks.model_server import ASIDE, Handoff, ModelServer, script_of

DESK = {"find_train", "get_forecast", "book_seat"}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hello"}],
            "tools": [{"type": "function", "function": {"name": name}} for name in DESK],
        },
    ),
    "responses": (
        "/v1/responses",
        {"model": "m", "input": "hello", "tools": [{"name": name} for name in DESK]},
    ),
    "messages": (
        "/v1/messages",
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hello"}],
            "tools": [{"name": f"mcp__travel__{name}"} for name in DESK],
        },
    ),
    "generate_content": (
        "/v1beta/models/m:generateContent",
        {
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "tools": [{"functionDeclarations": [{"name": name} for name in DESK]}],
        },
    ),
}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(script_of(Handoff("ask_clerk", "delegate"), None)) as server:
        yield server


def ask(server: ModelServer, path: str, body: dict[str, Any]) -> str:
    with urlopen(Request(server.url + path, json.dumps(body).encode())) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize("api", REQUESTS)
def test_every_interface_asks_for_the_first_tools_under_the_names_on_offer(
    server: ModelServer, api: str
) -> None:
    path, body = REQUESTS[api]

    answer = ask(server, path, body)

    [exchange] = server.exchanges
    offered = "mcp__travel__" if api == "messages" else ""
    assert exchange.api == api
    assert exchange.answer.calls == (
        ToolCall(f"{offered}find_train", {"origin": "Bern", "destination": "Milan"}),
        ToolCall(f"{offered}get_forecast", {"city": "Milan"}),
    )
    assert all(said in answer for said in (exchange.response_id, *exchange.call_ids))


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_a_streamed_answer_tells_the_same_calls(server: ModelServer, api: str) -> None:
    path, body = REQUESTS[api]

    answer = ask(server, path, {**body, "stream": True})

    assert answer.startswith(("data: ", "event: "))
    assert all(call_id in answer for call_id in server.exchanges[0].call_ids)


def test_a_conversation_that_went_another_way_is_refused(server: ModelServer) -> None:
    path, body = REQUESTS["chat"]
    ask(server, path, body)

    with pytest.raises(HTTPError, match="400") as refusal:
        ask(server, path, body)  # the forecast should have been told by now

    refusal.value.close()
    assert server.refused == ["answer 1 of desk expects 'fog'"]


def test_who_asks_is_told_by_the_tools_on_offer(server: ModelServer) -> None:
    path, body = REQUESTS["responses"]

    ask(server, path, {**body, "tools": [{"name": "issue_invoice"}]})
    ask(server, path, {**body, "tools": []})
    ask(server, path, body)

    assert [exchange.speaker for exchange in server.exchanges] == ["clerk", ASIDE, "desk"]


def test_the_truth_says_what_the_tools_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(travel.LOG, str(tmp_path / "tools.log"))
    with pytest.raises(travel.SeatMapError, match=truth.ERROR["message"]):
        travel.book_seat("EC 35", "Ada Moser")

    answers = {
        "find_train": travel.find_train("Bern", "Milan"),
        "get_forecast": travel.get_forecast("Milan"),
        "book_seat": travel.book_seat("EC 35", "Ada Moser"),
        "issue_invoice": travel.issue_invoice("EC 35", 58.5),
    }

    assert answers == truth.ANSWERS
    assert (tmp_path / "tools.log").read_text().split() == ["book_seat", *answers]


def test_tools_that_nobody_asked_for_are_no_truth() -> None:
    framework = next(iter(catalogue.frameworks().values()))

    with pytest.raises(ValueError, match="find_train"):
        truth.steps_of(framework, [], {}, ran=["find_train"], began=[])
