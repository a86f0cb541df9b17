import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift import distinct_2, drift_warnings, kl_estimate
from tests.tasks import report_examples as examples


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


BASE = {"mean_tokens": 12.1, "distinct_2": 0.16, "judge_score": 0.48}


def last_round(**drift):
    rounds = examples.aligned().rounds
    assert rounds[2].drift is not None
    rounds[2].drift = rounds[2].drift.model_copy(update=drift)
    return rounds


def test_a_healthy_run_gets_no_warning():
    assert drift_warnings(BASE, examples.aligned().rounds) == []


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ({"mean_tokens": 18.0}, "49% longer"),
        ({"mean_tokens": 9.0, "kl_to_base": 4.0}, "26% shorter"),
        ({"kl_to_base": 13.5}, "KL of 13.5 nats per answer, more than one per token"),
        ({"distinct_2": 0.05}, "less varied"),
        ({"teacher_reward": 9.0, "judge_score": 0.6}, "over-optimisation"),
    ],
)
def test_each_warning_names_the_round_and_what_is_wrong(drift, said):
    (warning,) = drift_warnings(BASE, last_round(**drift))
    assert warning.startswith("Round 3: ") and said in warning


def test_moving_further_without_winning_more_is_worth_a_warning():
    rounds = last_round(kl_to_base=12.0)
    assert drift_warnings(BASE, rounds) == []  # it does win more
    rounds[2].policy.win_rate, rounds[2].drift.teacher_reward = 0.5, 2.0
    (warning,) = drift_warnings(BASE, rounds)
    assert "KL 5.4 to 12.0 nats" in warning


def test_a_reward_that_rises_without_more_wins_is_worth_a_warning():
    rounds = last_round(kl_to_base=5.5)
    rounds[2].policy.win_rate = rounds[1].policy.win_rate
    (warning,) = drift_warnings(BASE, rounds)
    assert "reward rose (2.20 to 2.90), but the policy wins no more often" in warning
    rounds[2].policy.judge = "teacher"
    assert drift_warnings(BASE, rounds) == []


def test_a_teacher_that_is_the_judge_cannot_be_exploited_against_itself():
    rounds = last_round(teacher_reward=9.0, judge_score=0.1)
    rounds[2].policy.judge = "teacher"
    assert drift_warnings(BASE, rounds) == []


def test_a_round_is_compared_with_the_last_adopted_one():
    rounds = last_round(teacher_reward=2.0, judge_score=0.6)
    assert drift_warnings(BASE, rounds) == []  # both below round 2
    rounds[1].adopted = False
    (warning,) = drift_warnings(BASE, rounds)  # above and below round 1
    assert warning.startswith("Round 3: the teacher's reward rose")
    rounds[2].adopted = False
    assert drift_warnings(BASE, rounds)[0].startswith("Round 3 (not adopted): ")


def test_nothing_is_said_of_what_is_not_known():
    assert drift_warnings({}, last_round(mean_tokens=99.0, distinct_2=0.01)) == []
    assert drift_warnings({}, examples.logged().rounds) == []
