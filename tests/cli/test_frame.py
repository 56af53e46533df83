"""What holds for every command: found quickly, failing in one line, quiet when nobody reads on."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from otel_traj.cli import main
from otel_traj.cli.frame import COMMANDS
from tests.cli.conftest import Run

SOURCES = [str(path) for path in sys.path if path]


STORELESS = ("collector-config", "instrumentors")


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_what_the_command_says_of_itself(name: str) -> None:
    assert (command(name).help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_parses(name: str) -> None:
    epilog = command(name).epilog or ""
    lines = [line.strip() for line in epilog.splitlines() if f"otel-traj {name}" in line]

    assert lines
    for line in lines:
        own = line[line.index("otel-traj") :]
        arguments = shlex.split(own)[2:]
        stop = next((n for n, a in enumerate(arguments) if a in ("|", "||", ">", "<")), None)
        with command(name).make_context(name, arguments[:stop], parent=click.Context(main)):
            pass


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in STORELESS])
def test_every_command_takes_a_store(name: str) -> None:
    assert "store" in {parameter.name for parameter in command(name).params}


def test_no_arguments_show_the_help(run: Run) -> None:
    ran = run()

    assert (ran.status, ran.err) == (0, "")
    assert all(name in ran.out for name in COMMANDS)


def test_an_unknown_command_names_the_nearest(run: Run) -> None:
    ran = run("lst")

    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "error: No command named 'lst'. Did you mean 'list'?\nSee 'otel-traj --help'.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--otcome", "success"], "--outcome"),  # click words it differently since 8.4
        (["list", "--outcome", "good"], "Invalid value for '--outcome': 'good' is not one of"),
        (["sql"], "Missing argument 'QUERY'"),
        (["sql", "select 1", "--format", "xml"], "'xml' is not one of 'table', 'json', 'csv'"),
        (["--stor", "x", "list"], "No such option"),
    ],
)
def test_wrong_use_is_one_line_and_where_to_look(
    arguments: list[str], message: str, run: Run
) -> None:
    ran = run(*arguments)

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert "Traceback" not in ran.err


def environment(**settings: str) -> dict[str, str]:
    """That of a process of its own in which this checkout, or this install, is found."""
    return {"PYTHONPATH": os.pathsep.join(SOURCES), **settings}


def test_version_and_both_module_names_work() -> None:
    for module in ("otel_traj", "otel_traj.cli"):
        ran = subprocess.run(
            [sys.executable, "-m", module, "--version"],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
        )
        assert ran.stdout.startswith("otel-traj ")


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from otel_traj.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'duckdb', 'pyarrow', 'rich', 'google.protobuf', 'opentelemetry.sdk'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )

    assert ran.stderr == "set()\n"


def test_the_collectors_configuration_is_printed_with_its_comments(run: Run) -> None:
    ran = run("collector-config")

    assert ran.status == 0
    assert {"receivers", "exporters", "service"} <= yaml.safe_load(ran.out).keys()
    assert ran.out.startswith("# ")


def test_a_reader_that_leaves_early_ends_the_command_quietly(corpus_store: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "otel_traj", "sql", "from range(10000000)", "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(OTEL_TRAJ_STORE=str(corpus_store)),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert process.stderr.read() == b""

    assert process.returncode == 0


def test_an_interrupt_ends_the_command_quietly(corpus_store: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "otel_traj", "sql", "from range(10000000)", "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(OTEL_TRAJ_STORE=str(corpus_store)),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()  # now it waits for somebody to read on
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read().strip() == b""

    assert process.returncode == 130
