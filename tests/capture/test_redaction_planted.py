"""Secrets planted anywhere in a real run are nowhere: not in the log, not in Parquet, not in rows.

The runs are real: a process of its own, the SDK's spans and logs, all our verbs, killed at the end
with a span open. Whatever is planted, by Hypothesis, is looked for in every byte of the store.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_traj.sensitive import FORMS, Looks
from otel_traj.store import open_store
from tests.test_sensitive import IN_PLACE, SECRETS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="posix only"),
]

PROGRAM = r"""
import json, os, signal, sys
import otel_traj
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

store, planted = sys.argv[1], json.load(sys.stdin)

def of(place):
    return planted.get(place, "nothing")

resource = Resource({"service.name": of("resource")})
tracers, loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
recording = otel_traj.instrument(
    store, redact=True, instrumentors=(), seal=False,
    tracer_provider=tracers, logger_provider=loggers,
)

@recording.on_trajectory
def tell(trajectory):
    print(json.dumps(repr((trajectory, trajectory.steps, trajectory.file_changes))))

tracer = tracers.get_tracer("agent", attributes={"scope": of("scope")})
link = Link(SpanContext(1, 1, is_remote=False), {"link": of("link")})
with otel_traj.trajectory(
    of("task"), agent=of("agent"), trajectory_id=of("id"), user_id=of("user"),
    attributes={"own": of("attribute")},
) as run:
    run.initial_state({"state": of("state")})
    run.metadata(note=of("metadata"))
    with otel_traj.inference("m", provider="p", input=[
        {"role": "system", "content": of("system")}, {"role": "user", "content": of("input")},
    ]) as call:
        call.reasoning(of("reasoning"))
        call.output(of("output"), tool_calls=[
            {"id": "c1", "name": "look", "arguments": json.dumps({"a": of("asked")})}])
    with otel_traj.tool_call("look", arguments={"a": [of("argument")]}, call_id="c1") as tool:
        tool.observe({"seen": of("observation")})
        tool.security_flag(of("flag"))
        tool.file_diff(of("path"), of("before"), of("before") + of("after"))
        tool.result(of("result"))
    try:
        with otel_traj.tool_call("fail") as tool:
            raise ValueError(of("exception"))
    except ValueError:
        pass
    with tracer.start_as_current_span(of("name"), links=[link]) as span:
        span.set_attribute("gen_ai.tool.definitions", json.dumps([{"description": of("tools")}]))
        span.set_attribute(of("key"), 1)
        span.set_attribute("list", [of("list"), "x"])
        span.add_event(of("event"), {"e": of("event attribute")})
        span.set_status(Status(StatusCode.ERROR, of("status")))
        loggers.get_logger("l").emit(LogRecord(
            body={"b": [of("body")]}, attributes={"l": of("log")}, event_name="told"))
    run.outcome("failure", rationale=of("rationale"))
    run.annotate("note", of("comment"), annotator=of("annotator"))
    run.final_answer(of("answer"))
recording.flush()
tracer.start_span("open", attributes={"o": of("open")})
recording.flush()
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""

PLACES = sorted(set(re.findall(r'of\("([\w ]+)"\)', PROGRAM)))

MAILS = ["alice@example.com", "bob.builder+1@mail.example.co.uk"]
CARDS = ["4111 1111 1111 1111", "5555555555554444"]


def secrets() -> list[tuple[str, str]]:
    """Texts that hold a secret, and the part of each that must not be found."""
    alone = [secret for several in SECRETS.values() for secret in several]
    found = [(text, longest_word(text)) for text in alone]
    found += [(text, text) for text in (*MAILS, *CARDS)]
    for cases in IN_PLACE.values():
        found += [(text.format(secret), longest_word(secret)) for text, secret in cases]
    return found


def longest_word(secret: str) -> str:
    return max(re.split(r"[^\w+/ -]|\\n|-----[A-Z ]+-----", secret), key=len)


def test_what_is_looked_for_is_in_nothing_that_stays() -> None:
    """Two secrets are told in one run: what stays of one must not be taken for the other."""
    looks = Looks(form for forms in FORMS.values() for form in forms)
    left = "\n".join(looks.replace(text, "[redacted:{}]".format) for text, _ in secrets())

    assert [gone for _, gone in secrets() if gone in left] == []


@pytest.mark.parametrize("after", ["", "\n", " x", '"'])
@pytest.mark.parametrize("before", ["", "x ", "\r\n", "\t", "- ", "\n-", '"', "é", "\x1b[0m"])
def test_a_secret_is_found_in_every_surrounding_however_often_encoded(
    before: str, after: str
) -> None:
    looks = Looks(form for forms in FORMS.values() for form in forms)
    left = []
    for secret, gone in secrets():
        text = before + secret + after
        for _ in range(4):
            if gone in looks.replace(f"agent {text}", "[redacted:{}]".format):
                left.append(text)
            text = json.dumps({"k": [1.5, text]})

    assert left == []


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def plantings(draw: st.DrawFn) -> dict[str, tuple[str, str]]:
    """Place -> a text with a secret in it, within words or within JSON; and what must go."""
    planted = {}
    for place in draw(st.sets(st.sampled_from(PLACES), min_size=8)):
        text, gone = draw(st.sampled_from(secrets()))
        text = f"{draw(TEXTS)}\n{text}\n{draw(TEXTS)}"
        for _ in range(draw(st.integers(0, 2))):
            text = json.dumps({"k": [1.5, text]}, ensure_ascii=draw(st.booleans()))
        planted[place] = (text, gone)
    return planted


def record(store: Path, planted: dict[str, str]) -> str:
    """Run the program until it kills itself; what its listener was told."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(store)],
        input=json.dumps(planted),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (-signal.SIGKILL, "")
    return "".join(map(json.loads, ran.stdout.splitlines()))


def contents(store: Path) -> Iterator[str]:
    """All that the files of a store hold, compressed or not."""
    for path in store.rglob("*"):
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield repr(pq.read_table(path).to_pylist())


def check_that_none_is_found(planted: dict[str, tuple[str, str]]) -> None:
    """Record a run in which these texts are told, and look for what must go, in all it left."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "traces"

        told = record(store, {place: text for place, (text, _) in planted.items()})

        log = list(contents(store))
        opened = open_store(store)
        opened.seal(final=True)
        for content in (told, *log, *contents(store)):
            for place, (_, gone) in planted.items():
                assert gone not in content, place
        assert "[redacted:" in "".join(log)
        assert [problem for problem in opened.verify() if problem.severity == "error"] == []


@settings(max_examples=2, deadline=None)
@given(plantings())
def test_what_is_planted_anywhere_in_a_run_is_found_nowhere(
    planted: dict[str, tuple[str, str]],
) -> None:
    check_that_none_is_found(planted)


def test_every_place_of_a_run_is_looked_at() -> None:
    known = secrets()

    check_that_none_is_found({place: known[n % len(known)] for n, place in enumerate(PLACES)})


def test_a_run_that_tells_nothing_secret_is_recorded_as_it_is() -> None:
    texts = {place: f"the {place} of order 4012-888" for place in PLACES}

    with tempfile.TemporaryDirectory() as folder:
        told = record(Path(folder) / "traces", texts)

        log = "".join(contents(Path(folder) / "traces"))
    assert [place for place in PLACES if texts[place] not in log] == []
    assert "[redacted" not in log + told
