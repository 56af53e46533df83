"""A file change tells hashes and counts of anything, and of text a diff that `patch` applies."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj import semconv
from otel_traj.capture import file_change as module
from otel_traj.capture.file_change import CONTENT_LIMIT, file_change

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "d\r\n", "\x0c\n"]), max_size=30)
TEXTS = st.tuples(LINES, st.sampled_from(["", "end"])).map(
    lambda parts: "".join(parts[0]) + parts[1]
)


def patched(folder: Path, change: dict[str, Any], before: str) -> str:
    file = folder / "file"
    file.write_bytes(before.encode())
    subprocess.run(
        ["patch", "--binary", "-s", str(file)],
        input=change[semconv.FILE_DIFF].encode(),
        check=True,
        cwd=folder,
    )
    return file.read_bytes().decode() if file.exists() else ""


@pytest.mark.parametrize("match_limit", [module._MATCH_LIMIT, 0])
@given(before=TEXTS, after=TEXTS)
def test_diff_applies(
    tmp_path_factory: pytest.TempPathFactory, match_limit: int, before: str, after: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MATCH_LIMIT", match_limit)
        change = file_change("file", before, after)

    if before == after:
        assert change[semconv.FILE_DIFF] == ""
    else:
        assert patched(tmp_path_factory.mktemp("patch"), change, before) == after


def test_edit_is_told_whole() -> None:
    before, after = "one\ntwo\nthree\n", "one\n2\nthree\nfour\n"

    assert file_change("src/a.txt", before, after) == {
        semconv.FILE_PATH: "src/a.txt",
        semconv.FILE_SHA256_BEFORE: hashlib.sha256(before.encode()).hexdigest(),
        semconv.FILE_SHA256_AFTER: hashlib.sha256(after.encode()).hexdigest(),
        semconv.FILE_BINARY: False,
        semconv.FILE_ADDED: 2,
        semconv.FILE_REMOVED: 1,
        semconv.FILE_DIFF: (
            "--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n"
        ),
        semconv.FILE_BEFORE: before,
        semconv.FILE_AFTER: after,
    }


def test_same_length_edit_counts() -> None:
    change = file_change("f", "ab\n", "ba\n")

    assert (change[semconv.FILE_ADDED], change[semconv.FILE_REMOVED]) == (1, 1)


def test_new_deleted_and_renamed_files_are_told_apart() -> None:
    new, deleted = file_change("f", None, "x\n"), file_change("f", "x\n", None)
    renamed = file_change("g", "x\n", "x\n", old_path="f")

    assert new[semconv.FILE_DIFF].startswith("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n")
    assert semconv.FILE_SHA256_BEFORE not in new
    assert deleted[semconv.FILE_DIFF].startswith("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n")
    assert semconv.FILE_SHA256_AFTER not in deleted
    assert renamed[semconv.FILE_OLD_PATH] == "f"
    assert renamed[semconv.FILE_DIFF] == ""


@pytest.mark.parametrize("content", [b"\x89PNG\xff", b"a\0b"])
def test_binary_files_have_hashes_only(content: bytes) -> None:
    assert file_change("f", content, b"text") == {
        semconv.FILE_PATH: "f",
        semconv.FILE_SHA256_BEFORE: hashlib.sha256(content).hexdigest(),
        semconv.FILE_SHA256_AFTER: hashlib.sha256(b"text").hexdigest(),
        semconv.FILE_BINARY: True,
    }


def test_large_contents_are_told_by_hash_and_contents_may_be_left_out() -> None:
    large = file_change("f", "x", "y" * (CONTENT_LIMIT + 1))
    bare = file_change("f", "x\n", "y\n", contents=False)

    assert large.keys() == {
        semconv.FILE_PATH,
        semconv.FILE_SHA256_BEFORE,
        semconv.FILE_SHA256_AFTER,
        semconv.FILE_BINARY,
    }
    assert bare.keys() - large.keys() == {semconv.FILE_ADDED, semconv.FILE_REMOVED}
