"""`@tool` records every kind of function, and changes none of them."""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest

import otel_traj
from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.testing import Capture, capture


@pytest.fixture
def captured() -> Iterator[Capture]:
    with capture() as captured:
        yield captured


def only(captured: Capture) -> SpanRecord:
    (span,) = captured.spans
    return span


def arguments(captured: Capture) -> Any:
    return json.loads(only(captured).attributes[semconv.TOOL_CALL_ARGUMENTS])


def result(captured: Capture) -> Any:
    return json.loads(only(captured).attributes[semconv.TOOL_CALL_RESULT])


def test_s1_13_tool_records_arguments_by_name_result_and_reasoning(captured: Capture) -> None:
    @otel_traj.tool(name="search", effect="read")
    def find(query: str, /, *more: str, limit: int = 10, reasoning: str = "", **rest: Any) -> Any:
        """Find."""
        return {"hits": [query, *more]}

    assert find("a", "b", reasoning="to know", deep=True) == {"hits": ["a", "b"]}

    span = only(captured)
    assert arguments(captured) == {"query": "a", "more": ["b"], "limit": 10, "deep": True}
    assert result(captured) == {"hits": ["a", "b"]}
    assert {key: value for key, value in span.attributes.items() if "call." not in key} == {
        semconv.OPERATION: "execute_tool",
        semconv.TOOL_NAME: "search",
        semconv.TOOL_EFFECT: "read",
        semconv.STEP_REASONING: "to know",
    }
    assert (span.name, span.kind) == ("execute_tool search", "INTERNAL")
    assert (find.__name__, find.__doc__) == ("find", "Find.")


def test_results_are_whole_and_texts_as_they_are(captured: Capture) -> None:
    @otel_traj.tool
    def long() -> str:
        return "x" * 100_000

    assert captured.spans == []
    long()

    assert only(captured).attributes[semconv.TOOL_CALL_RESULT] == "x" * 100_000


def test_arguments_are_told_as_they_were_before_the_call(captured: Capture) -> None:
    @otel_traj.tool
    def change(given: list[int]) -> None:
        given.clear()

    change([1, 2])

    assert arguments(captured) == {"given": [1, 2]}
    assert result(captured) is None


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), KeyboardInterrupt(), SystemExit(1), GeneratorExit(), StopIteration(1)],
    ids=lambda error: type(error).__name__,
)
def test_s1_13_tool_that_raises_is_a_failed_step_and_raises_the_same(
    captured: Capture, error: BaseException
) -> None:
    @otel_traj.tool
    def fail(n: int) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        fail(1)

    assert raised.value is error
    span = only(captured)
    assert arguments(captured) == {"n": 1}
    assert (span.status, span.attributes[semconv.ERROR_TYPE]) == ("ERROR", type(error).__name__)
    assert semconv.TOOL_CALL_RESULT not in span.attributes
    assert [event.name for event in span.events] == ["exception"]


def test_call_with_wrong_arguments_fails_as_ever_and_is_told(captured: Capture) -> None:
    @otel_traj.tool
    def one(n: int) -> None: ...

    with pytest.raises(TypeError, match="positional argument"):
        one(1, 2)  # type: ignore[call-arg]

    assert arguments(captured) == {"args": [1, 2], "kwargs": {}}
    assert only(captured).status == "ERROR"


def test_methods_leave_their_instance_out(captured: Capture) -> None:
    class Box:
        @otel_traj.tool
        def method(self, n: int) -> int:
            return n

        @otel_traj.tool
        @classmethod
        def of_class(cls, n: int) -> int:
            return n

        @staticmethod
        @otel_traj.tool
        def static(n: int) -> int:
            return n

        @otel_traj.tool
        @staticmethod
        def wrapped(n: int) -> int:
            return n

    assert [Box().method(1), Box.of_class(2), Box.static(3), Box().wrapped(4)] == [1, 2, 3, 4]

    told = [json.loads(s.attributes[semconv.TOOL_CALL_ARGUMENTS]) for s in captured.spans]
    assert told == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]


def test_callables_that_are_no_functions_are_recorded(captured: Capture) -> None:
    class Doubler:
        def __call__(self, n: int) -> int:
            return 2 * n

    assert otel_traj.tool(Doubler())(2) == 4
    assert otel_traj.tool(functools.partial(int, base=2))("11") == 3
    assert otel_traj.tool(max)(1, 2) == 2

    names = [span.attributes[semconv.TOOL_NAME] for span in captured.spans]
    assert names == ["Doubler", "partial", "max"]


# --- async -------------------------------------------------------------------------------------


def test_async_tool_lasts_until_it_is_awaited(captured: Capture) -> None:
    @otel_traj.tool
    async def look(n: int) -> int:
        await asyncio.sleep(0)
        with otel_traj.tool_call("inner"):
            return n

    assert inspect.iscoroutinefunction(look)
    assert asyncio.run(look(3)) == 3

    inner, outer = captured.spans
    assert inner.parent_span_id == outer.span_id
    assert outer.attributes[semconv.TOOL_CALL_RESULT] == "3"


