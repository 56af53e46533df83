"""Unified diffs -> attributes of `traj.file_change` events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final

from otel_traj import semconv

_GIT_FILE: Final = re.compile(r"^diff --git ", re.M)
_FILE: Final = re.compile(r"^--- .+\n\+\+\+ ", re.M)
_PATH: Final = re.compile(r"^(---|\+\+\+) (?:[ab]/)?(.+?)(?:\t.*)?\r?$", re.M)
_GIT_PATHS: Final = re.compile(r"diff --git (?:a/)?(.+?) (?:b/)?(\S+)\r?$", re.M)
_NOTHING: Final = "/dev/null"


def file_changes(patch: str) -> Iterator[dict[str, Any]]:
    """One per file of a diff, as git writes it or plain.

    Hashes and contents are not told by a diff.
    """
    heads = [*_GIT_FILE.finditer(patch)] or [*_FILE.finditer(patch)]
    starts = [head.start() for head in heads]
    for start, end in zip_longest(starts, starts[1:]):
        change = _of_file(patch[start:end])
        if change is not None:
            yield change


def _of_file(diff: str) -> dict[str, Any] | None:
    paths = dict(_PATH.findall(diff.split("\n@@", 1)[0]))
    named = _GIT_PATHS.match(diff)
    before = paths.get("---") or (named and named[1])
    after = paths.get("+++") or (named and named[2])
    if not before or not after:
        return None
    hunks = re.split(r"^@@ ", diff, flags=re.M)[1:]
    lines = [line for hunk in hunks for line in hunk.split("\n")[1:]]
    path = before if after == _NOTHING else after
    return {
        semconv.FILE_PATH: path,
        **({semconv.FILE_OLD_PATH: before} if before not in (path, _NOTHING) else {}),
        semconv.FILE_ADDED: sum(line.startswith("+") for line in lines),
        semconv.FILE_REMOVED: sum(line.startswith("-") for line in lines),
        semconv.FILE_BINARY: "\nBinary files " in diff or "\nGIT binary patch" in diff,
        semconv.FILE_DIFF: diff,
    }
