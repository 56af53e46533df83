"""Is a text nowhere in a store? Every byte of its folder is read, and read as what it stands for.

A text need not be stored as itself. Within JSON it is escaped, within JSON in JSON twice, bytes are
base64, a column of Parquet is compressed, ids in an OTLP request are binary. So files are decoded
first, live or not (Parquet by column with its dictionaries and statistics, the log by record,
compressed files whole), and each text in them is looked at as it is, with its escapes undone as
often as there are any, and with what is base64 decoded. A file that cannot be decoded proves
nothing and counts as a finding.

What is not undone: percent encoding, HTML entities, other spellings of the same letters.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from otel_traj import otlp, wal
from otel_traj.errors import ConfigurationError, InputError
from otel_traj.model import Record


@dataclass(frozen=True, slots=True)
class Finding:
    """A place where a text is, or may be.

    Attributes:
        path: The file, relative to the store.
        where: Which part of it; of a file that cannot be read, why not.
    """

    path: str
    where: str


@dataclass(frozen=True, slots=True)
class AbsenceReport:
    """What a search of the whole folder found; no findings prove absence.

    Attributes:
        findings: Where the texts are, by path.
        n_files: Files that were read.
        n_bytes: Their bytes.
    """

    findings: tuple[Finding, ...]
    n_files: int
    n_bytes: int


def search(store: Path, texts: Iterable[str] = (), patterns: Iterable[str] = ()) -> AbsenceReport:
    """Read a store's folder whole and tell where any of the texts is.

    Others may write meanwhile. A file that is replaced while this reads is looked for again, under
    its new name, so what is moved about is not missed.

    Args:
        store: The store's folder.
        texts: Looked for exactly as they are.
        patterns: Regular expressions in Python's syntax.

    Raises:
        ConfigurationError: There is nothing to look for, or a pattern is wrong.
    """
    sought = Sought(texts, patterns)
    findings: set[Finding] = set()
    read: dict[Path, int] = {}
    is_settled = False
    while not is_settled:
        is_settled = True
        for path in sorted(p for p in store.rglob("*") if p.is_file() and p not in read):
            name = path.relative_to(store).as_posix()
            try:
                size = path.stat().st_size
                found = [Finding(name, where) for where in _places(path, sought)]
            except FileNotFoundError:  # merged or sealed into another file since it was listed
                is_settled = False
                continue
            findings.update(found)
            if sought.is_in(name):
                findings.add(Finding(name, "the file's name"))
            read[path] = size
    by_path = sorted(findings, key=lambda finding: (finding.path, finding.where))
    return AbsenceReport(tuple(by_path), len(read), sum(read.values()))


# --- texts -------------------------------------------------------------------------------------


class Sought:
    """Texts and patterns to look for, in whatever form a text may hold them."""

    def __init__(self, texts: Iterable[str], patterns: Iterable[str] = ()) -> None:
        self._texts = list(texts)
        try:
            self._patterns = [re.compile(pattern) for pattern in patterns]
        except re.error as error:
            raise ConfigurationError(
                f"{error.pattern!r} is no regular expression: {error}"
            ) from error
        if not (self._texts or self._patterns) or "" in self._texts:
            raise ConfigurationError("Give a text that must not be there; not an empty one")
        self.may_be_number = bool(self._patterns) or any(
            re.fullmatch(r"[-+.\deE]+", text) for text in self._texts
        )

    @property
    def overlap(self) -> int:
        """By how much parts of a long file overlap, so that none is cut in two; in bytes."""
        return max(1 << 16, 16 * max(map(len, self._texts), default=0))

    def is_in(self, text: str) -> bool:
        """Whether any of them is in a text, or in what the text stands for."""
        return any(self._is_in_plain(form) for form in _forms(text))

    def is_in_bytes(self, content: bytes) -> bool:
        """The same for bytes; what is no UTF-8 in them is skipped over."""
        return self.is_in(content.decode("utf-8", "replace"))

    def is_in_value(self, value: Any) -> bool:
        """The same for the value of a cell; numbers count where the text may be one."""
        if isinstance(value, bytes):
            return self.is_in_bytes(value)
        if isinstance(value, str):
            return self.is_in(value)
        return self.may_be_number and self.is_in(str(value))

    def _is_in_plain(self, text: str) -> bool:
        return any(sought in text for sought in self._texts) or any(
            pattern.search(text) for pattern in self._patterns
        )


_MAX_DEPTH: Final = 16
"""Layers that are undone. Each doubles the backslashes: nobody nests JSON that deep."""


def _forms(text: str, depth: int = 0) -> Iterator[str]:
    """A text as it is, and all that it stands for."""
    yield text
    for content in _decoded_base64(text):
        if depth < _MAX_DEPTH:
            yield from _forms(_texts_in(content), depth + 1)
    if "\\" in text and depth < _MAX_DEPTH:
        plain = _unescaped(text)
        if plain != text:
            yield from _forms(plain, depth + 1)


def _texts_in(content: bytes) -> str:
    """What can be read in bytes that may be anything.

    Hashes and ids look like base64 too; a few letters within what that decodes to are chance.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "\0".join(_READABLE.findall(content.decode("utf-8", "replace")))


