"""A model server that answers from a script: the demo's stand-in for a provider.

It speaks the part of OpenAI's HTTP interface that a chat agent needs (`POST /v1/chat/completions`,
plain and streamed), so the official SDK and its instrumentation cannot tell it from the real thing.
An answer depends on the request alone: the recording is named by the URL, the speaker by the model,
and the position in the conversation by the number of assistant messages. An answer may also say
which text it expects to react to; a conversation that went another way is told so, with status 400,
instead of being given an answer that does not fit.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeGuard

from otel_traj.errors import InputError

FORMAT = "otel-traj-demo-script/1"
_CHARACTERS_PER_TOKEN = 4  # the usual rule of thumb for English text; counts need only be plausible


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for; `arguments` is the decoded JSON object."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider refuses or breaks: an HTTP status of 400 or more and its message."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says at one position: text and tool calls, or a failure.

    `expects` must occur in the last message of the request; None expects nothing.
    """

    text: str | None = None
    calls: tuple[ToolCall, ...] = ()
    failure: Failure | None = None
    expects: str | None = None

    @property
    def finish_reason(self) -> str:
        """The value that OpenAI gives for such an answer."""
        return "tool_calls" if self.calls else "stop"


@dataclass(frozen=True, slots=True)
class Script:
    """Recording -> model -> its answers in order."""

    recordings: Mapping[str, Mapping[str, Sequence[Answer]]]

    @classmethod
    def read(cls, path: Path) -> Script:
        """Read a script file; InputError says what is wrong with it."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise InputError(f"{path} has format {document['format']!r}, not {FORMAT!r}")
            return cls(
                {
                    recording: {
                        model: tuple(_answer(answer) for answer in answers)
                        for model, answers in models.items()
                    }
                    for recording, models in document["recordings"].items()
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is not a script of answers: {error!r}") from error


def _answer(fields: Mapping[str, Any]) -> Answer:
    failure = fields.get("failure")
    calls = tuple(ToolCall(**call) for call in fields.get("calls", ()))
    return Answer(**{**fields, "calls": calls, "failure": Failure(**failure) if failure else None})


class RequestError(Exception):
    """The request gets an error answer of this HTTP status; `code` names the cause."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ModelServer:
    """Serves a script on a free loopback port from a thread of its own, as a context manager.

    Args:
        script: What to answer.
        seconds_per_token: How long the model takes to write; 0 answers at once.
        session: Part of every response id. Ids of real providers never repeat, so by default those
            of two servers differ; equal sessions give equal answers to equal requests.
    """

    def __init__(
        self, script: Script, *, seconds_per_token: float = 0.0, session: str | None = None
    ) -> None:
        self.script = script
        self.seconds_per_token = seconds_per_token
        self.session = session or secrets.token_hex(4)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens; a client's base URL is `{url}/{recording}/v1`."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def complete(self, recording: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a chat request with a `chat.completion` object.

        Raises:
            RequestError: The script has no answer here, or the recorded answer is a failure.
        """
        messages, model = request.get("messages"), request.get("model")
        if not isinstance(model, str) or not _is_conversation(messages):
            raise RequestError(400, "`model` and `messages` are required", "invalid_request")
        position = sum(message.get("role") == "assistant" for message in messages)
        answer = self._find(recording, model, position, messages)
        input_tokens = _tokens(json.dumps([messages, request.get("tools")]))
        message = _message(answer, f"{recording}-{position}")
        output_tokens = _tokens(json.dumps([message["content"], message.get("tool_calls")]))
        return {
            "id": f"chatcmpl-{self.session}-{recording}-{model}-{position}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
            "usage": {
                "prompt_tokens": input_tokens,
                "completion_tokens": output_tokens,
                "total_tokens": input_tokens + output_tokens,
            },
        }

    def _find(
        self, recording: str, model: str, position: int, messages: Sequence[Mapping[str, Any]]
    ) -> Answer:
        answers = self.script.recordings.get(recording, {}).get(model)
        if answers is None:
            raise RequestError(404, f"nothing recorded of {model!r} in {recording!r}", "not_found")
        where = f"answer {position} of {model!r} in {recording!r}"
        if position >= len(answers):
            raise RequestError(
                400, f"no {where}: the recording has {len(answers)}", "no_recorded_answer"
            )
        answer = answers[position]
        last = json.dumps(messages[-1].get("content"), ensure_ascii=False) if messages else ""
        if answer.expects is not None and answer.expects not in last:
            raise RequestError(
                400, f"{where} expects {answer.expects!r} but was told {last}", "unexpected_turn"
            )
        if answer.failure is not None:
            raise RequestError(answer.failure.status, answer.failure.message, "recorded_failure")
        return answer


def _is_conversation(messages: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(messages, list) and all(isinstance(each, dict) for each in messages)


def _message(answer: Answer, prefix: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": f"call-{prefix}-{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for number, call in enumerate(answer.calls)
        ]
    return message


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def chunks(completion: Mapping[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """Cut a completion into the `chat.completion.chunk` objects of a streamed answer."""
    head = {**completion, "object": "chat.completion.chunk"}
    choice, usage = completion["choices"][0], head.pop("usage")

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {
            **head,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }

    yield chunk({"role": "assistant", "content": ""})
    for word in re.split(r"(?<=\s)", choice["message"]["content"] or ""):
        yield chunk({"content": word})
    for number, call in enumerate(choice["message"].get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": number, **call}]})
    yield chunk({}, choice["finish_reason"])
    if include_usage:
        yield {**head, "choices": [], "usage": usage}


def _handler_for(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # SDKs keep connections open
        disable_nagle_algorithm = True  # else a kept connection waits 40 ms for each answer

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                request, completion = self._complete(body)
            except RequestError as error:
                self._refuse(error)
                return
            time.sleep(completion["usage"]["completion_tokens"] * server.seconds_per_token)
            if request.get("stream"):
                options = request.get("stream_options") or {}
                self._stream(completion, include_usage=bool(options.get("include_usage")))
            else:
                self._send(200, "application/json", json.dumps(completion))

        def _complete(self, body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
            match self.path.strip("/").split("/"):
                case [recording, "v1", "chat", "completions"]:
                    pass
                case _:
                    raise RequestError(404, f"no such path: {self.path!r}", "not_found")
            try:
                request = json.loads(body)
            except ValueError as error:
                raise RequestError(400, f"the body is no JSON: {error}", "invalid_json") from error
            if not isinstance(request, dict):
                raise RequestError(400, "the body is no JSON object", "invalid_json")
            return request, server.complete(recording, request)

        def _refuse(self, error: RequestError) -> None:
            details = {"message": str(error), "type": "demo_error", "code": error.code}
            self._send(error.status, "application/json", json.dumps({"error": details}))

        def _stream(self, completion: Mapping[str, Any], *, include_usage: bool) -> None:
            lines = [json.dumps(chunk) for chunk in chunks(completion, include_usage=include_usage)]
            events = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
            self._send(200, "text/event-stream", events)

        def _send(self, status: int, content_type: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.send_header("retry-after-ms", "10")  # an SDK that retries need not wait for long
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: stdout and stderr belong to the demo."""

    return Handler
