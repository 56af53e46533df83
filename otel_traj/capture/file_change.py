"""A change of one file as attributes of a `traj.file_change` event.

The unified diff can be applied with `patch`. It is exact and minimal for edits of ordinary size;
where a minimal one would take long to find, the changed middle is told as removed and added whole.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from typing import Any, Final, Literal

from otel_traj import semconv

CONTENT_LIMIT: Final = 256 * 1024
"""Bytes; larger contents are told by their hash alone, and without a diff."""

_MATCH_LIMIT: Final = 1_000_000
"""Lines removed times lines added up to which `difflib` is quick (tens of milliseconds)."""

_CONTEXT_LINES: Final = 3

Content = str | bytes | None
_Tag = Literal["replace", "delete", "insert", "equal"]


def file_change(
    path: str,
    before: Content,
    after: Content,
    *,
    old_path: str | None = None,
    contents: bool = True,
) -> dict[str, Any]:
    """Describe how a file changed.

    Args:
        path: Where it is now (or was, if it is deleted).
        before: Its content, None if it did not exist.
        after: Its content, None if it is deleted.
        old_path: Where it was, if it was renamed.
        contents: Whether to include contents and diff; hashes and counts always are.
    """
    old, new = _bytes(before), _bytes(after)
    texts = [_text(content) for content in (old, new)]
    is_binary = any(text is None for text in texts)
    attributes: dict[str, Any] = {
        semconv.FILE_PATH: path,
        semconv.FILE_OLD_PATH: old_path,
        semconv.FILE_SHA256_BEFORE: _sha256(old),
        semconv.FILE_SHA256_AFTER: _sha256(new),
        semconv.FILE_BINARY: is_binary,
    }
    if not is_binary and max(len(old or b""), len(new or b"")) <= CONTENT_LIMIT:
        hunks = list(_hunks(_lines(texts[0] or ""), _lines(texts[1] or "")))
        attributes[semconv.FILE_ADDED] = sum(line.startswith("+") for line in hunks)
        attributes[semconv.FILE_REMOVED] = sum(line.startswith("-") for line in hunks)
        if contents:
            heads = [
                "--- /dev/null" if old is None else f"--- a/{old_path or path}",
                "+++ /dev/null" if new is None else f"+++ b/{path}",
            ]
            attributes[semconv.FILE_DIFF] = "\n".join([*heads, *hunks, ""]) if hunks else ""
            attributes[semconv.FILE_BEFORE] = texts[0] if old is not None else None
            attributes[semconv.FILE_AFTER] = texts[1] if new is not None else None
    return {key: value for key, value in attributes.items() if value is not None}


def _bytes(content: Content) -> bytes | None:
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content


def _text(content: bytes | None) -> str | None:
    """The text of a file, "" of none; None if it is not text."""
    if content is not None and b"\0" in content:
        return None
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        return None


def _sha256(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _lines(text: str) -> list[str]:
    """Lines without their ends; a last one that has none carries the mark that `patch` knows."""
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _hunks(old: list[str], new: list[str]) -> Iterator[str]:
    """The lines of a unified diff after its two heads."""
    matcher: difflib.SequenceMatcher[str] = difflib.SequenceMatcher()
    matcher.opcodes = _opcodes(old, new)  # type: ignore[attr-defined]  # missing in typeshed
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        yield f"@@ -{_range(old_start, old_end)} +{_range(new_start, new_end)} @@"
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from (f" {line}" for line in old[i:i_end])
            else:
                yield from (f"-{line}" for line in old[i:i_end])
                yield from (f"+{line}" for line in new[j:j_end])


def _opcodes(old: list[str], new: list[str]) -> list[tuple[_Tag, int, int, int, int]]:
    """As `SequenceMatcher.get_opcodes`, but only the changed middle is searched for matches."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_end, new_end = len(old) - tail, len(new) - tail
    if old_end == new_end == head:
        return []
    middle: list[tuple[_Tag, int, int, int, int]] = [("replace", head, old_end, head, new_end)]
    if (old_end - head) * (new_end - head) <= _MATCH_LIMIT:
        matcher = difflib.SequenceMatcher(None, old[head:old_end], new[head:new_end])
        middle = [
            (tag, i + head, i_end + head, j + head, j_end + head)
            for tag, i, i_end, j, j_end in matcher.get_opcodes()
        ]
    return [
        ("equal", 0, head, 0, head),
        *middle,
        ("equal", old_end, len(old), new_end, len(new)),
    ]


def _common(old: list[str], new: list[str]) -> int:
    """How many lines are equal from the beginning."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((n for n, (left, right) in pairs if left != right), min(len(old), len(new)))


def _range(start: int, end: int) -> str:
    """Lines `start` to `end` (from 0) in a hunk's head; an empty range names the line before."""
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
