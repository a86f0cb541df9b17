"""The mixture of domains: equations 1 and 2 of DDK, what is drawn, and that it can be resumed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domains import (
    Losses,
    Mixture,
    apportioned,
    first_factor,
    gaps,
    in_sequence,
    mixed,
    next_factor,
    perplexity_ratios,
    spread,
)
from data.recipes.domains import Natural, Smoothed, Unsmoothed

SMOOTHED = Smoothed(rule="smoothed")
ratio = st.floats(0.05, 3.0)
several = st.integers(2, 9).flatmap(lambda n: st.lists(ratio, min_size=n, max_size=n))
history = st.integers(2, 7).flatmap(
    lambda n: st.lists(st.lists(ratio, min_size=n, max_size=n), min_size=1, max_size=6)
)


def intervals(config, ratios, sizes, rows):
    """The mixtures of intervals, one after the other."""
    found, before = [], None
    for one in ratios:
        before = mixed(config, np.array(one), np.array(sizes), rows, before)
        found.append(before)
    return found


def test_equations_one_and_two_by_hand():
    ratios = np.array([1.0, 2.0])
    e = np.exp([1.0, 2.0])
    r0 = e / e.sum()
    assert first_factor(ratios) == pytest.approx(r0, rel=1e-12)
    later = np.array([1.5, 1.2])
    psi = r0 * np.exp(later)
    assert next_factor(r0, later, 0.5) == pytest.approx(0.5 * psi / psi.sum() + 0.25, rel=1e-12)


def test_the_ratio_is_of_perplexities_and_clipped():
    student, teacher = np.array([2.0, 3.0, 0.5]), np.array([1.5, 1.0, 1.0])
    ratios = np.exp([0.5, 2.0, -0.5])
    assert perplexity_ratios(student, teacher, None) == pytest.approx(ratios)
    assert perplexity_ratios(student, teacher, 3.0) == pytest.approx([ratios[0], 3.0, ratios[2]])
    assert np.isfinite(perplexity_ratios(np.array([900.0]), np.array([1.0]), 3.0)).all()


@given(history, st.floats(0, 1))
def test_weights_sum_to_one_and_none_is_below_the_floor(ratios, alpha):
    sizes = np.arange(1, len(ratios[0]) + 1) * 10
    for config in (Smoothed(rule="smoothed", alpha=alpha), Unsmoothed(rule="unsmoothed")):
        for one in intervals(config, ratios, sizes, 100):
            assert one.factor.sum() == pytest.approx(1) and one.share.sum() == pytest.approx(1)
            assert one.drawn.sum() == 100
            assert (abs(one.drawn - 100 * one.share) < 1 + 1e-9).all()
    later = intervals(Smoothed(rule="smoothed", alpha=alpha), ratios, sizes, 100)[1:]
    assert all((one.factor >= (1 - alpha) / len(sizes) - 1e-12).all() for one in later)


@given(several, st.data())
def test_a_larger_ratio_gives_more_weight_and_all_others_less(ratios, data):
    place = data.draw(st.integers(0, len(ratios) - 1))
    more = np.array(ratios)
    more[place] += data.draw(st.floats(0.01, 2))
    start = first_factor(np.array(data.draw(st.permutations(ratios))))
    for factor in (first_factor, lambda x: next_factor(start, x, 0.5)):
        gain = factor(more) - factor(np.array(ratios))
        assert gain[place] > 0 and (np.delete(gain, place) <= 0).all()


@given(history, st.floats(0, 1))
def test_a_domain_in_which_the_teacher_is_no_better_never_attracts_more_than_its_share(
    ratios, alpha
):
    """Noise: ratio 1, while the student is behind everywhere else."""
    behind = [[1.0, *(1 + one for one in values[1:])] for values in ratios]
    sizes = np.full(len(ratios[0]), 30)
    for config in (Smoothed(rule="smoothed", alpha=alpha), Unsmoothed(rule="unsmoothed")):
        for one in intervals(config, behind, sizes, 64):
            assert one.factor[0] <= 1 / len(sizes) + 1e-12


@given(history)
def test_the_first_interval_draws_by_size_and_alpha_zero_always_alike(ratios):
    sizes = np.arange(1, len(ratios[0]) + 1) * 7
    natural = sizes / sizes.sum()
    for config in (SMOOTHED, Unsmoothed(rule="unsmoothed"), Natural(rule="natural")):
        assert intervals(config, ratios, sizes, 50)[0].share == pytest.approx(natural)
    for one in intervals(Natural(rule="natural"), ratios, sizes, 50):
        assert one.share == pytest.approx(natural)
    for one in intervals(Smoothed(rule="smoothed", alpha=0.0), ratios, sizes, 50):
        assert one.share == pytest.approx(np.full(len(sizes), 1 / len(sizes)))


@given(history, st.integers(1, 40))
def test_resumed_intervals_draw_what_uninterrupted_ones_draw(ratios, rows):
    """From the last mixture alone; and end to end each domain's sequence has no hole."""
    sizes = np.arange(3, 3 + len(ratios[0]))
    whole = intervals(SMOOTHED, ratios, sizes, rows)
    for stop in range(1, len(ratios)):
        kept = Mixture(*(np.array(part.tolist()) for part in whole[stop - 1]))  # as a table has it
        resumed = mixed(SMOOTHED, np.array(ratios[stop]), sizes, rows, kept)
        for one, other in zip(resumed, whole[stop], strict=True):
            assert np.array_equal(one, other)
    for place, size in enumerate(sizes.tolist()):
        parts = [
            in_sequence("d", size, int(one.cursor[place]), int(one.drawn[place]), 5)
            for one in whole
        ]
        total = sum(int(one.drawn[place]) for one in whole)
        for found, wanted in zip(
            (np.concatenate(x) for x in zip(*parts, strict=True)),
            in_sequence("d", size, 0, total, 5),
            strict=True,
        ):
            assert np.array_equal(found, wanted)