_READABLE: Final = re.compile("[^\0-\x08\x0e-\x1f\x7f\ufffd]{6,}")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"'\\/bfnrt]))")
_PLAIN: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _unescaped(text: str) -> str:
    """Undo one layer of the escapes of JSON, and of those that Python's `repr` adds to them."""
    plain = _ESCAPE.sub(_character, text)
    if _SURROGATE.search(plain):  # a character beyond 16 bits is two escapes
        plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return plain


def _character(escape: re.Match[str]) -> str:
    wide, narrow, letter = escape.groups()
    if letter is None:
        return chr(int(wide or narrow, 16))
    return _PLAIN.get(letter, letter)


# The log and the columns mark bytes by `$b64`, however few; of other texts only long ones count.
_BASE64: Final = re.compile(
    r'\$b64\\*":\\*"(?P<marked>[A-Za-z0-9+/]+={0,2})|(?P<long>[A-Za-z0-9+/_-]{16,})'
)
_HEX: Final = re.compile("[0-9a-f]+")
"""Ids and hashes, of which there are many: no text has a base64 of only these."""
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def _decoded_base64(text: str) -> Iterator[bytes]:
    for found in _BASE64.finditer(text):
        if found["long"] and _HEX.fullmatch(found["long"]):
            continue
        digits = (found["marked"] or found["long"]).rstrip("=").translate(_TO_STANDARD)
        # A letter or a slash before it would shift all the rest.
        for start in (0,) if found["marked"] else range(4):
            whole = digits[start:]
            usable = whole if len(whole) % 4 != 1 else whole[:-1]
            yield base64.b64decode(usable + "=" * (-len(usable) % 4))


# --- files -------------------------------------------------------------------------------------

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"


def _places(path: Path, sought: Sought) -> Iterator[str]:
    """The parts of a file that hold what is sought."""
    with path.open("rb") as file:
        magic = file.read(4)
    if path.suffix == ".parquet" or magic == _PARQUET:
        yield from _in_parquet(path, sought)
    elif path.suffix == ".wal":
        yield from _in_log(path, sought)
    elif magic == _ZSTD or magic.startswith(_GZIP):
        yield from _in_compressed(path, sought, is_zstd=magic == _ZSTD)
    elif any(map(sought.is_in_bytes, _parts(path, sought.overlap))):
        yield "its bytes"


_PART_BYTES: Final = 1 << 24


def _parts(path: Path, overlap: int) -> Iterator[bytes]:
    """A file's bytes in overlapping parts."""
    tail = b""
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            yield tail + part
            tail = part[-overlap:]


def _in_log(path: Path, sought: Sought) -> Iterator[str]:
    if any(map(sought.is_in_bytes, _parts(path, sought.overlap))):
        yield "its bytes"
        return
    for frame in wal.frames(path):  # ids in OTLP are binary, so requests are read as records too
        if isinstance(frame, wal.Frame) and frame.kind != "json" and _is_in_request(frame, sought):
            yield "an OTLP request in it"
            return


