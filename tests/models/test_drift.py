from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift import distinct_2, kl_estimate, perplexity


@pytest.mark.parametrize(
    ("completions", "expected"),
    [
        ([], 0.0),
        (["one", "", "two"], 0.0),  # no bigrams
        (["a b c"], 1.0),
        (["a a a a"], 1 / 3),
        (["a b", "a b", "b a"], 2 / 3),
        (["a  b\na b"], 2 / 3),  # any whitespace parts words
        (["a b", "c d"], 1.0),  # none spans two completions
    ],
)
def test_distinct_2(completions, expected):
    assert distinct_2(completions) == pytest.approx(expected)


@given(st.lists(st.text(alphabet="ab ")))
def test_distinct_2_is_a_share_and_saying_it_again_adds_nothing_new(completions):
    once, twice = distinct_2(completions), distinct_2(completions * 2)
    assert 0 <= once <= 1
    assert twice == pytest.approx(once / 2)


def test_kl_is_the_mean_difference_of_the_log_probabilities():
    assert kl_estimate([-10.0, -20.0], [-12.0, -21.0]) == 1.5
    assert kl_estimate([-3.0], [-3.0]) == 0.0


@pytest.mark.parametrize(("policy", "base"), [([], []), ([1.0], [1.0, 2.0])])
def test_kl_needs_the_same_completions(policy, base):
    with pytest.raises(ValueError, match="same completions"):
        kl_estimate(policy, base)


def test_perplexity_is_the_number_of_tokens_that_are_equally_likely():
    lengths = [3, 1, 7]
    assert perplexity([-n * log(50) for n in lengths], lengths) == pytest.approx(50)


def test_perplexity_weighs_tokens_and_not_answers():
    assert perplexity([-log(2), -9 * log(4)], [1, 9]) == pytest.approx(2 ** (1.9))
    assert perplexity([0.0], [5]) == 1.0


@pytest.mark.parametrize(("logps", "tokens"), [([], []), ([-1.0], [1, 2])])
def test_perplexity_needs_a_length_of_every_answer(logps, tokens):
    with pytest.raises(ValueError, match="as many lengths"):
        perplexity(logps, tokens)