def test_a_domain_is_drawn_whole_before_any_text_comes_again():
    numbers, passes = in_sequence("a", 5, 0, 12, 1)
    assert sorted(numbers[:5]) == sorted(numbers[5:10]) == list(range(5))
    assert passes.tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert numbers[:5].tolist() != numbers[5:10].tolist()
    assert in_sequence("b", 5, 0, 5, 1)[0].tolist() != numbers[:5].tolist()
    assert in_sequence("a", 5, 7, 0, 1)[0].tolist() == []


def test_largest_remainders_and_of_equal_ones_the_first():
    assert apportioned(np.array([0.5, 0.3, 0.2]), 7).tolist() == [4, 2, 1]
    assert apportioned(np.full(3, 1 / 3), 4).tolist() == [2, 1, 1]
    assert apportioned(np.array([1e-9, 1.0]), 3).tolist() == [0, 3]


def test_without_smoothing_weights_change_more():
    """Ratios that swing from interval to interval."""
    swings = [[1.0, 2.5, 1.2], [2.5, 1.0, 1.2]] * 4
    sizes = np.full(3, 10)
    found = [
        spread(np.stack([one.factor for one in intervals(config, swings, sizes, 30)[1:]]))
        for config in (Unsmoothed(rule="unsmoothed"), SMOOTHED)
    ]
    assert found[0] > 2 * found[1]


def test_gaps_are_token_weighted_within_a_domain_and_equal_between_domains():
    one = Losses(np.array([1.0, 4.0]), np.array([2.0, 9.0]), np.array([1.0, 3.0]))
    other = Losses(np.array([2.0]), np.array([3.0]), np.array([2.0]))
    noise = Losses(np.array([9.0]), np.array([1.0]), np.array([1.0]))
    mean, found = gaps({"a": one, "b": other, "noise": noise}, {"noise"})
    assert one.per_token == pytest.approx((1.25, 2.75))
    assert found["a"].value == pytest.approx(1.5) and found["b"].value == pytest.approx(0.5)
    assert found["noise"].value == -8
    assert mean.value == pytest.approx(1.0) and mean.texts == 3
    assert found["a"].ci95 == pytest.approx((1.0, 5 / 3))  # of one text alone, or of the other
    assert found["b"].ci95 == pytest.approx((0.5, 0.5))