def _is_in_request(frame: wal.Frame, sought: Sought) -> bool:
    try:
        return any(sought.is_in(wal.encode([record]).decode("ascii")) for record in _records(frame))
    except (InputError, ValueError, RecursionError):
        return False  # it is no request; its bytes have been read


def _records(frame: wal.Frame) -> Iterator[Record]:
    if frame.body.startswith(b"{"):
        return otlp.records_from_json(json.loads(frame.body))
    signal: Literal["traces", "logs"] = "traces" if frame.kind == "otlp-traces" else "logs"
    return otlp.records_from_protobuf(frame.body, signal)


def _in_compressed(path: Path, sought: Sought, *, is_zstd: bool) -> Iterator[str]:
    try:
        if is_zstd:
            with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
                content = stream.read()
        else:
            content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        yield f"cannot be read: {error}"
        return
    if sought.is_in_bytes(content):
        yield "its content"


_MANY_BYTES: Final = 1 << 26
"""Columns of a row group that are longer, uncompressed, are read in slices, without dictionaries:
writers give up a dictionary long before."""


def _in_parquet(path: Path, sought: Sought) -> Iterator[str]:
    try:
        with pq.ParquetFile(path) as plain:
            if _is_in_schema(plain.schema_arrow, sought):
                yield "its footer"
            yield from _in_statistics(plain.metadata, sought)
            texts = [field.name for field in plain.schema_arrow if _is_text(field.type)]
            # Read as dictionaries, columns give all that their dictionary pages hold.
            with pq.ParquetFile(path, read_dictionary=texts) as whole:
                for column in plain.schema_arrow.names:
                    n = sum(
                        sought.is_in_value(value)
                        for array in _arrays(plain, whole, column)
                        for value in _distinct(array, numbers_count=sought.may_be_number)
                    )
                    if n:
                        yield f"column {column}, {n} {'value' if n == 1 else 'values'}"
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        yield f"cannot be read: {error}"


def _is_in_schema(schema: pa.Schema, sought: Sought) -> bool:
    """Whether it is in a column's name or in what somebody wrote beside the columns."""
    remarks = [schema.metadata, *(field.metadata for field in schema)]
    told = [part for remark in remarks for pair in (remark or {}).items() for part in pair]
    return any(map(sought.is_in, schema.names)) or any(map(sought.is_in_bytes, told))


def _in_statistics(metadata: Any, sought: Sought) -> Iterator[str]:
    for group in range(metadata.num_row_groups):
        for position in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(position)
            bounds = chunk.statistics if chunk.is_stats_set else None
            if bounds is None or not bounds.has_min_max:
                continue
            if any(sought.is_in_value(bound) for bound in (bounds.min, bounds.max)):
                yield f"statistics of column {chunk.path_in_schema}"


def _arrays(plain: Any, whole: Any, column: str) -> Iterator[pa.Array]:
    """The values of a column, in parts that fit in memory; of long ones, those of its rows."""
    for group in range(plain.metadata.num_row_groups):
        about = plain.metadata.row_group(group)
        size = sum(
            about.column(position).total_uncompressed_size
            for position in range(about.num_columns)
            if about.column(position).path_in_schema.split(".")[0] == column
        )
        if size <= _MANY_BYTES:
            yield from whole.read_row_group(group, columns=[column]).column(0).chunks
        else:
            for batch in plain.iter_batches(256, row_groups=[group], columns=[column]):
                yield batch.column(0)


def _distinct(array: pa.Array, *, numbers_count: bool) -> Iterator[Any]:
    """The different values of an array, those within lists and structs too."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        parts = [array.dictionary]
    elif pa.types.is_map(kind):
        parts = [array.keys, array.items]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        parts = [array.flatten()]
    elif pa.types.is_struct(kind):
        parts = array.flatten()
    else:
        if _is_text(kind) or numbers_count:
            yield from pc.call_function("unique", [array]).to_pylist()
        return
    for part in parts:
        yield from _distinct(part, numbers_count=numbers_count)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )
