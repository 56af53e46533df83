import pytest

from otel_traj.words import count, duration


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, ""),
        (0, "0 µs"),
        (7, "7 µs"),
        (999, "999 µs"),
        (1_000, "1 ms"),
        (33_449, "33.4 ms"),
        (999_400, "999 ms"),
        (999_600, "1 s"),
        (3_420_000, "3.42 s"),
        (59_990_000, "1 min 0 s"),
        (125_000_000, "2 min 5 s"),
        (3_599_900_000, "1 h 0 min"),
        (5_400_000_000, "1 h 30 min"),
        (90_000_000_000, "1 d 1 h"),
        (-5_000, "-5 ms"),
    ],
)
def test_durations_have_three_figures_or_two_units(us: int | None, text: str) -> None:
    assert duration(us) == text


def test_nouns_follow_their_number() -> None:
    assert [count(n, "step") for n in (0, 1, 1204)] == ["0 steps", "1 step", "1,204 steps"]
    assert count(2, "trajectory") == "2 trajectories"
