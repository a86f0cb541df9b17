import pytest

from data.monitor import Rated, Watch, watched
from data.recipes.monitor import MonitorConfig
from flows.loop.rules import RULES, warnings
from flows.loop.wording import words
from tests.reports import report_examples as examples
from tests.repository import ROOT

BASE = {"mean_tokens": 12.0, "distinct_2": 0.18, "judge_score": 0.48}


def found(rounds, base=BASE):
    return {one.rule: one.text for one in warnings(base, rounds)}


def changed(drift=None, policy=None, gate=None, student=None, ledger=None, **fields):
    """A healthy run whose third round has other values."""
    rounds = examples.aligned().rounds
    parts = {"drift": drift, "policy": policy, "gate": gate, "student": student, "ledger": ledger}
    for name, values in parts.items():
        setattr(rounds[2], name, getattr(rounds[2], name).model_copy(update=values or {}))
    rounds[2] = rounds[2].model_copy(update=fields)
    return rounds


def test_a_healthy_run_gets_no_warning():
    assert found(examples.aligned().rounds) == {}


def seen(win_rate):
    """A round that the first student rates so, after one that it rates 0.6."""
    before = Watch(round=2, steps=1, raters={"student": Rated(win_rate=0.6, error=0.0, n=200)})
    rated = {"student": {"win_rate": win_rate, "error": 0.0, "n": 200}}
    measured = {"steps": 1, "margin": None, "grid": {}, "raters": rated}
    return watched(3, measured, [before], MonitorConfig(), from_base=True)


EVEN = {"win_rate": 0.51, "ci95": (0.48, 0.54), "judge": "teacher"}  # none of wins and losses

# Per rule: values on its quiet side, values past its threshold, and what it says of these.
CASES = {
    "alarm": (
        {"watch": seen(0.576)},  # of what the base wins, 6 % more is the least that counts
        {"watch": seen(0.575)},
        "by the student that the run began with, the policy wins less often over the base",
    ),
    "cut_short": (
        {"ledger": {"truncated": 300, "unscored": 100}},
        {"ledger": {"truncated": 300, "unscored": 180}},
        "6.0% of the answers were cut off",
    ),
    "over_long": (
        {"ledger": {"unjudged": 20, "too_long": 24}},
        {"ledger": {"unjudged": 30, "too_long": 24}},
        "6.1% of the pairs were too long",
    ),
    "not_judged": (  # by a language model
        {"ledger": {"unjudged": 44, "unparsable": 44}},
        {"ledger": {"unjudged": 60, "unparsable": 54}},
        "6.1% of the pairs got no verdict from the teacher",
    ),
    "few_pairs": (
        {"ledger": {"trained": 200}},
        {"ledger": {"trained": 199}},
        "only 199 of 1,000 prompts",
    ),
    "wrong_labels": ({"label_precision": 0.75}, {"label_precision": 0.74}, "confirm 26%"),
    "many_swaps": (
        {"ledger": {"swapped": 470}, "swap_rate": 0.53},  # 470 of 882 may be chance
        {"ledger": {"swapped": 480}, "swap_rate": 0.54},
        "reversed 54%",
    ),
    "student_refused": (
        {"student": {"adopted": True}},
        {"student": {"adopted": False}},
        "lowered the student's agreement",
    ),
    "agreement_fell": (
        {"student": {"agreement_after": 0.76}},
        {"student": {"agreement_after": 0.75}},
        "from 80.3% to 75.0%",
    ),
    "longer": ({"drift": {"mean_tokens": 15.0}}, {"drift": {"mean_tokens": 15.6}}, "30% longer"),
    "shorter": ({"drift": {"mean_tokens": 9.0}}, {"drift": {"mean_tokens": 8.4}}, "30% shorter"),
    "less_varied": ({"drift": {"distinct_2": 0.121}}, {"drift": {"distinct_2": 0.09}}, "by 50%"),
    "hardly_moved": (
        {"drift": {"kl_to_base": 0.1, "student_reward": 1.3}, "policy": EVEN},
        {"drift": {"kl_to_base": 0.04, "student_reward": 1.3}, "policy": EVEN},
        "a KL of 0.04 nats per answer to the base, and the interval of its win rate includes 50%",
    ),
    "far": (
        {"drift": {"kl_to_base": 13.1, "mean_tokens": 13.1}},
        {"drift": {"kl_to_base": 13.4, "mean_tokens": 13.1}},
        "KL of 13.4 nats per answer",
    ),
    "further_for_nothing": (
        {"drift": {"kl_to_base": 12.0}},  # it does win more
        {"drift": {"kl_to_base": 12.0}, "gate": {"win_rate": 0.49}},
        "KL 5.4 to 12.0 nats",
    ),
    "teacher_exploited": (
        {"drift": {"judge_score": 0.65}},  # 0.01 of a gain of 0.18
        {"drift": {"judge_score": 0.63}},
        "the teacher's reward rose while the oracle's score fell",
    ),
    "student_exploited": (
        {"drift": {"teacher_reward": 2.21}},
        {"drift": {"teacher_reward": 2.2}},
        "student's reward rose (1.30 to 1.70) while the teacher's did not (2.20 to 2.20)",
    ),
}


