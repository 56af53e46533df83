"""`retain`, `pin`, `delete`, `redact`, `verify --absent`: what goes is data, the rest narration."""

import contextlib
import json
from pathlib import Path

import pytest

from otel_traj import semconv, wal
from otel_traj.store import TrajectoryStore, open_store
from tests.cli.conftest import Run
from tests.store.runs import run as spans


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Runs `run-1` to `run-3`, the first two by Ann."""
    store = TrajectoryStore.create(tmp_path / "traces")
    with contextlib.closing(wal.WalWriter(store.path)) as writer:
        for number in (1, 2, 3):
            user = "ann@example.com" if number < 3 else "bob@example.com"
            told = {"user.id": user, semconv.TRAJECTORY_ID: f"run-{number}"}
            writer.append(wal.encode(spans(number, **told)))
    store.seal()
    return store.path


def ids(store: Path) -> list[str]:
    return [t.trajectory_id for t in open_store(store).trajectories()]


def test_retain_lists_what_would_go_and_does_it_when_told(run: Run, three: Path) -> None:
    planned = run("retain", "--keep", "1", "--store", three)
    assert ids(three) == ["run-3", "run-2", "run-1"]
    done = run("retain", "--keep", "1", "--yes", "--format", "json", "--store", three)

    assert planned.status == 0
    assert planned.out.splitlines()[0].split() == ["id", "started", "agent", "outcome", "beyond"]
    assert [line.split()[0] for line in planned.out.splitlines()[2:]] == ["run-1", "run-2"]
    assert planned.err.splitlines()[-1].startswith("2 trajectories would go (8 spans, 6 steps,")
    assert planned.err.endswith("; --yes does it.\n")
    assert [row["id"] for row in json.loads(done.out)] == ["run-1", "run-2"]
    assert done.err.startswith("2 trajectories gone (8 spans, 6 steps, about ")
    assert ids(three) == ["run-3"]


def test_retain_takes_its_limits_from_the_rules(run: Run, three: Path) -> None:
    (three / "rules.toml").write_text('[[retain]]\nolder_than = "0d"\n')

    run("pin", "run-2", "--store", three)
    ran = run("retain", "--yes", "--store", three)

    assert ran.err.splitlines()[-1].endswith("; 1 pinned stay.")
    assert ids(three) == ["run-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give a limit, here or as [[retain]] in rules.toml"),
        (("--agent", "x"), "Give a limit"),
        (("--older-than", "soon"), "'soon' is no length of time; write 30d, 12h or 2w"),
        (("--max-bytes", "lots"), "'lots' is no number of bytes"),
        (("--keep", "-1"), "-1 is not in the range"),
    ],
)
def test_a_wrong_limit_is_wrong_use(
    run: Run, three: Path, arguments: tuple[str, ...], message: str
) -> None:
    ran = run("retain", *arguments, "--store", three)

    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_pins_are_set_listed_and_taken_back(run: Run, three: Path) -> None:
    pinned = run("pin", "run-1", "run-3", "--store", three)
    listed = run("pin", "--format", "json", "--store", three)
    removed = run("pin", "run-1", "--remove", "--store", three)
    left = run("pin", "--format", "json", "--store", three)

    assert (pinned.out, pinned.err) == ("", "run-1: pinned\nrun-3: pinned\n")
    assert [row["trajectory_id"] for row in json.loads(listed.out)] == ["run-1", "run-3"]
    assert removed.err == "run-1: not pinned any more\n"
    assert [row["trajectory_id"] for row in json.loads(left.out)] == ["run-3"]
    assert run("pin", "--remove", "--store", three).status == 2
    assert run("pin", "run-1", "--remove", "--store", three).status == 2
    assert run("pin", "nobody", "--store", three).status == 2


def test_delete_lists_what_would_go_and_verify_proves_that_it_went(run: Run, three: Path) -> None:
    planned = run("delete", "--user", "ann@example.com", "--store", three)
    found = run("verify", "--absent", "ann@example.com", "--store", three)
    done = run("delete", "--user", "ann@example.com", "--yes", "--store", three)
    absent = run(
        "verify", "--absent", "ann@example.com", "--absent-regex", "run-[12]", "--store", three
    )

    assert (planned.status, planned.out) == (0, "run-1\nrun-2\n")
    assert planned.err.startswith("2 trajectories would go (8 spans, 6 steps, about ")
    assert found.status == 1
    assert "column user_id, 1 value\n" in found.out
    assert (done.status, done.out) == (0, "run-1\nrun-2\n")
    assert (absent.status, absent.out) == (0, "")
    assert absent.err.endswith(" bytes read: absent.\n")
    assert ids(three) == ["run-3"]


def test_an_unknown_trajectory_is_told(run: Run, three: Path) -> None:
    planned = run("delete", "nobody", "--store", three)
    done = run("delete", "nobody", "run-1", "--yes", "--store", three)

    assert (planned.status, planned.out) == (2, "")
    assert (done.status, done.out) == (1, "run-1\n")
    assert done.err.splitlines()[0] == "No trajectory 'nobody' (any more)."
    assert run("delete", "--store", three).status == 2


def test_redact_counts_and_replaces_when_told(run: Run, three: Path) -> None:
    planned = run("redact", "--rule", "emails", "--store", three)
    done = run("redact", "ann@[a-z.]+", "--yes", "--store", three)
    users = [t.user_id for t in open_store(three).trajectories()]

    found = "Found in 3 spans, 0 logs, 0 annotations of 3 trajectories; --yes replaces it.\n"
    assert (planned.status, planned.out, planned.err) == (0, "", found)
    replaced = "Replaced in 2 spans, 0 logs, 0 annotations; 2 trajectories derived again.\n"
    assert (done.status, done.out, done.err) == (0, "", replaced)
    assert users == ["bob@example.com", "[redacted:pattern]", "[redacted:pattern]"]
    assert run("redact", "--store", three).status == 2
    assert run("redact", "(", "--store", three).status == 2
