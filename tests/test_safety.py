"""Hostile text reaches no terminal: it is shown as signs, and everything else stays as it is."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.safety import escaped, visible, visible_lines

HOSTILE = {
    "clear the screen": "\x1b[2J\x1b[H",
    "colour": "\x1b[31mred\x1b[0m",
    "window title": "\x1b]0;pwned\x07",
    "hyperlink": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "C1 control sequence": "\x9b2J",
    "answerback and device control": "\x05\x90$qm\x9c",
    "overwrite a line": "all good\rrm -rf /",
    "backspaces": "safe\b\b\b\bevil",
    "bidirectional override": "access\u202etxt.exe",
    "bidirectional isolate": "\u2066left\u2069",
    "invisible tags": "ok\U000e0049\U000e0047\U000e004e",
    "line separator": "one\u2028two",
    "zero width space": "pass\u200bword",
    "lone surrogate": "\ud83d",
}


def is_harmful(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or (
        category == "Cf" and unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO")
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_visible_and_harmless(name: str) -> None:
    shown = visible(HOSTILE[name])

    assert shown != HOSTILE[name]
    assert not any(map(is_harmful, shown))
    assert not any(map(is_harmful, "".join(visible_lines(HOSTILE[name]))))


def test_signs_say_what_stood_there() -> None:
    assert visible("a\x1b[2J\n\x7f\x9b\u202e") == "a␛[2J␊␡<U+009B><U+202E>"


@pytest.mark.parametrize(
    "text",
    ["plain", "Grüße, 日本語, ไทย", "👩\u200d🚀", "\u0645\u06cc\u200c\u062e", "a\u0301", "€ → ✓"],
)
def test_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert escaped(text) == text


def test_lines_are_kept_and_tabs_become_spaces() -> None:
    assert visible_lines("one\r\ntwo\n\n\tthree\x1b\n") == ["one", "two", "", "    three␛"]


@given(st.text(st.characters()))
def test_escaped_json_means_the_same(text: str) -> None:
    harmless = escaped(json.dumps(text, ensure_ascii=False))

    assert json.loads(harmless) == text
    assert not any(map(is_harmful, harmless))


@given(st.text(st.characters()))
def test_nothing_harmful_survives(text: str) -> None:
    assert not any(map(is_harmful, visible(text)))
