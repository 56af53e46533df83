"""The search box: what is typed is read, or refused with what would be right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.server.viewer.language import MAX_TERMS, Range, SearchError, Term, parse


def test_words_fields_quotes_and_minus_are_read() -> None:
    typed = r'tool:bash -outcome:Failure cost>0.5 "no such \"file\"" -agent:"my agent" trace'

    assert parse(typed) == [
        Term("tool", "bash"),
        Term("outcome", "failure", is_negated=True),
        Term("cost", Range(low=0.5, has_low=False)),
        Term(None, 'no such "file"'),
        Term("agent", "my agent", is_negated=True),
        Term(None, "trace"),
    ]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("cost:0.1..0.5", Range(0.1, 0.5)),
        ("cost:..$2", Range(high=2.0)),
        ("tokens>=1.5k", Range(low=1500.0)),
        ("tokens<2M", Range(high=2e6, has_high=False)),
        ("steps:7", Range(7.0, 7.0)),
        ("reward<=-0.5", Range(high=-0.5)),
        ("dur>1h30m", Range(low=5400.0, has_low=False)),
        ("dur<=250ms", Range(high=0.25)),
        ("dur:10s..5m", Range(10.0, 300.0)),
        ("dur:90", Range(90.0, 90.0)),
    ],
)
def test_numbers_and_time_spans_have_ranges_and_units(typed: str, expected: Range) -> None:
    [term] = parse(typed)

    assert term.value == expected


@pytest.mark.parametrize(
    ("typed", "at", "says"),
    [
        ("colour:red", 0, "no field 'colour'"),
        ("ok tol:bash", 3, "Did you mean 'tool'?"),
        ("http://x", 0, 'quote it: "http://x"'),
        ("outcome:good", 0, "success, failure, partial, error, unknown"),
        ("agent>5", 0, "'agent' is no number"),
        ("cost>much", 0, "'much' is no number"),
        ("cost:..", 0, "Both ends"),
        ("dur>5parsecs", 0, "no time span"),
        ('say "hello', 4, "not closed"),
        ('a"b"', 1, "not closed, or stands within a word"),
        ('"a"b', 3, "a space is missing"),
        ("tool:", 5, "a value after 'tool:'"),
        ("- x", 1, "a text after '-'"),
        ("a " * (MAX_TERMS + 1), 2 * MAX_TERMS, f"{MAX_TERMS} terms"),
        ("x" * 2001, 2000, "2,000 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(typed: str, at: int, says: str) -> None:
    with pytest.raises(SearchError) as caught:
        parse(typed)

    assert says in str(caught.value)
    assert caught.value.at == at


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(typed: str) -> None:
    try:
        terms = parse(typed)
    except SearchError:
        return
    assert all(term.value != "" for term in terms)


@given(st.text(min_size=1, max_size=40))
def test_any_text_can_be_looked_for_in_quotes(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')

    assert parse(f'"{escaped}"') == [Term(None, text)]
