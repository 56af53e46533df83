"""Redaction of records: every text in every place, JSON stays JSON, and nothing else changes."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj import semconv, wal
from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.model import Annotation, Close, LogRecord, Record, SpanEvent, SpanLink, SpanRecord
from otel_traj.redaction import BUILTIN, FAILED, Redaction, choose
from otel_traj.testing import records

KEY = "sk-ant-api03-" + "x1" * 20
MARK = "[redacted:anthropic-key]"
MAIL = "alice@example.com"
CARD = "4111 1111 1111 1111"
ALL = Redaction(BUILTIN)


def span(**fields: Any) -> SpanRecord:
    return SpanRecord("a" * 32, "b" * 16, "c" * 16, fields.pop("name", "s"), 1, 2, **fields)


def full_of(text: str) -> list[Record]:
    """Records with a text wherever one can be."""
    nested = {"k": text, f"key {text}": [text, (text, {"deep": text.encode()})]}
    return [
        span(
            name=text,
            status="ERROR",
            status_message=text,
            attributes={"a": text, f"b {text}": nested, "c": json.dumps(nested, default=str)},
            events=(SpanEvent(1, text, {"exception.stacktrace": text}),),
            links=(SpanLink("d" * 32, "e" * 16, {"l": text}),),
            resource={"r": text},
            scope_name=text,
            scope_attributes={"s": text},
            trace_state=f"k={text}",
        ),
        span(attributes={semconv.TRAJECTORY_ID: text}),
        replace(span(attributes={"started": text}), end_ns=None),
        LogRecord("a" * 32, None, 1, 1, text, "INFO", nested, {"a": text}, text, {"r": text}),
        LogRecord("a" * 32, None, 1, 1, None, None, text),
        Annotation(
            annotation_id="1",
            target="trajectory",
            trajectory_id=text,
            trace_id="a" * 32,
            span_id=None,
            tool_call_id=None,
            name=text,
            kind="comment",
            value_num=None,
            value_text=text,
            value_json=json.dumps(nested, default=str),
            source=text,
            annotator=text,
            created=datetime(2026, 1, 1, tzinfo=UTC),
        ),
        Close(text, ("a" * 32,), "b" * 16),
    ]


# --- everywhere --------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [KEY, MAIL, CARD])
def test_no_text_of_a_record_is_left_out(secret: str) -> None:
    for record in full_of(f"say {secret} now"):
        redacted = ALL.record(record)

        assert secret not in repr(redacted)
        assert secret.encode() not in wal.encode([redacted])
        assert type(redacted) is type(record)


def test_what_holds_no_secret_is_the_same_object() -> None:
    for record in full_of("nothing, 4012-888, a@2x.png"):
        assert ALL.record(record) is record


@given(records())
def test_ids_times_and_numbers_are_never_touched(record: Any) -> None:
    greedy = Redaction(BUILTIN, patterns={"all": "(?s).+"})

    redacted = greedy.record(record)

    for name in ("trace_id", "span_id", "parent_span_id", "start_ns", "end_ns", "time_ns", "flags"):
        assert getattr(redacted, name, None) == getattr(record, name, None)
    assert [*wal.decode(wal.encode([redacted]))]


PLANTED = st.sampled_from([KEY, f"x {MAIL}", CARD, "hunter2hunter2", "4111111111111111", "fine"])
NAMES = st.sampled_from(["a", "db.password", "x-api-key", "session.token", "note", f"k {KEY}"])
PLANTED_VALUES = st.recursive(
    PLANTED | st.just(4111111111111111) | st.builds(bytes, st.just(KEY.encode())),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


@given(records(), st.dictionaries(NAMES, PLANTED_VALUES, max_size=3))
def test_the_quick_look_at_a_record_overlooks_nothing(record: Any, told: dict[str, Any]) -> None:
    if isinstance(record, SpanRecord | LogRecord):
        record = replace(record, attributes={**record.attributes, **told})

    assert ALL.record(record) == ALL._redacted(record)


@given(records())
def test_redacting_twice_is_redacting_once(record: Any) -> None:
    redaction = Redaction(
        BUILTIN, patterns={"vowels": "[iou]{2}"}, attributes={"b*": "hash", "c*": "mask"}
    )

    once = redaction.record(record)

    assert redaction.record(once) == once


def test_a_record_says_which_of_its_values_were_changed() -> None:
    changed = ALL.record(
        span(
            name=KEY,
            attributes={"a": KEY, "b": "fine", "c": [1, {"d": MAIL}], semconv.REDACTED: ["before"]},
            events=(SpanEvent(1, "exception", {"exception.message": KEY}),),
            resource={"r": KEY},
        )
    )

    assert changed.attributes == {
        "a": MARK,
        "b": "fine",
        "c": [1, {"d": "[redacted:emails]"}],
        semconv.REDACTED: ["a", "before", "c", "exception.message", "name"],
    }


def test_keys_that_become_equal_stay_apart() -> None:
    told = ALL.record(span(attributes={"m": {MAIL: 1, f"b{MAIL}": 2, "n": 3}}))

    assert told.attributes["m"] == {"[redacted:emails]": 1, "[redacted:emails] 2": 2, "n": 3}
    text = ALL.text(f'{{"{MAIL}": 1, "b{MAIL}": {{"{MAIL}": 2}}, "n": 3}}')
    assert text == (
        '{"[redacted:emails]": 1, "[redacted:emails] 2": {"[redacted:emails]": 2}, "n": 3}'
    )


def test_runs_whose_ids_hold_a_secret_stay_two_runs() -> None:
    ids = [ALL.record(Close(f"for {name}@example.com", (), None)).trajectory_id for name in "ab"]
    told = ALL.record(span(attributes={semconv.TRAJECTORY_ID: "for a@example.com"}))

    assert "@" not in repr(ids)
    assert ids[0] != ids[1]
    assert told.attributes[semconv.TRAJECTORY_ID] == ids[0]


# --- JSON --------------------------------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just(KEY)
    | st.just(f"mail {MAIL}")
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('abü"\\ .', max_size=5) | st.just(MAIL), inner, max_size=3)
        | st.builds(json.dumps, inner)
    ),
    max_leaves=8,
)


def without_mail(text: str) -> str:
    return text.replace(MAIL, "[redacted:emails]")


def expected(value: Any) -> Any:
    """The value as Redaction should leave it, by replacing in parsed values."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if value.strip()[:1] in ("{", "[", '"') else None
        except ValueError:
            parsed = None
        if parsed is not None:
            return expected(parsed)
        return without_mail(value.replace(KEY, MARK))
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, dict):
        return {without_mail(key): expected(item) for key, item in value.items()}
    return value


def parsed(value: Any) -> Any:
    """All JSON in a value read, however deep."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "[", '"'):
        try:
            return parsed(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, list):
        return [parsed(item) for item in value]
    if isinstance(value, dict):
        return {key: parsed(item) for key, item in value.items()}
    return value


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_json_within_json_stays_json_and_says_the_same_but_for_secrets(
    value: Any, is_ascii: bool, indent: int | None
) -> None:
    text = json.dumps([value], ensure_ascii=is_ascii, indent=indent)

    redacted = Redaction(("secrets", "emails")).text(text)

    assert parsed(json.loads(redacted)) == expected(json.loads(text))


def test_all_but_the_secret_stays_byte_for_byte() -> None:
    text = (
        '{"a": 1.10, "b":1E5,"b" :"ü\\u00fc\\/", "n": 123456789012345678901234567890,\n "k": "%s"}'
    )

    assert ALL.text(text % KEY) == text % MARK


@pytest.mark.parametrize(
    "escaped",
    [
        r"\u0022password\u0022: \u0022hunter2\u0022",
        r"sk\u002dant\u002d" + "x1" * 20,
        r"postgres:\/\/u:hunter2@db",
    ],
)
def test_what_other_encoders_escape_is_found(escaped: str) -> None:
    redacted = ALL.text(json.dumps({"inner": "%s"}).replace("%s", escaped))

    assert "hunter2" not in redacted
    assert "x1x1" not in redacted
    assert json.loads(redacted)


def test_json_that_was_cut_off_is_searched_as_text() -> None:
    cut = json.dumps([{"arguments": json.dumps({"password": "hunter2", "k": KEY})}])[:-3]

    redacted = ALL.text(cut)

    assert "hunter2" not in redacted
    assert KEY not in redacted


def test_values_under_the_name_of_a_secret_go_whatever_they_look_like() -> None:
    attributes = {
        "http.request.header.authorization": ["Digest zzzzzzzz"],
        "db.password": "correcthorse",
        "gen_ai.tool.call.arguments": '{"user": "bob", "api_key": "qwertyuiop", "n": 1}',
        "gen_ai.usage.token": 17,
        "password": {"type": "string"},
    }

    assert Redaction().told(attributes)[0] == {
        "http.request.header.authorization": ["[redacted:credential]"],
        "db.password": "[redacted:credential]",
        "gen_ai.tool.call.arguments": '{"user": "bob", "api_key": "[redacted:credential]", "n": 1}',
        "gen_ai.usage.token": 17,
        "password": {"type": "string"},
    }


# --- e-mail and cards --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [MAIL, "Bob.O'Neil+x@mail.example.co.uk", "to=bob%40example.com&x", "<bob@example.com>,"],
)
def test_addresses_are_found(text: str) -> None:
    assert "example" not in Redaction(("emails",)).text(text)
    assert Redaction().text(text) == text


@pytest.mark.parametrize(
    "text",
    ["logo@2x.png", "git@github.com:a/b", "pip install x@1.2", "@decorator.call", "a @ b.com", "@"],
)
def test_what_only_has_an_at_sign_is_no_address(text: str) -> None:
    assert Redaction(("emails",)).text(text) == text


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111-1111-1111-1111",
        "5555 5555 5555 4444",
        "2223003122003222",
        "3782 822463 10005",
        "6011000990139424",
        "30569309025904",
        "3530111333300000",
    ],
)
def test_numbers_of_cards_are_found(number: str) -> None:
    cards = Redaction(("cards",))

    assert cards.text(f"card: {number}.") == "card: [redacted:cards]."
    assert cards.text(json.dumps({"n": number})) == '{"n": "[redacted:cards]"}'
    assert Redaction().text(number) == number


@pytest.mark.parametrize(
    "around", ["- old\n+{}\n", "-{}", r'says "paid:\n{}\n"', r'"@@ -1 +1 @@\n-{}\n+none"']
)
def test_a_number_of_a_card_is_found_at_the_start_of_a_line(around: str) -> None:
    cards = Redaction(("cards",))

    assert cards.text(around.format("4111 1111 1111 1111")) == around.format("[redacted:cards]")
    assert cards.text("call +4111111111111111") == "call +4111111111111111"


def test_a_number_that_is_a_cards_is_replaced_also_where_it_is_no_text() -> None:
    cards = Redaction(("cards",))

    assert (
        cards.text('{"card": 4111111111111111, "n": 1}') == '{"card": "[redacted:cards]", "n": 1}'
    )
    assert cards.value("card", 4111111111111111) == "[redacted:cards]"


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111112",  # the last digit does not fit
        "1767225600000000000",  # nanoseconds
        "1234567812345670",  # a digit that fits, and no issuer
        "ORDER-4111111111111111",
        "4111111111111111-7",
        "0.4111111111111111",
        "4111 1111 11111111",
        "a4111111111111111f",
    ],
)
def test_other_numbers_stay(number: str) -> None:
    cards = Redaction(("cards",))

    assert cards.text(number) == number
    assert cards.text(f'{{"n": "{number}"}}') == f'{{"n": "{number}"}}'


# --- own rules ---------------------------------------------------------------------------------


def test_own_patterns_replace_what_they_match_or_their_group() -> None:
    redaction = Redaction((), {"employee": r"E-\d{5}", "name": r"name is (?P<x>\w+)"})

    assert redaction.text('{"t": "E-12345, my name is Bob"}') == (
        '{"t": "[redacted:employee], my name is [redacted:name]"}'
    )
    assert redaction.counts() == {"employee": 1, "name": 1}


def test_attributes_are_dropped_hashed_or_masked_by_key_at_any_depth() -> None:
    redaction = Redaction(
        (), attributes={"user.*": "hash", "*.ssn": "mask", "raw": "drop", "n": "mask"}
    )
    attributes = {
        "user.id": "bob",
        "user.name": "bob",
        "raw": {"any": "thing"},
        "n": 17,
        "call": {"ssn": {"a": [1, "x"]}, "kept": 1},
        "text": '{"ssn": 123, "kept": {"ssn": null, "b": true}}',
    }

    told, changed = redaction.told(attributes)

    assert told == {
        "user.id": "[sha256:81b637d8fcd2c6da]",
        "user.name": "[sha256:81b637d8fcd2c6da]",
        "n": "[redacted:mask]",
        "call": {"ssn": {"a": ["[redacted:mask]", "[redacted:mask]"]}, "kept": 1},
        "text": '{"ssn": "[redacted:mask]", "kept": {"ssn": null, "b": true}}',
    }
    assert changed == ["user.id", "user.name", "raw", "n", "call", "text"]


def test_a_member_that_is_dropped_is_null_in_json_text_and_gone_from_a_value() -> None:
    redaction = Redaction((), attributes={"*.x": "drop"})

    assert redaction.value("k", {"x": 1, "y": 2}) == {"y": 2}
    assert redaction.value("k", '{"x": {"z": 1}, "y": 2}') == '{"x": {"z": null}, "y": 2}'


def test_functions_are_given_each_text_with_its_key_after_the_rules() -> None:
    seen: list[tuple[str, str]] = []

    def note(key: str, text: str) -> str:
        seen.append((key, text))
        return text.replace("Bob", "B.")

    redaction = Redaction(functions=(note,))

    told = redaction.record(
        span(name="Bob", attributes={"m": json.dumps([{"text": f"Bob {KEY}", "n": 1}])})
    )

    assert (told.name, told.attributes["m"]) == ("B.", json.dumps([{"text": f"B. {MARK}", "n": 1}]))
    assert ("m.text", f"Bob {MARK}") in seen
    assert ("name", "Bob") in seen
    assert redaction.counts() == {"anthropic-key": 1, "functions": 2}


@pytest.mark.parametrize("problem", [RuntimeError(f"cannot handle {KEY}"), None, 17])
def test_a_function_that_fails_leaks_nothing_is_counted_and_told_once(
    problem: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str, text: str) -> Any:
        if isinstance(problem, Exception):
            raise problem
        return problem

    redaction = Redaction((), functions=(fail,))

    assert redaction.text("private") == "[redacted:failed]"
    assert redaction.value("k", ["private", 1]) == ["[redacted:failed]", 1]
    assert redaction.counts() == {FAILED: 2}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "fail" in record.message
    assert KEY not in caplog.text


def test_a_pattern_may_span_what_was_replaced_before_and_not_spoil_it() -> None:
    redaction = Redaction(("emails",), {"block": "(?s)BEGIN.*END", "e": "e"})

    assert redaction.text(f"BEGIN {MAIL} secret END") == "[redacted:block]"
    assert redaction.text(f"me {MAIL}") == "m[redacted:e] [redacted:emails]"


@pytest.mark.parametrize("action", ["mask", "hash"])
def test_a_value_that_only_begins_like_a_marker_is_no_marker(action: Any) -> None:
    redaction = Redaction(attributes={"ssn": action})

    told, _ = redaction.told({"ssn": "[redacted:x] 078-05-1120", "password": "[redacted:x]hunter2"})

    assert "078" not in repr(told)
    assert "hunter2" not in repr(told)


class Told:
    """An object of the program's own."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Told({self.text!r})"


class Word(str):
    """A text that is more than a text."""


@pytest.mark.parametrize(
    "value",
    [
        Told(KEY),
        {KEY},
        frozenset({KEY}),
        bytearray(KEY.encode()),
        memoryview(KEY.encode()),
        Word(KEY),
        deque([KEY]),
        MappingProxyType({"k": (KEY,)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_any_type_are_redacted_as_the_log_would_tell_them(value: Any) -> None:
    log = LogRecord(None, None, 1, 1, None, None, {"body": [value]}, {"a": value})

    written = wal.encode([Redaction().record(log)])

    assert KEY.encode() not in written
    assert base64.b64encode(KEY.encode()) not in written


def test_a_value_that_holds_itself_harms_nobody() -> None:
    circular: list[Any] = [KEY]
    circular.append(circular)

    told = ALL.record(LogRecord(None, None, 1, 1, None, None, circular))

    assert told.body == "[redacted:failed]"


# --- what a user may say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "environment", "rules"),
    [
        (None, None, ("secrets",)),
        (None, "", ("secrets",)),
        (None, "off", ()),
        (None, "secrets,emails", ("secrets", "emails")),
        (None, "ON", BUILTIN),
        (True, "off", BUILTIN),
        (False, "on", ()),
        (Redaction(("cards",)), "on", ("cards",)),
        (" cards ", None, ("cards",)),
        ("false", None, ()),
    ],
)
def test_what_is_said_counts_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, given_: Any, environment: str | None, rules: tuple[str, ...]
) -> None:
    if environment is not None:
        monkeypatch.setenv("OTEL_TRAJ_REDACT", environment)

    assert choose(given_) == Redaction(rules)


def test_a_redaction_of_ones_own_is_named_by_its_module() -> None:
    assert choose(f"{__name__}:ALL") is ALL


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ("secret", "No redaction rule named 'secret'. There is: 'cards', 'emails', 'secrets'."),
        ("json:loads", "json:loads is no Redaction"),
        ("no_such_module:x", "No redaction at no_such_module:x: ModuleNotFoundError("),
        (str.upper, "A function of your own: Redaction(functions=(function,))"),
    ],
)
def test_what_cannot_be_understood_is_refused(given_: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        choose(given_)

    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"rules": ("secret",)}, UnknownNameError),
        ({"attributes": {"a": "hide"}}, UnknownNameError),
        ({"patterns": {"a": "("}}, ConfigurationError),
        ({"functions": ("x",)}, ConfigurationError),
    ],
)
def test_a_redaction_that_cannot_work_is_refused(
    arguments: Mapping[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Redaction(**arguments)


def test_redactions_are_values() -> None:
    redaction = Redaction(("emails",), {"a": "x+"}, {"b": "hash"})

    copied = pickle.loads(pickle.dumps(redaction))

    assert copied == redaction
    assert copied.text("xx") == "[redacted:a]"
    assert redaction.counts() == {}
    with pytest.raises(AttributeError):
        redaction.rules = ()  # type: ignore[misc]


def test_nothing_is_counted_twice_or_lost_between_threads() -> None:
    redaction = Redaction()
    threads = [
        threading.Thread(target=lambda: [redaction.text(KEY) for _ in range(500)]) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert redaction.counts() == {"anthropic-key": 4000}


def test_off_is_off() -> None:
    off = choose(False)

    assert not off
    for record in full_of(KEY):
        assert off.record(record) is record
