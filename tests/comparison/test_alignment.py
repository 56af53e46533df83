"""Two sequences side by side: the cheapest way, whoever is left, and never for ever."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from otel_traj.comparison.alignment import ALONE, RELATED, Key, align, similarity

KEYS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123")).map(Key._make), max_size=9)


def keys(text: str) -> list[Key]:
    """`"a1 b2"` as two keys."""
    return [Key(word[0], word[1:]) for word in text.split()]


def least_cost(left: Sequence[Key], right: Sequence[Key]) -> int:
    """The quadratic algorithm of Needleman and Wunsch (1970), J. Mol. Biol. 48:443-453."""

    @cache
    def best(i: int, j: int) -> int:
        if i == len(left) or j == len(right):
            return ALONE * (len(left) - i + len(right) - j)
        alone = ALONE + min(best(i + 1, j), best(i, j + 1))
        if left[i].family != right[j].family:
            return alone
        return min(alone, best(i + 1, j + 1) + (0 if left[i] == right[j] else RELATED))

    return best(0, 0)


@given(KEYS, KEYS)
def test_no_alignment_costs_less(left: list[Key], right: list[Key]) -> None:
    found = align(left, right)

    assert found.cost == least_cost(left, right)
    assert found.is_cheapest


@given(KEYS, KEYS, st.integers(0, 60))
def test_pairs_rise_on_both_sides_and_are_of_one_family(
    left: list[Key], right: list[Key], work: int
) -> None:
    found = align(left, right, work)

    assert [i for i, _ in found.pairs] == sorted({i for i, _ in found.pairs})
    assert [j for _, j in found.pairs] == sorted({j for _, j in found.pairs})
    assert all(left[i].family == right[j].family for i, j in found.pairs)
    assert found.cost >= least_cost(left, right)
    assert found.cost == least_cost(left, right) or not found.is_cheapest


@given(KEYS, KEYS, st.integers(0, 60))
def test_sides_may_be_exchanged(left: list[Key], right: list[Key], work: int) -> None:
    one, other = align(left, right, work), align(right, left, work)

    assert tuple((j, i) for i, j in other.pairs) == one.pairs
    assert other.cost == one.cost


@given(KEYS)
def test_a_sequence_stands_beside_itself_at_no_cost(items: list[Key]) -> None:
    found = align(items, items)

    assert found.pairs == tuple((i, i) for i in range(len(items)))
    assert found.cost == 0


def test_the_same_tool_with_other_arguments_is_a_pair_and_another_tool_is_none() -> None:
    found = align(keys("a1 a2 b1 a3"), keys("a1 a9 c1 a3"))

    assert found.pairs == ((0, 0), (1, 1), (3, 3))
    assert found.cost == RELATED + 2 * ALONE


def test_what_takes_too_much_work_is_laid_out_between_sequences_that_both_have_once() -> None:
    """What one side has more of in one place does not shift all that follows it."""
    common = keys(" ".join(f"a{i}" for i in range(300)))
    more = keys("ax ay az ") * 700

    found = align([*common, *more, *common[::-1]], [*common, *common[::-1]], work=5_000)

    assert found.cost == ALONE * len(more)
    assert not found.is_cheapest


def test_runs_that_differ_all_the_way_are_laid_out_in_legs() -> None:
    """Every third step differs, and no three in a row are the same twice: close to the cheapest."""
    left = [Key("a", f"{i * i % 11}") for i in range(900)]
    right = [Key("a", "other") if i % 3 == 0 else key for i, key in enumerate(left)]

    found = align(left, right, work=1_000)

    assert not found.is_cheapest
    assert align(left, right).cost <= found.cost <= 300


def test_time_is_bounded_where_every_step_is_alike() -> None:
    """Two agents that poll: whoever compares all steps with all others takes seconds here."""
    left = keys("a1 b1 b2 ") * 1_000
    right = keys("b1 a1 ") * 1_500

    found = align(left, right)

    assert len(found.pairs) >= 1_500


def test_similarity_is_1_for_the_same_and_0_for_strangers() -> None:
    assert similarity(0, 0, 0) == similarity(0, 5, 5) == 1.0
    assert similarity(ALONE * 7, 3, 4) == 0.0
