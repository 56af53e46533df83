from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otel_traj.errors import ConfigurationError
from otel_traj.model import Assembly, Step, Trajectory
from otel_traj.store import TrajectoryStore, prices
from tests.store.runs import run

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CALL = Step(
    trajectory_id="t",
    step=0,
    kind="llm",
    trace_id="a",
    span_id="b",
    start_time=NOON,
    model="no-such-model",
    input_tokens=1_000,
    output_tokens=100,
)
PRICE_FILE = """
["no-such-model"]
input = 2.0
output = 10.0
cache_read = 0.5
"""


def priced(folder: Path, *steps: Step) -> Trajectory:
    trajectory = Trajectory(
        trajectory_id="t", trace_ids=("a",), start_time=NOON, status="completed", steps=steps
    )
    return prices.apply(Assembly(trajectory, (), ()), prices.load(folder)).trajectory


def test_a_price_does_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices")
    known = replace(CALL, model="gpt-4o-mini", provider="openai")
    elsewhere = replace(CALL, model="gpt-4o-mini", provider="no-such-provider")

    steps = priced(tmp_path, CALL, elsewhere, known, CALL, elsewhere, known).steps

    alone = [priced(tmp_path, step).steps[0] for step in (CALL, elsewhere, known)]
    assert [*steps] == alone * 2
    assert alone[2].cost_usd is not None


def test_a_model_of_unknown_price_costs_null_not_zero(tmp_path: Path) -> None:
    trajectory = priced(tmp_path, CALL)

    assert (trajectory.cost_usd, trajectory.steps[0].cost_usd) == (None, None)
    assert trajectory.steps[0].cost_source is None


def test_the_price_file_knows_models_by_name(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICE_FILE)

    trajectory = priced(tmp_path, CALL, replace(CALL, step=1, cache_read_tokens=400))

    assert [step.cost_usd for step in trajectory.steps] == pytest.approx([0.003, 0.0024])
    assert {step.cost_source for step in trajectory.steps} == {"prices.toml"}
    assert trajectory.cost_usd == pytest.approx(0.0054)


def test_a_recorded_cost_is_kept(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICE_FILE)

    trajectory = priced(tmp_path, replace(CALL, cost_usd=7.0, cost_source="recorded"))

    assert trajectory.steps[0].cost_source == "recorded"
    assert trajectory.cost_usd == 7.0


def test_a_call_without_token_counts_costs_null(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICE_FILE)

    trajectory = priced(tmp_path, replace(CALL, input_tokens=None, output_tokens=None))

    assert trajectory.cost_usd is None


def test_only_model_calls_cost(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICE_FILE)

    assert priced(tmp_path, replace(CALL, kind="tool")).cost_usd is None


def test_genai_prices_is_asked_first_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices")
    (tmp_path / "prices.toml").write_text('["gpt-4o"]\ninput = 9.0\noutput = 9.0\n')

    trajectory = priced(tmp_path, replace(CALL, provider="openai", model="gpt-4o"))

    assert trajectory.steps[0].cost_source == "genai-prices"
    assert trajectory.cost_usd is not None
    assert 0 < trajectory.cost_usd < 0.01


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[", "Cannot read"),
        ('["m"]\ninput = 1.0', "'m'.*needs input and output"),
        ('["m"]\ninput = "1"\noutput = 1', "'m'.*needs"),
        ('["m"]\ninput = 1\noutput = 1\nthinking = 2', "'m'.*needs"),
        ("m = 1", "'m'.*needs"),
    ],
)
def test_a_wrong_price_file_names_itself(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "prices.toml").write_text(text)

    with pytest.raises(ConfigurationError, match=f"prices.toml.*{says}|{says}.*prices.toml"):
        prices.load(tmp_path)


def test_a_wrong_price_file_costs_prices_and_no_seal(
    store: TrajectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    (store.path / "prices.toml").write_text("[[")

    assert store.append(run(1)).trajectories == 1
    assert "prices.toml" in caplog.text
