"""`search`: a text is found in whatever form and file it lies."""

import base64
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otel_traj import semconv, wal
from otel_traj.errors import ConfigurationError
from otel_traj.model import SpanEvent
from otel_traj.store import TrajectoryStore
from otel_traj.store.absence import Finding, Sought
from tests.store.runs import root, run, started, trace_id

SECRET = 'Ann "the\\cat"\nO\'Neil é😀'


def places(store: TrajectoryStore, *texts: str, patterns: tuple[str, ...] = ()) -> set[str]:
    """First folder or file -> is anything found below it."""
    found = store.search(*texts, patterns=patterns).findings
    return {finding.path.partition("/")[0] for finding in found}


def nested(text: str, depth: int, *, ascii_only: bool = False) -> str:
    for _ in range(depth):
        text = json.dumps({"a": [text]}, ensure_ascii=ascii_only)
    return text


@pytest.mark.parametrize("depth", range(6))
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_text_is_found_in_json_in_json(depth: int, ascii_only: bool) -> None:
    held = f"before {nested(SECRET, depth, ascii_only=ascii_only)} after"

    assert Sought([SECRET]).is_in(held)
    assert Sought([], ["O'Neil é😀$|O'Neil é😀[^a-z]"]).is_in(held)
    assert not Sought([SECRET + "!"]).is_in(held)


@pytest.mark.parametrize("before", ["", "x", "/9", "abc"])
def test_a_text_is_found_in_base64_wherever_that_begins(before: str) -> None:
    digits = base64.b64encode(b"\xff\x00" + f"and then {SECRET} again".encode()).decode()

    assert Sought([SECRET]).is_in(f'"{before}{digits}"')
    assert Sought([SECRET]).is_in(digits.replace("+", "-").replace("/", "_"))


def test_few_bytes_are_found_where_we_mark_them_as_bytes() -> None:
    assert Sought(["bob"]).is_in('{"$b64":"Ym9i"}')
    assert Sought(["bob"]).is_in(r'"{\"x\":{\"$b64\":\"Ym9i\"}}"')
    assert not Sought(["bob"]).is_in('{"x":"Ym9i"}')


def test_escapes_that_only_others_write_are_undone() -> None:
    assert Sought(["<a/>&b"]).is_in(r'"\u003ca\/\u003e\u0026b"')
    assert Sought(["it's"]).is_in(r"{'text': 'it\'s'}")


def test_hashes_are_no_text_by_chance() -> None:
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

    assert not Sought(["at", "C7", "on"]).is_in(digest)


def test_a_text_is_found_in_every_table_and_in_the_snapshot(store: TrajectoryStore) -> None:
    [*children, top] = run(1, **{"app.note": SECRET, semconv.FAILURE_RATIONALE: SECRET})
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([*children, top, started(root(2, note=SECRET))]))
    store.seal()

    assert places(store, SECRET) == {"_wal", "_snap", "spans", "trajectories", "annotations"}
    assert places(store, patterns=(r"O'Neil\b",)) == places(store, SECRET)
    assert places(store, SECRET + "?") == set()
    writer.close()


def test_the_log_is_read_as_records(store: TrajectoryStore) -> None:
    """Ids in an OTLP request are binary, and texts stand behind their length."""
    trace_pb2 = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    request = trace_pb2.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = bytes.fromhex("ab" * 16), bytes.fromhex("cd" * 8)
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = SECRET, 1, 2
    with_writer = wal.WalWriter(store.path)
    with_writer.append(request.SerializeToString(), "otlp-traces")

    assert places(store, "ab" * 16) == {"_wal"}
    assert places(store, SECRET) == {"_wal"}
    assert places(store, patterns=("^Ann",)) == set()  # it is no text of its own
    with_writer.close()


def test_a_number_is_found_in_columns_of_numbers(store: TrajectoryStore) -> None:
    store.append(run(1))
    [trajectory] = store.trajectories()
    store.annotate(trajectory.trajectory_id, "card", 4111111111111111)
    store.seal()

    assert "column value_num, 1 value" in {
        finding.where for finding in store.search("4111111111111111").findings
    }


def test_files_that_no_snapshot_names_are_read(store: TrajectoryStore) -> None:
    store.append(run(1, note=SECRET))
    [live] = (store.path / "spans").glob("date=*/*.parquet")
    live.with_name("OLD.parquet").write_bytes(live.read_bytes())

    found = store.search(SECRET).findings

    assert {finding.path.rpartition("/")[2] for finding in found} == {live.name, "OLD.parquet"}


