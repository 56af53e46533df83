"""Recorded text is written by strangers: whoever shows it must have it seen, never obeyed.

Escape sequences move the cursor, retitle windows or fake output; bidirectional controls reorder
what is read; invisible characters hide instructions. `visible` replaces each by a sign for it, and
leaves all other text, in any script, as it is. `tests/cli/test_safety.py` holds the known tricks.
"""

from __future__ import annotations

import re
from typing import Final

_HARMFUL: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u2028\u2029"  # line and paragraph separators
    "\u00ad\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"  # invisible: soft hyphen, tags, ...
    "\ufff9-\ufffb"  # interlinear annotation
    "\ud800-\udfff"  # halves of characters
    "]"
)
_HARMFUL_IN_LINES: Final = re.compile(_HARMFUL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def visible(text: str) -> str:
    """One line of text, harmless: ESC becomes `␛`, a line end `␊`, U+202E `<U+202E>`.

    A text without such characters comes back unchanged.
    """
    return _HARMFUL.sub(_sign, text)


def visible_lines(text: str) -> list[str]:
    """The lines of a text, each as `visible` gives it; tabs become four spaces."""
    text = text.replace("\r\n", "\n").replace("\t", "    ").rstrip("\n")
    return [_HARMFUL_IN_LINES.sub(_sign, line) for line in text.split("\n")]


def escaped(json_text: str) -> str:
    """JSON text with harmful characters as escapes: it means the same, and a terminal is safe.

    Control characters below U+0020 are expected to be escaped already, as JSON demands.
    """
    return _HARMFUL_IN_LINES.sub(_escape, json_text)


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of a control character
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
