"""Every encoding of the same telemetry gives the same records; what is broken is named."""

import gzip
import io
import json
import logging
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from otel_traj import importers
from otel_traj.errors import InputError
from otel_traj.importers import Reading
from otel_traj.model import LogRecord, SpanRecord

RUN = "openai__otel-openai-v2"


@pytest.fixture
def spans(corpus: Path) -> Path:
    return corpus / RUN / "spans.jsonl"


@pytest.fixture
def logs(corpus: Path) -> Path:
    return corpus / RUN / "logs.jsonl"


def records(*paths: Path) -> list[SpanRecord | LogRecord]:
    return list(importers.read(*paths))


def by_id(found: list[SpanRecord | LogRecord]) -> list[SpanRecord]:
    return sorted((r for r in found if isinstance(r, SpanRecord)), key=lambda r: r.span_id)


def read_one(path: Path) -> tuple[Reading, list[SpanRecord | LogRecord]]:
    (reading,) = importers.readings(path)
    return reading, list(reading)


def requests(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_of_the_collectors_file_is_one_request(spans: Path) -> None:
    reading, found = read_one(spans)

    assert (reading.format, reading.n_spans, reading.n_logs) == ("OTLP JSON", 7, 0)
    assert (reading.flaws, reading.skipped) == ([], None)
    assert len(found) == 7


def test_protobuf_gives_the_same_spans_as_json(corpus: Path) -> None:
    for run in ("openai__otel-openai-v2", "openai__openinference-openai__stream"):
        as_json = records(corpus / run / "spans.jsonl")
        as_protobuf = records(corpus / run / "spans.pb")

        assert by_id(as_protobuf) == by_id(as_json)


def test_logs_are_read_beside_spans(spans: Path, logs: Path) -> None:
    reading, found = read_one(logs)

    assert (reading.n_spans, reading.n_logs) == (0, 53)
    assert {type(record) for record in found} == {LogRecord}


def rewritten(write: Callable[[list[dict[str, object]]], str]) -> Callable[[Path], bytes]:
    return lambda path: write(requests(path)).encode()


REWRITINGS: dict[str, Callable[[Path], bytes]] = {
    "one pretty document": lambda path: rewritten(
        lambda found: json.dumps(
            {"resourceSpans": [group for r in found for group in r["resourceSpans"]]},  # type: ignore[attr-defined]
            indent=2,
        )
    )(path),
    "several pretty documents": rewritten(
        lambda found: "\n".join(json.dumps(request, indent=2) for request in found)
    ),
    "array on one line": rewritten(json.dumps),
    "array, an element per line": rewritten(
        lambda found: "[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n"
    ),
    "array opened and closed on an element's line": rewritten(
        lambda found: "[" + ",\n".join(map(json.dumps, found)) + "]"
    ),
    "pretty array": rewritten(lambda found: json.dumps(found, indent=4)),
    "pretty array closed on its last element's line": rewritten(
        lambda found: json.dumps(found, indent=1).removesuffix("\n]") + "]\n"
    ),
    "Windows line ends, blank lines and a byte order mark": rewritten(
        lambda found: "\ufeff\r\n" + "\r\n\r\n".join(map(json.dumps, found)) + "\r\n"
    ),
    "no line end after the last line": lambda path: path.read_bytes().rstrip(b"\n"),
    "gz": lambda path: gzip.compress(path.read_bytes()),
    "gz of several members": lambda path: b"".join(
        gzip.compress(line) for line in path.read_bytes().splitlines(keepends=True)
    ),
    "zst": lambda path: zstd(path.read_bytes()),
    "zst in gz": lambda path: gzip.compress(zstd(path.read_bytes())),
    "protobuf, compressed": lambda path: gzip.compress(path.with_name("spans.pb").read_bytes()),
    "frames of protobuf": lambda path: frames(path.with_name("spans.pb").read_bytes()),
    "frames of compressed JSON": lambda path: frames(*map(zstd, path.read_bytes().splitlines())),
    "frames of compressed protobuf": lambda path: frames(
        zstd(path.with_name("spans.pb").read_bytes())
    ),
}


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


def frames(*messages: bytes) -> bytes:
    """As the Collector's file exporter frames what is no line of JSON."""
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


@pytest.mark.parametrize("name", REWRITINGS)
def test_the_same_spans_come_out_of(name: str, spans: Path, tmp_path: Path) -> None:
    file = tmp_path / "no-hint-in-the-name"
    file.write_bytes(REWRITINGS[name](spans))

    reading, found = read_one(file)

    assert by_id(found) == by_id(records(spans))
    assert (reading.flaws, reading.skipped, reading.is_damaged) == ([], None, False)


def test_standard_input_is_read_like_a_file(spans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(spans.read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))

    (reading,) = importers.readings("-")

    assert by_id(list(reading)) == by_id(records(spans))
    assert (reading.source.name, reading.source.size) == ("<stdin>", None)


def test_a_folder_is_read_in_order_of_name_and_what_is_no_telemetry_is_skipped(
    corpus: Path,
) -> None:
    found = []
    for reading in importers.readings(corpus / RUN):
        list(reading)
        found.append((Path(reading.source.name).name, reading.n_spans, reading.skipped))

    assert found == [
        ("README.md", 0, "text"),
        ("expected.json", 0, "JSON, but no telemetry"),
        ("logs.jsonl", 0, None),
        ("spans.jsonl", 7, None),
        ("spans.pb", 7, None),
    ]


def test_hidden_files_and_stores_in_a_folder_are_left_alone(spans: Path, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "spans.jsonl").write_bytes(spans.read_bytes())
    (tmp_path / "traces" / "_wal").mkdir(parents=True)
    (tmp_path / "traces" / "format.json").write_text("{}")
    (tmp_path / "run.jsonl").write_bytes(spans.read_bytes())

    found = list(importers.readings(tmp_path))

    assert [Path(reading.source.name).name for reading in found] == ["run.jsonl", "traces"]
    assert found[1].skipped == "a trajectory store, not an export"
    assert list(found[1]) == []


def test_a_missing_path_is_an_error_before_anything_is_read(spans: Path) -> None:
    with pytest.raises(InputError, match=r"'no-such-file': No such file or directory"):
        importers.readings(spans, "no-such-file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\n  \n", "text"),
        (b"# Notes\n\nMany words.\n", "text"),
        (b"\n \n\n\n\n a text that starts like a message \n", "text"),
        (bytes(range(256)) * 20, "binary"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00", "binary"),
        (b"PAR1\x15\x04\x15\x10", "a Parquet file"),
        ('{"resourceSpans":[]}'.encode("utf-16"), "UTF-16 text; telemetry is UTF-8"),
        (b'{"name": "config"}', "JSON, but no telemetry"),
        (b'{\n  "name": "config" // with a comment\n}\n', None),
        (b"[1, 2, 3]", "text"),
        (b"[]", "empty"),
        (b'{"resourceSpans":[]}\n', "OTLP JSON, but no spans or logs"),
        (b'{"resourceMetrics":[{"scopeMetrics":[]}]}\n', "OTLP JSON, but no spans or logs"),
        (gzip.compress(b"notes"), "text"),
    ],
)
def test_a_file_that_holds_something_else_is_skipped_with_the_reason(
    content: bytes, reason: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)

    reading, found = read_one(file)

    assert found == []
    assert reading.skipped == reason if reason else reading.skipped is not None
    assert (reading.is_damaged, reading.flaws) == (False, [])


