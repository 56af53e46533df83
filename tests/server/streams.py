"""Server-sent events, read as a browser reads them."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from otel_traj.server.viewer.asking import PREFIX


@dataclass(frozen=True, slots=True)
class Told:
    """An event. `id` is that of the last event that had one, as browsers keep it."""

    name: str
    data: Any
    id: str | None


@contextlib.contextmanager
def stream(
    address: str, topics: str, last: str | None = None, **headers: str
) -> Iterator[Iterator[Told]]:
    """The events of `/live`; the connection is cut when the block ends."""
    connection = http.client.HTTPConnection(address, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if last is not None:
        given["Last-Event-ID"] = last
    with contextlib.closing(connection):
        connection.request("GET", f"{PREFIX}/live?topics={quote(topics)}", headers=given)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer, last)


def _events(answer: http.client.HTTPResponse, last: str | None) -> Iterator[Told]:
    fields: dict[str, str] = {}
    while line := answer.readline().decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif line == "\n":
            last = fields.get("id", last)
            if "event" in fields:
                yield Told(fields["event"], json.loads(fields["data"]), last)
            fields = {}


@dataclass
class Copy:
    """What somebody who follows a run knows of its spans.

    Attributes:
        columns: As `/spans` tells them, by name, of all rows.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    n: int = 0
    t0: int = 0

    def take(self, data: Any) -> None:
        """Apply an event `spans`: its rows take the place of all from a number on."""
        since, told = data["since"], data["spans"]
        shift = self.t0 - told["t0"] if self.n else 0
        self.t0 = told["t0"]
        self.columns["start"] = [start + shift for start in self.columns.get("start", [])]
        assert since <= self.n, f"rows {self.n} to {since} are missing"
        rows = range(told["n"]) if told["row"] is None else told["row"]
        assert list(rows) == list(range(since, since + told["n"]))
        for name in ("parent", "start", "dur", "step"):
            self.columns[name] = [*self.columns.get(name, [])[:since], *told[name]]
        for name in ("name", "svc", "kind", "tool", "model", "agent"):
            texts = [None if at < 0 else told["dict"][name][at] for at in told[name]]
            self.columns[name] = [*self.columns.get(name, [])[:since], *texts]
        for row, above in zip(data["above"]["i"], data["above"]["v"], strict=True):
            self.columns["parent"][row] = above
        self.n = since + told["n"]
