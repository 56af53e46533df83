"""Logs of Inspect in its `.eval` format: a zip archive with one JSON file per sample.

Read sample by sample, so that memory is bounded by the largest one. A log whose evaluation did not
end has no header yet: what its journal says stands in for it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from otel_traj.importers import inspect_log
from otel_traj.importers.checks import checked
from otel_traj.importers.parts import Flaw, Part

NAME: Final = "Inspect log (.eval)"

_MAGIC: Final = b"PK\x03\x04"
_MEMBERS: Final = (b"header.json", b"_journal/start.json", b"samples/")
_HEADERS: Final = ("header.json", "_journal/start.json")
_IN_MEMORY: Final = 16 * 1024 * 1024
"""Bytes of an archive that are not put into a temporary file."""

_BROKEN: Final = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError)


def recognises(head: bytes) -> bool:
    """A zip archive that begins with a file that such logs begin with."""
    name_length = int.from_bytes(head[26:28], "little")
    return head.startswith(_MAGIC) and head[30 : 30 + name_length].startswith(_MEMBERS)


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """Sample by sample; one that cannot be read is a flaw."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as whole:
        shutil.copyfileobj(stream, whole)
        try:
            archive = zipfile.ZipFile(whole)
            header = _header(archive)
        except _BROKEN as error:
            yield Flaw("damaged", "the archive", _reason(error))
            return
        for name in sorted(archive.namelist()):
            if name.startswith("samples/") and name.endswith(".json"):
                yield _sample(archive, name, header)


def _header(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    """What is said of all samples.

    Raises:
        ValueError: Nothing is, or something else.
    """
    name = next((name for name in _HEADERS if name in archive.namelist()), None)
    header = None if name is None else json.loads(archive.read(name))
    if not isinstance(header, Mapping) or not isinstance(header.get("eval"), Mapping):
        raise ValueError("neither header.json nor _journal/start.json tells of an evaluation")
    return header


def _sample(archive: zipfile.ZipFile, name: str, header: Mapping[str, Any]) -> Part | Flaw:
    try:
        sample = json.loads(archive.read(name))
    except _BROKEN as error:
        return Flaw("damaged", name, _reason(error))
    return Part(NAME, name, checked(NAME, inspect_log.sample_records(sample, header)))


def _reason(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return f"{error}; convert it first: inspect log convert --to json"
    return f"cannot be read ({error})"
