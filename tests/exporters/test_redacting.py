"""What leaves is redacted, by every exporter, though it is stored as it was said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otel_traj
from otel_traj import exporters, importers, semconv
from otel_traj.errors import ConfigurationError
from otel_traj.model import Trajectory
from otel_traj.redaction import Redaction
from otel_traj.store import TrajectoryStore
from otel_traj_exporters.redacting import REASON

KEY = "sk-ant-api03-" + "x1" * 20
MAIL = "alice@example.com"
SAID = f"{MAIL} has {KEY}"

REDACT = Redaction(("secrets", "emails"), attributes={"user.id": "hash", "*.ssn": "mask"})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    """A run recorded without redaction that tells secrets wherever it can, and one without any."""
    path = tmp_path_factory.mktemp("store") / "traces"
    recording = otel_traj.instrument(
        path,
        redact=False,
        instrumentors=(),
        seal=False,
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        logger_provider=LoggerProvider(shutdown_on_exit=False),
    )
    with otel_traj.trajectory(SAID, agent="a", trajectory_id=f"for {MAIL}", user_id="bob") as run:
        run.initial_state({"note": SAID})
        with otel_traj.inference("m", provider="p", input=SAID) as call:
            call.output(SAID)
        with otel_traj.tool_call("look", arguments={"q": SAID, "ssn": "078-05-1120"}) as tool:
            tool.result({SAID: SAID})
            tool.file_diff(f"{MAIL}.txt", SAID, f"{SAID}!")
        with otel_traj.tool_call("look", arguments={"q": "fine"}) as tool:
            tool.result("fine")
        run.outcome("failure", rationale=SAID)
        run.annotate("note", SAID)
    with otel_traj.trajectory("fine", agent="b", trajectory_id="fine"):
        pass
    recording.shutdown()
    return otel_traj.open_store(path)


def ask(query: str) -> list[Any]:
    return duckdb.connect().execute(query).fetchall()


def everything(folder: Path) -> str:
    """All that Parquet files hold, as text."""
    tables = {path.stem: duckdb.read_parquet(str(path)).fetchall() for path in folder.iterdir()}
    return json.dumps(tables, default=str)


def test_a_copy_of_the_views_holds_nothing_that_was_to_go(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    given = list(store.trajectories())

    n = exporters.export(given, "parquet", tmp_path / "copy", store=store, redact=REDACT)

    told = everything(tmp_path / "copy")
    assert n == 2
    assert MAIL in everything_stored(store)
    for gone in (MAIL, KEY, '"bob"', "078-05"):
        assert gone not in told
    assert "[redacted:mask]" in told
    assert "[sha256:81b637d8fcd2c6da]" in told


def everything_stored(store: TrajectoryStore) -> str:
    return repr(store.sql("from spans").fetchall())


def test_tables_of_a_redacted_copy_still_join(store: TrajectoryStore, tmp_path: Path) -> None:
    exporters.export(store.trajectories(), "parquet", tmp_path / "copy", store=store, redact=REDACT)

    of = {path.stem: f"'{path}'" for path in (tmp_path / "copy").iterdir()}
    joined = ask(
        f"select t.agent_name, count(distinct s.step), count(distinct p.span_id),"
        f" count(distinct f.path), count(distinct a.name)"
        f" from {of['trajectories']} t"
        f" left join {of['steps']} s using (trajectory_id)"
        f" left join {of['spans']} p using (trajectory_id)"
        f" left join {of['file_changes']} f using (trajectory_id)"
        f" left join {of['annotations_latest']} a using (trajectory_id)"
        f" group by 1 order by 1"
    )

    assert joined == [("a", 4, 4, 1, 3), ("b", 0, 1, 0, 0)]


@pytest.mark.parametrize("with_store", [True, False])
def test_a_changed_step_is_not_graded_a_any_more(
    store: TrajectoryStore, tmp_path: Path, with_store: bool
) -> None:
    given = store.trajectories()
    opened = store if with_store else None

    exporters.export(given, "parquet", tmp_path / "copy", store=opened, redact=REDACT)

    steps = ask(
        f"select kind, grade, grade_reason from '{tmp_path}/copy/steps.parquet'"
        " where grade is not null order by step"
    )
    (header,) = ask(
        f"select grade from '{tmp_path}/copy/trajectories.parquet' where agent_name = 'a'"
    )
    stored = store.trajectory(f"for {MAIL}").steps
    assert [step.grade for step in stored if step.grade] == ["A", "A", "A"]
    assert steps == [("llm", "C", REASON), ("tool", "C", REASON), ("tool", "A", None)]
    assert header == ("C",)


@pytest.mark.parametrize("verbatim", [True, False])
@pytest.mark.parametrize("suffix", ["jsonl", "pb"])
def test_otlp_holds_nothing_that_was_to_go(
    store: TrajectoryStore, tmp_path: Path, suffix: str, verbatim: bool
) -> None:
    path = tmp_path / f"runs.{suffix}"

    exporters.export(
        store.trajectories(), "otlp", path, store=store, redact=REDACT, verbatim=verbatim
    )

    written = path.read_bytes()
    for gone in (MAIL, KEY, '"bob"'):
        assert gone.encode() not in written
    again = TrajectoryStore.create(tmp_path / "again")
    again.append(importers.read(path))
    told = {run.agent_name: run for run in again.trajectories()}
    assert told["a"].user_id == "[sha256:81b637d8fcd2c6da]"
    assert [step.grade for step in told["a"].steps if step.grade] == ["C", "C", "A"]


def test_credentials_are_replaced_unless_somebody_says_otherwise(
    store: TrajectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, tuple[bool, bool]] = {}

    for name, redact, environment in (
        ("default", None, ""),
        ("variable", None, "emails"),
        ("all", True, "off"),
        ("off", False, "on"),
    ):
        monkeypatch.setenv("OTEL_TRAJ_REDACT", environment)
        exporters.export(store.trajectories(), "parquet", tmp_path / name, redact=redact)
        told = everything(tmp_path / name)
        found[name] = (KEY in told, MAIL in told)

    assert found == {
        "default": (False, True),
        "variable": (True, False),
        "all": (False, False),
        "off": (True, True),
    }


class PlainExporter:
    """A stranger's, which writes what it is given."""

    def export(self, trajectories: Iterable[Trajectory], path: Path, /) -> int:
        return path.write_text(repr([(t, t.steps, t.file_changes) for t in trajectories]))


