"""`doctor`: what is missing comes first, with what closes it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CORPUS, Run

RUN_ID = "396f4cf86155eee8f15b"


def ingest(run: Run, name: str, store: Path, *, without: tuple[str, ...] = ()) -> None:
    """A store of one recorded run, in which no span has the attributes that contain a text."""
    text = (CORPUS / name / "spans.jsonl").read_text()
    for key in without:
        assert key in text
        text = text.replace(key, "unknown")
    spans = store.with_name("spans.jsonl")
    spans.write_text(text)
    run("ingest", spans, "--store", store)


def test_where_nothing_is_missing_there_is_little_to_read(run: Run, corpus_store: Path) -> None:
    ran = run("doctor", "--store", corpus_store)

    assert ran.status == 0
    assert ran.out.startswith("5 trajectories of 31 spans, 2026-11-21 07:04:54 to ")
    assert "\nMissing\nnothing\n" in ran.out
    assert "\nRepaired, the least sure first\n" in ran.out
    assert "result: the next request" in ran.out
    assert ran.out.splitlines()[-1].startswith("otel ")


def test_an_empty_store_has_nothing_to_tell(run: Run, empty_store: Path) -> None:
    assert run("doctor", "--store", empty_store).out == "No trajectories.\n\nMissing\nnothing\n"


def test_a_gap_comes_with_the_setting_of_the_instrumentation_that_left_it(
    run: Run, tmp_path: Path
) -> None:
    store = tmp_path / "traces"
    ingest(
        run,
        "openai__traceloop-openai__stream",
        store,
        without=("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.usage"),
    )

    ran = run("doctor", "--store", store)

    assert ran.status == 1
    missing = ran.out.split("Missing\n")[1].split("\n\n")[0]
    assert missing.splitlines()[:2] == [
        "3 steps whose content is not recorded, in 1 run",
        "  → OpenLLMetry, 1 run: TRACELOOP_TRACE_CONTENT=true",
    ]
    assert "2 model calls without token counts, in 1 run\n" in missing
    assert "Replay: 1 run D\n" in ran.out


def test_one_run_names_its_steps(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "traces"
    ingest(run, "openai__traceloop-openai__stream", store, without=("gen_ai.output.messages",))
    [(trajectory_id,)] = [
        tuple(row.values())
        for row in json.loads(
            run("sql", "select trajectory_id from trajectories", "--format", "json",
                "--store", store).out
        )
    ]  # fmt: skip

    ran = run("doctor", trajectory_id[:8], "--store", store)

    assert ran.out.startswith("1 trajectory of ")
    assert "why not A" in ran.out
    assert "D      llm: the answer is not told  " in ran.out


def test_doctor_of_one_run_speaks_of_that_run(run: Run, corpus_store: Path) -> None:
    ran = run("doctor", RUN_ID[:8], "--store", corpus_store)

    assert ran.out.startswith("1 trajectory of 7 spans")
    assert "traceloop" not in ran.out


def test_json_has_all_of_it(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "traces"
    ingest(run, "openai__traceloop-openai__stream", store, without=("gen_ai.usage",))

    ran = run("doctor", "--format", "json", "--store", store)

    found = json.loads(ran.out)
    assert ran.status == 1
    assert list(found) == [
        "trajectory_id", "overview", "open_runs", "gaps", "grades", "reasons", "repairs",
        "dialects",
    ]  # fmt: skip
    [gap] = found["gaps"]
    assert (gap["name"], gap["times"], gap["runs"]) == ("tokens", 2, 1)
    assert gap["remedies"][0]["source"] == "OpenLLMetry"
    assert found["overview"]["n_runs"] == 1


@pytest.mark.parametrize("format_", ["text", "json"])
def test_what_a_stranger_wrote_cannot_drive_the_terminal(
    run: Run, tmp_path: Path, format_: str
) -> None:
    store = tmp_path / "traces"
    text = (CORPUS / "openai__traceloop-openai__stream" / "spans.jsonl").read_text()
    text = text.replace("gen_ai.input.messages", "x").replace("gen_ai.output.messages", "y")
    text = text.replace("opentelemetry.instrumentation.openai.v1", "\\u001b[2Jscope")
    (tmp_path / "spans.jsonl").write_text(text)
    run("ingest", tmp_path / "spans.jsonl", "--store", store)

    ran = run("doctor", "--format", format_, "--store", store)

    assert "scope" in ran.out
    assert "\x1b" not in ran.out
