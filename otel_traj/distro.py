"""Zero code: `OTEL_PYTHON_DISTRO=otel_traj opentelemetry-instrument python agent.py`.

The command looks up a *distro*, which sets defaults, and a *configurator*, which sets up the SDK;
where no variable names one it takes the first that is installed. So ours step aside unless they are
named: that otel-traj is installed must not change what others start. Named, the SDK is configured
as its variables or its file say (exporters, resource, sampler), and then `instrument()` adds what
records: an exporter alone would see ended batches, not runs.

Needs the extra `auto`; `OTEL_TRAJ_STORE` says where to record.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any, Final

from opentelemetry.instrumentation.distro import (  # type: ignore[attr-defined]
    BaseDistro,
)
from opentelemetry.sdk import environment_variables
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

NAME: Final = "otel_traj"
"""Of the entry points, and of what the variables say."""

_DISTRO: Final = "OTEL_PYTHON_DISTRO"
_CONFIGURATOR: Final = "OTEL_PYTHON_CONFIGURATOR"
_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER")


class Distro(BaseDistro):  # type: ignore[misc]
    """Defaults for a recorded program; what a user has set stays."""

    def _configure(self, **kwargs: Any) -> None:
        from otel_traj.capture.recording import ATTRIBUTE_LIMITS, MAX_ATTRIBUTES

        os.environ.setdefault(_CONFIGURATOR, NAME)
        for exporter in _EXPORTERS:
            os.environ.setdefault(exporter, "none")
        if not any(os.environ.get(name) for name in ATTRIBUTE_LIMITS):
            os.environ[ATTRIBUTE_LIMITS[0]] = str(MAX_ATTRIBUTES)

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Nothing: `instrument()` has switched on what it would choose, and does not double."""


class Configurator(_OTelSDKConfigurator):
    """The SDK's own, and then `instrument()`."""

    def _configure(self, **kwargs: Any) -> None:
        from otel_traj.capture import autostart

        super()._configure(**kwargs)  # type: ignore[no-untyped-call]
        if not _is_disabled_by_file():
            autostart.start()


def _is_disabled_by_file() -> bool:
    """Whether a declarative configuration says `disabled`: the variable for it is ignored then.

    Where the file or what reads it is not there, the SDK's configurator has raised already.
    """
    file = os.environ.get(_CONFIG_FILE)
    if not file or not hasattr(environment_variables, _CONFIG_FILE):
        return False  # there is none, or the SDK is too old to read one
    from opentelemetry.configuration import load_config_file

    return bool(load_config_file(file).disabled)


def distro() -> Any:
    """Our distro if it is named; else what the command passes over, so that it looks further."""
    return Distro() if os.environ.get(_DISTRO) == NAME else None


def configurator() -> Any:
    """Our configurator if it is named; else the one that there would be without us."""
    if os.environ.get(_CONFIGURATOR) == NAME:
        return Configurator()  # type: ignore[no-untyped-call]
    others = [
        found
        for found in metadata.entry_points(group="opentelemetry_configurator")
        if found.name != NAME
    ]
    default: Any = others[0].load() if others else _OTelSDKConfigurator
    return default()
