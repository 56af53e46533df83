"""Intervals, tests and corrections for counts: libraries where they have the method.

A *stratum* is a 2x2 table of runs that are alike but for the pattern and the outcome (runs of one
task). `Strata` is an integer array of shape (k, 4), one row per stratum: runs with the pattern that
succeeded, with it that failed, without it that succeeded, without it that failed.

Everything is exact where runs are few: an approximation that is wrong at 4 runs a task is how
patterns are invented.
"""

# The libraries declare no types; those that pyright guesses from their sources are wrong.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats
from statsmodels.stats import contingency_tables, multitest, proportion

Strata: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

CONFIDENCE: Final = 0.95
EXACT_SUPPORT: Final = 4_000
"""Possible counts up to which the distribution is computed exactly; more are normal enough."""

_Z: Final = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
_POWER_Z: Final = float(stats.norm.ppf(0.8))
_TIES: Final = 1 + 1e-9
"""Probabilities that differ by rounding only are equal."""


class Interval(NamedTuple):
    """An estimate with its 95 % bounds; NaN where the data say nothing."""

    estimate: float
    low: float
    high: float


NOTHING: Final = Interval(math.nan, math.nan, math.nan)


class Exact(NamedTuple):
    """P-values of a test that holds every stratum's margins fixed, and the least it could give.

    `least` is the smallest one-sided p-value that any arrangement of these margins has: a
    hypothesis that cannot become significant is no evidence against another (Tarone 1990).
    """

    greater: float
    less: float
    two_sided: float
    least: float


# --- one table -----------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def wilson(successes: int, n: int) -> Interval:
    """Share of successes with Wilson's score interval, in [0, 1]; NaN without runs."""
    if n == 0:
        return NOTHING
    low, high = proportion.proportion_confint(successes, n, 1 - CONFIDENCE, method="wilson")
    return Interval(successes / n, float(low), float(high))


def newcombe(successes: int, n: int, other_successes: int, other_n: int) -> Interval:
    """Difference of two shares with Newcombe's hybrid score interval (1998, method 10)."""
    if n == 0 or other_n == 0:
        return NOTHING
    low, high = proportion.confint_proportions_2indep(
        successes, n, other_successes, other_n, method="newcomb", alpha=1 - CONFIDENCE
    )
    return Interval(successes / n - other_successes / other_n, float(low), float(high))


def fisher(table: Sequence[int]) -> float:
    """Two-sided p-value of Fisher's exact test of one stratum's four counts."""
    return float(stats.fisher_exact(np.reshape(np.asarray(table), (2, 2))).pvalue)


def odds_ratio(table: Sequence[int]) -> float:
    """Sample odds ratio of four counts; infinite where only one cell is empty, NaN at 0 / 0."""
    with_success, with_failure, without_success, without_failure = table
    above, below = with_success * without_failure, with_failure * without_success
    if below:
        return above / below
    return math.inf if above else math.nan


# --- several strata ------------------------------------------------------------------------------


def informative(strata: Strata) -> Strata:
    """Strata that can tell the pattern from the outcome: both vary within them."""
    a, b, c, d = strata.T
    varies: Strata = strata[((a + b) * (c + d) * (a + c) * (b + d)) > 0]
    return varies


def risk_difference(strata: Strata) -> Interval:
    """Mantel-Haenszel difference of success rates, with the variance of Sato (1989).

    The variance holds for few large strata and for many small ones alike.
    """
    a, b, c, d = informative(strata).T.astype(float)
    with_pattern, without, n = a + b, c + d, a + b + c + d
    weight = (with_pattern * without / n).sum()
    if weight == 0:
        return NOTHING
    estimate = ((a * without - c * with_pattern) / n).sum() / weight
    p = (
        with_pattern**2 * c - without**2 * a + with_pattern * without * (without - with_pattern) / 2
    ) / n**2
    q = (a * (without - c) + c * (with_pattern - a)) / (2 * n)
    error = math.sqrt(max(0.0, estimate * p.sum() + q.sum())) / weight
    return Interval(
        float(estimate),
        float(max(-1.0, estimate - _Z * error)),
        float(min(1.0, estimate + _Z * error)),
    )


def common_odds_ratio(strata: Strata) -> float:
    """Mantel-Haenszel odds ratio; infinite or NaN where a sum is empty."""
    tables = _tables(strata)
    if tables is None:
        return math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(tables.oddsratio_pooled)


