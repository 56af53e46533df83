"""`ingest` on real files: what is new, what was there, what could not be read."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from otel_traj.store import open_store
from tests.cli.conftest import CORPUS, Run

RUN = "openai__otel-openai-v2"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where a store will be; there is none yet."""
    return tmp_path / "traces"


def summary(out: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in out.splitlines())


def test_a_folder_is_read_and_the_rest_is_named(run: Run, store: Path) -> None:
    ran = run("ingest", CORPUS / RUN, "--store", store)

    assert ran.status == 0
    assert summary(ran.out) == {
        "files": "3 read, 2 skipped",
        "spans": "14 read, 7 new",
        "logs": "53 read, 53 new",
        "duplicates": "7 known already, left out",
        "trajectories": "1",
    }
    assert ran.err == (
        f"skipped {CORPUS}/{RUN}/README.md: text\n"
        f"skipped {CORPUS}/{RUN}/expected.json: JSON, but no telemetry\n"
    )


def test_twice_is_once(run: Run, store: Path) -> None:
    run("ingest", CORPUS, "--store", store)
    before = open_store(store).sql("from trajectories order by all").fetchall()

    again = run("ingest", CORPUS, "--store", store)

    assert again.status == 0
    assert summary(again.out)["spans"].endswith(" 0 new")
    assert open_store(store).sql("from trajectories order by all").fetchall() == before


def test_many_alike_are_named_in_one_line(run: Run, store: Path) -> None:
    ran = run("ingest", CORPUS, "--store", store)

    assert ran.err.splitlines() == [
        "skipped 6 files named README.md: text",
        "skipped 5 files named expected.json: JSON, but no telemetry",
    ]


def test_the_store_may_be_named_before_the_command_or_by_the_environment(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--store", store, "ingest", CORPUS / RUN)
    monkeypatch.setenv("OTEL_TRAJ_STORE", str(store))

    assert run("sql", "select count(*) as n from spans", "--format", "csv").out == "n\n7\n"


def test_a_damaged_file_is_named_and_the_status_says_so(
    run: Run, store: Path, tmp_path: Path
) -> None:
    lines = (CORPUS / RUN / "spans.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "bad.jsonl").write_bytes(lines[0] + b"{oops}\n" + b"".join(lines[1:]))

    ran = run("ingest", tmp_path / "bad.jsonl", "--store", store)

    assert ran.status == 1
    assert summary(ran.out)["files"] == "1 read, 0 skipped, 1 damaged"
    assert summary(ran.out)["spans"] == "7 read, 7 new"
    assert ran.err.startswith(f"damaged {tmp_path}/bad.jsonl, line 2: ")


def test_a_file_that_is_still_being_written_is_no_problem(
    run: Run, store: Path, tmp_path: Path
) -> None:
    whole = (CORPUS / RUN / "spans.jsonl").read_bytes()
    growing = tmp_path / "growing.jsonl"
    growing.write_bytes(whole[:-100])

    ran = run("ingest", growing, "--store", store)
    growing.write_bytes(whole)
    later = run("ingest", growing, "--store", store)

    assert (ran.status, later.status) == (0, 0)
    assert ran.err.startswith(f"unfinished {growing}, line 3: ")
    assert open_store(store).sql("select count(*) from spans").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01junk" * 100, b"plain text\n", b'{"no": "telemetry"}', b"\xff\xfe\xfa"],
    ids=["empty", "binary", "text", "json", "no utf-8"],
)
def test_a_file_without_telemetry_is_skipped(
    content: bytes, run: Run, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)

    ran = run("ingest", tmp_path / "file", "--store", store)

    assert ran.status == 0
    assert summary(ran.out)["files"] == "0 read, 1 skipped"
    assert ran.err.startswith(f"skipped {tmp_path}/file: ")


def test_of_a_truncated_archive_the_readable_part_is_kept(
    run: Run, store: Path, tmp_path: Path
) -> None:
    packed = gzip.compress((CORPUS / RUN / "spans.jsonl").read_bytes() * 20)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) * 4 // 5])

    ran = run("ingest", tmp_path / "cut.jsonl.gz", "--store", store)

    assert ran.status == 1
    assert summary(ran.out)["spans"].endswith(" 7 new")
    assert "cannot be read" in ran.err


