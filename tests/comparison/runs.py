"""Runs of steps, made by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from otel_traj.model import FileChange, Step, Trajectory

START = datetime(2026, 11, 18, tzinfo=UTC)

HASHES = {
    "canon_version": "1",
    "request_hash": "r",
    "system_hash": "s",
    "tools_hash": "t",
    "messages_hash": "m",
    "params_hash": "p",
}


def llm(text: str = "I look", *calls: tuple[str, Any], **told: Any) -> dict[str, Any]:
    """A model's call and the tools that it asked for."""
    asked = [{"id": f"c{n}", "name": name, "arguments": a} for n, (name, a) in enumerate(calls)]
    return {
        "kind": "llm",
        "model": "m-1",
        "output_text": text,
        "tool_calls": json.dumps(asked),
        **HASHES,
        **told,
    }


def tool(
    name: str, arguments: Any = None, result: str | None = "ok", **told: Any
) -> dict[str, Any]:
    """A tool's execution."""
    given = None if arguments is None else json.dumps(arguments)
    return {"kind": "tool", "tool_name": name, "arguments": given, "result": result, **told}


def user(*texts: str) -> dict[str, Any]:
    """What a user says."""
    return {"kind": "user", "new_messages": messages(*(("user", text) for text in texts))}


def messages(*said: tuple[str, str]) -> str:
    """Messages in canonical form, by role and text."""
    return json.dumps(
        [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in said]
    )


def run(*steps: dict[str, Any], files: tuple[FileChange, ...] = (), **told: Any) -> Trajectory:
    """A run of these steps."""
    made = tuple(
        Step(
            trajectory_id="t",
            step=number,
            trace_id="0" * 32,
            span_id=f"{number:016x}",
            start_time=START + timedelta(seconds=number),
            **step,
        )
        for number, step in enumerate(steps)
    )
    return Trajectory(
        trajectory_id="t",
        trace_ids=("0" * 32,),
        start_time=START,
        status="completed",
        steps=made,
        file_changes=files,
        **told,
    )
