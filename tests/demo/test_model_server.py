from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from otel_traj.demo.model_server import Answer, Failure, ModelServer, Script, ToolCall
from otel_traj.errors import InputError

SCRIPT = Script(
    {
        "greeting": {
            "talker": (
                Answer(
                    text="Hello there.", calls=(ToolCall("look", {"at": "ö"}), ToolCall("wait"))
                ),
                Answer(text="Good  bye.\n", expects="it rains"),
                Answer(failure=Failure(503, "overloaded")),
            )
        }
    }
)
USER = {"role": "user", "content": "Hi"}
SAID = {"role": "assistant", "content": "Hello there."}
RAIN = {"role": "tool", "tool_call_id": "1", "content": "it rains"}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPT, session="s") as running:
        yield running


def post(server: ModelServer, body: Any, path: str = "/greeting/v1/chat/completions") -> Any:
    """Send a request; give the status and the body, as text if it is a stream."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("POST", path, body if isinstance(body, str) else json.dumps(body))
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.headers["content-type"] == "text/event-stream":
        return response.status, text
    return response.status, json.loads(text)


def talk(*messages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "talker", "messages": list(messages), **more}


def test_answer_has_the_shape_of_a_chat_completion(server: ModelServer) -> None:
    status, completion = post(server, talk(USER))

    del completion["created"]
    assert status == 200
    assert completion == {
        "id": "chatcmpl-s-greeting-talker-0",
        "object": "chat.completion",
        "model": "talker",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "Hello there.",
                    "tool_calls": [
                        {
                            "id": "call-greeting-0-0",
                            "type": "function",
                            "function": {"name": "look", "arguments": '{"at": "\\u00f6"}'},
                        },
                        {
                            "id": "call-greeting-0-1",
                            "type": "function",
                            "function": {"name": "wait", "arguments": "{}"},
                        },
                    ],
                },
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 59, "total_tokens": 70},
    }


def test_position_is_the_number_of_answers_given_so_far(server: ModelServer) -> None:
    _, completion = post(server, talk(USER, SAID, RAIN))

    choice = completion["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Good  bye.\n"}
    assert choice["finish_reason"] == "stop"


def test_equal_requests_get_equal_answers_also_from_another_server(server: ModelServer) -> None:
    with ModelServer(SCRIPT, session="s") as second:
        answers = [post(each, talk(USER)) for each in (server, server, second)]

    for _, completion in answers:
        del completion["created"]
    assert answers[0] == answers[1] == answers[2]


def test_response_ids_of_two_sessions_differ() -> None:
    with ModelServer(SCRIPT) as first, ModelServer(SCRIPT) as second:
        ids = {post(each, talk(USER))[1]["id"] for each in (first, second)}

    assert len(ids) == 2


@pytest.mark.parametrize("include_usage", [True, False])
def test_stream_adds_up_to_the_plain_answer(server: ModelServer, include_usage: bool) -> None:
    _, plain = post(server, talk(USER, SAID, RAIN))
    options = {"include_usage": include_usage}
    status, text = post(server, talk(USER, SAID, RAIN, stream=True, stream_options=options))

    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    chunks = [json.loads(event) for event in events[:-1]]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert status == 200
    assert events[-1] == "[DONE]"
    assert {chunk["id"] for chunk in chunks} == {plain["id"]}
    assert len(choices) > 3
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Good  bye.\n"
    assert [choice["finish_reason"] for choice in choices][-1] == "stop"
    assert [chunk["usage"] for chunk in chunks if "usage" in chunk] == (
        [plain["usage"]] if include_usage else []
    )


def test_streamed_tool_calls_carry_their_index(server: ModelServer) -> None:
    _, plain = post(server, talk(USER))
    _, text = post(server, talk(USER, stream=True))

    chunks = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call.pop("index") for call in calls] == [0, 1]
    assert calls == plain["choices"][0]["message"]["tool_calls"]


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (
            talk(USER, SAID, USER),
            400,
            "unexpected_turn",
            "answer 1 of 'talker' in 'greeting' expects 'it rains' but was told \"Hi\"",
        ),
        (
            talk(USER, SAID, SAID, SAID, USER),
            400,
            "no_recorded_answer",
            "no answer 3 of 'talker' in 'greeting': the recording has 3",
        ),
        (talk(USER, SAID, SAID, USER), 503, "recorded_failure", "overloaded"),
        (
            {**talk(USER), "model": "other"},
            404,
            "not_found",
            "nothing recorded of 'other' in 'greeting'",
        ),
        ({"model": "talker"}, 400, "invalid_request", "`model` and `messages` are required"),
        ({**talk(), "messages": [1]}, 400, "invalid_request", "`model` and `messages` are"),
        ([1], 400, "invalid_json", "the body is no JSON object"),
        ("{", 400, "invalid_json", "the body is no JSON: "),
    ],
)
def test_what_cannot_be_answered_is_an_error_that_says_why(
    server: ModelServer, body: Any, status: int, code: str, message: str
) -> None:
    answered, document = post(server, body)

    error = document["error"]
    assert (answered, error["code"]) == (status, code)
    assert error["message"].startswith(message)


def test_other_paths_are_not_found(server: ModelServer) -> None:
    assert post(server, talk(USER), path="/v1/chat/completions")[0] == 404
    assert post(server, talk(USER), path="/nothing/v1/chat/completions")[0] == 404


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"format": "something else", "recordings": {}}',
        '{"format": "otel-traj-demo-script/1"}',
        '{"format": "otel-traj-demo-script/1", "recordings": {"r": {"m": [{"txt": "typo"}]}}}',
    ],
)
def test_file_that_is_no_script_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)

    with pytest.raises(InputError, match=r"script\.json"):
        Script.read(path)


def test_script_file_reads_as_answers(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    answers = [
        {"text": "a", "calls": [{"name": "look", "arguments": {"at": "x"}}]},
        {"expects": "b", "failure": {"status": 400, "message": "c"}},
    ]
    path.write_text(
        json.dumps({"format": "otel-traj-demo-script/1", "recordings": {"r": {"m": answers}}})
    )

    assert Script.read(path) == Script(
        {
            "r": {
                "m": (
                    Answer(text="a", calls=(ToolCall("look", {"at": "x"}),)),
                    Answer(expects="b", failure=Failure(400, "c")),
                )
            }
        }
    )