def test_metrics_in_protobuf_are_not_taken_for_spans_or_logs(tmp_path: Path) -> None:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

    message = MetricsData()
    scope = message.resource_metrics.add().scope_metrics.add()
    for name in ("a-name-of-16-let", "requests"):
        metric = scope.metrics.add(name=name, description="8 letter", unit="1")
        metric.sum.data_points.add(as_int=3, time_unix_nano=1)
    (tmp_path / "metrics").write_bytes(message.SerializeToString())

    reading, found = read_one(tmp_path / "metrics")

    assert (found, reading.skipped) == ([], "OTLP protobuf, but no spans or logs")


def test_spans_without_ids_are_still_told_from_logs(tmp_path: Path) -> None:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    traces = TracesData()
    scope_spans = traces.resource_spans.add().scope_spans.add()
    scope_spans.spans.add(name="no ids", start_time_unix_nano=1, end_time_unix_nano=2)
    (tmp_path / "spans").write_bytes(traces.SerializeToString())
    logs = LogsData()
    logs.resource_logs.add().scope_logs.add().log_records.add(
        observed_time_unix_nano=3, event_name="no ids either"
    )
    (tmp_path / "logs").write_bytes(logs.SerializeToString())

    assert [type(r) for r in records(tmp_path / "spans", tmp_path / "logs")] == [
        SpanRecord,
        LogRecord,
    ]


def test_the_position_reaches_the_size_of_the_file(spans: Path) -> None:
    (reading,) = importers.readings(spans)
    positions = [reading.position for _ in reading]

    assert positions == sorted(positions)
    assert reading.position == reading.source.size == spans.stat().st_size


# --- damage --------------------------------------------------------------------------------------


def damaged(tmp_path: Path, content: bytes) -> tuple[Reading, list[SpanRecord | LogRecord]]:
    (tmp_path / "damaged").write_bytes(content)
    return read_one(tmp_path / "damaged")


def test_a_bad_line_is_named_and_the_rest_is_read(spans: Path, tmp_path: Path) -> None:
    first, second, third = spans.read_bytes().splitlines(keepends=True)

    reading, found = damaged(tmp_path, first + b"{oops\n" + second + b"\x00\xff\n" + third)

    assert by_id(found) == by_id(records(spans))
    assert [flaw.place for flaw in reading.flaws] == ["line 2", "line 4"]
    assert reading.is_damaged


