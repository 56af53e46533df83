"""`publish`: the stored files as Delta tables; nothing is printed that is not so."""

import subprocess
import sys
from pathlib import Path

import deltalake

from tests.cli.conftest import Run


def test_it_prints_each_table_and_its_version(run: Run, store: Path) -> None:
    ran = run("publish", "--store", store)

    assert ran.status == 0
    printed = dict(line.split("  version ") for line in ran.out.splitlines())
    assert {Path(path).name for path in printed} >= {"spans", "steps", "trajectories"}
    for path, version in printed.items():
        assert deltalake.DeltaTable(path).version() == int(version)
    assert ran.err.startswith("Snapshot 1 is published: ")


def test_again_it_has_nothing_to_add(run: Run, store: Path) -> None:
    run("publish", "--store", store)

    ran = run("publish", "--store", store)

    assert ran.err == "Snapshot 1 is published: 0 files added, 0 removed.\n"


def test_without_the_extra_it_says_what_to_install(store: Path) -> None:
    code = (
        "import sys; sys.modules['deltalake'] = None\n"
        "from otel_traj.cli import main; main(['publish', '--store', sys.argv[1]])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(store)],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "error: otel-traj publish needs deltalake 1.6.6 or later."
        " Install it with: pip install 'otel-traj[delta]'\n"
    )
