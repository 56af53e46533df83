"""Real captures with all their noise: what truly happened comes out, each call counted once."""

from dataclasses import dataclass
from functools import cache

import pytest

from otel_traj import importers
from otel_traj.assembly import assemble
from otel_traj.model import Assembly, LogRecord, SpanRecord
from tests.corpus import third_party


@dataclass(frozen=True)
class Run:
    """What happened in a capture, as somebody who reads all its spans sees it.

    Model calls and the tokens of all of them, tools that ran, agents that acted, what came out.
    In none of them an agent hands over to another one.
    """

    n_llm: int
    tokens: tuple[int, int]
    tools: tuple[str, ...] = ()
    answer: str | None = None
    agents: tuple[str, ...] = ()
    n_told_again: int = 0


HAPPENED = {
    "otel-kagent-adk/helm.json.gz": Run(
        2,
        (3776, 130),
        ("helm_list_releases",),
        "There are two Helm releases installed",
        agents=("helm_agent",),
        n_told_again=2,
    ),
    "otel-kagent-adk/helm_2.json.gz": Run(
        1, (1822, 43), (), "To help you effectively", agents=("helm_agent",), n_told_again=1
    ),
    "otel-kagent-adk/tempo_export_with_batches.json.gz": Run(
        2,
        (4648, 129),
        ("helm_list_releases",),
        "There are two Helm releases currently deployed",
        agents=("helm_agent",),
        n_told_again=4,
    ),
    "otel-halo-openai-agents/traces.jsonl.gz": Run(
        2, (125_324, 130), ("list_files",), agents=("HaloCodeHelper",)
    ),
    "otel-langfuse-frameworks/agno-2025-06-11.trace.json.gz": Run(
        2,
        (826, 245),
        ("duckduckgo_search",),
        "To find out what's currently trending",
        agents=("Agent",),
        n_told_again=2,
    ),
    "otel-langfuse-frameworks/claude-agent-2025-12-22.trace.json.gz": Run(
        4,
        (34, 232),
        ("mcp__weather__get_weather",) * 2,
        "Great! Here's the current weather",
        agents=("claude.conversation",),
    ),
    "otel-langfuse-frameworks/csharp-agent-with-gemini-2026-03-09.trace.json.gz": Run(
        3, (8047, 414), ("get_custom_report",)
    ),
    "otel-langfuse-frameworks/google-adk-2025-08-28.trace.json.gz": Run(
        2, (67, 9), ("say_hello",), "Hello Langfuse", agents=("hello_agent",)
    ),
    "otel-langfuse-frameworks/google-gemini-2025-08-01.trace.json.gz": Run(
        1, (6, 2055), (), "**Langfuse** is an **open-source observability"
    ),
    "otel-langfuse-frameworks/koog-2025-08-26.trace.json.gz": Run(
        2, (215, 125), ("ByeTool", "HelloTool"), "Hello my darling Bob! And, bye my dear Bob!"
    ),
    "otel-langfuse-frameworks/langgraph-python-2025-08-22.trace.json.gz": Run(
        2, (168, 66), ("Web-Search",), 'The search for "example" primarily leads to'
    ),
    "otel-langfuse-frameworks/microsoft-agent-2025-12-17.trace.json.gz": Run(
        2, (293, 106), ("get_weather",), "Current conditions in Tokyo, Japan: stormy"
    ),
    "otel-langfuse-frameworks/openai-agents-2025-09-30.trace.json.gz": Run(
        2,
        (140, 44),
        ("get_weather",),
        "The weather in Tokyo is currently sunny.",
        agents=("Hello world",),
    ),
    "otel-langfuse-frameworks/pydantic-ai-tools-2025-12-04.trace.json.gz": Run(
        4,
        (1315, 209),
        ("get_dad_joke_suggestion", "get_one_liner_suggestion", "get_pun_suggestion"),
        agents=("joke_agent", "evaluator_agent"),
    ),
    "otel-langfuse-frameworks/vercel-aisdk-2025-11-17.trace.json.gz": Run(
        1, (62, 85), ("getWeather",)
    ),
}


@cache
def assembled(name: str) -> list[Assembly]:
    """What a capture tells; skips where it is not at hand."""
    (reading,) = importers.readings(third_party(name))
    records = list(reading)
    assert (reading.flaws, reading.skipped) == ([], None)
    spans = [record for record in records if isinstance(record, SpanRecord)]
    return assemble(spans, [record for record in records if isinstance(record, LogRecord)])


@pytest.mark.parametrize("name", HAPPENED)
def test_a_capture_is_one_run_with_each_call_once(name: str) -> None:
    expected = HAPPENED[name]

    (assembly,) = assembled(name)

    run = assembly.trajectory
    tools = tuple(sorted(step.tool_name or "" for step in run.steps if step.kind == "tool"))
    assert (run.status, run.n_llm, tools) == ("completed", expected.n_llm, expected.tools)
    assert (run.input_tokens, run.output_tokens) == expected.tokens
    assert (run.agents, run.n_handoffs) == (expected.agents, 0)
    assert run.n_duplicates == expected.n_told_again
    if expected.answer is not None:
        assert run.final_answer is not None
        assert run.final_answer.startswith(expected.answer)


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        (
            "otel-langfuse-frameworks/claude-agent-2025-12-22.trace.json.gz",
            {"correctness": 0.0, "hallucination": 1.0, "toxicity": 0.0},
        ),
        (
            "otel-langfuse-frameworks/microsoft-agent-2025-12-17.trace.json.gz",
            {"correctness": 1.0, "hallucination": 0.9, "toxicity": 0.0},
        ),
    ],
)
def test_scores_are_annotations_of_the_run(name: str, scores: dict[str, float]) -> None:
    (assembly,) = assembled(name)

    assert {note.name: note.value_num for note in assembly.annotations} == scores
    assert {note.target for note in assembly.annotations} == {"trajectory"}


def test_spans_of_the_ai_sdk_without_parents_still_count_each_call_once() -> None:
    runs = [a.trajectory for a in assembled("otel-vercel-ai-v6/all-spans.json.gz")]

    calls = [step for run in runs for step in run.steps if step.kind == "llm"]
    assert {(step.input_tokens, step.output_tokens) for step in calls} == {
        (14, 20),
        (50, 9),
        (63, 156),
        (15, 112),
    }
    assert len(calls) == 4
    assert sum(run.input_tokens or 0 for run in runs) == 142
    assert all(step.output_text for step in calls)
