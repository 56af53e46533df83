"""Python environments for programs that cannot share ours: made once, kept, made anew on change."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path


class InstallError(Exception):
    """An environment could not be made; the message is the installer's."""


def made(
    folder: Path, requirements: Sequence[str], *, stamp: str = "", upgrade: bool = False
) -> Path:
    """The interpreter of an environment; made anew when what it is made of changes.

    Args:
        folder: The environment's; `.uv` beside it takes the installer.
        requirements: What to install, as `pip install` takes it.
        stamp: What else it depends on.
        upgrade: Make it anew, with the newest versions.

    Raises:
        InstallError: Something could not be installed.
    """
    made_of = "\n".join([*requirements, stamp, sys.version])
    mark = hashlib.sha256(made_of.encode()).hexdigest()
    python, marked = folder / "bin" / "python", folder / "made-of"
    if not upgrade and marked.exists() and marked.read_text("utf-8") == mark:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _call(sys.executable, "-m", "venv", "--without-pip", str(folder))
    installer = str(_installer(folder.parent / ".uv"))
    _call(installer, "pip", "install", "--quiet", "--python", str(python), *requirements)
    marked.write_text(mark, encoding="utf-8")
    return python


def version_of(python: Path, package: str) -> str:
    """The version of a package in an environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _call(str(python), "-c", code).strip()


@cache
def _installer(folder: Path) -> Path:
    """`uv`, from an environment of its own: it takes seconds where pip takes minutes."""
    uv = folder / "bin" / "uv"
    if not uv.exists():
        _call(sys.executable, "-m", "venv", str(folder))
        _call(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")
    return uv


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(f"{' '.join(command[:4])} ...\n{done.stderr[-2000:]}")
    return done.stdout
