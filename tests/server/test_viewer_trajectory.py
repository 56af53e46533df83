"""One trajectory over HTTP: header, spans, transcript, steps, files, one span, what is found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv, wal
from otel_traj.server.viewer import spans
from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.server.episodes import HOSTILE, delegating, episode, hostile, messages
from tests.server.viewing import Viewing, segment, viewing
from tests.store.runs import chat, root, run, span_id, started, trace_id

pytestmark = pytest.mark.slow

LONG = "line of a long result\n" * 5_000


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewing]:
    store = TrajectoryStore.create(tmp_path_factory.mktemp("viewed") / "traces")
    real = corpus.together(corpus.runs(corpus.SHIPPED))
    store.append([*episode(1), *delegating(2), *hostile(3), *wide(4), *real])
    with viewing(store.path) as running:
        yield running


def wide(number: int) -> list[Any]:
    """A run with a text that no page wants whole, and a picture."""
    picture = {"type": "blob", "mime_type": "image/png", "content": "aGVsbG8="}
    asked = [{"role": "user", "parts": [picture, {"type": "text", "content": LONG}]}]
    return [
        chat(number, 1, **{semconv.INPUT_MESSAGES: json.dumps(asked)}),
        root(number, **{semconv.AGENT_NAME: "wide"}),
    ]


def of(viewer: Viewing, agent: str) -> str:
    """Path of the one trajectory of an agent."""
    [row] = viewer.get("trajectories", agent=agent)["rows"]
    return f"trajectories/{segment(row['trajectory_id'])}"


# --- header ------------------------------------------------------------------------------------


def test_a_header_tells_outcome_totals_flags_and_what_is_missing(viewer: Viewing) -> None:
    told = viewer.get(of(viewer, "coder"))

    assert (told["outcome"], told["outcome_source"]) == ("failure", "explicit")
    assert (told["n_steps"], told["n_errors"], told["n_files"]) == (4, 1, 1)
    assert told["flags"] == [{"step": 3, "flags": ["network"]}]
    assert told["cost_usd"] == 0.25
    assert told["coverage"]["is_complete"]
    assert [(v["name"], v["value"]) for v in told["verdicts"] if v["target"] == "trajectory"] == [
        ("outcome", "failure")
    ]


def test_the_beginning_of_an_id_is_enough_and_another_is_not_there(viewer: Viewing) -> None:
    path = of(viewer, "coder")

    assert viewer.get(path[: len("trajectories/") + 8]) == viewer.get(path)
    assert viewer.refused("trajectories/nothing-like-it")["status"] == 404


def test_runs_that_have_to_do_with_each_other_are_related(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    store.append([*run(1, **{semconv.TASK_ID: "t"}), *run(2, **{semconv.TASK_ID: "t"}), *run(3)])
    [first, second, third] = [t.trajectory_id for t in store.trajectories()][::-1]
    child = {semconv.PARENT_TRAJECTORY_ID: first, semconv.RELATION: "replay"}
    store.append(run(4, **child))
    with viewing(store.path) as viewer:
        related = viewer.get(f"trajectories/{first}")["related"]
        replays = viewer.get(f"/api/traces/{first}/replays")
        by_trace = viewer.get(f"/api/traces/{trace_id(1)}/replays")
        one = viewer.get(f"/api/replays/{replays['replays'][0]['trajectory_id']}")
        none = viewer.get(f"trajectories/{third}")["related"]

    told = [(each["trajectory_id"], each["how"]) for each in related]
    assert told == [(replays["replays"][0]["trajectory_id"], "child"), (second, "task")]
    assert by_trace == replays
    assert one == replays["replays"][0]
    assert none == []


# --- spans -------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", corpus.runs(corpus.SHIPPED), ids=lambda folder: folder.name)
def test_the_columns_say_of_every_span_what_was_recorded(viewer: Viewing, folder: Path) -> None:
    recorded = {
        (s.trace_id, s.span_id): s for s in corpus.records(folder)[0] if s.end_ns is not None
    }
    trace = next(iter(recorded))[0]
    [row] = viewer.get("trajectories", q=f"id:{trace}")["rows"]
    told = viewer.get(f"trajectories/{row['trajectory_id']}/spans")

    assert told["n"] == told["total"] == told["next"] == row["n_spans"] == len(recorded)
    for number in range(told["n"]):
        detail = viewer.get(f"trajectories/{row['trajectory_id']}/spans/{number}")
        span = recorded[detail["trace_id"], detail["span_id"]]
        assert told["dict"]["name"][told["name"][number]] == detail["name"] == span.name
        assert told["t0"] + told["start"][number] == span.start_ns // 1000
        assert told["dur"][number] == detail["duration_us"]
        above = told["parent"][number]
        parent_id = (
            viewer.get(f"trajectories/{row['trajectory_id']}/spans/{above}")["span_id"]
            if (above >= 0)
            else None
        )
        assert parent_id == (
            span.parent_span_id if (trace, span.parent_span_id) in recorded else None
        )
        assert detail["row"] == number


def test_tokens_and_cost_stand_where_they_can_be_summed(viewer: Viewing) -> None:
    path = of(viewer, "coder")
    told, header = viewer.get(f"{path}/spans"), viewer.get(path)

    assert sum(told["tin"]["v"]) == header["input_tokens"]
    assert sum(told["cost"]["v"]) == header["cost_usd"]
    failed = {told["dict"]["name"][told["name"][i]] for i in told["err"]["i"]}
    assert failed == {"execute_tool lookup"}
    assert [told["dict"]["err"][at] for at in told["err"]["v"]] == ["ToolError"]
    assert told["flag"]["v"] == [1]


def test_a_span_is_found_by_its_id_and_by_its_row(viewer: Viewing) -> None:
    path = of(viewer, "coder")
    by_id = viewer.get(f"{path}/spans/{span_id(1, 2)}")

    assert viewer.get(f"{path}/spans/{by_id['row']}") == by_id
    assert by_id["steps"] == [2]
    assert viewer.refused(f"{path}/spans/99")["status"] == 404
    assert viewer.refused(f"{path}/spans/{'f' * 16}")["status"] == 404


def test_what_has_only_started_comes_last_and_is_open(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    whole = root(1, **{semconv.AGENT_NAME: "hung"})
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([started(whole), chat(1, 1), started(chat(1, 2))]))
    with viewing(store.path) as viewer:
        [row] = viewer.get("trajectories")["rows"]
        path = f"trajectories/{row['trajectory_id']}"
        told = viewer.get(f"{path}/spans")
        detail = viewer.get(f"{path}/spans/{whole.span_id}")
    writer.close()

    assert row["status"] == "open"
    assert (told["total"], told["next"]) == (3, 1)
    assert told["dur"] == [1000, -1, -1]
    assert told["parent"] == [1, -1, 1]
    assert (detail["row"], detail["duration_us"]) == (1, None)


def test_only_rows_that_came_later_are_asked_for(viewer: Viewing) -> None:
    path = of(viewer, "coder")
    whole = viewer.get(f"{path}/spans")

    later = viewer.get(f"{path}/spans", from_=2)

    assert later["row"] == [2, 3]
    assert later["start"] == whole["start"][2:]
    assert later["parent"] == whole["parent"][2:]


def test_of_a_run_that_is_too_large_the_top_is_sent_and_what_is_below_on_demand(
    viewer: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "MOST", 4)
    path = of(viewer, "planner")

    top = viewer.get(f"{path}/spans", x=1)
    names = [top["dict"]["name"][i] for i in top["name"]]
    folded = top["row"][top["more"]["i"][0]]
    below = viewer.get(f"{path}/spans", under=folded)

    assert sorted(names) == [
        "chat m-1",
        "chat m-1",
        "invoke_agent clerk",
        "invoke_agent researcher",
    ]
    assert top["total"] == 6
    assert top["more"]["v"] == [2]
    assert names[top["more"]["i"][0]] == "invoke_agent researcher"
    assert below["parent"] == [folded, folded]
    assert below["more"]["v"] == []
    assert viewer.refused(f"{path}/spans", under=99)["status"] == 400


def test_spans_in_a_circle_are_cut_open(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    first, second = chat(1, 1), chat(1, 2)
    store.append(
        [
            dataclasses.replace(first, parent_span_id=second.span_id),
            dataclasses.replace(second, parent_span_id=first.span_id),
        ]
    )
    with viewing(store.path) as viewer:
        [row] = viewer.get("trajectories")["rows"]
        told = viewer.get(f"trajectories/{row['trajectory_id']}/spans")

    assert sorted(told["parent"]) == [-1, told["parent"].index(-1)]


# --- one span ----------------------------------------------------------------------------------


def test_messages_are_read_in_whatever_dialect_they_came(viewer: Viewing) -> None:
    """S2.9: what was asked and answered is there part by part."""
    for folder in corpus.runs(corpus.SHIPPED):
        told, _ = corpus.records(folder)
        [row] = viewer.get("trajectories", q=f"id:{told[0].trace_id}")["rows"]
        path = f"trajectories/{row['trajectory_id']}"
        steps = viewer.get(f"{path}/steps")["rows"]
        call = next(step for step in steps if step["kind"] == "llm")
        detail = viewer.get(f"{path}/spans/{call['span_id']}")
        parts = [part for message in detail["input"] for part in message["parts"]]

        assert parts, folder.name
        assert any(part["kind"] == "text" and part["text"]["text"] for part in parts), folder.name
        assert [part["kind"] for message in detail["output"] for part in message["parts"]]


def test_a_long_text_is_begun_and_the_whole_is_a_download(viewer: Viewing) -> None:
    path = of(viewer, "wide")
    detail = viewer.get(f"{path}/spans/{span_id(4, 1)}")
    [picture, text] = detail["input"][0]["parts"]

    told = text["text"]
    whole = viewer.ask(f"{path}/spans/{span_id(4, 1)}/values/{segment(told['key'])}")

    assert told["text"] == LONG[:65536]
    assert told["length"] == len(LONG)
    assert whole.body.decode() == LONG
    assert told["sha256"] == hashlib.sha256(whole.body).hexdigest()
    assert whole.headers["content-disposition"].startswith("attachment;")
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert picture["media"] == {
        "mime": "image/png",
        "uri": None,
        "data": "aGVsbG8=",
        "n_bytes": 5,
        "key": "input.0.0",
    }


def test_a_value_is_read_range_by_range(viewer: Viewing) -> None:
    path = f"{of(viewer, HOSTILE)}/spans/{span_id(3, 1)}/values/attributes.long"

    parts = [viewer.ask(path, offset=at, len=90_001) for at in (0, 90_001, 180_002)]

    assert [part.status for part in parts] == [206, 206, 206]
    assert parts[1].headers["content-range"] == "bytes 90001-180001/200000"
    assert b"".join(part.body for part in parts).decode() == "ä" * 100_000
    assert viewer.refused(path, offset=200_001)["status"] == 400


def test_bytes_are_bytes_and_large_numbers_keep_every_digit(viewer: Viewing) -> None:
    path = f"{of(viewer, HOSTILE)}/spans/{span_id(3, 1)}"
    told = {each["key"]: each for each in viewer.get(path)["attributes"]}

    raw = viewer.ask(f"{path}/values/attributes.raw")

    assert (raw.body, raw.headers["content-type"]) == (b"\x00\xff", "application/octet-stream")
    assert (told["large"]["type"], told["large"]["value"]["text"]) == ("int", str(2**63 - 1))
    assert (told["nan"]["type"], told["nan"]["value"]["text"]) == ("double", "NaN")
    assert viewer.refused(f"{path}/values/nothing")["status"] == 404


# --- transcript and steps ----------------------------------------------------------------------


def test_a_transcript_folds_who_works_for_the_agent(viewer: Viewing) -> None:
    path = of(viewer, "planner")

    told = viewer.get(f"{path}/transcript")
    inside = viewer.get(f"{path}/transcript", agent="planner.0/researcher.1")

    assert [(i["step"] or {}).get("step") for i in told["items"]] == [0, None, 3]
    folded = told["items"][1]["agent"]
    assert (folded["agent_name"], folded["n_steps"], folded["n_tools"]) == ("researcher", 2, 1)
    assert (folded["first_step"], folded["last_step"]) == (1, 2)
    assert folded["first"]["text"] == "What is the tide?"
    assert folded["last"]["text"] == "High at six"
    assert [item["step"]["step"] for item in inside["items"]] == [1, 2]
    said = [(p["label"], p["text"]["text"]) for p in inside["items"][0]["step"]["pieces"]]
    assert said == [("user", "What is the tide?"), ("answer", "High at six")]
    assert viewer.refused(f"{path}/transcript", agent="planner.0/nobody.7")["status"] == 404


def test_a_transcript_is_paged(viewer: Viewing) -> None:
    path = of(viewer, "coder")
    whole = viewer.get(f"{path}/transcript")

    first = viewer.get(f"{path}/transcript", limit=3)
    second = viewer.get(f"{path}/transcript", limit=3, cursor=first["next"])

    assert first["items"] + second["items"] == whole["items"]
    assert second["next"] is None
    assert first["total"] == len(whole["items"]) == 4


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("agent", ["coder", "planner"])
def test_a_transcript_begins_at_any_step_and_goes_on_both_ways(
    viewer: Viewing, agent: str, limit: int
) -> None:
    path = of(viewer, agent)
    whole = viewer.get(f"{path}/transcript")["items"]
    n_steps = viewer.get(path)["n_steps"]

    for step in range(n_steps):
        middle = viewer.get(f"{path}/transcript", around=step, limit=limit)
        items, previous, following = middle["items"], middle["previous"], middle["next"]
        assert any(shows(item, step) for item in items)
        while previous is not None:
            page = viewer.get(f"{path}/transcript", before=previous, limit=limit)
            assert page["next"] == previous
            items, previous = page["items"] + items, page["previous"]
        while following is not None:
            page = viewer.get(f"{path}/transcript", cursor=following, limit=limit)
            assert page["previous"] == following
            items, following = items + page["items"], page["next"]
        assert items == whole


def shows(item: dict[str, Any], step: int) -> bool:
    if item["step"] is not None:
        return bool(item["step"]["step"] == step)
    return bool(item["agent"]["first_step"] <= step <= item["agent"]["last_step"])


def test_a_transcript_begins_at_one_place(viewer: Viewing) -> None:
    told = viewer.refused(f"{of(viewer, 'coder')}/transcript", cursor=1, around=2)

    assert told["status"] == 400
    assert "`cursor`, `before` and `around`" in told["detail"]


def test_a_step_of_a_transcript_has_beginnings_whose_wholes_can_be_read(viewer: Viewing) -> None:
    path = of(viewer, "wide")
    item = viewer.get(f"{path}/transcript")["items"][0]["step"]
    [picture, text] = [piece for piece in item["pieces"] if piece["label"] == "user"]

    whole = viewer.ask(f"{path}/steps/0/values/{segment(text['text']['key'])}")

    assert picture["media"]["mime"] == "image/png"
    assert text["text"]["text"] == LONG[:400]
    assert whole.body.decode() == LONG


def test_steps_tell_rewards_flags_errors_tests_and_files(viewer: Viewing) -> None:
    """S2.3, S2.9: file changes and what the environment said, by step."""
    rows = viewer.get(f"{of(viewer, 'coder')}/steps")["rows"]

    assert [row["reward"] for row in rows] == [None, None, 0.5, 1.0]
    assert [row["cumulative_reward"] for row in rows] == [None, None, 0.5, 1.5]
    assert [row["test_pass_rate"] for row in rows] == [None, None, 0.25, None]
    assert [row["security_flags"] for row in rows] == [[], [], [], ["network"]]
    assert [row["n_files"] for row in rows] == [0, 0, 1, 1]
    assert [(row["added"], row["removed"]) for row in rows[2:]] == [(1, 1), (1, 0)]
    assert (rows[3]["status"], rows[3]["error_type"]) == ("error", "ToolError")
    assert rows[3]["preview"] == "no such file"
    assert rows[3]["done"] is True


def test_steps_are_paged(viewer: Viewing) -> None:
    path = of(viewer, "coder")

    page = viewer.get(f"{path}/steps", from_=1, limit=2)

    assert [row["step"] for row in page["rows"]] == [1, 2]
    assert (page["next"], page["total"]) == (3, 4)


@pytest.mark.parametrize("number", [4, 2**31 - 1, 2**31, 10**40])
def test_a_step_that_is_not_there_is_no_failure_of_the_store(viewer: Viewing, number: int) -> None:
    path = of(viewer, "coder")

    told = viewer.refused(f"{path}/steps/{number}")

    assert told["status"] == (404 if number < 2**31 else 400)
    assert viewer.get(f"{path}/steps", from_=min(number, 2**31 - 1))["rows"] == []


def test_one_step_has_its_messages_texts_and_verdicts(viewer: Viewing) -> None:
    path = of(viewer, "coder")
    asked, edited = viewer.get(f"{path}/steps/1"), viewer.get(f"{path}/steps/2")

    assert asked["output"][0]["parts"][0]["text"]["text"] == "I will edit a.py"
    assert edited["texts"]["arguments"]["text"] == '{"path":"a.py"}'
    assert edited["texts"]["result"]["text"] == "done"
    assert viewer.refused(f"{path}/steps/4")["status"] == 404
    assert viewer.refused(f"{path}/steps/x")["status"] == 400


# --- files -------------------------------------------------------------------------------------

FILE = segment("src/a b.py")


def test_files_are_listed_in_all_and_by_step(viewer: Viewing) -> None:
    path = of(viewer, "coder")

    rows = viewer.get(f"{path}/files")["rows"]

    assert [(row["step"], row["path"], row["change"]) for row in rows] == [
        (2, "src/a b.py", "changed"),
        (3, "src/a b.py", "changed"),
    ]
    assert viewer.get(f"{path}/steps/3/files")["rows"] == rows[1:]


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        (2, [" one", "-two", "+TWO"]),  # as it was recorded
        (3, [" one", " TWO", "+three"]),  # from the contents
        (None, [" one", "-two", "+TWO", "+three"]),  # from the first to the last
    ],
)
def test_a_diff_is_of_one_step_or_of_all(
    viewer: Viewing, step: int | None, lines: list[str]
) -> None:
    """S2.3: the files of a step with their difference."""
    path = of(viewer, "coder")

    told = viewer.get(f"{path}/files/{FILE}/diff", **({} if step is None else {"step": step}))

    [hunk] = told["hunks"]
    assert hunk["lines"] == lines
    assert (told["why"], told["is_cut"]) == (None, False)


def test_a_file_that_was_not_changed_has_no_diff(viewer: Viewing) -> None:
    path = of(viewer, "coder")

    assert viewer.refused(f"{path}/files/{FILE}/diff", step=1)["status"] == 404
    assert viewer.refused(f"{path}/files/{segment('../../etc/passwd')}/diff")["status"] == 404


# --- beside ------------------------------------------------------------------------------------


def test_a_text_is_found_wherever_a_run_holds_it(viewer: Viewing) -> None:
    trajectory_id = viewer.get(of(viewer, "coder"))["trajectory_id"]

    edits = viewer.get("find", id=trajectory_id, q="EDIT")["matches"]

    assert {(match["step"], match["where"]) for match in edits} >= {
        (1, "output_text"),
        (2, "tool_name"),
    }
    for match in edits:
        found = match["snippet"][match["at"] : match["at"] + match["length"]]
        assert found.lower() == "edit"
    assert viewer.get("find", id=trajectory_id, q="nowhere")["matches"] == []
    assert viewer.refused("find", id=trajectory_id, q="")["status"] == 400


def test_the_doctor_speaks_of_a_run_and_of_the_store(viewer: Viewing) -> None:
    one, everything = viewer.get(f"{of(viewer, 'coder')}/doctor"), viewer.get("doctor")

    assert one["overview"]["n_runs"] == 1
    assert everything["overview"]["n_runs"] == viewer.get("meta")["n_trajectories"]
    assert sum(dialect["runs"] for dialect in everything["dialects"]) >= 9
    assert {gap["name"] for gap in everything["gaps"]} >= {gap["name"] for gap in one["gaps"]}


def test_checkpoints_are_read_by_trace_by_run_and_by_their_whole_id(viewer: Viewing) -> None:
    """S3.1, S3.3, S3.8: exact ids, with the names of span and agent; JSON states with a hash."""
    by_trace = viewer.get(f"/api/traces/{trace_id(1)}/checkpoints")
    run_id = viewer.get(of(viewer, "coder"))["trajectory_id"]

    [checkpoint] = by_trace["checkpoints"]
    assert viewer.get(f"/api/traces/{run_id}/checkpoints") == by_trace
    assert viewer.get("/api/checkpoints/checkpoint-1") == checkpoint
    assert checkpoint["state"] == {"n": 1}
    assert checkpoint["state_hash"] == hashlib.sha256(b'{"n":1}').hexdigest()
    assert (checkpoint["name"], checkpoint["agent_name"]) == ("before", "coder")
    assert checkpoint["span_name"] == "execute_tool lookup"
    for unknown in ("checkpoint-", "checkpoint-%", "heckpoint-1", '"'):
        assert viewer.refused(f"/api/checkpoints/{segment(unknown)}")["status"] == 404
    assert viewer.refused("/api/traces/none/checkpoints")["status"] == 404
    assert viewer.refused("/api/replays/none")["status"] == 404


@pytest.mark.parametrize("form", ["otlp", "jaeger", "chrome", "html"])
def test_a_run_can_be_saved_in_the_form_of_another_tool(viewer: Viewing, form: str) -> None:
    run_id = viewer.get(of(viewer, "coder"))["trajectory_id"]

    saved = viewer.ask(f"export/{run_id}", format=form)

    assert saved.status == 200
    assert saved.headers["content-disposition"].startswith(f'attachment; filename="{run_id}-{form}')
    if form != "html":
        told = (
            [json.loads(line) for line in saved.body.splitlines()]
            if form == "otlp"
            else [json.loads(saved.body)]
        )
        assert told[0].keys() & {"resourceSpans", "data", "traceEvents"}
    assert b"execute_tool lookup" in saved.body or b"I will edit a.py" in saved.body


def test_names_of_agents_may_hold_a_slash(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    asked = {semconv.INPUT_MESSAGES: messages("user", "hello")}
    store.append([chat(1, 1, **asked), root(1, **{semconv.AGENT_NAME: "team/a v1/b"})])
    with viewing(store.path) as viewer:
        [row] = viewer.get("trajectories")["rows"]
        told = viewer.get(f"trajectories/{row['trajectory_id']}/transcript")

    assert [item["agent"] for item in told["items"]] == [None] * 2