def test_what_only_a_dictionary_of_parquet_holds_is_found(store: TrajectoryStore) -> None:
    """Rows filtered out of a dictionary column leave its text behind."""
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["kept", SECRET]))
    pq.write_table(pa.table({"c": column}), store.path / "x.parquet", store_schema=False)

    assert [f.where for f in store.search(SECRET).findings] == ["column c, 1 value"]


def test_lists_structs_and_what_stands_beside_columns_are_read(store: TrajectoryStore) -> None:
    bounds = pa.table({"c": ["a", SECRET]})
    pq.write_table(bounds, store.path / "s.parquet", write_statistics=True)
    nested_rows = pa.table(
        {"c": [[{"k": SECRET, "n": [1]}]], "m": pa.array([b"\xff" + SECRET.encode()])}
    )
    pq.write_table(nested_rows, store.path / "a.parquet")
    remark = pa.table({"c": [1]}).replace_schema_metadata({"who": SECRET})
    pq.write_table(remark, store.path / "b.parquet")

    found = {(f.path, f.where) for f in store.search(SECRET).findings}

    assert {("a.parquet", "column c, 1 value"), ("a.parquet", "column m, 1 value")} < found
    assert ("b.parquet", "its footer") in found
    assert ("s.parquet", "statistics of column c") in found


def test_long_columns_are_read_in_parts(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_traj.store import absence

    monkeypatch.setattr(absence, "_MANY_BYTES", 10)
    texts = [f"row {n}" for n in range(1_000)] + [SECRET]
    pq.write_table(pa.table({"c": texts}), store.path / "a.parquet", row_group_size=600)

    assert "column c, 1 value" in {f.where for f in store.search(SECRET).findings}


def test_unknown_and_compressed_files_and_names_are_read(store: TrajectoryStore) -> None:
    (store.path / "notes.txt").write_text(f"to do: {SECRET}")
    (store.path / "export.gz").write_bytes(gzip.compress(SECRET.encode()))
    (store.path / "export.zst").write_bytes(pa.compress(SECRET.encode(), "zstd", asbytes=True))
    (store.path / "for O'Neil").mkdir()
    (store.path / "for O'Neil" / "empty").touch()

    assert places(store, SECRET) == {"notes.txt", "export.gz", "export.zst"}
    assert store.search("for O'Neil").findings == (Finding("for O'Neil/empty", "the file's name"),)


def test_a_text_across_the_parts_of_a_long_file_is_found(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_traj.store import absence

    monkeypatch.setattr(absence, "_PART_BYTES", 100_000)
    (store.path / "long").write_bytes(b"." * 99_990 + SECRET.encode() + b"." * 150_000)

    assert places(store, SECRET) == {"long"}


@pytest.mark.parametrize("name", ["x.parquet", "x.gz", "x.zst"])
def test_what_cannot_be_decoded_proves_nothing(store: TrajectoryStore, name: str) -> None:
    magic = {"x.parquet": b"PAR1", "x.gz": b"\x1f\x8b", "x.zst": b"\x28\xb5\x2f\xfd"}[name]
    (store.path / name).write_bytes(magic + b"torn")

    [finding] = store.search("anything").findings

    assert finding.path == name
    assert finding.where.startswith("cannot be read: ")


def test_a_file_that_is_replaced_meanwhile_is_looked_for_again(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_traj.store import absence

    (store.path / "a").write_text("x")
    (store.path / "b").write_text(SECRET)
    real = absence._places

    def moving(path: Path, sought: Sought) -> object:
        if path.name == "a":
            (store.path / "b").rename(store.path / "0")
        return real(path, sought)

    monkeypatch.setattr(absence, "_places", moving)

    assert places(store, SECRET) == {"0"}


def test_the_report_counts_what_was_read(store: TrajectoryStore) -> None:
    store.append(run(1))

    report = store.search(trace_id(2))

    files = [path for path in store.path.rglob("*") if path.is_file()]
    assert (report.n_files, report.n_bytes) == (len(files), sum(p.stat().st_size for p in files))
    assert report.findings == ()


@pytest.mark.parametrize(
    ("texts", "patterns"), [((), ()), (("",), ()), ((), ("(",))], ids=["nothing", "empty", "wrong"]
)
def test_a_search_for_nothing_is_refused(
    store: TrajectoryStore, texts: tuple[str, ...], patterns: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError):
        store.search(*texts, patterns=patterns)


def test_events_and_resources_are_read(store: TrajectoryStore) -> None:
    from dataclasses import replace

    [*children, top] = run(1)
    event = SpanEvent(5, "exception", {"exception.stacktrace": f"at {SECRET}"})
    store.append([*children, replace(top, events=(event,))])

    assert "column events, 1 value" in {f.where for f in store.search(SECRET).findings}
