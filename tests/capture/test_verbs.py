"""What a program tells by hand becomes a run and its steps; unasked, it changes nothing."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, use_span

import otel_traj
from otel_traj import semconv
from otel_traj.capture import state
from otel_traj.model import Step, Trajectory
from otel_traj.testing import Capture, capture


@pytest.fixture
def captured() -> Iterator[Capture]:
    with capture() as captured:
        yield captured


def only_run(captured: Capture) -> Trajectory:
    (trajectory,) = captured.trajectories()
    return trajectory


def tools(captured: Capture) -> list[Step]:
    return [step for step in only_run(captured).steps if step.kind == "tool"]


# --- runs --------------------------------------------------------------------------------------


def test_s1_12_manual_recording_tells_a_whole_run(captured: Capture) -> None:
    with otel_traj.trajectory(
        "refund order 42",
        task_id="order-42",
        agent="support",
        conversation_id="conv-1",
        user_id="u-1",
        variant_id="v2",
        prompt_version="p3",
        guideline_ids=["g1", "g2"],
        arm="treatment",
        attributes={"deployment": "eu"},
    ) as run:
        run.initial_state({"orders": [42]})
        run.metadata({"ticket": 7}, priority="high", tags=["a"])
        with otel_traj.tool_call("refund", arguments={"order": 42}) as call:
            call.result("refunded")
        run.final_answer("Done.")
        run.reward(0.5, source="unit-test")
        run.outcome("partial", rationale="too late", error_category="slow", fix_applied="cache")

    told = only_run(captured)
    expected = {
        "trajectory_id": run.id,
        "task": "refund order 42",
        "task_id": "order-42",
        "agent_name": "support",
        "conversation_id": "conv-1",
        "user_id": "u-1",
        "variant_id": "v2",
        "prompt_version": "p3",
        "guideline_ids": ("g1", "g2"),
        "arm": "treatment",
        "final_answer": "Done.",
        "status": "completed",
        "failure_rationale": "too late",
        "error_category": "slow",
        "fix_applied": "cache",
        "tools": ("refund",),
    }
    assert {name: getattr(told, name) for name in expected} == expected
    assert json.loads(told.initial_state or "") == {"orders": [42]}
    root = captured.spans[-1].attributes
    assert root[semconv.OUTCOME] == "partial"
    assert (root[semconv.REWARD], root[semconv.REWARD_SOURCE]) == (0.5, "unit-test")
    metadata = {
        key.removeprefix(semconv.METADATA_PREFIX): value
        for key, value in root.items()
        if key.startswith(semconv.METADATA_PREFIX)
    }
    assert metadata == {"ticket": 7, "priority": "high", "tags": '["a"]'}
    assert root["deployment"] == "eu"


def test_judgement_after_the_end_is_an_evaluation_event(captured: Capture) -> None:
    with otel_traj.trajectory("t") as run, otel_traj.tool_call("look") as call:
        pass

    run.outcome("failure", rationale="wrong answer", error_category="logic")
    run.reward(0.0, source="judge")
    call.reward(1.0)

    assert [(log.event_name, log.span_id, dict(log.attributes)) for log in captured.logs] == [
        (
            semconv.EVENT_EVALUATION,
            captured.spans[1].span_id,
            {
                semconv.EVALUATION_NAME: "outcome",
                semconv.EVALUATION_LABEL: "failure",
                semconv.ANNOTATION_SOURCE: "explicit",
                semconv.ERROR_CATEGORY: "logic",
                semconv.EVALUATION_EXPLANATION: "wrong answer",
            },
        ),
        (
            semconv.EVENT_EVALUATION,
            captured.spans[1].span_id,
            {
                semconv.EVALUATION_NAME: "reward",
                semconv.EVALUATION_VALUE: 0.0,
                semconv.ANNOTATION_SOURCE: "judge",
            },
        ),
        (
            semconv.EVENT_EVALUATION,
            captured.spans[0].span_id,
            {
                semconv.EVALUATION_NAME: "reward",
                semconv.EVALUATION_VALUE: 1.0,
                semconv.ANNOTATION_SOURCE: "explicit",
            },
        ),
    ]


def test_nested_run_is_a_sub_agent(captured: Capture) -> None:
    with otel_traj.trajectory("whole", agent="lead") as lead:
        assert otel_traj.current() is lead
        with otel_traj.tool_call("plan"):
            pass
        with otel_traj.trajectory("part", agent="helper") as helper:
            assert otel_traj.current() is helper
            with otel_traj.tool_call("look"):
                pass
        assert otel_traj.current() is lead
    assert otel_traj.current() is None

    told = only_run(captured)
    assert told.trajectory_id == lead.id == helper.id
    assert told.agents == ("lead", "helper")
    assert [step.agent_name for step in told.steps if step.tool_name == "look"] == ["helper"]


def test_id_of_the_user_holds(captured: Capture) -> None:
    with otel_traj.trajectory("t", trajectory_id="mine") as run, otel_traj.tool_call("look"):
        pass

    assert run.id == only_run(captured).trajectory_id == "mine"


def test_id_holds_below_a_span_of_others(captured: Capture) -> None:
    web = captured.tracer_provider.get_tracer("web")
    with (
        web.start_as_current_span("GET /ask"),
        otel_traj.trajectory("t") as run,
        otel_traj.tool_call("look"),
    ):
        pass

    assert run.id == only_run(captured).trajectory_id


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_s1_14_error_in_a_run_is_told_and_raised_unchanged(
    captured: Capture, error: BaseException
) -> None:
    def agent() -> None:
        with otel_traj.trajectory("t") as run:
            run.reward(0.25)
            raise error

    with pytest.raises(type(error)) as raised:
        agent()

    assert raised.value is error
    (span,) = captured.spans
    assert span.status == "ERROR"
    assert span.attributes[semconv.ERROR_TYPE] == type(error).__name__
    assert span.attributes[semconv.REWARD] == 0.25
    assert semconv.OUTCOME not in span.attributes


def test_s1_15_cancelled_run_is_partial(captured: Capture) -> None:
    async def agent() -> None:
        with otel_traj.trajectory("t"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(agent())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    (span,) = captured.spans
    assert span.attributes[semconv.OUTCOME] == "partial"
    assert span.attributes[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


def test_runs_of_concurrent_tasks_keep_apart(captured: Capture) -> None:
    async def agent(name: str) -> None:
        async with otel_traj.trajectory(name, agent=name) as run:
            for _ in range(3):
                await asyncio.sleep(0)
                assert otel_traj.current() is run
                with otel_traj.tool_call(f"tool of {name}"):
                    await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(agent(name) for name in "abc"))

    asyncio.run(main())

    runs = {run.agent_name: run.tools for run in captured.trajectories()}
    assert runs == {name: (f"tool of {name}",) * 3 for name in "abc"}


def test_thread_joins_a_run_by_copying_the_context(captured: Capture) -> None:
    def work() -> bool:
        with otel_traj.tool_call("look"):
            return otel_traj.current() is not None

    with otel_traj.trajectory("t"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(contextvars.copy_context().run, work).result()
        assert not pool.submit(otel_traj.current).result()

    assert only_run(captured).tools == ("look",)


def test_decorated_functions_are_runs_of_their_own(captured: Capture) -> None:
    @otel_traj.trajectory("plain", agent="a")
    def plain(n: int) -> int:
        with otel_traj.tool_call("look"):
            return n

    @otel_traj.trajectory("async", agent="b")
    async def coroutine(n: int) -> int:
        with otel_traj.tool_call("look"):
            return n

    assert [plain(1), plain(2), asyncio.run(coroutine(3))] == [1, 2, 3]
    assert plain.__name__ == "plain"

    runs = captured.trajectories()
    assert [run.task for run in runs] == ["plain", "plain", "async"]
    assert len({run.trajectory_id for run in runs}) == 3


# --- steps -------------------------------------------------------------------------------------


def test_s2_2_step_tells_everything_about_itself(captured: Capture) -> None:
    with otel_traj.trajectory("t"):
        with otel_traj.tool_call(
            "edit",
            arguments={"path": "a.py"},
            call_id="c1",
            reasoning="must fix",
            effect="idempotent",
        ) as call:
            call.result({"ok": True})
            call.reward(0.5)
            call.done(False)
            call.observe({"files_read": 1})
            call.test_pass_rate(0.75)
            call.security_flag("writes outside")
            call.security_flag("network")
        with otel_traj.tool_call("test") as call:
            call.error("2 failed")
            call.reward(0.25)
            call.reward(-1.0)
            call.done()

    edit, test = tools(captured)
    expected = {
        "tool_name": "edit",
        "tool_call_id": "c1",
        "reasoning": "must fix",
        "effect": "idempotent",
        "status": "ok",
        "reward": 0.5,
        "cumulative_reward": 0.5,
        "done": False,
        "test_pass_rate": 0.75,
        "security_flags": ("writes outside", "network"),
    }
    assert {name: getattr(edit, name) for name in expected} == expected
    assert json.loads(edit.arguments or "") == {"path": "a.py"}
    assert json.loads(edit.result or "") == {"ok": True}
    assert json.loads(edit.observation or "") == {"files_read": 1}
    assert (test.status, test.error_message) == ("error", "2 failed")
    assert (test.reward, test.cumulative_reward, test.done) == (-1.0, -0.5, True)


def test_s2_3_file_changes_travel_on_events_of_their_step(captured: Capture) -> None:
    with otel_traj.trajectory("t"), otel_traj.tool_call("edit") as call:
        call.file_diff("b.py", "ab\n", "ba\n", old_path="a.py")

    (change,) = only_run(captured).file_changes
    (step,) = tools(captured)
    assert (change.step, change.path, change.old_path) == (step.step, "b.py", "a.py")
    assert (change.added, change.removed) == (1, 1)
    assert (change.content_before, change.content_after) == ("ab\n", "ba\n")


def test_finished_steps_have_their_own_times(captured: Capture) -> None:
    started = datetime(2025, 12, 31, 12, tzinfo=UTC)
    with otel_traj.trajectory("t") as run:
        run.step(
            "edit",
            arguments={"n": 1},
            result=None,
            call_id="7",
            reasoning="why",
            effect="effect",
            reward=1.0,
            done=True,
            observation=[1],
            file_diffs=[("a", None, "x\n")],
            test_pass_rate=1.0,
            security_flags=["flag"],
            started=started,
            ended=started.timestamp() + 1.5,
        )
        run.step("test", error=ValueError("broken"))

    edit, test = tools(captured)
    assert (edit.tool_name, edit.start_time, edit.duration_us) == ("edit", started, 1_500_000)
    assert (edit.result, edit.cumulative_reward) == ("null", 1.0)
    assert (edit.tool_call_id, edit.effect) == ("7", "effect")
    assert [change.path for change in only_run(captured).file_changes] == ["a"]
    assert (test.status, test.error_type, test.result) == ("error", "ValueError", None)


def test_clock_running_backwards_is_recorded_as_it_was(captured: Capture) -> None:
    with otel_traj.trajectory("t") as run:
        run.step("odd", started=100.0, ended=99.0)

    (span, _) = captured.spans
    assert (span.start_ns, span.end_ns) == (100 * 10**9, 99 * 10**9)


def test_inference_tells_request_answer_and_usage(captured: Capture) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "tool_calls": [{"id": "c0", "name": "look", "arguments": {}}]},
        {"role": "tool", "tool_call_id": "c0", "content": "42"},
    ]
    with otel_traj.inference("gpt-x", provider="openai", input=messages) as call:
        call.reasoning("thinking")
        call.output(
            "hello",
            tool_calls=[{"id": "c1", "function": {"name": "look", "arguments": '{"n": 1}'}}],
            finish_reason="tool_call",
            response_id="r1",
            response_model="gpt-x-1",
        )
        call.usage(10, 5, cache_read_tokens=4, cache_write_tokens=3, reasoning_tokens=2)

    (span,) = captured.spans
    attributes = dict(span.attributes)
    assert json.loads(attributes.pop(semconv.INPUT_MESSAGES)) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c0", "name": "look", "arguments": {}}],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c0", "response": "42"}],
        },
    ]
    assert json.loads(attributes.pop(semconv.OUTPUT_MESSAGES)) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "thinking"},
                {"type": "text", "content": "hello"},
                {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"n": 1}},
            ],
        }
    ]
    assert (span.name, span.kind) == ("chat gpt-x", "CLIENT")
    assert attributes == {
        semconv.OPERATION: "chat",
        semconv.PROVIDER: "openai",
        semconv.REQUEST_MODEL: "gpt-x",
        semconv.RESPONSE_ID: "r1",
        semconv.RESPONSE_MODEL: "gpt-x-1",
        semconv.FINISH_REASONS: ("tool_call",),
        semconv.INPUT_TOKENS: 10,
        semconv.OUTPUT_TOKENS: 5,
        semconv.CACHE_READ_TOKENS: 4,
        semconv.CACHE_WRITE_TOKENS: 3,
        semconv.REASONING_TOKENS: 2,
    }


def test_checkpoint_is_known_by_its_content(captured: Capture) -> None:
    with otel_traj.trajectory("t") as run:
        first = run.checkpoint("before", {"b": 1, "a": [2]})
        same = run.checkpoint("before", {"a": [2], "b": 1})
        other = run.checkpoint("before", {"a": [2], "b": 2})

    assert first == same != other
    assert [
        (
            log.event_name,
            log.attributes[semconv.CHECKPOINT_ID],
            log.attributes[semconv.CHECKPOINT_NAME],
            log.attributes[semconv.CHECKPOINT_STATE],
        )
        for log in captured.logs[:1]
    ] == [(semconv.EVENT_CHECKPOINT, first, "before", '{"a":[2],"b":1}')]


def test_content_off_keeps_structure_and_leaves_content_out() -> None:
    with capture(content=False) as captured, otel_traj.trajectory("t", agent="a") as run:
        run.initial_state("private")
        run.final_answer("private")
        run.checkpoint("c", "private")
        with otel_traj.inference("m", provider="p", input="private") as call:
            call.output("private", finish_reason="stop")
            call.usage(1, 2)
        with otel_traj.tool_call("look", arguments="private", reasoning="private") as tool:
            tool.result("private")
            tool.observe("private")
            tool.file_diff("path", "private\n", "private too\n")

    assert "private" not in repr([captured.spans, captured.logs])
    told = only_run(captured)
    assert (told.agent_name, told.tools, told.input_tokens) == ("a", ("look",), 1)
    assert told.file_changes[0].added == 1


# --- values ------------------------------------------------------------------------------------


@dataclass
class Order:
    number: int
    price: float


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def test_arguments_and_results_of_any_kind_are_told(captured: Capture) -> None:
    arguments = {"order": Order(1, float("nan")), "raw": b"\xff", "rude": Rude(), "int": 2**63}
    with otel_traj.trajectory("t"), otel_traj.tool_call("look", arguments=arguments) as call:
        call.result({Order(1, 2.0).number, 3})

    (step,) = tools(captured)
    assert "Rude: repr raised" in (step.arguments or "")
    assert json.loads(step.result or "") == [1, 3]


def test_value_may_be_large_and_hold_lone_surrogates(captured: Capture) -> None:
    with otel_traj.trajectory("t"), otel_traj.tool_call("look", arguments="\ud800") as call:
        call.result("x" * 10_000_000)

    (step,) = tools(captured)
    assert json.loads(captured.spans[0].attributes[semconv.TOOL_CALL_ARGUMENTS]) == "\ud800"
    assert len(step.result or "") == 10_000_000


# --- without instrument() ----------------------------------------------------------------------


def test_without_instrument_every_verb_runs_the_code_and_does_nothing_else() -> None:
    assert state.active() is None

    with otel_traj.trajectory("t", agent="a") as run:
        assert otel_traj.current() is run
        assert run.id
        run.outcome("success")
        run.reward(1.0)
        run.initial_state({})
        run.metadata(a=1)
        run.final_answer("x")
        run.step("s", result=1, error="e", file_diffs=[("a", "b", "c")], reward=1.0)
        assert run.checkpoint("c", object())
        with otel_traj.inference("m", provider="p", input=object()) as call:
            call.output("x", tool_calls=[{}])
            call.usage(1)
            call.reasoning("r")
        with otel_traj.tool_call("t", arguments=object()) as tool:
            tool.result(1)
            tool.file_diff("a", "b", "c")
            tool.reward(1)
    run.outcome("failure")
    assert otel_traj.current() is None


def test_without_instrument_errors_and_spans_of_others_pass_unchanged() -> None:
    theirs = NonRecordingSpan(SpanContext(1, 2, is_remote=False))

    with use_span(theirs):
        with otel_traj.trajectory("t"), otel_traj.tool_call("look"):
            assert get_current_span() is theirs
        assert get_current_span() is theirs
    with pytest.raises(ValueError, match="mine"), otel_traj.trajectory("t"):
        raise ValueError("mine")


def test_outcome_that_there_is_not_is_told_and_left_out(
    captured: Capture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("otel_traj.capture.guard.RERAISE", False)

    with otel_traj.trajectory("t") as run:
        run.outcome("sucess")  # type: ignore[arg-type]

    assert semconv.OUTCOME not in captured.spans[0].attributes
    assert "No outcome 'sucess'; there is ('success'" in caplog.text


@pytest.mark.parametrize("value", ["x", None, object()])
def test_wrong_values_never_raise_into_the_agent(
    monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    monkeypatch.setattr("otel_traj.capture.guard.RERAISE", False)
    with capture() as captured, otel_traj.trajectory("t") as run:
        run.reward(value)
        run.metadata(value)
        with otel_traj.tool_call("look") as call:
            call.reward(value)
            call.test_pass_rate(value)
            call.file_diff("f", value, value)
        run.step("s", started=value, file_diffs=[value])
        with otel_traj.inference("m", provider="p") as inference:
            inference.output(tool_calls=[value])

    assert captured.spans[-1].name == "invoke_agent"


def test_verbs_in_threads_do_not_disturb_each_other(captured: Capture) -> None:
    with otel_traj.trajectory("t") as run:
        context = contextvars.copy_context()

        def work() -> None:
            for _ in range(50):
                with otel_traj.tool_call("look") as call:
                    call.reward(1.0)

        threads = [threading.Thread(target=context.copy().run, args=(work,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    rewards = [step.cumulative_reward or 0.0 for step in tools(captured)]
    assert sorted(rewards) == [float(n) for n in range(1, 201)]
    assert otel_traj.current() is None
    assert run.id
