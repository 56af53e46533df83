"""The rows of a query, and the formats in which they leave: table, json, csv, markdown, parquet.

Rows stream: no format holds more than `BATCH` of them. What every format keeps:

- json is one array of objects, one object per line. Nested values are JSON; a column of DuckDB type
  JSON is embedded as it is. Integers and decimals are written with all their digits; NaN and the
  infinities, for which JSON has no word, become null.
- Times are ISO 8601 in UTC with microseconds (`2026-11-21T09:30:00.250000Z`); a `timestamp`
  without time zone has no `Z`. Bytes are base64.
- csv (RFC 4180, line end LF, with a header): NULL is empty and the empty text is `""`; nested
  values are JSON.
- markdown is a table of GitHub's; texts show as they are, whatever markup they hold.
- parquet keeps DuckDB's types.
- table is for eyes: see `otel_traj.cli.table`.

On a terminal all but parquet are harmless (`otel_traj.safety`): what JSON can say by an escape
keeps its meaning, csv and table show a sign instead, and so does markdown everywhere.
"""

from __future__ import annotations

import base64
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TextIO

from otel_traj.errors import QueryError
from otel_traj.safety import escaped, visible

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH: Final = 2_048
"""Rows fetched, and held, at a time; as many as DuckDB makes at a time."""


class Literal(str):
    """Text that is a JSON value already: an integer of any size, the content of a JSON column."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as Python values, to be iterated once; that raises QueryError where the query fails."""

    names: tuple[str, ...]
    is_number: tuple[bool, ...]
    values: Iterable[Sequence[Any]]


# --- fetching ------------------------------------------------------------------------------------


class _Reading(NamedTuple):
    """How a column is fetched: SQL over `{0}`, what is made of its text, whether it is a number."""

    sql: str = "{0}"
    convert: Callable[[str], Any] | None = None
    is_number: bool = False


def _time(in_utc: str, end: str) -> _Reading:
    text = f"strftime({in_utc}, '%Y-%m-%dT%H:%M:%S.%f{end}')"
    return _Reading(f"case when isfinite({{0}}) then {text} else {{0}}::varchar end")


_PLAIN: Final = _Reading()
_NUMBER: Final = _Reading(is_number=True)
_OTHER: Final = _Reading("{0}::varchar")
_JSON: Final = _Reading("{0}::varchar", Literal)
_READINGS: Final = {
    **dict.fromkeys(("varchar", "boolean", "blob", "struct", "list", "array", "map"), _PLAIN),
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), _NUMBER),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint"), _NUMBER),
    **dict.fromkeys(("float", "double", "decimal"), _NUMBER),
    # Arrow has neither integers above 64 bits nor infinite times.
    **dict.fromkeys(("hugeint", "uhugeint", "bignum"), _JSON._replace(is_number=True)),
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms"), _time("{0}", "")),
    "timestamp with time zone": _time("timezone('UTC', {0})", "Z"),
}


def rows(relation: duckdb.DuckDBPyRelation) -> Rows:
    """The rows of a relation, to be written as they come.

    The first ones are fetched now, so that most queries that fail do so before anything is written.
    """
    readings = [
        _JSON if str(kind) == "JSON" else _READINGS.get(str(kind.id), _OTHER)
        for kind in relation.types
    ]
    return Rows(
        names=_unique(relation.columns),
        is_number=tuple(reading.is_number for reading in readings),
        values=_started(_fetched(relation, readings)),
    )


