"""The SQL console over HTTP: what it answers, what it refuses, and that it can be stopped."""

from __future__ import annotations

import csv
import gc
import http.client
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from otel_traj.redaction import Redaction, choose
from otel_traj.server.viewer import console, console_worker, guard
from otel_traj.store import TrajectoryStore
from otel_traj.store.schema import VIEW_COLUMNS
from tests.server.episodes import KEY, episode, hostile
from tests.server.serving import Answer, ask, wait_for
from tests.server.viewing import Viewing, viewing
from tests.store.escapes import ESCAPES
from tests.store.runs import run
from tests.ui.browsers import looking_at

pytestmark = pytest.mark.slow

ENDLESS = "select count(*) from range(10000000) a, range(10000000) b where a.range * b.range = 17"
DEAF = "select levenshtein(repeat('a', 300000), repeat('b', 300000))"
"""One call that takes minutes; the engine hears no interrupt before its end."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = TrajectoryStore.create(tmp_path_factory.mktemp("asked") / "traces")
    made.append([*run(1), *episode(2), *hostile(3)])
    return made.path


@pytest.fixture(scope="module")
def viewer(store: Path) -> Iterator[Viewing]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "SENT_RATE", 1e6)
        with viewing(store, redaction=choose("secrets")) as running:
            yield running


def post(viewer: Viewing, path: str, told: Any, **headers: str) -> Answer:
    given = {"origin": f"http://{viewer.address}", "content_type": "application/json"}
    body = json.dumps(told).encode()
    return ask(
        viewer.address, "POST", f"/api/ot/v1/{path}", body, **given, x_otel_traj="1", **headers
    )


def sql(viewer: Viewing, text: str, **more: Any) -> dict[str, Any]:
    """The answer to a query that is well."""
    answer = post(viewer, "sql", {"sql": text, "timeout_ms": 30_000, **more})
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def rows(told: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(*told["values"], strict=True))


def refused(viewer: Viewing, text: str, **more: Any) -> dict[str, Any]:
    """The problem that a query is answered with."""
    answer = post(viewer, "sql", {"sql": text, **more})
    assert answer.status >= 400, text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = json.loads(answer.body)
    return told


# --- what it answers ---------------------------------------------------------------------------


def test_rows_come_as_columns_with_names_and_types(viewer: Viewing) -> None:
    told = sql(viewer, "select agent_name, n_steps from trajectories order by 2, 1 limit 1")

    assert told["columns"] == [
        {"name": "agent_name", "type": "VARCHAR", "is_number": False},
        {"name": "n_steps", "type": "INTEGER", "is_number": True},
    ]
    assert (told["n_rows"], told["limited_by"], told["cut"]) == (1, None, [])
    assert len(told["values"]) == 2


def test_no_value_changes_on_its_way_through_json(viewer: Viewing) -> None:
    told = sql(
        viewer,
        "select null, true, 9007199254740993, 18446744073709551615::ubigint, 1.50::decimal(9, 2),"
        " 'nan'::double, 0.1::double, '', [1, null], {'a': 'x'}, timestamptz"
        " '2026-11-21 10:30:00.25+01'",
    )

    [values] = rows(told)
    assert values == (
        *(None, True, "9007199254740993", "18446744073709551615", "1.50", "NaN", 0.1, ""),
        *("[1, null]", '{"a": "x"}', "2026-11-21T09:30:00.250000Z"),
    )


def test_it_is_said_when_there_are_more_rows(viewer: Viewing) -> None:
    exact, more = (sql(viewer, f"from range({n})", limit=3) for n in (3, 4))

    assert (exact["n_rows"], exact["limited_by"]) == (3, None)
    assert (more["n_rows"], more["limited_by"]) == (3, "rows")
    assert sql(viewer, "from range(20000)")["n_rows"] == console_worker.ROWS
    assert sql(viewer, "from range(20000)", limit=50_000)["n_rows"] == console_worker.MOST_ROWS


def test_rows_stop_where_they_are_too_many_bytes_and_long_cells_are_cut(viewer: Viewing) -> None:
    long = console_worker.LONGEST_CELL
    told = sql(viewer, f"select repeat('x', {long + 1}) as a, range from range(900)")

    assert told["limited_by"] == "bytes"
    assert 0 < told["n_rows"] < 900
    assert told["cut"][0] == {"row": 0, "column": 0, "length": long + 1}
    assert len(told["values"][0][0]) == long


def test_files_hold_all_rows_and_keep_types(viewer: Viewing) -> None:
    asked = {"sql": "select range as n, 'a,b' as t from range(12000)", "timeout_ms": 30_000}

    as_csv = post(viewer, "sql", asked, accept="text/csv")
    as_arrow = post(viewer, "sql", asked, accept="application/vnd.apache.arrow.stream")
    as_parquet = post(viewer, "sql", asked, accept="application/vnd.apache.parquet")

    lines = list(csv.reader(io.StringIO(as_csv.body.decode())))
    assert (lines[0], lines[-1], len(lines)) == (["n", "t"], ["11999", "a,b"], 12001)
    table = pa.ipc.open_stream(as_arrow.body).read_all()
    assert table.num_rows == 12000
    assert parquet.read_table(io.BytesIO(as_parquet.body)).to_pylist() == table.to_pylist()
    for answer in (as_csv, as_arrow, as_parquet):
        assert answer.headers["content-disposition"].startswith("attachment;")


def test_half_a_file_is_never_given_out(viewer: Viewing) -> None:
    asked = {"sql": "select repeat('x', 90000) from range(1000)", "timeout_ms": 30_000}

    answer = post(viewer, "sql", asked, accept="text/csv")

    assert answer.status == 413
    assert b"64 MB" in answer.body


def test_what_nobody_can_write_is_not_promised(viewer: Viewing) -> None:
    assert post(viewer, "sql", {"sql": "select 1"}, accept="image/png").status == 406


def test_the_schema_has_every_view_and_column_with_its_meaning(viewer: Viewing) -> None:
    told = viewer.get("sql/schema")

    assert {view["name"]: [c["name"] for c in view["columns"]] for view in told["views"]} == {
        name: [column.name for column in columns] for name, columns in VIEW_COLUMNS.items()
    }
    assert all(c["meaning"] for view in told["views"] for c in view["columns"])


# --- what it refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", ESCAPES)
def test_what_leads_out_of_the_views_is_refused(viewer: Viewing, text: str) -> None:
    told = refused(viewer, text)

    assert told["status"] == 400
    assert "root:" not in json.dumps(told)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("selec 1", 0),
        ("select\n  nme from trajectories", 9),
        ("select 'ä', nme from trajectories", 12),
        ("select 1 from trajectories where agent_name::int = 1", None),
        ("-- a\nselect " + "1, " * 60 + "nme from trajectories", 192),
    ],
)
def test_what_is_wrong_is_told_in_the_engine_s_words_and_where(
    viewer: Viewing, text: str, at: int | None
) -> None:
    told = refused(viewer, text)

    assert "Error: " in told["detail"]
    assert "LINE " not in told["detail"]
    if at is not None:
        assert told["at"] == at


def test_no_error_names_a_file_of_this_machine(viewer: Viewing, store: Path) -> None:
    asked = ("select error(attributes) from spans", "select nme from spans", "from 'x.csv'")

    assert str(store.parent) not in json.dumps([refused(viewer, text) for text in asked])


@pytest.mark.parametrize(
    "told",
    [
        *({}, {"sql": 1}, {"sql": "select 1", "limit": 0}, {"sql": "select 1", "limit": "x"}, []),
        {"sql": "select 1", "timeout_ms": console.MOST_MS + 1},
        {"sql": "x" * 100_001},
        {"sql": "select '\ud800'"},
        {"sql": "select 1", "id": "short"},
    ],
)
def test_what_is_no_question_is_refused(viewer: Viewing, told: Any) -> None:
    assert post(viewer, "sql", told).status == 400


def test_only_our_own_pages_may_ask(viewer: Viewing) -> None:
    body = json.dumps({"sql": "select 1"}).encode()

    bare = ask(viewer.address, "POST", "/api/ot/v1/sql", body, content_type="application/json")
    by_link = viewer.ask("sql", sql="select 1")

    assert (bare.status, by_link.status) == (403, 404)


# --- secrets -----------------------------------------------------------------------------------


def test_secrets_are_replaced_before_anything_is_computed_of_them(viewer: Viewing) -> None:
    """Behaviour S4.4: text columns, lists, structs and JSON, and whatever is made of them."""
    everything = json.dumps([sql(viewer, f"from {view}") for view in VIEW_COLUMNS])
    found = sql(
        viewer,
        f"select count(*) from steps where contains(arguments, '{KEY[5:18]}')"
        f" or starts_with(result, '{KEY[:12]}') or contains(reverse(arguments), '{KEY[::-1]}')",
    )
    shown = sql(viewer, "select count(*) from steps where contains(arguments, '[redacted:')")

    assert KEY not in everything
    assert "[redacted:" in everything
    assert rows(found) == [(0,)]
    assert shown["values"][0][0] > 0


def test_nobody_gets_round_the_redacted_views(viewer: Viewing) -> None:
    for text in ("from main.steps", "from memory.main.steps", "select shown_text('a', 'b')"):
        assert refused(viewer, text)["status"] == 400


def test_own_rules_reach_attributes_by_their_keys(store: Path) -> None:
    rule = Redaction((), attributes={"weird*": "mask", "gen_ai.agent.name": "mask"})
    with viewing(store, redaction=rule) as viewer:
        agents = sql(viewer, "select distinct agent_name from trajectories where agent_name <> ''")
        [(masked,)] = rows(
            sql(viewer, "select count(*) from spans where contains(attributes, '[redacted:mask]')")
        )

    assert rows(agents) == [("[redacted:mask]",)]
    assert masked == 1


def test_without_redaction_all_is_shown(store: Path) -> None:
    with viewing(store) as viewer:
        found = sql(viewer, f"select count(*) from steps where contains(arguments, '{KEY}')")

    assert found["values"][0][0] > 0


def test_what_is_recorded_meanwhile_is_seen(tmp_path: Path) -> None:
    made = TrajectoryStore.create(tmp_path / "traces")
    with viewing(made.path) as viewer:
        before = sql(viewer, "select count(*) from trajectories")
        made.append(run(1))
        after = sql(viewer, "select count(*) from trajectories")

    assert (before["values"], after["values"]) == ([[0]], [[1]])


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [ENDLESS, DEAF])
def test_what_takes_too_long_is_stopped_and_the_next_query_is_answered(
    viewer: Viewing, text: str
) -> None:
    told = refused(viewer, text, timeout_ms=200)

    assert (told["status"], "longer than 0.2 s" in told["detail"]) == (503, True)
    assert sql(viewer, "select 1")["values"] == [[1]]


@pytest.mark.parametrize(
    "text",
    [
        "select length(repeat('x', 2000000000)) + length(repeat('y', 1900000000))",
        "select list_sum(range(400000000))",
        "select string_agg(repeat('x', 100), ',') from range(100000000)",
    ],
)
def test_what_needs_too_much_memory_is_stopped(viewer: Viewing, text: str) -> None:
    told = refused(viewer, text, timeout_ms=60_000)

    assert "memory" in told["detail"]
    assert sql(viewer, "select 1")["values"] == [[1]]


@pytest.mark.parametrize("text", [ENDLESS, DEAF])
def test_a_query_is_cancelled_by_its_id(viewer: Viewing, text: str) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(refused, viewer, text, id="to be cancelled", timeout_ms=60_000)
        wait_for(lambda: cancelled(viewer, "to be cancelled"))

        told = asked.result()

    assert (told["status"], told["detail"]) == (409, "This query was cancelled")
    assert not cancelled(viewer, "to be cancelled")


def cancelled(viewer: Viewing, name: str) -> bool:
    return bool(json.loads(post(viewer, "sql/cancel", {"id": name}).body)["is_cancelled"])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are counted in /proc")
def test_the_query_of_who_went_away_is_stopped(store: Path) -> None:
    others = workers()
    with viewing(store) as viewer:
        connection = http.client.HTTPConnection(viewer.address, timeout=30)
        headers = {
            "origin": f"http://{viewer.address}",
            "x-otel-traj": "1",
            "content-type": "application/json",
        }
        body = json.dumps({"sql": DEAF, "timeout_ms": console.MOST_MS})
        connection.request("POST", "/api/ot/v1/sql", body, headers)
        wait_for(lambda: bool(workers() - others))

        connection.close()

        wait_for(lambda: not (workers() - others))


def workers(parent: int | None = os.getpid()) -> set[int]:
    """Processes that answer queries of this one's viewers, or of any."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"console_worker" in (folder / "cmdline").read_bytes()
            of = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if is_worker and parent in (None, of):
            found.add(int(folder.name))
    return found


