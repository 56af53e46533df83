"""A trajectory as text: what a reader must be able to tell from it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from otel_traj.cli.transcript import Judgement, Transcript
from otel_traj.cli.waterfall import waterfall
from otel_traj.model import FileChange, Step, Trajectory

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WIDTH = 80


def step(kind: Any, number: int, at_ms: float, ms: float | None, **fields: Any) -> Step:
    """A step that starts `at_ms` after the run and takes `ms`; None: no end is known."""
    return Step(
        trajectory_id="5f0c",
        step=number,
        kind=kind,
        trace_id="a" * 32,
        span_id="b" * 16,
        start_time=START + timedelta(milliseconds=at_ms),
        end_time=None if ms is None else START + timedelta(milliseconds=at_ms + ms),
        duration_us=None if ms is None else round(ms * 1000),
        **fields,
    )


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def calls(*wanted: tuple[str, str, dict[str, Any]]) -> str:
    return json.dumps([{"id": i, "name": n, "arguments": a} for i, n, a in wanted])


LEAD = {"agent_name": "lead", "agent_path": "lead.0", "agent_run": 0}
HELPER = {"agent_name": "helper", "agent_path": "lead.0/helper.1", "agent_run": 1}

STEPS = (
    step("user", 0, 0, 0, turn=0, new_messages=said("user", "Fix the tests.\nQuickly."), **LEAD),
    step(
        "llm", 1, 0, 200, turn=0, model="small", input_tokens=1200, output_tokens=40,
        new_messages=said("system", "You repair code."), reasoning="Look first.",
        tool_calls=calls(("c1", "read", {"path": "a.py"}), ("c2", "guess", {"n": 1})), **LEAD,
    ),
    step(
        "tool", 2, 210, 3.5, turn=0, tool_name="read", tool_call_id="c1", status="error",
        arguments='{"path": "a.py"}', error_type="FileNotFoundError", error_message="no a.py",
        model_saw="Error: no a.py", **LEAD,
    ),
    step("llm", 3, 220, 300, turn=1, model="small", output_text="I ask somebody.", **LEAD),
    step(
        "handoff", 4, 520, 900, turn=1, handoff_from="lead", handoff_to="helper",
        handoff_mode="delegate", arguments='{"question": "where?"}', result="in b.py", **LEAD,
    ),
    step(
        "llm", 5, 540, 800, turn=0, model="large", output_text="In b.py.", finish_reason="length",
        cost_usd=0.0125, **HELPER,
    ),
    step("retrieval", 6, 1400, 10, turn=2, arguments="old bugs", result="[]", reward=0.5, **LEAD),
    step("tool", 7, 1420, None, turn=2, tool_name="run_tests", status="open", **LEAD),
)  # fmt: skip

RUN = Trajectory(
    trajectory_id="5f0c1a2b3c4d5e6f7a8b",
    trace_ids=("a" * 32,),
    task="Fix the tests.",
    final_answer="Not finished.",
    agent_name="lead",
    agents=("lead", "helper"),
    start_time=START,
    duration_us=1_430_000,
    status="open",
    n_spans=14,
    n_steps=8,
    n_turns=4,
    n_llm=3,
    n_tools=2,
    n_handoffs=1,
    n_errors=1,
    n_open=2,
    n_missing_content=2,
    input_tokens=1200,
    output_tokens=40,
    cost_usd=0.0125,
    models=("small", "large"),
    steps=STEPS,
    file_changes=(
        FileChange(trajectory_id="5f0c", step=2, path="b.py", added=3, removed=1,
                   sha256_before="x", sha256_after="y"),
        FileChange(trajectory_id="5f0c", step=2, path="new.py", added=9, sha256_after="z"),
    ),
)  # fmt: skip


def text_of(run: Trajectory, *, width: int = WIDTH, max_lines: int = 0) -> str:
    transcript = Transcript(run, width=width, max_lines=max_lines)
    lines = [*transcript.header(Judgement("unknown", "builtin")), *transcript.steps()]
    return "".join(f"{line.plain}\n" for line in lines)


def bars_of(run: Trajectory, *, width: int = WIDTH) -> str:
    return "".join(f"{line.plain}\n" for line in waterfall(run, width=width))


def test_the_transcript_reads_like_this(golden: Callable[[str, str], None]) -> None:
    golden("transcript.txt", text_of(RUN))


def test_the_waterfall_looks_like_this(golden: Callable[[str, str], None]) -> None:
    golden("waterfall.txt", bars_of(RUN))


@pytest.mark.parametrize("width", [40, 80, 133])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = replace(STEPS[1], output_text="word " * 400, tool_calls=None, model="m" * 200)
    run = replace(RUN, task="t" * 500, models=("m" * 200,), steps=(*STEPS, long))

    lines = (text_of(run, width=width) + bars_of(run, width=width)).splitlines()

    assert max(map(cell_len, lines)) <= width


def test_long_texts_are_cut_with_the_number_of_lines_left() -> None:
    poem = "\n".join(f"line {n}" for n in range(30))
    run = replace(RUN, steps=(replace(STEPS[3], output_text=poem),), file_changes=())
    transcript = Transcript(run, width=WIDTH, max_lines=12)

    text = "\n".join(line.plain for line in transcript.steps())

    assert "line 11" in text
    assert "line 12" not in text
    assert "… 18 more lines" in text
    assert transcript.is_cut


def test_arguments_stand_at_the_model_call_only_where_no_step_has_them() -> None:
    text = text_of(RUN)

    assert 'asks for   read, guess({"n": 1})' in text
    assert text.count('{"path": "a.py"}') == 1


def test_recorded_text_moves_no_cursor_and_is_no_markup() -> None:
    evil = "\x1b[2Jgone[red]not red[/red]\r:smile:\u202e"
    hostile = replace(
        STEPS[1], output_text=evil, model=evil, reasoning=evil, agent_name=evil,
        tool_calls=calls(("x", evil, {"a": evil})), new_messages=said("system", evil),
    )  # fmt: skip
    run = replace(
        RUN, task=evil, agent_name=evil, final_answer=evil, error_message=evil, models=(evil,),
        steps=(hostile,), file_changes=(replace(RUN.file_changes[0], path=evil),),
    )  # fmt: skip

    text = text_of(run) + bars_of(run)

    assert not {"\x1b", "\r", "\u202e"} & set(text)
    assert "␛[2Jgone[red]not red[/red]" in text


def test_a_run_of_nothing_is_still_shown() -> None:
    empty = Trajectory(
        trajectory_id="empty", trace_ids=("a" * 32,), start_time=START, status="completed"
    )

    assert text_of(empty).startswith("trajectory\nempty · 2026-11-21 09:30:00 UTC\ncompleted")
    assert bars_of(empty) == ""


def test_steps_without_any_time_still_have_a_bar() -> None:
    instant = replace(RUN, duration_us=0, steps=(step("tool", 0, 0, 0, tool_name="t"),))

    assert "█" in bars_of(instant)


def test_messages_that_are_no_json_are_left_out_instead_of_failing() -> None:
    broken = replace(STEPS[1], new_messages="{not json", tool_calls='"text"')

    assert "model small" in text_of(replace(RUN, steps=(broken,)))


@pytest.mark.parametrize(
    ("seen", "is_shown"),
    [('{"a":1}', False), ('{"a": 1}', False), ('{"a": 2}', True), ("cut", True), (None, False)],
)
def test_what_the_model_saw_is_shown_where_it_is_not_the_result(
    seen: str | None, is_shown: bool
) -> None:
    tool = step("tool", 0, 0, 1, tool_name="look", result='{"a": 1}', model_saw=seen)

    assert ("model saw" in text_of(replace(RUN, steps=(tool,)))) is is_shown
