"""A scripted model on loopback, spoken to as OpenAI, Anthropic or Google are.

It plays the model's part of `travel.py` and writes down what it said: who was asked, over which
interface, with which ids and token counts, and what it was told each tool answered. `truth.py`
makes of that what truly happened. An answer is chosen by who asks (told by the tools on offer) and
by how often they asked before, whatever shape their history has. A conversation that went another
way than the script gets status 400, so that a run which ends well has done everything in it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from otel_traj.demo.model_server import Answer, ToolCall, chunks

CLERKS_TOOL = "issue_invoice"
DESKS_TOOL = "find_train"
ASIDE = "aside"
"""The speaker of requests without our tools: a title for the conversation, a check of the quota."""

TRAIN = "EC 35"
SAID_AT_LAST = "Ada Moser has seat 61 in coach 5 of EC 35; invoice I-204 is on its way."
SAID_BY_CLERK = "Invoice I-204 over 58.5 CHF is sent."
_INVOICE = ToolCall("issue_invoice", {"train": TRAIN, "amount_chf": 58.5})
_SEAT = ToolCall("book_seat", {"train": TRAIN, "passenger": "Ada Moser"})


@dataclass(frozen=True, slots=True)
class Handoff:
    """How a framework lets one agent hand over: the tool, and whether control comes back."""

    tool: str
    mode: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_delegation(self) -> bool:
        """Whether the first agent goes on with what the second answered."""
        return self.mode == "delegate"


Script = Mapping[str, Sequence[Answer]]
"""Agent -> what the model says to it, in order."""


def script_of(handoff: Handoff | None, ending: ToolCall | None) -> Script:
    """The script, for one agent or two.

    Args:
        handoff: None where one agent does everything.
        ending: The call with which this framework's agents say their last word; None for a text.
    """
    desk = [
        Answer(
            calls=(
                ToolCall("find_train", {"origin": "Bern", "destination": "Milan"}),
                ToolCall("get_forecast", {"city": "Milan"}),
            )
        ),
        Answer(
            text="The fog will not matter to a train. I book it.", calls=(_SEAT,), expects="fog"
        ),
        Answer(calls=(_SEAT,)),
    ]
    if handoff is None:
        desk += [Answer(calls=(_INVOICE,), expects="coach 5"), _last(SAID_AT_LAST, "I-204", ending)]
        return {"desk": desk}
    desk += [Answer(calls=(ToolCall(handoff.tool, handoff.arguments),), expects="coach 5")]
    clerk = [Answer(calls=(_INVOICE,))]
    if handoff.is_delegation:
        clerk += [_last(SAID_BY_CLERK, "I-204", ending)]
        desk += [_last(SAID_AT_LAST, "I-204", ending)]
    else:
        clerk += [_last(SAID_AT_LAST, "I-204", ending)]
    return {"desk": desk, "clerk": clerk}


def _last(text: str, expects: str, ending: ToolCall | None) -> Answer:
    if ending is None:
        return Answer(text=text, expects=expects)
    said = dict.fromkeys(ending.arguments, text)
    return Answer(calls=(ToolCall(ending.name, said),), expects=expects)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer; `cached` are part of `input`."""

    input: int
    output: int
    cached: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as the server knows them."""

    speaker: str
    api: str
    request_model: str
    response_model: str
    response_id: str
    answer: Answer
    call_ids: tuple[str, ...]
    usage: Usage


def bare(name: str) -> str:
    """A tool's own name: clients of MCP servers call it `mcp__server__tool`."""
    return name.rsplit("__", 1)[-1] if name.startswith("mcp__") else name


class OffScriptError(Exception):
    """The request does not fit the script."""


