"""Statistics against published values, full enumeration and shuffling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from otel_traj_analysis import statistics
from otel_traj_analysis.statistics import Strata

BERKELEY = np.array(
    [  # men admitted, men rejected, women admitted, women rejected; departments A to F, 1973
        [512, 313, 89, 19],
        [353, 207, 17, 8],
        [120, 205, 202, 391],
        [138, 279, 131, 244],
        [53, 138, 94, 299],
        [22, 351, 24, 317],
    ]
)


def test_wilsons_interval_is_the_published_one() -> None:
    assert statistics.wilson(3, 3) == pytest.approx((1, 0.4385, 1), abs=1e-4)
    assert statistics.wilson(0, 20) == pytest.approx((0, 0, 0.1611), abs=1e-4)  # Newcombe 1998
    assert statistics.wilson(81, 263) == pytest.approx((0.3080, 0.2553, 0.3662), abs=1e-4)
    assert all(map(math.isnan, statistics.wilson(0, 0)))


def test_newcombes_interval_is_the_published_one() -> None:
    published = {(56, 70, 48, 80): (0.0524, 0.3339), (9, 10, 3, 10): (0.1705, 0.8090)}

    for counts, (low, high) in published.items():
        interval = statistics.newcombe(*counts)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=2e-4)
    assert all(map(math.isnan, statistics.newcombe(1, 2, 0, 0)))


def test_fishers_tea() -> None:
    assert statistics.fisher((3, 1, 1, 3)) == pytest.approx(0.4857, abs=1e-4)


def test_odds_of_empty_cells_are_infinite_or_unknown() -> None:
    assert statistics.odds_ratio((4, 1, 2, 3)) == 6
    assert statistics.odds_ratio((4, 0, 2, 3)) == math.inf
    assert math.isnan(statistics.odds_ratio((0, 0, 2, 3)))


def test_admissions_in_berkeley() -> None:
    """Values that R prints for `mantelhaen.test(UCBAdmissions)` and Breslow-Day's test."""
    ratio = statistics.common_odds_ratio(BERKELEY)

    assert statistics.cochran_mantel_haenszel(BERKELEY) == pytest.approx(0.2323, abs=1e-4)
    assert ratio == pytest.approx(0.9046968, abs=1e-6)
    assert statistics.breslow_day(BERKELEY) == pytest.approx(0.00207, abs=1e-4)
    difference = statistics.risk_difference(BERKELEY)
    assert difference.low < 0 < difference.high, "no bias of the departments against women"
    assert statistics.risk_difference(BERKELEY.sum(axis=0)[None]).low > 0.1, "the paradox"


def test_the_difference_of_one_stratum_is_that_of_its_rates() -> None:
    interval = statistics.risk_difference(np.array([[40, 10, 25, 25]]))

    assert interval.estimate == pytest.approx(0.3)
    wald = 1.96 * math.sqrt(0.8 * 0.2 / 50 + 0.5 * 0.5 / 50)
    assert interval.high - interval.low == pytest.approx(2 * wald, rel=0.03)


@pytest.mark.parametrize("runs", [(2, 2), (20, 20)])
def test_the_interval_of_the_difference_holds_for_small_and_large_strata(
    runs: tuple[int, int],
) -> None:
    """Share of 95 % intervals that hold the truth, over 1,000 seeded samples."""
    random = np.random.default_rng(7)
    held = 0
    for _ in range(1000):
        base = random.uniform(0.2, 0.6, 40 if runs[0] < 10 else 4)
        with_pattern = random.binomial(runs[0], base + 0.2)
        without = random.binomial(runs[1], base)
        strata = np.stack([with_pattern, runs[0] - with_pattern, without, runs[1] - without], 1)
        interval = statistics.risk_difference(strata)
        held += interval.low <= 0.2 <= interval.high

    assert 0.92 <= held / 1000 <= 0.98


small: st.SearchStrategy[Strata] = st.lists(
    st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=3
).map(np.array)