def cochran_mantel_haenszel(strata: Strata) -> float:
    """P-value that the pattern does not matter in any stratum; NaN where none can tell."""
    tables = _tables(strata)
    return math.nan if tables is None else float(tables.test_null_odds(correction=True).pvalue)


def breslow_day(strata: Strata) -> float:
    """P-value that the odds ratio is the same in all strata, with Tarone's correction (1985)."""
    tables = _tables(strata)
    if tables is None or len(informative(strata)) < 2:
        return math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(tables.test_equal_odds(adjust=True).pvalue)


def exact(strata: Strata) -> Exact:
    """Exact test of the number of successes with the pattern, given all margins.

    What shuffling outcomes within each stratum converges to: the count of each stratum is
    hypergeometric, their sum is the convolution. Beyond `EXACT_SUPPORT` possible sums the normal
    approximation with a continuity correction is used. 1.0 where no stratum can tell.
    """
    useful = informative(strata)
    if not len(useful):
        return Exact(1.0, 1.0, 1.0, 1.0)
    observed = int(useful[:, 0].sum())
    a, b, c, d = useful.T
    lowest = int(np.maximum(0, a - d).sum())
    if int(np.minimum(a + b, a + c).sum()) - lowest > EXACT_SUPPORT:
        return _normal(useful, observed)
    density = np.ones(1)
    margins = zip((a + b).tolist(), (c + d).tolist(), (a + c).tolist(), strict=True)
    for margin, n_strata in Counter(margins).items():
        density = np.convolve(density, _shuffled(*margin, n_strata))
    place = observed - lowest
    return Exact(
        greater=min(1.0, float(density[place:].sum())),
        less=min(1.0, float(density[: place + 1].sum())),
        two_sided=min(1.0, float(density[density <= density[place] * _TIES].sum())),
        least=float(min(density[0], density[-1])),
    )


