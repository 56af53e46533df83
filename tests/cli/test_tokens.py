from __future__ import annotations

from pathlib import Path

import pytest

from otel_traj.cli.tokens import read_token
from otel_traj.errors import ConfigurationError


def test_a_token_is_what_the_file_holds_else_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("of the file\n")
    monkeypatch.setenv("OTEL_TRAJ_TOKEN", "of the environment")

    assert read_token(file) == "of the file"
    assert read_token(None) == "of the environment"
    monkeypatch.setenv("OTEL_TRAJ_TOKEN", "")
    assert read_token(None) is None


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_file_without_a_token_is_no_open_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_TOKEN", "of the environment")
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match="token"):
        read_token(file)
