import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift import distinct_2, kl_estimate


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