def test_cancelled_tool_is_a_failed_step(captured: Capture) -> None:
    @otel_traj.tool
    async def slow() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.01)

    asyncio.run(main())

    assert only(captured).attributes[semconv.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


# --- generators --------------------------------------------------------------------------------


@otel_traj.tool
def counting(n: int) -> Generator[int, str, str]:
    """Yield numbers; what is sent and thrown in must reach it."""
    said: list[str] = []
    for i in range(n):
        try:
            with otel_traj.tool_call("inner"):
                pass
            said.append((yield i) or "")
        except KeyError:
            said.append("caught")
    return " ".join(said)


def test_generator_is_one_step_with_all_it_gave(captured: Capture) -> None:
    with otel_traj.trajectory("t"):
        assert list(counting(3)) == [0, 1, 2]

    *inner, outer, _ = captured.spans
    assert json.loads(outer.attributes[semconv.TOOL_CALL_RESULT]) == [0, 1, 2]
    assert {span.parent_span_id for span in inner} == {outer.span_id}
    assert inspect.isgeneratorfunction(counting)


def test_generator_s_span_is_current_only_while_its_body_runs(captured: Capture) -> None:
    with otel_traj.trajectory("t") as run:
        for _ in counting(2):
            assert otel_traj.current() is run
            with otel_traj.tool_call("between"):
                pass

    spans = {span.span_id: span for span in captured.spans}
    parents = {
        spans[span.parent_span_id or ""].name
        for span in captured.spans
        if span.name == "execute_tool between"
    }
    assert parents == {"invoke_agent"}


def test_generator_keeps_send_throw_and_its_value(captured: Capture) -> None:
    def drive() -> Generator[Any, Any, str]:
        return (yield from counting(3))

    driver = drive()
    assert next(driver) == 0
    assert driver.send("one") == 1
    assert driver.throw(KeyError()) == 2
    with pytest.raises(StopIteration) as stop:
        driver.send("three")

    assert stop.value.value == "one caught three"
    assert captured.spans[-1].status == "UNSET"


@pytest.mark.parametrize("how", ["close", "drop"])
def test_abandoned_generator_is_a_failed_step_with_what_it_gave(
    captured: Capture, how: str
) -> None:
    generator = counting(5)
    assert next(generator) == 0

    if how == "close":
        generator.close()
    del generator
    gc.collect()

    outer = captured.spans[-1]
    assert outer.attributes[semconv.ERROR_TYPE] == "GeneratorExit"
    assert outer.attributes[semconv.TOOL_CALL_RESULT] == "[0]"


def test_error_in_a_generator_passes_unchanged(captured: Capture) -> None:
    error = ValueError("no")

    @otel_traj.tool
    def fail() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(ValueError, match="no") as raised:
        list(fail())

    assert raised.value is error
    assert only(captured).attributes[semconv.TOOL_CALL_RESULT] == "[1]"


def test_async_generator_is_one_step_with_all_it_gave(captured: Capture) -> None:
    @otel_traj.tool
    async def stream(n: int) -> AsyncIterator[str]:
        for i in range(n):
            await asyncio.sleep(0)
            with otel_traj.tool_call("inner"):
                yield f"chunk {i}"

    async def main() -> list[str]:
        with otel_traj.trajectory("t") as run:
            chunks = []
            async for chunk in stream(2):
                assert otel_traj.current() is run
                chunks.append(chunk)
            return chunks

    assert inspect.isasyncgenfunction(stream)
    assert asyncio.run(main()) == ["chunk 0", "chunk 1"]

    outer = captured.spans[-2]
    assert json.loads(outer.attributes[semconv.TOOL_CALL_RESULT]) == ["chunk 0", "chunk 1"]


@pytest.mark.parametrize("how", ["close", "raise", "throw"])
def test_async_generator_that_does_not_end_is_a_failed_step(captured: Capture, how: str) -> None:
    closed: list[bool] = []

    @otel_traj.tool
    async def stream() -> AsyncGenerator[int, None]:
        try:
            yield 1
            raise ValueError("inside")
        finally:
            closed.append(True)

    async def main() -> None:
        generator = stream()
        assert await anext(generator) == 1
        if how == "close":
            await generator.aclose()
        elif how == "raise":
            with pytest.raises(ValueError, match="inside"):
                await anext(generator)
        else:
            with pytest.raises(KeyError):
                await generator.athrow(KeyError("thrown in"))

    asyncio.run(main())

    expected = {"close": "GeneratorExit", "raise": "ValueError", "throw": "KeyError"}
    assert only(captured).attributes[semconv.ERROR_TYPE] == expected[how]
    assert closed == [True]


def test_without_instrument_tools_only_run() -> None:
    @otel_traj.tool
    def plain(n: int) -> int:
        return n

    @otel_traj.tool
    def generator(n: int) -> Iterator[int]:
        yield from range(n)

    assert plain(1) == 1
    assert list(generator(2)) == [0, 1]


def test_s1_13_a_size_limit_leaves_mark_length_and_hash(captured: Capture) -> None:
    @otel_traj.tool(max_bytes=8)
    def fetch(name: str) -> str:
        return "é" * 100 if name == "large" else "small"

    assert (fetch("large"), fetch("tiny")) == ("é" * 100, "small")

    large, tiny = (dict(span.attributes) for span in captured.spans)
    assert large[semconv.TOOL_CALL_RESULT] == "éééé… [cut: 200 bytes]"
    assert large[f"{semconv.TRUNCATED_PREFIX}{semconv.TOOL_CALL_RESULT}"] == 200
    assert (
        large[f"{semconv.HASH_PREFIX}{semconv.TOOL_CALL_RESULT}"]
        == hashlib.sha256(("é" * 100).encode()).hexdigest()
    )
    assert tiny[semconv.TOOL_CALL_RESULT] == "small"
    assert f"{semconv.TRUNCATED_PREFIX}{semconv.TOOL_CALL_RESULT}" not in tiny
