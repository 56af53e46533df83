"""Breaks the SQL of an analysis on purpose, one place at a time: do its cases notice?"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import duckdb

from otel_traj.errors import ConfigurationError, QueryError
from otel_traj_analysis import cases
from otel_traj_analysis.header import Analysis

Rewrite: TypeAlias = "str | Callable[[re.Match[str]], str]"


def _without_item(number: int) -> Callable[[re.Match[str]], str]:
    """Leaves one item out of a list of columns, as after `order by` or `partition by`."""

    def rewrite(match: re.Match[str]) -> str:
        items = match["items"].split(",")
        return match["before"] + ",".join(items[:number] + items[number + 1 :])

    return rewrite


_CTE = re.compile(r"^(?:with )?(\w+) as (?:materialized )?\($", re.MULTILINE)

_ITEM = r"\s+[\w.]+(?: is null| <> [\w.]+)?(?: desc)?(?: nulls \w+)?,?"
_LIST = rf"(?P<before>(?:order|partition) by)(?P<items>(?:{_ITEM})+)"

REWRITES: tuple[tuple[str, Rewrite], ...] = (
    (r" = ", " <> "),
    (r" <> ", " = "),
    (r" is distinct from ", " <> "),
    (r" >= ", " > "),
    (r" > ", " >= "),
    (r" < ", " <= "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r" is null", " is not null"),
    (r" is not null", " is null"),
    (r" not in \(", " in ("),
    (r" in \(", " not in ("),
    (r"(?<!getvariable\()'\w[^']*'", "'mutant'"),
    (r"count\(distinct ", "count("),
    (r"\bmax\(", "min("),
    (r"\bmin\(", "max("),
    (r"\bsum\(", "max("),
    (r"\bavg\(", "median("),
    (r"\bmedian\(", "avg("),
    (r" filter \(where (?:[^()]|\([^()]*\))*\)", ""),
    (r"\bleft join ", "join "),
    (r"(?<!left )\bjoin ", "left join "),
    (r" desc\b", ""),
    (r" nulls last", " nulls first"),
    (r" nulls first", " nulls last"),
    (r"(?<![\w'.\"])(\d+)(?![\w'.])", lambda match: str(int(match[1]) + 1)),
    (r"coalesce\(([^(),]+), ([^(),]+)\)", r"\1"),
    (r"coalesce\(([^(),]+), ([^(),]+)\)", r"\2"),
    (r"coalesce\(([^(),]+), ([^(),]+), ([^(),]+)\)", r"coalesce(\1, \2)"),
    (r"coalesce\(([^(),]+), ([^(),]+), ([^(),]+)\)", r"coalesce(\2, \3)"),
    (r"coalesce\(([^(),]+), ([^(),]+), ([^(),]+)\)", r"coalesce(\1, \3)"),
    (r"(?m)^    (?:.* as |\w+\.)?(\w+)(,?)  --", r"    null as \1\2  --"),
    *((_LIST, _without_item(number)) for number in range(5)),
)
"""What to look for, and what to write there instead."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken analysis, and the line that was broken, before and after.

    `cte` is the CTE that the line stands in, None: the last `select`.
    """

    analysis: Analysis
    cte: str | None
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a case asks, over its rows: of one CTE, or (None) of the whole query."""

    cte: str | None
    case: cases.Case
    connection: duckdb.DuckDBPyConnection


def mutants(analysis: Analysis) -> Iterator[Mutant]:
    """The analysis with one place changed, for each place and each rewrite."""
    text = analysis.sql
    start = len("\n".join(_header(text)))
    for pattern, rewrite in REWRITES:
        for match in re.finditer(pattern, text):
            changed = text[: match.start()] + _expand(match, rewrite) + text[match.end() :]
            if match.start() >= start and not _in_comment(text, match.start()) and changed != text:
                yield Mutant(
                    dataclasses.replace(analysis, sql=changed),
                    _cte_at(text, match.start()),
                    *_difference(text, changed),
                )


def survivors(
    analysis: Analysis, promises: Sequence[cases.Case], *, one_in: int = 1
) -> list[Mutant]:
    """Mutants under which every promise is still kept; only one in so many is tried."""
    asked = [question for case in promises for question in _questions(case)]
    order = [*_CTE.findall(analysis.sql), None]
    tried = itertools.islice(mutants(analysis), 0, None, one_in)
    return [m for m in tried if not _is_noticed(m, _nearest_first(m, asked, order))]


def _questions(case: cases.Case) -> Iterator[Question]:
    connection = cases.tables(case)
    for cte, rows in case.ctes.items():
        yield Question(cte, dataclasses.replace(case, ctes={cte: rows}, query=None), connection)
    if case.query is not None:
        yield Question(None, dataclasses.replace(case, ctes={}), connection)


def _nearest_first(
    mutant: Mutant, asked: Sequence[Question], order: Sequence[str | None]
) -> list[Question]:
    """What may see the broken place, from there to the end; CTEs before it cannot."""
    broken = order.index(mutant.cte)
    behind = (question for question in asked if order.index(question.cte) >= broken)
    return sorted(behind, key=lambda question: order.index(question.cte))


def _is_noticed(mutant: Mutant, asked: Sequence[Question]) -> bool:
    try:
        for question in asked:
            cases.compare(question.connection, mutant.analysis, question.case)
    except (cases.CaseFailedError, ConfigurationError, QueryError, duckdb.Error):
        return True
    return False


def _cte_at(text: str, position: int) -> str | None:
    if position > text.rindex("\nselect\n"):
        return None
    before = _CTE.findall(text[:position])
    return str(before[-1]) if before else None


def _header(text: str) -> list[str]:
    lines = text.splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]


def _in_comment(text: str, position: int) -> bool:
    line_start = text.rfind("\n", 0, position) + 1
    return "--" in text[line_start:position]


def _expand(match: re.Match[str], rewrite: Rewrite) -> str:
    return match.expand(rewrite) if isinstance(rewrite, str) else rewrite(match)


def _difference(text: str, changed: str) -> tuple[str, str]:
    """The first line that differs, in both."""
    pairs = zip(text.splitlines(), changed.splitlines(), strict=False)
    return next((old.strip(), new.strip()) for old, new in pairs if old != new)
