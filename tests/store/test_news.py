"""What is new in a batch: each span once, the first account of it; days of one run found again."""

from dataclasses import replace
from typing import Any

import pytest

from otel_traj import semconv, wal
from otel_traj.errors import StoreDamagedError
from otel_traj.model import LogRecord, SpanLink, SpanRecord
from otel_traj.store import TrajectoryStore, snapshot
from tests.store.asking import asked
from tests.store.runs import START_NS, chat, root, run, span_id, tool, trace_id

DAY_NS = 86_400 * 10**9


def later(days: int, *spans: SpanRecord) -> list[SpanRecord]:
    """The same spans, days after."""
    return [
        replace(s, start_ns=s.start_ns + days * DAY_NS, end_ns=(s.end_ns or 0) + days * DAY_NS)
        for s in spans
    ]


def judgement(days: int) -> LogRecord:
    """An evaluation of run 1, days after it."""
    return LogRecord(
        trace_id(1), span_id(1, 0), START_NS + days * DAY_NS, None,
        semconv.EVENT_EVALUATION, None, None,
        {semconv.EVALUATION_NAME: "outcome", semconv.EVALUATION_LABEL: "failure"},
    )  # fmt: skip


# --- the first account counts ------------------------------------------------------------------


def test_a_stored_span_told_again_with_other_content_is_counted_and_left_out(
    store: TrajectoryStore,
) -> None:
    store.append([root(1), chat(1, 1), tool(1, 2)])

    report = store.append([root(1), chat(1, 1, **{semconv.INPUT_TOKENS: 11}), tool(1, 2)])

    assert (report.spans, report.duplicates, report.conflicts) == (0, 3, 1)
    assert asked(store, "select input_tokens from spans where op = 'chat'") == [(10,)]
    assert store.verify() == []


def test_of_two_accounts_in_one_batch_the_first_counts(store: TrajectoryStore) -> None:
    report = store.append([root(1), chat(1, 1), chat(1, 1, **{semconv.INPUT_TOKENS: 11})])

    assert (report.spans, report.duplicates, report.conflicts) == (2, 1, 1)
    assert asked(store, "select input_tokens from spans where op = 'chat'") == [(10,)]


@pytest.mark.parametrize(
    "again",
    [
        lambda s: s,
        lambda s: replace(s, attributes=dict(reversed(s.attributes.items()))),
        lambda s: replace(s, attributes={**s.attributes, "list": (1, 2.5, float("nan"))}),
        lambda s: replace(s, start_seq=7),
        lambda s: replace(s, resource={**s.resource, "host.name": "collector"}),
    ],
    ids=["unchanged", "order of keys", "tuple", "order of starts", "resource"],
)
@pytest.mark.parametrize("is_stored", [True, False])
def test_the_same_content_by_another_way_is_no_conflict(
    store: TrajectoryStore, again: Any, is_stored: bool
) -> None:
    first = replace(
        chat(1, 1), attributes={**chat(1, 1).attributes, "list": [1, 2.5, float("nan")]}
    )
    if is_stored:
        store.append([root(1), first])

    report = store.append([root(1), first, again(first)])

    assert (report.duplicates, report.conflicts) == (3 if is_stored else 1, 0)


# --- runs that go on days later ----------------------------------------------------------------


def test_a_span_days_later_is_part_of_the_run_that_its_parent_is_in(store: TrajectoryStore) -> None:
    store.append([root(1), chat(1, 1)])

    store.append(later(9, tool(1, 2)))

    assert asked(store, "select rev > 1, n_steps, n_late from trajectories") == [(True, 2, 1)]
    assert asked(store, "select count(distinct trajectory_id), count(*) from spans") == [(1, 3)]
    assert store.verify() == []


def test_what_is_told_of_a_run_days_later_is_known_of_it(store: TrajectoryStore) -> None:
    store.append([root(1), chat(1, 1)])
    store.append([judgement(9)])
    again = store.append([judgement(9)])

    assert asked(store, "select outcome, outcome_source from trajectories") == [
        ("failure", "evaluation")
    ]
    assert again.logs == 0


def test_a_run_linked_to_one_of_days_ago_is_one_with_it_also_when_it_goes_on(
    store: TrajectoryStore,
) -> None:
    store.append([root(1), chat(1, 1)])
    [(first_id,)] = asked(store, "select trajectory_id from trajectories")
    resumed, *rest = later(9, root(2), chat(2, 1), chat(2, 2))

    store.append([replace(resumed, links=(SpanLink(trace_id(1), span_id(1, 0)),)), rest[0]])
    store.append(rest[1:])

    assert asked(store, "select trajectory_id, n_llm, trace_ids from trajectories") == [
        (first_id, 3, [trace_id(1), trace_id(2)])
    ]
    assert store.verify() == []


def test_an_id_that_a_program_gives_again_days_later_names_the_first_run(
    store: TrajectoryStore,
) -> None:
    given = {semconv.TRAJECTORY_ID: "nightly"}
    store.append([root(1, **given), chat(1, 1)])

    store.append(later(9, root(2, **given), chat(2, 1)))

    ids = asked(store, "select trajectory_id from trajectories order by start_time")
    assert ids[0] == ("nightly",)
    assert len(set(ids)) == 2


def test_sealing_opens_no_file_of_other_days(store: TrajectoryStore) -> None:
    store.append(run(1))
    for table, files in snapshot.newest(store.path).files.items():
        for file in files:
            (store.path / file.path).write_bytes(f"no {table}".encode())

    writer = wal.WalWriter(store.path)
    writer.append(wal.encode(later(9, *run(2))))
    writer.close()
    report = store.seal(final=True)

    assert report.spans == len(run(2))
    with pytest.raises(StoreDamagedError):
        store.append(later(9, tool(1, 2)))  # its parent lies in one of them


def test_what_is_told_of_a_run_days_later_may_be_here_before_it(store: TrajectoryStore) -> None:
    store.append([judgement(9)])

    store.append([root(1), chat(1, 1)])

    assert asked(store, "select outcome from trajectories") == [("failure",)]