@pytest.mark.parametrize("cut", [20, 400, 1200])
def test_a_line_torn_by_a_crash_does_not_take_the_next_one_with_it(
    cut: int, spans: Path, tmp_path: Path
) -> None:
    first, second, third = spans.read_bytes().splitlines(keepends=True)

    reading, found = damaged(tmp_path, first[:cut] + b"\n" + second + third)

    assert by_id(found) == by_id(records_of(tmp_path, second + third))
    assert [flaw.place for flaw in reading.flaws] == ["line 1"]
    assert reading.is_damaged


def records_of(tmp_path: Path, content: bytes) -> list[SpanRecord | LogRecord]:
    (tmp_path / "good").write_bytes(content)
    return records(tmp_path / "good")


def test_an_unfinished_last_line_is_named_but_no_damage(spans: Path, tmp_path: Path) -> None:
    first, second, _ = spans.read_bytes().splitlines(keepends=True)

    reading, found = damaged(tmp_path, first + second[:50])

    assert len(found) == len(records_of(tmp_path, first))
    assert [(flaw.kind, flaw.place) for flaw in reading.flaws] == [("unfinished", "line 2")]
    assert not reading.is_damaged


def test_a_request_of_the_wrong_shape_is_damage_and_what_came_before_it_is_kept(
    tmp_path: Path,
) -> None:
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "good"}
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [span, {"traceId": "not hex"}]}]}]}

    reading, found = damaged(tmp_path, json.dumps(request).encode() + b"\n")

    assert [record.name for record in found if isinstance(record, SpanRecord)] == ["good"]
    assert (reading.n_spans, reading.is_damaged) == (1, True)
    assert "no id of 16 bytes" in str(reading.flaws[0])


def test_bytes_that_are_no_utf8_are_replaced_and_counted(spans: Path, tmp_path: Path) -> None:
    content = spans.read_bytes().replace(b"orders-demo", b"orders-\xff\xfe", 1)

    reading, found = damaged(tmp_path, content)

    assert len(found) == 7
    assert found[0].resource["service.name"] == "orders-\ufffd\ufffd"
    assert [flaw.kind for flaw in reading.flaws] == ["repaired"]
    assert not reading.is_damaged


def test_a_text_nested_deeper_than_python_goes_is_damage(spans: Path, tmp_path: Path) -> None:
    deep = b'{"resourceSpans":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"

    reading, found = damaged(tmp_path, deep + spans.read_bytes())

    assert (len(found), reading.n_flaws) == (7, 1)


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gz", "zst"])
def test_of_a_truncated_archive_what_can_be_unpacked_is_kept(
    pack: Callable[[bytes], bytes], spans: Path, tmp_path: Path
) -> None:
    line = spans.read_bytes().splitlines(keepends=True)[0]
    whole = b"".join(line.replace(b'"spanId":"0', b'"spanId":"%x' % (n % 16)) for n in range(400))
    packed = pack(whole)

    reading, found = damaged(tmp_path, packed[: len(packed) * 9 // 10])

    assert len(found) > 0
    assert reading.is_damaged
    assert f"behind record {len(found)}: cannot be read" in str(reading.flaws[-1])


def test_a_truncated_protobuf_file_is_damage_named_by_its_byte(spans: Path, tmp_path: Path) -> None:
    content = spans.with_name("spans.pb").read_bytes()

    reading, found = damaged(tmp_path, content + content[:100])

    assert len(found) == 7
    assert [flaw.place for flaw in reading.flaws] == [f"byte {len(content)}"]


def test_a_broken_frame_does_not_take_the_next_one_with_it(spans: Path, tmp_path: Path) -> None:
    message = spans.with_name("spans.pb").read_bytes()
    no_zstd = zstd(message)[:4] + b"junk"

    reading, found = damaged(tmp_path, frames(message, no_zstd, b"junk", message)[:-7])

    assert len(found) == 7
    assert [(flaw.kind, flaw.place) for flaw in reading.flaws] == [
        ("damaged", "message 2"),
        ("damaged", "message 3"),
        ("unfinished", "message 4"),
    ]


def test_many_flaws_are_counted_and_the_first_ones_kept(spans: Path, tmp_path: Path) -> None:
    reading, found = damaged(tmp_path, spans.read_bytes() + b"oops}\n" * 300)

    assert (len(found), reading.n_flaws, len(reading.flaws)) == (7, 300, 20)


def test_read_logs_what_it_could_not_read(
    spans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(spans.read_bytes() + b"{oops\n")

    with caplog.at_level(logging.WARNING, "otel_traj.importers"):
        assert len(records(tmp_path / "bad.jsonl")) == 7

    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}/bad.jsonl: line 4: ")


def test_reading_streams(spans: Path) -> None:
    """The first record is out before the second line was touched."""

    class Stingy(io.RawIOBase):
        def __init__(self, lines: Iterator[bytes]) -> None:
            self.lines = lines

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            line = next(self.lines)
            buffer[: len(line)] = line
            return len(line)

    from otel_traj.importers import json_file

    first = spans.read_bytes().splitlines(keepends=True)[0]
    stream = io.BufferedReader(Stingy(iter([first])), len(first))

    part = next(json_file.parts(stream))

    assert not isinstance(part, importers.Flaw)
    assert isinstance(next(iter(part.records)), SpanRecord)