class ReadingExporter:
    """A stranger's, which reads the store, and knows nothing of redaction."""

    def export(
        self, trajectories: Iterable[Trajectory], path: Path, /, *, store: Any = None
    ) -> int:
        return path.write_text(repr(store.sql("from spans").fetchall()))


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "stranger-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[otel_traj.exporter]\nplain = {__name__}:PlainExporter\n"
        f"reading = {__name__}:ReadingExporter\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.usefixtures("strangers")
def test_a_strangers_exporter_is_given_redacted_trajectories(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    exporters.export(store.trajectories(), "plain", tmp_path / "out", redact=REDACT)

    told = (tmp_path / "out").read_text()
    assert "[redacted:emails]" in told
    for gone in (MAIL, KEY, "'bob'"):
        assert gone not in told


@pytest.mark.usefixtures("strangers")
def test_an_exporter_that_would_read_round_the_redaction_is_refused(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="cannot redact"):
        exporters.export(store.trajectories(), "reading", tmp_path / "out", store=store)

    assert not (tmp_path / "out").exists()
    exporters.export(store.trajectories(), "reading", tmp_path / "out", store=store, redact=False)
    assert KEY in (tmp_path / "out").read_text()


def test_what_holds_nothing_is_exported_as_it_is(store: TrajectoryStore, tmp_path: Path) -> None:
    fine = [store.trajectory("fine")]

    for name, redact in (("with", REDACT), ("without", False)):
        exporters.export(fine, "parquet", tmp_path / name, store=store, redact=redact)

    assert everything(tmp_path / "with") == everything(tmp_path / "without")
    assert semconv.REDACTED not in everything(tmp_path / "with")