class ModelServer:
    """Serves a script on a free loopback port from threads of its own, as a context manager.

    Attributes:
        exchanges: What was asked and answered, in order.
        told: Call id -> what the model was told the tool answered; where an interface has no ids,
            by the name of the tool.
        refused: Why requests were refused; empty after a run as scripted.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.exchanges: list[Exchange] = []
        self.told: dict[str, str] = {}
        self.refused: list[str] = []
        self._lock = threading.Lock()  # protects the three above
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
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

    def answer(self, api: Api, model: str, request: Mapping[str, Any]) -> Exchange:
        """Choose what to say next to who asks, and write it down.

        Raises:
            OffScriptError: The script has no answer, or expects something that was not said.
        """
        with self._lock:
            self.told.update(api.told(request))
            offered = {bare(name): name for name in api.tools(request)}
            speaker = self._speaker(offered)
            answer = self._next_answer(speaker, request)
            calls = (replace(call, name=offered.get(call.name, call.name)) for call in answer.calls)
            answer = replace(answer, calls=tuple(calls))
            number = len(self.exchanges)
            exchange = Exchange(
                speaker,
                api.name,
                model,
                model + api.dated,
                f"{api.id_prefix}{id(self):x}{number:02d}",
                answer,
                tuple(f"call_{number}{place}" for place in range(len(answer.calls))),
                Usage(113 + 71 * number, 17 + 3 * number, 64 if number % 3 == 1 else 0),
            )
            self.exchanges.append(exchange)
            return exchange

    def _speaker(self, offered: Collection[str]) -> str:
        """Who asks, told by the tools on offer; some frameworks ask for things of their own."""
        if DESKS_TOOL in offered:
            return "desk"
        return "clerk" if CLERKS_TOOL in offered else ASIDE

    def _next_answer(self, speaker: str, request: Mapping[str, Any]) -> Answer:
        if speaker == ASIDE:
            return Answer(text="A journey by train")
        position = sum(one.speaker == speaker for one in self.exchanges)
        where = f"answer {position} of {speaker}"
        answers = self.script.get(speaker, ())
        if position >= len(answers):
            raise OffScriptError(f"no {where}")
        answer = answers[position]
        if answer.expects is not None and answer.expects not in json.dumps(request):
            raise OffScriptError(f"{where} expects {answer.expects!r}")
        return answer

    def refuse(self, why: str) -> None:
        """Note that a request did not fit."""
        with self._lock:
            self.refused.append(why)


# --- interfaces ---------------------------------------------------------------------------------


class Api:
    """How one provider's interface writes requests and answers."""

    name: str
    path: re.Pattern[str]
    """Of the URL; a group `model` where that is in the path."""
    id_prefix: str
    dated = "-2024-07-18"
    """What the model's name in an answer has more than that in the request."""

    def tools(self, request: Mapping[str, Any]) -> Iterator[str]:
        """Names of the tools on offer."""
        for tool in request.get("tools") or ():
            yield tool.get("name") or tool.get("function", {}).get("name", "")

    def told(self, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Call id and text of each tool's answer in a request."""
        raise NotImplementedError

    def body(self, exchange: Exchange) -> dict[str, Any]:
        """The whole answer."""
        raise NotImplementedError

    def events(self, body: dict[str, Any], request: Mapping[str, Any]) -> Iterator[str]:
        """The answer as server-sent events."""
        raise NotImplementedError


def _text(content: Any) -> str:
    """The text of a tool's answer, which may be given in parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content if isinstance(content, str) else json.dumps(content)


class Chat(Api):
    """OpenAI's chat completions."""

    name = "chat"
    path = re.compile(r"/chat/completions$")
    id_prefix = "chatcmpl-"

    def told(self, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for message in request["messages"]:
            if message["role"] == "tool":
                yield message["tool_call_id"], _text(message.get("content"))

    def body(self, exchange: Exchange) -> dict[str, Any]:
        answer, usage = exchange.answer, exchange.usage
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.calls:
            message["tool_calls"] = [
                {
                    "id": call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for call_id, call in zip(exchange.call_ids, answer.calls, strict=True)
            ]
        return {
            "id": exchange.response_id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": exchange.response_model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
            "usage": {
                "prompt_tokens": usage.input,
                "completion_tokens": usage.output,
                "total_tokens": usage.input + usage.output,
                "prompt_tokens_details": {"cached_tokens": usage.cached},
            },
        }

    def events(self, body: dict[str, Any], request: Mapping[str, Any]) -> Iterator[str]:
        options = request.get("stream_options") or {}
        for chunk in chunks(body, include_usage=bool(options.get("include_usage"))):
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"


class Responses(Api):
    """OpenAI's responses."""

    name = "responses"
    path = re.compile(r"/responses$")
    id_prefix = "resp_"

    def told(self, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for item in request["input"] if isinstance(request["input"], list) else ():
            if item.get("type") == "function_call_output":
                yield item["call_id"], _text(item["output"])

    def body(self, exchange: Exchange) -> dict[str, Any]:
        answer, usage = exchange.answer, exchange.usage
        output: list[dict[str, Any]] = []
        if answer.text:
            text = {"type": "output_text", "text": answer.text, "annotations": []}
            output.append(
                {
                    "id": f"msg_{exchange.response_id}",
                    "type": "message",
                    "role": "assistant",
                    "status": "completed",
                    "content": [text],
                }
            )
        output += [
            {
                "id": f"fc_{call_id}",
                "type": "function_call",
                "call_id": call_id,
                "name": call.name,
                "arguments": json.dumps(call.arguments),
                "status": "completed",
            }
            for call_id, call in zip(exchange.call_ids, answer.calls, strict=True)
        ]
        return {
            "id": exchange.response_id,
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "model": exchange.response_model,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.input + usage.output,
            },
        }


class Messages(Api):
    """Anthropic's messages; its input tokens leave out what came from the cache."""

    name = "messages"
    path = re.compile(r"/v1/messages$")
    id_prefix = "msg_"
    dated = ""

    def told(self, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for message in request["messages"]:
            for block in message["content"] if isinstance(message["content"], list) else ():
                if block["type"] == "tool_result":
                    yield block["tool_use_id"], _text(block.get("content"))

    def body(self, exchange: Exchange) -> dict[str, Any]:
        answer, usage = exchange.answer, exchange.usage
        content: list[dict[str, Any]] = []
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        content += [
            {"type": "tool_use", "id": call_id, "name": call.name, "input": dict(call.arguments)}
            for call_id, call in zip(exchange.call_ids, answer.calls, strict=True)
        ]
        return {
            "id": exchange.response_id,
            "type": "message",
            "role": "assistant",
            "model": exchange.response_model,
            "content": content,
            "stop_reason": "tool_use" if answer.calls else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.input - usage.cached,
                "cache_read_input_tokens": usage.cached,
                "cache_creation_input_tokens": 0,
                "output_tokens": usage.output,
            },
        }

    def events(self, body: dict[str, Any], request: Mapping[str, Any]) -> Iterator[str]:
        def event(kind: str, **fields: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

        usage = {**body["usage"], "output_tokens": 1}
        yield event("message_start", message={**body, "content": [], "usage": usage})
        for index, block in enumerate(body["content"]):
            empty: dict[str, Any]
            if block["type"] == "text":
                empty, delta = {"text": ""}, {"type": "text_delta", "text": block["text"]}
            else:
                written = json.dumps(block["input"])
                empty, delta = {"input": {}}, {"type": "input_json_delta", "partial_json": written}
            yield event("content_block_start", index=index, content_block={**block, **empty})
            yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        ending = {"stop_reason": body["stop_reason"], "stop_sequence": None}
        yield event("message_delta", delta=ending, usage=body["usage"])
        yield event("message_stop")


class Gemini(Api):
    """Google's generateContent, which has no call ids of its own."""

    name = "generate_content"
    path = re.compile(r"/models/(?P<model>[^/:]+):(generateContent|streamGenerateContent)")
    id_prefix = "gem-"
    dated = ""

    def tools(self, request: Mapping[str, Any]) -> Iterator[str]:
        for tool in request.get("tools") or ():
            yield from (one["name"] for one in tool.get("functionDeclarations", ()))

    def told(self, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for content in request["contents"]:
            for part in content["parts"]:
                if answer := part.get("functionResponse"):
                    yield answer.get("id") or answer["name"], _text(answer["response"])

    def body(self, exchange: Exchange) -> dict[str, Any]:
        answer, usage = exchange.answer, exchange.usage
        parts: list[dict[str, Any]] = [{"text": answer.text}] if answer.text else []
        parts += [
            {"functionCall": {"id": call_id, "name": call.name, "args": dict(call.arguments)}}
            for call_id, call in zip(exchange.call_ids, answer.calls, strict=True)
        ]
        return {
            "responseId": exchange.response_id,
            "modelVersion": exchange.response_model,
            "candidates": [
                {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {
                "promptTokenCount": usage.input,
                "candidatesTokenCount": usage.output,
                "cachedContentTokenCount": usage.cached,
                "totalTokenCount": usage.input + usage.output,
            },
        }

    def events(self, body: dict[str, Any], request: Mapping[str, Any]) -> Iterator[str]:
        yield f"data: {json.dumps(body)}\n\n"


_APIS = (Chat(), Responses(), Messages(), Gemini())


def _handler_for(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # SDKs keep connections open
        disable_nagle_algorithm = True  # else a kept connection waits 40 ms for each answer

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path, _, query = self.path.partition("?")
            for api in _APIS:
                if found := api.path.search(path):
                    request = json.loads(body)
                    model = request.get("model") or found.groupdict().get("model", "")
                    is_stream = request.get("stream") or "alt=sse" in query
                    self._answer(api, model, request, is_stream=bool(is_stream))
                    return
            self._refuse(404, f"no such path: {path}")

        def _answer(
            self, api: Api, model: str, request: Mapping[str, Any], *, is_stream: bool
        ) -> None:
            try:
                answer = api.body(server.answer(api, model, request))
            except OffScriptError as error:
                self._refuse(400, str(error))
                return
            if is_stream:
                self._send(200, "text/event-stream", "".join(api.events(answer, request)))
            else:
                self._send(200, "application/json", json.dumps(answer))

        def _refuse(self, status: int, why: str) -> None:
            server.refuse(why)
            error = {"type": "invalid_request_error", "message": why}
            self._send(status, "application/json", json.dumps({"error": error}))

        def _send(self, status: int, content_type: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the output is the agent's."""

    return Handler
