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
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

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

_AXE: Final = _ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"

VIEWS: Final = ("transcript", "waterfall", "steps", "files", "raw")

_RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

PATIENCE_MS: Final = 20_000
"""How long a page may take to show something, on a machine that does much else."""

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


@contextlib.contextmanager
def behaved(browser: Browser, address: str) -> Iterator[Page]:
    """A page that is on its best behaviour: it complains about nothing and asks nobody else.

    Args:
        browser: Where it is opened.
        address: What its links are relative to: of the only server that it may ask.

    Raises:
        AssertionError: It was not.
    """
    context = browser.new_context(
        base_url=address, color_scheme="light", viewport={"width": 1280, "height": 800}
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = _Watch(page, address)
    yield page
    context.close()
    assert watch.seen == []


class _Watch:
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


def settled(page: Page) -> None:
    """Wait until nothing is being loaded."""
    from playwright.sync_api import expect

    page.wait_for_load_state("networkidle")
    expect(page.locator(".loading")).to_have_count(0)


def has_no_barrier(page: Page, part: str | None = None) -> None:
    """WCAG 2.2 A and AA as far as axe can tell; in the dark, colours are what differs.

    The page is left light. Skips the test where there is no axe.

    Args:
        page: As it shall be judged.
        part: CSS selector of what is; None for all of it.

    Raises:
        AssertionError: A rule is broken.
    """
    if not _AXE.is_file():
        pytest.skip("no axe-core: npm ci --prefix ui")
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    for scheme, asked in (
        ("light", {"type": "tag", "values": _RULES}),
        ("dark", {"type": "rule", "values": ["color-contrast"]}),
    ):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = page.evaluate(
            "([part, asked]) => axe.run(part ?? document, {runOnly: asked})", [part, asked]
        )
        broken = [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
        assert broken == [], f"{page.url}, {scheme}"
    page.emulate_media(color_scheme="light")