@lru_cache(maxsize=65_536)
def _shuffled(with_pattern: int, without: int, successes: int, n_strata: int) -> Floats:
    """Probabilities of all sums over so many strata with these margins; few come up very often."""
    if n_strata == 1:
        return _hypergeometric(with_pattern, without, successes)
    half = _shuffled(with_pattern, without, successes, n_strata // 2)
    rest = _shuffled(with_pattern, without, successes, n_strata - n_strata // 2)
    both: Floats = np.convolve(half, rest)
    return both


def _hypergeometric(with_pattern: int, without: int, successes: int) -> Floats:
    """Probabilities of all counts that the margins of one stratum allow.

    By logarithms: `scipy.stats.hypergeom` takes milliseconds where thousands of runs are one table.
    """
    n = with_pattern + without
    a = np.arange(max(0, successes - without), min(with_pattern, successes) + 1)
    logs = _log_choose(with_pattern, a) + _log_choose(without, successes - a)
    density: Floats = np.exp(logs - _log_choose(n, np.array([successes])))
    density /= density.sum()
    return density


def _log_choose(n: int, k: npt.NDArray[np.int64]) -> Floats:
    """Logarithms of the numbers of ways to choose k of n."""
    ways: Floats = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return ways


def _normal(strata: Strata, observed: int) -> Exact:
    a, b, c, d = strata.T.astype(float)
    n = a + b + c + d
    expected = ((a + b) * (a + c) / n).sum()
    spread = math.sqrt(((a + b) * (c + d) * (a + c) * (b + d) / (n**2 * (n - 1))).sum())
    greater = float(stats.norm.sf((observed - expected - 0.5) / spread))
    less = float(stats.norm.cdf((observed - expected + 0.5) / spread))
    return Exact(greater, less, min(1.0, 2 * min(greater, less)), 0.0)


def _tables(strata: Strata) -> contingency_tables.StratifiedTable | None:
    useful = informative(strata)
    if not len(useful):
        return None
    return contingency_tables.StratifiedTable([row.reshape(2, 2) for row in useful.astype(float)])


# --- measures paired by stratum ------------------------------------------------------------------


class Paired(NamedTuple):
    """Median of differences with its distribution-free bounds, and the sign test that it is 0.

    Bounds are NaN where the differences are too few for any: fewer than `LEAST_PAIRS`.
    """

    difference: Interval
    p_value: float


LEAST_PAIRS: Final = 6
"""Fewer differences cannot be significant, even if all have one sign: 2 * 0.5 ** 5 > 0.05."""


def median_difference(differences: Sequence[float]) -> Paired:
    """What the sign test says of differences, one per stratum; it assumes no distribution."""
    if not differences:
        return Paired(NOTHING, 1.0)
    tested = stats.quantile_test(differences, q=0, p=0.5)
    low, high = tested.confidence_interval(CONFIDENCE)
    estimate = float(np.median(differences))
    return Paired(Interval(estimate, float(low), float(high)), float(tested.pvalue))


# --- many hypotheses -----------------------------------------------------------------------------


def q_values(
    p_values: Sequence[float],
    least: Sequence[float],
    *,
    alpha: float = 0.05,
    method: Literal["fdr_bh", "fdr_by"] = "fdr_bh",
) -> list[float]:
    """False discovery rates at which each hypothesis would be reported.

    Hypotheses whose least possible p-value is above `alpha` are not counted and get 1.0: their
    margins alone rule them out, whatever the outcomes are (Tarone 1990). The others are corrected
    by Benjamini and Hochberg, or with `fdr_by` under any dependence.
    """
    q = np.ones(len(p_values))
    testable = np.asarray(least) <= alpha
    if testable.any():
        q[testable] = multitest.multipletests(np.asarray(p_values)[testable], alpha, method)[1]
    return [float(value) for value in q]


# --- shrinkage and power -------------------------------------------------------------------------


def shrunk_low(successes: int, n: int, rate: float, weight: float = 4) -> float:
    """Lower 95 % bound of a success rate that is drawn towards `rate` as by `weight` runs.

    The Beta posterior's 2.5 % quantile: 3 of 3 is not certainty. A rate of exactly 0 or 1 is taken
    as one that half a run contradicts.
    """
    rate = min(max(rate, 0.5 / (weight + 1)), 1 - 0.5 / (weight + 1))
    a, b = successes + weight * rate, n - successes + weight * (1 - rate)
    return float(stats.beta.ppf((1 - CONFIDENCE) / 2, a, b))


class Beta(NamedTuple):
    """A distribution of rates; its mean is a / (a + b), its weight a + b units."""

    a: float
    b: float


def beta_prior(successes: Sequence[int], n: Sequence[int]) -> Beta:
    """How rates are spread over things that were counted, to draw each towards the others.

    Empirical Bayes: the Beta distribution under which the counts are likeliest, found by its mean
    and weight. Where rates do not differ more than chance lets them, the weight is its largest.

    Args:
        successes: Counts, one per thing.
        n: Units of each, > 0.
    """
    if not successes:
        return Beta(1.0, 1.0)
    k, units = np.asarray(successes), np.asarray(n)
    pooled = (k.sum() + 0.5) / (units.sum() + 1)

    def unlikely(logits: Floats) -> float:
        mean, weight = special.expit(logits[0]), math.exp(logits[1])
        return -float(stats.betabinom.logpmf(k, units, mean * weight, (1 - mean) * weight).sum())

    bounds = [(-12.0, 12.0), (math.log(_LEAST_WEIGHT), math.log(_MOST_WEIGHT))]
    starts = [(special.logit(pooled), math.log(weight)) for weight in (1.0, 10.0, 100.0)]
    found = min(
        (optimize.minimize(unlikely, start, bounds=bounds, method="L-BFGS-B") for start in starts),
        key=lambda result: float(result.fun),
    )
    mean, weight = float(special.expit(found.x[0])), math.exp(float(found.x[1]))
    return Beta(mean * weight, (1 - mean) * weight)


_LEAST_WEIGHT: Final = 0.1
_MOST_WEIGHT: Final = 10_000.0


def detectable_difference(strata: Strata) -> float:
    """Least difference of success rates that these margins would show, in (0, 1]; 1 if none would.

    Two-sided at 0.05 with a power of 80 %, from the variance that the strata have when the pattern
    does not matter.
    """
    a, b, c, d = informative(strata).T.astype(float)
    n = a + b + c + d
    weight = ((a + b) * (c + d) / n).sum()
    if weight == 0:
        return 1.0
    variance = ((a + b) * (c + d) * (a + c) * (b + d) / (n**2 * (n - 1))).sum()
    reach = _Z + _POWER_Z
    return min(1.0, float(reach * math.sqrt(variance) / weight))


def units_missing(strata: Strata, difference: float) -> int:
    """Runs in strata of mixed outcome that would still be needed to show `difference`.

    From how the detectable difference shrinks, by the square root of the runs; where no stratum
    tells anything, from a balanced pattern at a success rate of one half.
    """
    useful = informative(strata)
    reach = _Z + _POWER_Z
    if not len(useful):
        return math.ceil(reach**2 / difference**2)
    ratio = (detectable_difference(strata) / difference) ** 2
    return max(0, math.ceil(int(useful.sum()) * (ratio - 1)))
