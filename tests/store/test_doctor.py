"""What `Diagnosis` counts, on short made-up runs; each gap alone."""

import json
from dataclasses import replace
from typing import Any

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from otel_traj.store.doctor import Diagnosis, Gap, Remedy
from tests.store.runs import chat, close, root, span_id, started, tool


def told(span: SpanRecord, scope: str = "my.app") -> SpanRecord:
    """The same call with content."""
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Where is 42?"}]}]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "There."}]}]
    content: dict[str, Any] = {
        semconv.INPUT_MESSAGES: json.dumps(asked),
        semconv.OUTPUT_MESSAGES: json.dumps(said),
        semconv.TOOL_DEFINITIONS: json.dumps([{"type": "function", "name": "lookup"}]),
    }
    if span.name.startswith("execute_tool"):
        content = {semconv.TOOL_CALL_ARGUMENTS: "{}", semconv.TOOL_CALL_RESULT: "there"}
    return replace(span, attributes={**span.attributes, **content}, scope_name=scope)


def gaps(store: TrajectoryStore, *records: SpanRecord) -> list[Gap]:
    store.append(records)
    return Diagnosis(store).gaps()


def whole_run(number: int = 1) -> list[SpanRecord]:
    return [told(chat(number, 1)), told(tool(number, 2)), told(chat(number, 3)), root(number)]


def test_a_run_that_tells_all_has_no_gap(store: TrajectoryStore) -> None:
    assert gaps(store, *whole_run()) == []


def test_content_that_is_off_is_told_by_instrumentation(store: TrajectoryStore) -> None:
    genai = "opentelemetry.instrumentation.genai.openai"
    silent = [
        *(replace(s, scope_name=genai) for s in (chat(2, 1), tool(2, 2), chat(2, 3))),
        replace(chat(3, 1), scope_name="my.app"),
        root(2),
        root(3),
    ]

    [gap] = gaps(store, *whole_run(), *silent)

    assert (gap.name, gap.times, gap.runs) == ("content", 4, 2)
    assert gap.remedies == (
        Remedy(
            "opentelemetry-instrumentation-genai",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY",
            times=3,
            runs=1,
        ),
        Remedy(
            "my.app", "switch on the recording of content in this instrumentation", times=1, runs=1
        ),
    )


def test_content_that_is_on_but_does_not_tell_a_tool_asks_for_no_switch(
    store: TrajectoryStore,
) -> None:
    openinference = "openinference.instrumentation.openai"
    spans = [told(chat(1, 1), openinference), replace(tool(1, 2), scope_name=openinference)]

    [gap] = gaps(store, *spans, root(1))

    assert (gap.name, gap.times) == ("tool", 1)
    assert [remedy.setting for remedy in gap.remedies] == [
        "decorate the tools with otel_traj.tool, which records both"
    ]


def test_a_failed_call_is_no_gap(store: TrajectoryStore) -> None:
    failed = replace(chat(1, 3), status="ERROR", scope_name="my.app")

    assert gaps(store, told(chat(1, 1)), failed, root(1)) == []


def test_cut_values_tell_how_long_they_were(store: TrajectoryStore) -> None:
    cut = {
        f"{semconv.TRUNCATED_PREFIX}gen_ai.output.messages": 48_213,
        f"{semconv.TRUNCATED_PREFIX}gen_ai.input.messages": 900,
    }
    first, *others = whole_run()
    spans = [replace(first, attributes={**first.attributes, **cut}), *others]

    [gap] = gaps(store, *spans)

    assert (gap.name, gap.times, gap.runs) == ("cut", 2, 1)
    assert gap.details == (
        "gen_ai.input.messages: 1, the longest had 900 bytes",
        "gen_ai.output.messages: 1, the longest had 48,213 bytes",
    )


def test_what_the_sdk_dropped_says_by_how_much_to_raise_its_limit(store: TrajectoryStore) -> None:
    first, second, *others = whole_run()
    spans = [
        replace(first, dropped_attributes=33, dropped_events=2),
        replace(second, dropped_attributes=7, dropped_links=1),
        *others,
    ]

    found = {gap.name: gap for gap in gaps(store, *spans)}

    assert {name: gap.times for name, gap in found.items()} == {
        "dropped attribute": 40, "dropped event": 2, "dropped link": 1,
    }  # fmt: skip
    assert found["dropped attribute"].remedies[0].setting == (
        "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT by 33 or more (128 if unset)"
    )


def test_tokens_parents_and_lost_spans_are_gaps(store: TrajectoryStore) -> None:
    first, *others = whole_run()
    attributes = {k: v for k, v in first.attributes.items() if not k.startswith("gen_ai.usage")}
    orphan = replace(told(tool(1, 5)), parent_span_id=span_id(1, 99))
    store.append(
        [replace(first, attributes=attributes), orphan, *others, close(1, dropped_spans=3)]
    )

    found = {gap.name: gap.times for gap in Diagnosis(store).gaps()}

    assert found == {"tokens": 1, "parent": 1, "dropped span": 3}


def test_open_spans_and_late_ones_are_in_the_overview(store: TrajectoryStore) -> None:
    store.append(whole_run())
    store.append([told(tool(1, 4)), started(root(2)), told(chat(2, 1))])

    overview = Diagnosis(store).overview()

    counts = {name: overview[name] for name in ("n_runs", "n_open", "n_open_spans", "n_late")}
    assert counts == {"n_runs": 2, "n_open": 1, "n_open_spans": 1, "n_late": 1}


def test_a_diagnosis_of_one_run_leaves_the_others_out(store: TrajectoryStore) -> None:
    store.append([*whole_run(1), chat(2, 1), tool(2, 2), root(2)])
    silent, whole = (t.trajectory_id for t in store.trajectories())

    assert Diagnosis(store, whole).gaps() == []
    assert [gap.name for gap in Diagnosis(store, silent).gaps()] == ["content"]
    assert Diagnosis(store, silent).grades() == [{"grade": "D", "runs": 1}]
    assert [row["positions"] for row in Diagnosis(store, silent).reasons()] == [[1], [0]]
    assert Diagnosis(store, whole).reasons() == []