def shuffled(strata: Strata) -> list[int]:
    """Successes with the pattern, for every way to hand out each stratum's outcomes."""
    counts = []
    for a, b, c, d in strata.tolist():
        n, successes = a + b + c + d, a + c
        counts.append(
            [
                sum(place < a + b for place in chosen)
                for chosen in itertools.combinations(range(n), successes)
            ]
        )
    return [sum(drawn) for drawn in itertools.product(*counts)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=2).map(np.array))
def test_the_exact_test_is_all_shuffles_within_strata(strata: Strata) -> None:
    all_of_them = shuffled(strata)
    observed = int(strata[:, 0].sum())

    found = statistics.exact(strata)

    assert found.greater == pytest.approx(np.mean([count >= observed for count in all_of_them]))
    assert found.less == pytest.approx(np.mean([count <= observed for count in all_of_them]))
    shares = {count: all_of_them.count(count) for count in set(all_of_them)}
    as_rare = sum(n for n in shares.values() if n <= shares[observed])
    assert found.two_sided == pytest.approx(as_rare / len(all_of_them))
    least = min(shares[min(shares)], shares[max(shares)]) / len(all_of_them)
    assert found.least == pytest.approx(1.0 if len(shares) == 1 else least)


@given(small)
def test_one_stratum_is_tested_as_fisher_does(strata: Strata) -> None:
    table = strata[:1]

    assert statistics.exact(table).two_sided == pytest.approx(statistics.fisher(table[0]))


def test_many_runs_are_tested_by_the_normal_approximation() -> None:
    near = BERKELEY * 2

    exact = statistics.exact(BERKELEY)
    assert exact.two_sided == pytest.approx(statistics.cochran_mantel_haenszel(BERKELEY), rel=0.05)
    assert statistics.exact(near * 10).two_sided == pytest.approx(
        statistics.cochran_mantel_haenszel(near * 10), rel=0.05
    )


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]  # times 4 / rank, made monotonous

    assert statistics.q_values(p_values, [0.0] * 4) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    by = statistics.q_values(p_values, [0.0] * 4, method="fdr_by")
    assert by == pytest.approx([q * (1 + 1 / 2 + 1 / 3 + 1 / 4) for q in (0.02, 0.04, 0.04, 0.02)])


def test_what_could_never_be_significant_costs_the_others_nothing() -> None:
    assert statistics.q_values([0.02, 0.9, 0.2], [0.0, 0.06, 0.2]) == [0.02, 1, 1]
    assert statistics.q_values([0.5], [0.5]) == [1]
    assert statistics.q_values([], []) == []


def test_three_of_three_is_not_certainty() -> None:
    assert statistics.shrunk_low(3, 3, rate=0.3) < 0.35
    assert statistics.shrunk_low(300, 300, rate=0.3) > 0.97
    assert 0 < statistics.shrunk_low(0, 2, rate=1.0) < 1


@pytest.mark.parametrize(("difference", "per_arm"), [(0.2, 93), (0.1, 388)])
def test_detectable_differences_are_those_of_the_usual_tables(
    difference: float, per_arm: int
) -> None:
    """Two-sided 0.05, power 0.8, base rate one half, the pooled variance."""
    half = per_arm // 2
    strata = np.array([[half, per_arm - half, per_arm - half, half]])

    assert statistics.detectable_difference(strata) == pytest.approx(difference, rel=0.04)
    assert statistics.units_missing(strata, difference * 1.05) == 0
    missing = statistics.units_missing(strata // 4, difference)
    assert missing == pytest.approx(2 * per_arm * 3 / 4, rel=0.15)


def test_median_difference_is_the_sign_test_of_the_textbook() -> None:
    """Hollander and Wolfe (1999), table 3.1: nine patients before and after a tranquilizer."""
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]

    paired = statistics.median_difference([b - a for a, b in zip(before, after, strict=True)])

    assert paired.difference == pytest.approx((-0.49, -0.952, 0.08))
    assert paired.p_value == pytest.approx(2 * (1 + 9 + 36) / 2**9)