def test_every_rule_has_a_case():
    assert set(CASES) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_silent_up_to_its_threshold_and_speaks_beyond(name):
    quiet, loud, said = CASES[name]
    assert found(changed(**quiet)) == {}
    ((rule, text),) = found(changed(**loud)).items()
    assert rule == name and text.startswith("Round 3: ") and said in text


def test_a_reward_that_rises_without_more_wins_is_worth_a_warning():
    stalled = {"win_rate": 0.668}
    assert "policy wins no more often" in found(changed(policy=stalled))["teacher_exploited"]
    assert "teacher_exploited" not in found(changed(policy=stalled | {"judge": "teacher"}))


def test_a_policy_whose_answers_changed_or_that_wins_has_moved():
    rounds = changed(drift={"kl_to_base": 0.04, "student_reward": 1.3}, policy=EVEN)
    optimize = next(record for record in rounds[2].stages if record.stage == "optimize")
    optimize.counts = {"canary_answers": 8, "canary_answers_changed": 5}
    assert found(rounds) == {}
    optimize.counts["canary_answers_changed"] = 1
    assert "1 of 8 greedy answers changed" in found(rounds)["hardly_moved"]
    rounds[2].policy.ci95 = (0.51, 0.56)
    assert found(rounds) == {}


def test_moving_further_without_more_wins_over_the_base_is_worth_a_warning():
    rounds = changed(drift={"kl_to_base": 12.0, "teacher_reward": 2.0, "student_reward": 1.0},
                     policy={"win_rate": 0.6})  # fmt: skip
    assert set(found(rounds)) == {"further_for_nothing"}


def test_a_teacher_that_is_the_judge_cannot_be_exploited_against_itself():
    rounds = changed(drift={"judge_score": 0.1}, policy={"judge": "teacher"})
    assert found(rounds) == {}


def test_a_round_is_compared_with_the_last_adopted_one():
    worse = {"teacher_reward": 2.1, "student_reward": 1.0, "judge_score": 0.58}
    assert found(changed(drift=worse)) == {}  # both below round 2
    rounds = changed(drift=worse)
    rounds[1].adopted = False
    assert set(found(rounds)) == {"teacher_exploited"}  # above and below round 1
    rounds[2].adopted = False
    assert found(rounds)["teacher_exploited"].startswith("Round 3 (not adopted): ")


def test_one_warning_names_every_round_and_gives_its_reason_once():
    rounds = changed(label_precision=0.6)
    rounds[1].label_precision = 0.7
    (text,) = found(rounds).values()
    assert text.startswith("Round 2: the oracle does not confirm 30%") and "Round 3: " in text
    assert text.count("learns these mistakes") == 1


def test_nothing_is_said_of_what_is_not_known():
    assert found(changed(drift={"mean_tokens": 99.0, "distinct_2": 0.01}), base={}) == {}
    assert set(found(examples.logged().rounds)) == {"over_long"}  # of its 31 pairs
    rounds = changed(label_precision=None, student={"agreement_after": None})
    rounds[1].drift = rounds[1].policy = rounds[1].gate = None
    assert found(rounds) == {}


def test_pairs_that_reward_functions_fail_on_are_not_said_to_be_too_long():
    by_functions = words({"teacher": {"model": "mine.py:f"}})
    rounds = changed(ledger={"unjudged": 60})
    (said,) = warnings(BASE, rounds, by_functions)
    assert said.rule == "not_judged" and "6.8% of the pairs got no reward from" in said.text


def test_a_round_that_asked_nothing_divides_by_nothing():
    rounds = changed()
    rounds[2].ledger = type(rounds[2].ledger)()
    assert found(rounds) == {}


def test_every_rule_is_explained_in_the_docs():
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    assert [rule.name for rule in RULES if f"| `{rule.name}` |" not in text] == []
