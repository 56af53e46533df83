"""An analysis is a file: plain DuckDB SQL under a header that says what its rows mean.

    -- name: outcomes
    -- Share of judged trajectories per task that ended in success.
    -- grain: one row per task
    -- units: one attempt counts once; forks and replays are no attempts
    -- parameters: min_runs (int, default 1): tasks with fewer trajectories are left out
    --     agent (text, default null): only trajectories of this agent
    -- labels: contrast

`name`, the sentence and `grain` are required. Parameters are DuckDB variables, read in the SQL as
`coalesce(getvariable('min_runs'), 1)`, or bare where the default is null; each output column ends
a line of the last `select`, with its meaning as the comment behind it. So a file runs
unchanged wherever DuckDB does, and docs, CLI help and `describe` come from the file alone.

The parser is strict, because what it lets through is shown as truth: a default that the SQL does
not use, a column without a meaning, a misspelt key are errors that name file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, NoReturn, TypeAlias, cast

from otel_traj.errors import ConfigurationError

ParameterValue: TypeAlias = "int | float | str | bool | datetime | None"
"""What a parameter can be set to; None is the same as leaving it out."""


class ParameterType(NamedTuple):
    """Python types that are accepted, and how the text of a header or of a user is read."""

    accepts: tuple[type, ...]
    read: Callable[[str], ParameterValue]


PARAMETER_TYPES: Final = {
    "int": ParameterType((int,), int),
    "float": ParameterType((float, int), float),
    "text": ParameterType((str,), str),
    "bool": ParameterType((bool,), {"true": True, "false": False}.__getitem__),
    "timestamp": ParameterType((datetime,), datetime.fromisoformat),
    "where": ParameterType((str,), str),
}
"""A `where` is a SQL condition on `trajectories`; its variable lists the ids it holds for."""

Values: TypeAlias = dict[str, list[tuple[int, str]]]
"""Key of a header -> its lines, each with its number in the file."""

STEPS: Final = ("contrast", "cohorts", "effectiveness")
"""Statistical steps that a header may name under `labels`."""

KEYS: Final = ("name", "grain", "units", "parameters", "labels")

_KEY = re.compile(r"(?P<key>[a-z]+): ?(?P<value>.*)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PARAMETER = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*) \((?P<type>[a-z]+), default (?P<default>[^)]+)\): (?P<meaning>\S.*)"
)
_COLUMN = re.compile(r"(?P<expression>.*?),?\s+-- (?P<meaning>\S.*)")
_COLUMN_NAME = re.compile(r"(?:.*\bas\s+|(?:\w+\.)?)(?P<name>\w+)")
_INSIDE = re.compile(r" {5}|.*[(\[]$")
"""Lines inside the expression of a column: indented deeper, or opening a bracket."""
_VARIABLE = re.compile(r"getvariable\('(\w+)'\)")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting of an analysis. `type` is a key of `PARAMETER_TYPES`; `default` may be None."""

    name: str
    type: str
    default: ParameterValue
    meaning: str

    def accept(self, value: object) -> ParameterValue:
        """Check a value against the type.

        Raises:
            ConfigurationError: The value is of another type; a bool is no int.
        """
        # To Python True is an int; as the value of a number it is a mistake.
        fits = isinstance(value, PARAMETER_TYPES[self.type].accepts)
        if value is not None and (not fits or isinstance(value, bool) != (self.type == "bool")):
            raise self._refusal(value)
        return cast("ParameterValue", value)

    def read(self, text: str) -> ParameterValue:
        """Turn what a user typed into a value: `null`, `true`, `20`, `0.5`, `2026-11-21T08:00:00Z`.

        Raises:
            ConfigurationError: The text is no value of this type.
        """
        try:
            return _read(self.type, text)
        except (ValueError, KeyError) as error:
            raise self._refusal(text) from error

    def _refusal(self, value: object) -> ConfigurationError:
        return ConfigurationError(
            f"Parameter `{self.name}` takes {self.type}, not {value!r}. It means: {self.meaning}"
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the answer. `type` is DuckDB's, "" until a database has bound the query."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """A named SQL question as its file tells it.

    `units` says what is counted as one; None where the grain says it all. `labels` names the
    statistical step that judges the counts; None where the counts are the answer.
    """

    name: str
    sentence: str
    grain: str
    units: str | None
    labels: str | None
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    sql: str


def parse(sql: str, file: str) -> Analysis:
    """Read the header, the parameters and the output columns of an analysis.

    Args:
        sql: Whole text of the file.
        file: How errors call it; its stem must be the analysis's name.

    Raises:
        ConfigurationError: The file does not keep the format; says where and what would be right.
    """
    return _Parser(sql, file).analysis()


class _Parser:
    """One file being read; `fail` is the only way out on a mistake."""

    def __init__(self, sql: str, file: str) -> None:
        self.sql = sql
        self.file = file
        self.lines = sql.splitlines()

    def fail(self, line: int, message: str) -> NoReturn:
        """Raise with a place. `line` counts from 1."""
        raise ConfigurationError(f"{self.file}:{line}: {message}")

    def analysis(self) -> Analysis:
        values = self.header()
        parameters = self.parameters(values.get("parameters", []))
        self.check_variables(parameters)
        return Analysis(
            name=self.name(values),
            sentence=self.sentence(values),
            grain=self.text(values, "grain"),
            units=self.text(values, "units") if "units" in values else None,
            labels=self.labels(values) if "labels" in values else None,
            parameters=parameters,
            columns=self.columns(),
            sql=self.sql,
        )

    def header(self) -> Values:
        """Key -> its lines with their numbers; the sentence goes on under `name`."""
        values: Values = {}
        key = ""
        for number, text in self.comments():
            found = _KEY.fullmatch(text)
            if found:
                key = self.new_key(number, found["key"], values)
                values[key] = []
                text = found["value"]
            if key and text:
                values[key].append((number, text.strip()))
        if not values.get("name"):
            self.fail(1, "an analysis starts with a line `-- name: <name>`")
        return values

    def comments(self) -> Iterator[tuple[int, str]]:
        """The lines of the header with their numbers, without the dashes."""
        for number, line in enumerate(self.lines, start=1):
            if not line.startswith("--"):
                return
            yield number, line[2:].removeprefix(" ")

    def new_key(self, number: int, key: str, seen: Values) -> str:
        if key not in KEYS:
            self.fail(number, f"unknown key {key!r}; a header has {', '.join(KEYS)}")
        if key in seen:
            self.fail(number, f"key {key!r} stands twice")
        return key

    def text(self, values: Values, key: str) -> str:
        text = " ".join(line for _, line in values.get(key, []))
        if not text:
            self.fail(1, f"the header needs a line `-- {key}: ...`")
        return text

    def labels(self, values: Values) -> str:
        step = self.text(values, "labels")
        if step not in STEPS:
            number, _ = values["labels"][0]
            self.fail(number, f"unknown step {step!r}; there is {', '.join(STEPS)}")
        return step

    def name(self, values: Values) -> str:
        number, name = values["name"][0]
        stem = re.split(r"[/\\]", self.file)[-1].removesuffix(".sql")
        if not _NAME.fullmatch(name) or name != stem:
            self.fail(
                number, f"the name is {name!r}, the file's is {stem!r}; they must be one word"
            )
        return name

    def sentence(self, values: Values) -> str:
        [(number, _), *lines] = values["name"]
        if not lines:
            self.fail(number + 1, "the line under `name` is a sentence: what do the rows answer?")
        return " ".join(line for _, line in lines)

    def parameters(self, lines: list[tuple[int, str]]) -> tuple[Parameter, ...]:
        parameters: dict[str, Parameter] = {}
        for number, line in lines:
            parameter = self.parameter(number, line)
            if parameter.name in parameters:
                self.fail(number, f"parameter {parameter.name!r} stands twice")
            parameters[parameter.name] = parameter
        return tuple(parameters.values())

    def parameter(self, number: int, line: str) -> Parameter:
        found = _PARAMETER.fullmatch(line)
        if not found:
            self.fail(number, f"not `<name> (<type>, default <value>): <meaning>`: {line!r}")
        if found["type"] not in PARAMETER_TYPES:
            known = ", ".join(PARAMETER_TYPES)
            self.fail(number, f"unknown type {found['type']!r}; there is {known}")
        try:
            default = _read_literal(found["type"], found["default"])
        except (ValueError, KeyError):
            self.fail(number, f"default {found['default']!r} is no {found['type']}")
        self.check_default(number, found["name"], found["default"])
        return Parameter(found["name"], found["type"], default, found["meaning"])

    def check_default(self, number: int, name: str, default: str) -> None:
        """What the header calls the default is what every place in the SQL falls back to."""
        variable = rf"getvariable\('{name}'\)"
        places = len(re.findall(variable, self.sql))
        literal = re.escape(default) if default != "null" else r"[^)]+"
        with_default = len(re.findall(rf"coalesce\({variable}, {literal}\)", self.sql))
        if places == 0:
            self.fail(number, f"parameter {name!r} is read nowhere in the SQL")
        if default != "null" and with_default != places:
            right = f"coalesce(getvariable('{name}'), {default})"
            self.fail(number, f"the SQL must read the parameter as `{right}`, everywhere")
        if default == "null" and with_default:
            self.fail(number, f"the SQL gives {name!r} a default, the header says null")

    def check_variables(self, parameters: tuple[Parameter, ...]) -> None:
        known = {parameter.name for parameter in parameters}
        for number, line in enumerate(self.lines, start=1):
            for name in _VARIABLE.findall(line):
                if name not in known:
                    self.fail(number, f"variable {name!r} is no parameter of the header")

    def columns(self) -> tuple[Column, ...]:
        """What stands between the last `select` and its `from`, both at the margin."""
        starts = [number for number, line in enumerate(self.lines, start=1) if line == "select"]
        if not starts:
            self.fail(len(self.lines), "the last `select` stands alone on a line, without indent")
        columns: list[Column] = []
        for number, line in enumerate(self.lines[starts[-1] :], start=starts[-1] + 1):
            if line.startswith("from "):
                return tuple(columns)
            if not _INSIDE.match(line):
                columns.append(self.column(number, line))
        self.fail(len(self.lines), "the last `select` has no `from` at the margin")

    def column(self, number: int, line: str) -> Column:
        found = _COLUMN.fullmatch(line.strip())
        named = found and _COLUMN_NAME.fullmatch(found["expression"])
        if not (found and named):
            self.fail(number, "an output column ends as `... as <name>,  -- <meaning>`")
        return Column(named["name"], "", found["meaning"])


def _read(type_name: str, text: str) -> ParameterValue:
    return None if text == "null" else PARAMETER_TYPES[type_name].read(text)


def _read_literal(type_name: str, literal: str) -> ParameterValue:
    """The value of a default as it stands in the SQL, where texts and times are quoted."""
    if literal == "null" or type_name not in ("text", "timestamp"):
        return _read(type_name, literal)
    if not (literal.startswith("'") and literal.endswith("'")):
        raise ValueError(f"{literal!r} is not quoted")
    return _read(type_name, literal[1:-1])
