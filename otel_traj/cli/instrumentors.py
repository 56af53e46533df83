"""`otel-traj instrumentors`: what `instrument()` would do in this environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_traj.cli.frame import examples
from otel_traj.cli.output import Format, emit, format_option, output_option

if TYPE_CHECKING:
    from otel_traj.capture.instrumentors import Finding

COLUMNS = ("library", "version", "source", "state", "install", "note")


@click.command(
    epilog=examples(
        "otel-traj instrumentors",
        "otel-traj instrumentors --all --format csv",
    )
)
@click.option("--all", "all_", is_flag=True, help="Also what is known and not installed.")
@format_option
@output_option
def command(all_: bool, format_: Format, output: Path | None) -> None:
    """Print what can be recorded here, and by what.

    One row per library that is installed with this program: its version; what instrument() would
    record it by, which is a package or, as "native", the library itself; the state, one of ready,
    covered (another library's source tells the same), missing and absent; and what to install.
    """
    import duckdb
    import pyarrow as pa

    from otel_traj.capture.instrumentors import survey
    from otel_traj.semconv import LIBRARIES

    findings = survey([library.name for library in LIBRARIES] if all_ else None)
    told = {finding.library.name for finding in findings if finding.sources}
    rows = [_row(finding, finding.library.unless in told) for finding in findings]
    found = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))
    with duckdb.connect() as connection:
        emit(connection.from_arrow(found), format_, output)
    if missing := [row["install"] for row in rows if row["state"] == "missing" and row["install"]]:
        click.echo(f"To record what is missing: pip install {' '.join(missing)}", err=True)


def _row(finding: Finding, is_covered: bool) -> dict[str, Any]:
    source = next(iter(finding.sources), None)
    state = "ready" if source else "missing" if finding.version else "absent"
    notes = [f"{package} {misfit}" for package, misfit in finding.misfits.items()]
    return {
        "library": finding.library.name,
        "version": finding.version,
        "source": source,
        "state": "covered" if is_covered else state,
        "install": finding.remedy or None,
        "note": "; ".join(notes) or None,
    }
