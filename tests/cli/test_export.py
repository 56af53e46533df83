"""`export`: what is written is read back by the commands that read."""

import json
from pathlib import Path

import pytest

from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore, open_store
from tests.cli.conftest import Run
from tests.server.serving import serving

RUN_ID = "396f4cf8231582cd1036"  # of openai__otel-genai-openai


def listed(run: Run, store: Path) -> list[str]:
    rows = json.loads(run("list", "--format", "json", "--store", store).out)
    return sorted(row["trajectory_id"] for row in rows)


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.pb"])
def test_otlp_that_is_written_is_ingested_as_the_same_runs(
    name: str, run: Run, corpus_store: Path, tmp_path: Path
) -> None:
    ran = run("export", "--format", "otlp", tmp_path / name, "--store", corpus_store)
    run("ingest", tmp_path / name, "--store", tmp_path / "again")

    assert (ran.status, ran.out) == (0, "")
    assert ran.err == f"5 trajectories -> {tmp_path / name}\n"
    assert listed(run, tmp_path / "again") == listed(run, corpus_store)


def test_parquet_has_the_views_of_the_chosen(run: Run, corpus_store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"

    ran = run(
        "export", "--format", "parquet", "--agent", "refund_agent", "--limit", "1", copy,
        "--store", corpus_store,
    )  # fmt: skip

    assert (ran.status, ran.err) == (0, f"1 trajectory -> {copy}\n")
    assert (copy / "trajectories.parquet").exists()
    assert (copy / "spans.parquet").exists()


def test_ids_may_be_shortened(run: Run, corpus_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    ran = run("export", "--format", "otlp", RUN_ID[:8], path, "--store", corpus_store)
    run("ingest", path, "--store", tmp_path / "again")

    assert ran.err.startswith("1 trajectory")
    assert listed(run, tmp_path / "again") == [RUN_ID]


def test_verbatim_keeps_the_dialect(run: Run, corpus_store: Path, tmp_path: Path) -> None:
    for path, flags in ((tmp_path / "current", ()), (tmp_path / "verbatim", ("--verbatim",))):
        run("export", "--format", "otlp", *flags, path, "--store", corpus_store)

    assert "llm.token_count" not in (tmp_path / "current").read_text()
    assert "llm.token_count" in (tmp_path / "verbatim").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "otpl"], "No exporter named 'otpl'"),
        (["--format", "parquet", "--verbatim"], "No option of exporter 'parquet'"),
        (["--format", "otlp", "--limit", "1", RUN_ID], "ids or filters"),
        (["--format", "otlp", "nobody"], "No trajectory 'nobody'"),
        ([], "--format"),
    ],
)
def test_wrong_use_writes_nothing(
    arguments: list[str], message: str, run: Run, corpus_store: Path, tmp_path: Path
) -> None:
    ran = run("export", *arguments, tmp_path / "out", "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_receiver_that_is_not_there_is_told_in_one_line(run: Run, corpus_store: Path) -> None:
    ran = run("export", "--format", "otlp", "http://127.0.0.1:9", "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) == 1


def test_what_leaves_is_redacted_as_asked(run: Run, empty_store: Path, tmp_path: Path) -> None:
    key = "sk-ant-api03-" + "x1" * 20
    said = {"gen_ai.tool.name": "look", "gen_ai.tool.call.result": f"bob@example.com has {key}"}
    told = SpanRecord("a" * 32, "b" * 16, None, "execute_tool look", 1, 2, attributes=said)
    TrajectoryStore(empty_store).append([told])

    for name, options in (("default", ()), ("all", ("--redact", "on")), ("off", ("--redact=off",))):
        path = tmp_path / name
        run("export", "--format", "otlp", *options, path, "--store", empty_store)

    written = {name: (tmp_path / name).read_text() for name in ("default", "all", "off")}
    assert {name: (key in text, "bob" in text) for name, text in written.items()} == {
        "default": (False, True),
        "all": (False, False),
        "off": (True, True),
    }


@pytest.mark.slow
def test_an_endpoint_is_sent_the_chosen_runs_redacted(
    run: Run, empty_store: Path, tmp_path: Path
) -> None:
    key = "sk-ant-api03-" + "x1" * 20
    for n, name in enumerate(("look", "write"), start=1):
        said = {"gen_ai.tool.name": name, "gen_ai.tool.call.result": f"there is {key}"}
        told = SpanRecord(f"{n}" * 32, "b" * 16, None, "execute_tool", 1, 2, attributes=said)
        TrajectoryStore(empty_store).append([told])
    [look] = (
        TrajectoryStore(empty_store)
        .sql("select trajectory_id from trajectories where tools = ['look']")
        .fetchall()
    )

    with serving(tmp_path / "received") as service:
        for _ in range(2):
            ran = run(
                *("export", "--format", "otlp", "--endpoint", service.http, *look),
                *("--store", empty_store),
            )
            assert (ran.status, ran.err) == (0, f"1 trajectory -> {service.http}\n")

    received = open_store(tmp_path / "received").sql("select tool_name, result from steps")
    assert received.fetchall() == [("look", "there is [redacted:anthropic-key]")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "localhost:4318"], "--endpoint is a URL"),
        ([], "Give the PATH to write, or --endpoint"),
    ],
)
def test_without_a_target_nothing_is_exported(
    arguments: list[str], message: str, run: Run, corpus_store: Path
) -> None:
    ran = run("export", "--format", "otlp", *arguments, "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