def test_too_few_differences_have_no_bounds() -> None:
    five = statistics.median_difference([1.0, 2.0, 3.0, 4.0, 5.0])

    assert (five.difference.estimate, five.p_value) == (3, 2 / 2**5)
    assert math.isnan(five.difference.low)
    assert math.isnan(five.difference.high)
    six = statistics.median_difference([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert six == ((3.5, 1, 6), 2 / 2**6)
    nothing = statistics.median_difference([])
    assert math.isnan(nothing.difference.estimate)
    assert nothing.p_value == 1


def test_strata_that_do_not_vary_say_nothing() -> None:
    alike = np.array([[4, 0, 3, 0], [0, 0, 2, 2], [1, 1, 0, 0]])

    assert len(statistics.informative(alike)) == 0
    assert statistics.exact(alike) == (1, 1, 1, 1)
    assert statistics.detectable_difference(alike) == 1
    assert statistics.units_missing(alike, 0.25) == 126
    for function in (
        statistics.cochran_mantel_haenszel,
        statistics.breslow_day,
        lambda strata: statistics.risk_difference(strata).estimate,
        statistics.common_odds_ratio,
    ):
        assert math.isnan(function(alike))


# --- rates of many things ------------------------------------------------------------------------

RATS = [
    *[(0, 20)] * 7, *[(0, 19)] * 4, *[(0, 18)] * 2, (0, 17), *[(1, 20)] * 4, *[(1, 19)] * 2,
    *[(1, 18)] * 2, (2, 25), (2, 24), (2, 23), *[(2, 20)] * 6, (1, 10), (5, 49), (2, 19), (5, 46),
    (3, 27), (2, 17), (7, 49), (7, 47), *[(3, 20)] * 2, (2, 13), (9, 48), (10, 50), *[(4, 20)] * 7,
    (10, 48), *[(4, 19)] * 3, (5, 22), (11, 46), (12, 49), *[(5, 20)] * 2, (6, 23), (5, 19),
    (6, 22), *[(6, 20)] * 3, (16, 52), (15, 47), (15, 46), (9, 24), (4, 14),
]  # fmt: skip
"""Tumours in 71 groups of rats: Tarone (1982), as in Gelman et al., Bayesian Data Analysis, 5.1."""


def test_a_prior_of_rates_is_that_of_the_rat_tumours() -> None:
    tumours, rats = zip(*RATS, strict=True)

    prior = statistics.beta_prior(tumours, rats)

    # Gelman et al. put the mode of the posterior, under a nearly flat prior, near (2.4, 14.3); the
    # mean of the rates is 0.14, and group 71, 4 of 14, is drawn down to about 0.21.
    assert prior.a / (prior.a + prior.b) == pytest.approx(0.14, abs=0.005)
    assert (prior.a, prior.b) == pytest.approx((2.4, 14.3), rel=0.05)
    assert (prior.a + 4) / (prior.a + prior.b + 14) == pytest.approx(0.21, abs=0.005)


def test_a_prior_is_the_likeliest_of_a_grid() -> None:
    errors, n = [0, 3, 9, 1, 30], [20, 22, 30, 5, 60]

    prior = statistics.beta_prior(errors, n)

    def likelihood(a: float, b: float) -> float:
        return float(stats.betabinom.logpmf(errors, n, a, b).sum())

    grid = (likelihood(a / 20, b / 20) for a in range(2, 100, 2) for b in range(2, 400, 4))
    assert likelihood(*prior) >= max(grid) - 1e-6


def test_rates_that_chance_explains_are_drawn_to_one() -> None:
    prior = statistics.beta_prior([20, 21, 19, 20], [100, 100, 100, 100])

    assert prior.a + prior.b == pytest.approx(10_000, rel=0.01)
    assert prior.a / (prior.a + prior.b) == pytest.approx(0.2, abs=0.001)


def test_without_anything_counted_every_rate_is_as_likely() -> None:
    assert statistics.beta_prior([], []) == (1.0, 1.0)
