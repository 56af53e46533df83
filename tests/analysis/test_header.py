from __future__ import annotations

from datetime import datetime, timezone

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
    short = "-- name: q\n-- How many.\n-- grain: one row\nselect\n    count(*) as n  -- steps\nfrom steps\n"

    analysis = header.parse(short, "q.sql")

    assert (analysis.units, analysis.labels, analysis.parameters) == (None, None, ())


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ("-- name: slow_tools", "-- slow tools", "slow_tools.sql:1: an analysis starts with"),
        (WHOLE, "", "slow_tools.sql:1: an analysis starts with"),
        ("name: slow_tools", "name: slow", "slow_tools.sql:1: the name is 'slow', the file's is"),
        ("name: slow_tools", "name:", "slow_tools.sql:1: the name is '', the file's is"),
        ("-- Which tools take long,\n-- and how long.\n", "", "slow_tools.sql:2: the line under"),
        ("-- grain: one row per tool\n", "", "slow_tools.sql:1: the header needs a line `-- grain"),
        ("-- grain: one row per tool", "-- grain:", "slow_tools.sql:1: the header needs a line"),
        ("-- units:", "-- unit:", "slow_tools.sql:5: unknown key 'unit'; a header has name, grain"),
        ("-- units:", "-- grain:", "slow_tools.sql:5: key 'grain' stands twice"),
        ("(float, default 1.5)", "(float)", "slow_tools.sql:6: not `<name> (<type>, default"),
        ("(float, ", "(number, ", "slow_tools.sql:6: unknown type 'number'; there is int, float"),
        ("(float, ", "(int, ", "slow_tools.sql:6: default '1.5' is no int"),
        ("(float, ", "(bool, ", "slow_tools.sql:6: default '1.5' is no bool"),
        ("(float, ", "(timestamp, ", "slow_tools.sql:6: default '1.5' is no timestamp"),
        ("default 1.5", "default 2.5", "slow_tools.sql:6: write `coalesce(getvariable('longer_s')"),
        ("default 1.5", "default null", "slow_tools.sql:6: the SQL gives 'longer_s' a default"),
        ("--     agent (text, default null)", "--     longer_s (float, default 1.5)", "slow_tools.sql:7: parameter 'longer_s' stands"),
        ("--     agent (", "--     who (", "slow_tools.sql:7: parameter 'who' is read nowhere"),
        ("--     agent (text, default null): only calls of this agent\n", "", ":13: variable 'agent'"),
        ("count(*) as n,  -- calls", "count(*) as n,", "slow_tools.sql:19: an output column ends as"),
        ("as n,  -- calls", "+ 1,  -- calls", "slow_tools.sql:19: an output column ends as"),
        ("\nselect\n    tool_name,", "\nselect tool_name,", "the last `select` stands alone"),
        ("\nfrom calls\n", "\n    from calls\n", "slow_tools.sql:23: an output column ends as"),
        ("from calls\ngroup by tool_name\norder by longest_s desc;\n", "", "has no `from` at the margin"),
    ],
)
def test_mistake_is_named_with_its_place(good: str, bad: str, complaint: str) -> None:
    assert good in WHOLE
    text = WHOLE.replace(good, bad, 1)

    with pytest.raises(ConfigurationError) as caught:
        header.parse(text, "slow_tools.sql")

    assert complaint in str(caught.value)


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
        ("timestamp", "2026-11-21T08:00:00Z", datetime(2026, 11, 21, 8, tzinfo=timezone.utc)),
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

    with pytest.raises(ConfigurationError, match=f"`limit` takes {type_name}, not '{text}'.*how far"):
        parameter.read(text)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [("int", True), ("int", 0.5), ("int", "20"), ("float", True), ("text", 5), ("bool", 1)],
)
def test_parameter_refuses_values_of_another_type(type_name: str, value: object) -> None:
    parameter = Parameter("limit", type_name, None, "how far to go")

    with pytest.raises(ConfigurationError, match=f"`limit` takes {type_name}, not {value!r}"):
        parameter.accept(value)
