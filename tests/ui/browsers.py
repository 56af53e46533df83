"""The distribution's Chromium, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_traj.server.viewer import pages

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Dialog, Page, Request

# Its connections to its maker's hosts would be refused, many at a time.
_QUIET: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)

_ROOT: Final = Path(__file__).parents[2]

# A checkout runs before anything is installed; beside the tests of a wheel there is none.
_SOURCES: Final = [
    path
    for path in (_ROOT, _ROOT / "exporters", _ROOT / "analysis")
    if (_ROOT / "otel_traj").is_dir()
]

AXE: Final = _ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"

# A problem that a test asks for shows there too, whatever the page makes of it.
_EXPECTED: Final = "Failed to load resource"


def options() -> dict[str, Any]:
    """How to launch Chromium; skips the test where there is none, or no viewer to look at."""
    if not (pages.STATIC / "index.html").is_file():
        pytest.skip("the viewer is not built: make ui")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium; on Debian: apt install chromium")
    # Root has no sandbox of its own to give up.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return {"executable_path": found, "args": [*_QUIET, *sandbox]}


class Watch:
    """What a page must not do: complain, open a dialog, ask anybody but its own server."""

    def __init__(self, page: Page, origin: str) -> None:
        self.seen: list[str] = []
        self._own = (origin, "data:", "blob:")
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        page.on("dialog", self._dismiss)
        page.on("request", self._ask)

    def _dismiss(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _ask(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self.seen.append(f"request: {request.url}")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED):
            self.seen.append(f"{message.type}: {message.text}")


@contextlib.contextmanager
def looking_at(store: Path, token: str | None = None) -> Iterator[str]:
    """A real `otel-traj view`, in a process of its own: Playwright owns this one's event loop.

    Yields:
        The address that it prints, without the last slash or, after a token, all of it.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _SOURCES))}
    if token is not None:
        environment["OTEL_TRAJ_TOKEN"] = token
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_traj.cli", "view", str(store), "--port", "0", "--no-open"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), address
        yield address.removesuffix("/")
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()