def test_processes_of_queries_end_with_the_server(store: Path) -> None:
    before = workers()
    with viewing(store) as viewer:
        sql(viewer, "select 1")
        assert workers() - before

    assert not workers() - before
    gc.collect()  # what is left of them would be told as a warning, hence as an error


def test_only_so_many_are_answered_at_a_time(viewer: Viewing) -> None:
    before, most = workers(), console.RUNNING + console.WAITING
    names = [f"one of many {n}" for n in range(most + 1)]
    with ThreadPoolExecutor(most + 1) as pool:
        asked = [
            pool.submit(refused, viewer, ENDLESS, id=name, timeout_ms=console.MOST_MS)
            for name in names
        ]
        first = wait(asked, return_when=FIRST_COMPLETED).done.pop().result()
        others = viewer.get("meta")["n_trajectories"]
        n_workers = len(workers() - before)
        for name in names:
            cancelled(viewer, name)
        told = sorted(each.result()["status"] for each in asked)

    assert first["status"] == 503
    assert told == [409] * most + [503]
    assert others == 3
    assert n_workers <= console.RUNNING
    assert sql(viewer, "select 1")["values"] == [[1]]


def test_two_queries_of_one_id_are_not_mixed_up(viewer: Viewing) -> None:
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(refused, viewer, ENDLESS, id="the same", timeout_ms=console.MOST_MS)
            for _ in range(2)
        ]
        second = wait(asked, return_when=FIRST_COMPLETED).done.pop().result()
        cancelled(viewer, "the same")
        told = sorted(each.result()["status"] for each in asked)

    assert "choose another id" in second["detail"]
    assert told == [400, 409]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are counted in /proc")
def test_asking_writes_nothing_and_no_process_outlives_the_server(store: Path) -> None:
    before, others = sorted(store.rglob("*")), workers(None)
    with looking_at(store) as address:
        sql(Viewing(address.removeprefix("http://")), "select * from spans order by random()")
        found = workers(None) - others

    assert sorted(store.rglob("*")) == before
    assert found
    wait_for(lambda: not (found & workers(None)))