def _started(values: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    return itertools.chain(list(itertools.islice(values, 1)), values)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Names of which none occurs twice, as the keys of an object must be: a, a_1, a_2."""
    found: dict[str, None] = {}
    for name in names:
        candidate, n = name, 0
        while candidate in found:
            n += 1
            candidate = f"{name}_{n}"
        found[candidate] = None
    return tuple(found)


def _fetched(
    relation: duckdb.DuckDBPyRelation, readings: Sequence[_Reading]
) -> Iterator[Sequence[Any]]:
    # By position: a column name may occur twice.
    projection = [
        f"{reading.sql.format(f'#{at}')} as c{at}" for at, reading in enumerate(readings, start=1)
    ]
    for batch in _batches(relation.project(", ".join(projection))):
        try:
            columns = [
                _column(array.to_pylist(maps_as_pydicts="lossy"), reading)
                for array, reading in zip(batch.columns, readings, strict=True)
            ]
        except (ValueError, OverflowError) as error:
            raise QueryError(
                f"A nested value is beyond what Python holds ({error}): cast its column to varchar"
            ) from error
        yield from zip(*columns, strict=True)


def _batches(relation: duckdb.DuckDBPyRelation) -> Iterator[pa.RecordBatch]:
    """Run a query; its failures, whoever of DuckDB and Arrow tells them, are QueryErrors."""
    import duckdb
    import pyarrow as pa

    try:
        yield from relation.to_arrow_reader(BATCH)
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise QueryError(str(error)) from error


def _column(values: list[Any], reading: _Reading) -> list[Any]:
    convert = reading.convert
    return [v if v is None else convert(v) for v in values] if convert else values


# --- values --------------------------------------------------------------------------------------


def json_text(value: Any) -> str:
    """A value as JSON; times, bytes and special numbers as the module says."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Literal():
            return escaped(value)
        case str():
            return escaped(encode_basestring(value))
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else "null"
        case Decimal():
            return format(value, "f")
        case dict():
            items = (f"{json_text(str(key))}: {json_text(v)}" for key, v in value.items())
            return "{" + ", ".join(items) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(json_text, value)) + "]"
    return escaped(encode_basestring(plain_text(value)))


def plain_text(value: Any) -> str:
    """A value as the text of a cell; NULL is the empty text."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | dict() | list() | tuple():
            return json_text(value)
        case float():
            return repr(value)
        case Decimal():
            return format(value, "f")
        case datetime():  # nested; `_READINGS` has DuckDB write those of columns
            if value.tzinfo is None:
                return value.isoformat(timespec="microseconds")
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case bytes():
            return base64.b64encode(value).decode()
    return str(value)


# --- writing -------------------------------------------------------------------------------------


def write_json(found: Rows, out: TextIO) -> int:
    """Write one array of objects, an object per line; returns how many."""
    keys = [f"{encode_basestring(visible(name))}: " for name in found.names]
    n = 0
    out.write("[")
    for n, row in enumerate(found.values, start=1):
        items = (key + json_text(value) for key, value in zip(keys, row, strict=True))
        out.write(("\n" if n == 1 else ",\n") + "{" + ", ".join(items) + "}")
    out.write("\n]\n" if n else "]\n")
    return n


def write_csv(found: Rows, out: TextIO) -> int:
    """Write a header and one record per row; returns how many rows."""
    show = visible if out.isatty() else str
    out.write(",".join(_field(name, show) for name in found.names) + "\n")
    n = 0
    for row in found.values:
        out.write(",".join("" if v is None else _field(plain_text(v), show) for v in row) + "\n")
        n += 1
    return n


_MARKUP: Final = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown, or GitHub's, takes for more than text; an underscore within a word is none."""


def write_markdown(found: Rows, out: TextIO) -> int:
    """Write a table of GitHub's Markdown; returns how many rows."""
    out.write(_markdown_row(found.names))
    out.write(_markdown_row(("---:" if right else "---" for right in found.is_number), str))
    n = 0
    for row in found.values:
        out.write(_markdown_row("NULL" if v is None else plain_text(v) for v in row))
        n += 1
    return n


def as_markdown(text: str) -> str:
    """One line of Markdown that shows a text as it is."""
    return _MARKUP.sub(r"\\\g<0>", visible(text))


def _markdown_row(cells: Iterable[str], show: Callable[[str], str] = as_markdown) -> str:
    return f"| {' | '.join(map(show, cells))} |\n"


def _field(text: str, show: Callable[[str], str]) -> str:
    text = show(text)
    if text and not any(special in text for special in ',"\n\r') and text.strip() == text:
        return text
    return '"' + text.replace('"', '""') + '"'


def write_parquet(relation: duckdb.DuckDBPyRelation, out: IO[bytes]) -> int:
    """Write one Parquet file, zstd; returns how many rows.

    Raises:
        QueryError: The query fails, or a column's type does not exist in Parquet.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = relation.limit(0).to_arrow_table().schema
    names = _unique(schema.names)
    schema = pa.schema([f.with_name(name) for f, name in zip(schema, names, strict=True)])
    n = 0
    try:
        with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
            for batch in _batches(relation):
                writer.write_batch(pa.record_batch(batch.columns, schema=schema))
                n += batch.num_rows
    except pa.ArrowNotImplementedError as error:
        raise QueryError(f"Parquet has no such type ({error}): cast the column") from error
    return n
