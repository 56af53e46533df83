"""Runs as records in which all happens that a viewer shows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Final

from otel_traj import semconv
from otel_traj.model import LogRecord, SpanEvent, SpanRecord
from tests.store.runs import chat, root, span, span_id, tool, trace_id

KEY: Final = "sk-ant-api03-" + "x" * 24
"""What looks like a secret."""

HOSTILE: Final = '<img src=x onerror=alert(1)>\x1b[31m\u202e"</script>\x00'.replace("\x00", "")

DIFF: Final = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n"


def messages(role: str, *texts: str) -> str:
    parts = [{"type": "text", "content": text} for text in texts]
    return json.dumps([{"role": role, "parts": parts}])


def file_change(number: int, position: int, **told: Any) -> LogRecord:
    """What a step told of a file."""
    at = span(number, position, 0, "").start_ns
    return LogRecord(
        trace_id(number),
        span_id(number, position),
        at,
        at,
        semconv.EVENT_FILE_CHANGE,
        None,
        None,
        attributes=told,
    )


def episode(number: int) -> list[SpanRecord | LogRecord]:
    """A coder who edits a file twice: rewards, tests, a flag, an error, a checkpoint."""
    return [
        chat(
            number,
            1,
            **{
                semconv.INPUT_MESSAGES: messages("user", "Fix the failing test"),
                semconv.OUTPUT_MESSAGES: messages("assistant", "I will edit a.py"),
                semconv.COST_USD: 0.25,
            },
        ),
        tool(
            number,
            2,
            **{
                semconv.TOOL_NAME: "edit",
                semconv.TOOL_CALL_ARGUMENTS: '{"path": "a.py"}',
                semconv.TOOL_CALL_RESULT: "done",
                semconv.STEP_REWARD: 0.5,
                semconv.STEP_TEST_PASS_RATE: 0.25,
            },
        ),
        dataclasses.replace(
            tool(
                number,
                3,
                **{
                    semconv.TOOL_NAME: "edit",
                    semconv.STEP_REWARD: 1.0,
                    semconv.STEP_DONE: True,
                    semconv.STEP_SECURITY_FLAGS: ["network"],
                    semconv.ERROR_TYPE: "ToolError",
                },
            ),
            status="ERROR",
            status_message="no such file",
        ),
        root(number, **{semconv.AGENT_NAME: "coder", semconv.OUTCOME: "failure"}),
        file_change(
            number,
            2,
            **{
                semconv.FILE_PATH: "src/a b.py",
                semconv.FILE_SHA256_BEFORE: "1" * 64,
                semconv.FILE_SHA256_AFTER: "2" * 64,
                semconv.FILE_ADDED: 1,
                semconv.FILE_REMOVED: 1,
                semconv.FILE_DIFF: DIFF,
                semconv.FILE_BEFORE: "one\ntwo\n",
                semconv.FILE_AFTER: "one\nTWO\n",
            },
        ),
        file_change(
            number,
            3,
            **{
                semconv.FILE_PATH: "src/a b.py",
                semconv.FILE_SHA256_BEFORE: "2" * 64,
                semconv.FILE_SHA256_AFTER: "3" * 64,
                semconv.FILE_ADDED: 1,
                semconv.FILE_REMOVED: 0,
                semconv.FILE_BEFORE: "one\nTWO\n",
                semconv.FILE_AFTER: "one\nTWO\nthree\n",
            },
        ),
        LogRecord(
            trace_id(number),
            span_id(number, 2),
            span(number, 2, 0, "").start_ns,
            None,
            semconv.EVENT_CHECKPOINT,
            None,
            None,
            attributes={
                semconv.CHECKPOINT_ID: f"checkpoint-{number}",
                semconv.CHECKPOINT_NAME: "before",
                semconv.CHECKPOINT_STATE: '{"n":1}',
            },
        ),
    ]


def repair(
    number: int,
    *edits: tuple[str, str],
    outcome: str | None = None,
    seen: str = "2 tests fail",
    **told: Any,
) -> list[SpanRecord | LogRecord]:
    """A coder who looks, edits lines and says that it is done."""
    asked = {
        semconv.INPUT_MESSAGES: messages("user", "Repair it"),
        semconv.OUTPUT_MESSAGES: messages("assistant", f"Let me look ({number})"),
    }
    look = {semconv.TOOL_NAME: "run_tests", semconv.TOOL_CALL_RESULT: seen}
    spans: list[SpanRecord | LogRecord] = [chat(number, 1, **asked), tool(number, 2, **look)]
    for position, (path, line) in enumerate(edits, 3):
        arguments = {"line": line, "path": path}
        spans += [
            tool(
                number,
                position,
                **{
                    semconv.TOOL_NAME: "edit",
                    semconv.TOOL_CALL_ARGUMENTS: json.dumps(arguments),
                    semconv.TOOL_CALL_RESULT: "done",
                },
            ),
            file_change(
                number,
                position,
                **{
                    semconv.FILE_PATH: path,
                    semconv.FILE_SHA256_BEFORE: "0" * 64,
                    semconv.FILE_SHA256_AFTER: hashlib.sha256(line.encode()).hexdigest(),
                    semconv.FILE_BEFORE: "one\n",
                    semconv.FILE_AFTER: f"one\n{line}\n",
                },
            ),
        ]
    end = 3 + len(edits)
    judged = {} if outcome is None else {semconv.OUTCOME: outcome}
    whole = root(number, **{semconv.TASK_ID: "repair", **judged, **told})
    answered = {semconv.OUTPUT_MESSAGES: messages("assistant", "Done"), semconv.COST_USD: 0.5}
    return [
        *spans,
        chat(number, end, **answered),
        whole,
    ]


def delegating(number: int) -> list[SpanRecord]:
    """A planner whose researcher asks a model and looks something up."""
    inner = span(
        number,
        2,
        0,
        "invoke_agent researcher",
        **{semconv.OPERATION: semconv.OP_INVOKE_AGENT, semconv.AGENT_NAME: "researcher"},
    )
    found = dataclasses.replace(
        tool(number, 4, **{semconv.TOOL_NAME: "search"}), parent_span_id=inner.span_id
    )
    asked = dataclasses.replace(
        chat(
            number,
            3,
            **{
                semconv.INPUT_MESSAGES: messages("user", "What is the tide?"),
                semconv.OUTPUT_MESSAGES: messages("assistant", "High at six"),
            },
        ),
        parent_span_id=inner.span_id,
    )
    long = dataclasses.replace(inner, end_ns=inner.start_ns + 4 * 10**6)
    return [
        chat(number, 1),
        asked,
        found,
        long,
        chat(number, 7),
        root(number, **{semconv.AGENT_NAME: "planner"}),
    ]


def hostile(number: int) -> list[SpanRecord]:
    """A run whose every text is written by somebody who means no good."""
    return [
        chat(
            number,
            1,
            **{
                semconv.INPUT_MESSAGES: messages("user", HOSTILE),
                semconv.OUTPUT_MESSAGES: messages("assistant", f"{HOSTILE} {KEY}"),
                f"weird/../{HOSTILE}": HOSTILE,
                "large": 2**63 - 1,
                "raw": b"\x00\xff",
                "nan": float("nan"),
                "long": "ä" * 100_000,
            },
        ),
        dataclasses.replace(
            tool(
                number,
                2,
                **{
                    semconv.TOOL_NAME: HOSTILE,
                    semconv.TOOL_CALL_ARGUMENTS: json.dumps({"key": KEY}),
                    semconv.TOOL_CALL_RESULT: HOSTILE,
                },
            ),
            name=HOSTILE,
            events=(SpanEvent(1, HOSTILE, {HOSTILE: KEY}),),
        ),
        root(
            number,
            **{
                semconv.AGENT_NAME: HOSTILE,
                semconv.TASK: HOSTILE,
                semconv.TRAJECTORY_ID: f"../{HOSTILE}?#%2F",
            },
        ),
    ]
