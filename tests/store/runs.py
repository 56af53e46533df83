"""Small runs as records: an agent that asks a model, calls a tool, asks again."""

from typing import Any

from otel_traj import semconv
from otel_traj.model import Close, SpanRecord

START_NS = 1_795_000_000_000_000_000  # 2026-11-18
RESOURCE = {"service.name": "shop", "service.instance.id": "one"}


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span_id(number: int, position: int) -> str:
    return f"{number:08x}{position:08x}"


def span(
    number: int, position: int, parent: int | None, name: str, /, **attributes: Any
) -> SpanRecord:
    """The span at a position of run `number`, one millisecond long, runs a second apart."""
    start_ns = START_NS + number * 10**9 + position * 10**6
    return SpanRecord(
        trace_id(number),
        span_id(number, position),
        None if parent is None else span_id(number, parent),
        name,
        start_ns,
        start_ns + 10**6,
        attributes=attributes,
        resource=RESOURCE,
        scope_name="tests",
    )


def root(number: int, **attributes: Any) -> SpanRecord:
    return span(
        number,
        0,
        None,
        "invoke_agent clerk",
        **{
            semconv.OPERATION: semconv.OP_INVOKE_AGENT,
            semconv.AGENT_NAME: "clerk",
            semconv.TASK: f"order-{number}",
            **attributes,
        },
    )


def chat(number: int, position: int, **attributes: Any) -> SpanRecord:
    return span(
        number,
        position,
        0,
        "chat m-1",
        **{
            semconv.OPERATION: semconv.OP_CHAT,
            semconv.REQUEST_MODEL: "m-1",
            semconv.RESPONSE_ID: f"r-{number}-{position}",
            semconv.INPUT_TOKENS: 10,
            semconv.OUTPUT_TOKENS: 2,
            **attributes,
        },
    )


def tool(number: int, position: int, **attributes: Any) -> SpanRecord:
    return span(
        number,
        position,
        0,
        "execute_tool lookup",
        **{
            semconv.OPERATION: semconv.OP_EXECUTE_TOOL,
            semconv.TOOL_NAME: "lookup",
            semconv.TOOL_CALL_ID: f"c-{number}-{position}",
            **attributes,
        },
    )


def run(number: int, **attributes: Any) -> list[SpanRecord]:
    """Four spans, children first, as exporters send them: three steps."""
    return [chat(number, 1), tool(number, 2), chat(number, 3), root(number, **attributes)]


def started(record: SpanRecord) -> SpanRecord:
    """The same span when only its start is known."""
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return SpanRecord(**{**fields, "end_ns": None})


def close(number: int, **counts: int) -> Close:
    return Close("any", (trace_id(number),), span_id(number, 0), **counts)
