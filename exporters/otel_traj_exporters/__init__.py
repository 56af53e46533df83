"""Writing trajectories for other tools: one exporter per target, found by its name.

An exporter is a plug-in: anybody's package registers a class under the entry-point group
`otel_traj.exporter`, and `export(trajectories, "its-name", path)` writes with it. Ours register
there too, so that the contract (`Exporter`) is used by us first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.model import Trajectory
from otel_traj.redaction import Redaction, choose

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

__all__ = ["Exporter", "Sender", "export", "load", "names"]

GROUP = "otel_traj.exporter"

# A checkout that was never installed has no entry points. A test compares with pyproject.toml.
_BUNDLED = {
    "atif": "otel_traj_exporters.atif:AtifExporter",
    "chrome": "otel_traj_exporters.chrome:ChromeExporter",
    "html": "otel_traj_exporters.html:HtmlExporter",
    "parquet": "otel_traj_exporters.parquet:ParquetExporter",
    "otlp": "otel_traj_exporters.otlp:OtlpExporter",
}


@runtime_checkable
class Exporter(Protocol):
    """Writes trajectories in the form of one target; made without arguments.

    Who calls: `export`, once per call of the user's, on the user's thread, with a fresh instance.
    An exporter may keep state on itself, but no trajectory longer than it needs it: `trajectories`
    is read once, lazily, and may not fit into memory.

    Options are keyword arguments of `export` with defaults, so that a wrong one is refused before
    anything is written. One named `store` is given the `TrajectoryStore` of the trajectories, or
    None where the caller has none. Trajectories come redacted, unless there is an option
    `redaction`: then the exporter itself redacts all that it writes. One that takes `store` and not
    `redaction` is only used by who asks for no redaction.

    Failure: a trajectory that the target cannot express is left out and not counted; it never ends
    the export. `InputError` and `OSError` are for what makes the whole of it impossible, and then
    nothing half-written may stand at `path`.
    """

    def export(self, trajectories: Iterable[Trajectory], path: Path, /) -> int:
        """Write `trajectories` to the file or folder `path`; return how many were written."""
        ...


@runtime_checkable
class Sender(Exporter, Protocol):
    """An exporter that also sends to a URL; made, called and failing as `Exporter` says."""

    def send(self, trajectories: Iterable[Trajectory], url: str, /) -> int:
        """Send `trajectories` to what `url` names; return how many were sent."""
        ...


def names() -> list[str]:
    """Names that `export` and `load` accept, sorted; imports no exporter."""
    return sorted(_entry_points())


def load(name: str) -> Exporter:
    """Make the exporter of that name.

    Raises:
        UnknownNameError: Nothing is registered under it; the message lists what is.
        ConfigurationError: What is registered cannot be imported or is no exporter.
    """
    registered = _entry_points()
    if name not in registered:
        raise UnknownNameError("exporter", name, registered)
    try:
        exporter = registered[name].load()()
    except ConfigurationError:
        raise
    except Exception as error:  # a stranger's module: whatever it raises is about that package
        raise ConfigurationError(
            f"Exporter {name!r} ({registered[name].value}) does not load: {error}"
        ) from error
    if not isinstance(exporter, Exporter):
        raise ConfigurationError(
            f"Exporter {name!r} ({registered[name].value}) has no method `export`"
        )
    return exporter


def export(
    trajectories: Iterable[Trajectory],
    format: str,
    path: str | Path,
    *,
    store: TrajectoryStore | None = None,
    redact: Redaction | bool | None = None,
    **options: Any,
) -> int:
    """Write trajectories for another tool.

    Args:
        trajectories: What to write, read once: `store.trajectories(agent="support")`, or any.
        format: One of `names()`.
        path: File or folder to write, as the exporter says; or a URL, if it is a `Sender`.
        store: Where they are from, for exporters that write more than trajectories hold.
        redact: What is replaced on the way out, as for `otel_traj.instrument`.
        options: What the exporter takes beyond that.

    Returns:
        Number of trajectories written.

    Raises:
        UnknownNameError: No exporter, or no option of it, has that name.
        ConfigurationError: A URL for an exporter that only writes files, one that cannot redact, or
            as the exporter says.
    """
    exporter = load(format)
    method: Callable[..., int] = exporter.export
    target: str | Path = Path(path)
    if isinstance(path, str) and "://" in path:
        if not isinstance(exporter, Sender):
            raise ConfigurationError(
                f"Exporter {format!r} writes files; it cannot send to {path!r}"
            )
        method, target = exporter.send, path
    redaction = choose(redact)
    accepted = _accepted(format, method, options, {"store": store, "redaction": redaction})
    if redaction and "redaction" not in accepted:
        if "store" in accepted:
            raise ConfigurationError(
                f"Exporter {format!r} reads the store by itself and cannot redact. To write all as "
                "it is stored: redact=False"
            )
        trajectories = _redacted(trajectories, redaction)
    return method(trajectories, target, **accepted)


def _accepted(
    format: str, method: Callable[..., int], options: dict[str, Any], ours: dict[str, Any]
) -> dict[str, Any]:
    """The options, all of which `method` takes, and what it takes of ours.

    Raises:
        UnknownNameError: It does not take one of the options.
    """
    parameters = inspect.signature(method).parameters
    keywords = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
    theirs = [name for name in keywords if name not in ours]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in options.keys() - set(theirs):
            raise UnknownNameError(f"option of exporter {format!r}", name, theirs)
    return options | {name: value for name, value in ours.items() if name in keywords}


def _redacted(trajectories: Iterable[Trajectory], redaction: Redaction) -> Iterator[Trajectory]:
    from otel_traj_exporters.redacting import trajectory

    return (trajectory(redaction, each) for each in trajectories)


def _entry_points() -> dict[str, EntryPoint]:
    bundled = {name: EntryPoint(name, value, GROUP) for name, value in _BUNDLED.items()}
    return bundled | {point.name: point for point in entry_points(group=GROUP)}