def test_a_missing_file_is_an_error_and_nothing_is_made(run: Run, store: Path) -> None:
    ran = run("ingest", "no-such-file", "--store", store)

    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "error: Cannot read 'no-such-file': No such file or directory.\n"
    assert not store.exists()


def test_a_store_that_cannot_be_written_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    ran = run("ingest", CORPUS / RUN, "--store", tmp_path / "file" / "traces")

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_a_store_of_a_newer_version_is_an_error(run: Run, store: Path) -> None:
    run("ingest", CORPUS / RUN, "--store", store)
    (store / "format.json").write_text('{"format": 9, "min_reader": 9, "min_writer": 9}')

    for arguments in (("ingest", CORPUS / RUN), ("list",), ("sql", "select 1"), ("verify",)):
        ran = run(*arguments, "--store", store)
        assert (ran.status, ran.out) == (2, "")
        assert "Install a newer one" in ran.err


def test_a_store_in_the_folder_is_not_read_into_itself(run: Run, tmp_path: Path) -> None:
    shutil.copy(CORPUS / RUN / "spans.jsonl", tmp_path)
    run("ingest", tmp_path, "--store", tmp_path / "traces")

    ran = run("ingest", tmp_path, "--store", tmp_path / "traces")

    assert (ran.status, summary(ran.out)["files"]) == (0, "1 read, 1 skipped")


def test_another_tools_export_is_read_and_its_flaws_are_named_with_their_place(
    run: Run, store: Path, tmp_path: Path
) -> None:
    good = {"traceID": "1", "spanID": "1", "startTime": 1, "duration": 1, "operationName": "chat"}
    broken = {"traceID": "1", "spanID": "2"}
    export = tmp_path / "jaeger.json.gz"
    export.write_bytes(gzip.compress(json.dumps({"data": [{"spans": [good, broken]}]}).encode()))

    ran = run("ingest", export, "--store", store)

    assert (ran.status, summary(ran.out)["spans"]) == (1, "1 read, 1 new")
    assert ran.err == (
        f"damaged {export}, line 1, trace 1, span 2: Not valid Jaeger JSON: KeyError: 'startTime'\n"
    )


KEY = "sk-ant-api03-" + "x1" * 20


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """A file of OTLP that tells a key and an address."""
    attributes = [{"key": "k", "value": {"stringValue": f"alice@example.com has {KEY}"}}]
    span = {
        "traceId": "a" * 32,
        "spanId": "b" * 16,
        "name": "s",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": attributes,
    }
    path = tmp_path / "telling.jsonl"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    return path


@pytest.mark.parametrize(
    ("options", "said", "redacted"),
    [
        ((), "alice@example.com has [redacted:anthropic-key]", "anthropic-key 1"),
        (
            ("--redact", "on"),
            "[redacted:emails] has [redacted:anthropic-key]",
            "anthropic-key 1, emails 1",
        ),
        (("--redact", "off"), f"alice@example.com has {KEY}", None),
    ],
)
def test_what_is_read_is_redacted_and_counted(
    run: Run, store: Path, telling: Path, options: tuple[str, ...], said: str, redacted: str | None
) -> None:
    ran = run("ingest", telling, "--store", store, *options)

    stored = open_store(store).sql("select attributes->>'k' from spans").fetchall()
    assert (ran.status, summary(ran.out).get("redacted")) == (0, redacted)
    assert stored == [(said,)]
    if redacted is not None:
        files = [path for path in store.rglob("*") if path.is_file()]
        assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_a_rule_that_there_is_not_is_refused_before_anything_is_read(
    run: Run, store: Path, telling: Path
) -> None:
    ran = run("ingest", telling, "--store", store, "--redact", "secret")

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: No redaction rule named 'secret'. There is: 'cards'")
    assert not store.exists()
