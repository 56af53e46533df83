"""What truly happened in a run, in the form that the judge of the corpus reads (`expected.json`).

The model server knows who was asked what and what it said; the tools of `travel.py` note that they
run, and answer the same every time; the header of an agent says how its framework names things.
Together that is the truth, taken from nothing that otel-traj recorded, except which of two calls
that ran at once was first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from otel_traj.demo.model_server import ToolCall
from tests.frameworks import travel
from tests.frameworks.catalogue import Framework
from tests.frameworks.model_server import Exchange, bare

ANSWERS: Mapping[str, Any] = {
    "find_train": {"train": "EC 35", "route": "Bern to Milan", "price_chf": 58.5},
    "get_forecast": "Tomorrow in Milan: fog until ten, then sun.",
    "book_seat": "Seat 61 in coach 5 of EC 35 is booked for Ada Moser.",
    "issue_invoice": "Invoice I-204 over 58.5 CHF for EC 35 is sent.",
}
ERROR = {"type": "SeatMapError", "message": "the seat map is locked"}


def steps_of(
    framework: Framework,
    exchanges: list[Exchange],
    told: Mapping[str, str],
    ran: Sequence[str],
    began: Sequence[str],
) -> list[dict[str, Any]]:
    """Every step that happened, in order.

    Args:
        framework: Whose agents they are.
        exchanges: What the model was asked and said.
        told: Call id -> what the model was told of its result.
        ran: The tools that ran, as they noted it themselves.
        began: Names of tools by when the recording says that they began. It decides only between
            calls that ran at once, of which nobody else knows.

    Raises:
        ValueError: Other tools ran than the model asked for.
    """
    steps: list[dict[str, Any]] = []
    for exchange in exchanges:
        agent = framework.agents[exchange.speaker]
        steps.append(_llm(framework, exchange, agent))
        calls = zip(exchange.call_ids, exchange.answer.calls, strict=True)
        for call_id, call in sorted(calls, key=lambda each: _place(each[1].name, began)):
            shown = {"call_id": framework.call_id(call_id), "model_saw": told.get(call_id)}
            if framework.handoff is not None and call.name == framework.handoff.tool:
                steps.append({**_handoff(framework, agent), **shown})
            elif call.name not in framework.built_in:
                is_first = all(step.get("name") != call.name for step in steps)
                does_fail = bare(call.name) == "book_seat" and is_first
                steps.append({**_tool(call, agent, does_fail=does_fail), **shown})
    asked = [bare(step["name"]) for step in steps if step["kind"] == "tool"]
    if sorted(asked) != sorted(ran):
        raise ValueError(f"the model asked for {asked}, and {list(ran)} ran")
    return [{"i": i, **step} for i, step in enumerate(steps)]


def _place(name: str, began: Sequence[str]) -> int:
    return began.index(name) if name in began else len(began)


def _llm(framework: Framework, exchange: Exchange, agent: str | None) -> dict[str, Any]:
    calls = zip(exchange.call_ids, exchange.answer.calls, strict=True)
    return {
        "kind": "llm",
        "agent": agent,
        "api": exchange.api,
        "request_model": framework.model or exchange.request_model,
        "response_model": exchange.response_model,
        "response_id": exchange.response_id,
        "input_tokens": exchange.usage.input,
        "output_tokens": exchange.usage.output,
        "cache_read_tokens": exchange.usage.cached,
        "output_text": exchange.answer.text,
        "tool_calls": [
            {
                "id": framework.call_id(call_id),
                "name": call.name,
                "arguments": dict(call.arguments),
            }
            for call_id, call in calls
        ],
    }


def _tool(call: ToolCall, agent: str | None, *, does_fail: bool) -> dict[str, Any]:
    step = {"kind": "tool", "name": call.name, "agent": agent, "arguments": dict(call.arguments)}
    return {**step, "error": ERROR} if does_fail else {**step, "result": ANSWERS[bare(call.name)]}


def _handoff(framework: Framework, agent: str | None) -> dict[str, Any]:
    assert framework.handoff is not None
    return {
        "kind": "handoff",
        "from": agent,
        "to": framework.agents["clerk"],
        "via_tool": framework.handoff.tool,
        "mode": framework.handoff.mode,
    }


def document(
    framework: Framework,
    exchanges: list[Exchange],
    told: Mapping[str, str],
    *,
    ran: Sequence[str],
    began: Sequence[str],
    answer: str,
    traces: Iterable[str],
) -> dict[str, Any]:
    """The whole of `expected.json`; `answer` is what the program printed at the end."""
    return {
        "schema": "otel-traj-corpus/1",
        "name": framework.name,
        "framework": framework.title,
        "instrumentation": "instrument()",
        "scenario": "main",
        "traces": sorted(traces),
        "user_input": travel.TASK,
        "steps": steps_of(framework, exchanges, told, ran, began),
        "ignore_tools": sorted(framework.built_in),
        "final_answer": answer,
        "outcome": "success",
    }
