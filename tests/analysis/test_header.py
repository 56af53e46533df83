from __future__ import annotations

from datetime import UTC, datetime

import pytest

from otel_traj.errors import ConfigurationError
from otel_traj_analysis import header
from otel_traj_analysis.header import Analysis, Column, Parameter

WHOLE = """\
-- name: slow_tools
-- Which tools take long,
-- and how long.
-- grain: one row per tool
-- units: one tool execution
-- parameters: longer_s (float, default 1.5): faster calls are left out
--     agent (text, default null): only calls of this agent
-- labels: contrast

with calls as (
    select tool_name, duration_s from steps
    where
        duration_s > coalesce(getvariable('longer_s'), 1.5)
        and (getvariable('agent') is null or agent_name = getvariable('agent'))
)

select
    tool_name,  -- tool; NULL: not recorded
    count(*) as n,  -- calls
    max(
        duration_s  -- of all calls
    ) as longest_s  -- seconds
from calls
group by tool_name
order by longest_s desc;
"""


def test_header_is_read_whole() -> None:
    analysis = header.parse(WHOLE, "questions/slow_tools.sql")

    assert analysis == Analysis(
        name="slow_tools",
        sentence="Which tools take long, and how long.",
        grain="one row per tool",
        units="one tool execution",
        labels="contrast",
        parameters=(
            Parameter("longer_s", "float", 1.5, "faster calls are left out"),
            Parameter("agent", "text", None, "only calls of this agent"),
        ),
        columns=(
            Column("tool_name", "", "tool; NULL: not recorded"),
            Column("n", "", "calls"),
            Column("longest_s", "", "seconds"),
        ),
        sql=WHOLE,
    )


def test_units_labels_and_parameters_may_be_absent() -> None:
    header_only = "-- name: q\n-- How many.\n-- grain: one row\n"
    short = f"{header_only}select\n    count(*) as n  -- steps\nfrom steps\n"

    analysis = header.parse(short, "q.sql")

    assert (analysis.units, analysis.labels, analysis.parameters) == (None, None, ())


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ("-- name: slow_tools", "-- slow tools", ":1: an analysis starts with"),
        (WHOLE, "", ":1: an analysis starts with"),
        ("name: slow_tools", "name: slow", ":1: the name is 'slow', the file's is"),
        ("name: slow_tools", "name:", ":2: the name is 'Which tools take long,', the file's"),
        ("-- name: slow_tools\n", "", ":1: an analysis starts with a line `-- name"),
        ("-- Which tools take long,\n-- and how long.\n", "", ":2: the line under"),
        ("-- grain: one row per tool\n", "", ":1: the header needs a line `-- grain"),
        ("-- grain: one row per tool", "-- grain:", ":1: the header needs a line"),
        ("-- units:", "-- unit:", ":5: unknown key 'unit'; a header has name, grain"),
        ("-- units:", "-- grain:", ":5: key 'grain' stands twice"),
        ("(float, default 1.5)", "(float)", ":6: not `<name> (<type>, default"),
        ("(float, ", "(number, ", ":6: unknown type 'number'; there is int, float"),
        ("(float, ", "(int, ", ":6: default '1.5' is no int"),
        ("(float, ", "(bool, ", ":6: default '1.5' is no bool"),
        ("(float, ", "(timestamp, ", ":6: default '1.5' is no timestamp"),
        ("default null", "default none", ":7: default 'none' is no text"),
        ("default 1.5", "default 2.5", ":6: the SQL must read the parameter as `coalesce("),
        ("default 1.5", "default null", ":6: the SQL gives 'longer_s' a default"),
        (
            "agent (text, default null)",
            "longer_s (float, default 1.5)",
            ":7: parameter 'longer_s' st",
        ),
        ("--     agent (", "--     who (", ":7: parameter 'who' is read nowhere"),
        ("--     agent (text, default null): only calls of this agent\n", "", ":13: variable 'ag"),
        ("count(*) as n,  -- calls", "count(*) as n,", ":19: an output column ends as"),
        ("as n,  -- calls", "+ 1,  -- calls", ":19: an output column ends as"),
        ("\nselect\n    tool_name,", "\nselect tool_name,", ":24: the last `select` stands alone"),
        ("\nfrom calls\n", "\n    from calls\n", ":23: an output column ends as"),
        (
            WHOLE[WHOLE.rindex("from calls") :],
            "",
            ":22: the last `select` has no `from` at the margin",
        ),
    ],
)
def test_mistake_is_named_with_its_place(good: str, bad: str, complaint: str) -> None:
    assert good in WHOLE
    text = WHOLE.replace(good, bad, 1)

    with pytest.raises(ConfigurationError) as caught:
        header.parse(text, "slow_tools.sql")

    assert f"slow_tools.sql{complaint}" in str(caught.value)


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("int", "20", 20),
        ("int", "-9223372036854775808", -(2**63)),
        ("float", "0.5", 0.5),
        ("float", "2", 2.0),
        ("text", "order 42", "order 42"),
        ("text", "", ""),
        ("bool", "false", False),
        ("timestamp", "2026-11-21T08:00:00Z", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("int", "null", None),
        ("text", "null", None),
    ],
)
def test_parameter_reads_what_a_user_types(type_name: str, text: str, value: object) -> None:
    parameter = Parameter("p", type_name, None, "something")

    read = parameter.read(text)

    assert (read, type(read)) == (value, type(value))
    assert parameter.accept(read) == value


@pytest.mark.parametrize(
    ("type_name", "text"),
    [("int", "0.5"), ("float", "much"), ("bool", "yes"), ("timestamp", "today"), ("int", "")],
)
def test_parameter_refuses_what_it_cannot_read(type_name: str, text: str) -> None:
    parameter = Parameter("limit", type_name, None, "how far to go")

    with pytest.raises(ConfigurationError, match=f"takes {type_name}, not '{text}'.*how far"):
        parameter.read(text)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [("int", True), ("int", 0.5), ("int", "20"), ("float", True), ("text", 5), ("bool", 1)],
)
def test_parameter_refuses_values_of_another_type(type_name: str, value: object) -> None:
    parameter = Parameter("limit", type_name, None, "how far to go")

    with pytest.raises(ConfigurationError, match=f"`limit` takes {type_name}, not {value!r}"):
        parameter.accept(value)
