"""Which round of a run is judged at equal prompts, tokens or seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.budgets import judged, method_seconds, stage_seconds, totals, worth_another
from tests.reports import report_examples as examples


def run(tokens=(100, 100, 100), evaluated=None, adopted=None):
    """A run of three rounds, of 1000 prompts each."""
    summary = examples.aligned()
    for place, entry in enumerate(summary.rounds):
        entry.tokens = tokens[place]
        entry.adopted = adopted is None or place + 1 in adopted
        if evaluated is not None and place + 1 not in evaluated:
            entry.policy = None
    return summary


@pytest.mark.parametrize(
    ("budget", "rounds", "over"),
    [(3000, 3, False), (2999, 2, False), (1000, 1, False), (999, 1, True)],
)
def test_the_last_round_within_the_budget_is_judged(budget, rounds, over):
    found = judged(run(), "prompts", budget)
    assert (len(found.rounds), found.entry.round, found.over_budget) == (rounds, rounds, over)


def test_tokens_are_counted_not_rounds():
    assert judged(run((50, 200, 10)), "tokens", 250).entry.round == 2
    assert judged(run((50, 201, 10)), "tokens", 250).entry.round == 1


def test_only_evaluated_rounds_can_be_judged():
    assert judged(run(evaluated={1, 3}), "prompts", 2000).entry.round == 1
    first = judged(run(evaluated={2}), "prompts", 1000)
    assert first.over_budget and first.entry.round == 2 and len(first.rounds) == 2
    with pytest.raises(ValueError, match="no round was evaluated"):
        judged(run(evaluated=()), "prompts", 1e9)


def test_a_policy_that_was_not_adopted_is_paid_for_but_not_judged():
    found = judged(run(adopted={1}), "prompts", 3000)
    assert len(found.rounds) == 3 and found.entry.round == 1
    assert judged(run(adopted=()), "prompts", 3000).entry is None


def test_seconds_are_the_methods_own_and_of_what_was_once_computed():
    summary = run()
    parts = [stage_seconds(summary.rounds[:1], measures=which) for which in (True, False)]
    assert set(parts[0]) == {"evaluate", "drift"} and "generate:dev" in parts[1]
    assert method_seconds(summary.rounds)[0] == pytest.approx(sum(parts[1].values()))
    cached = summary.all_cached(seconds=0.1)
    assert totals(cached, "seconds") == totals(summary, "seconds")


def test_an_artifact_counts_once_in_a_run():
    summary = run()
    before = totals(summary, "seconds")
    again = summary.rounds[0].stages[0]
    summary.rounds[0].stages.append(again.model_copy(update={"stage": "previous answers"}))
    summary.rounds[1].stages.append(again)
    assert totals(summary, "seconds") == before


@given(st.lists(st.integers(1, 50), min_size=3, max_size=3), st.integers(1, 200))
def test_a_larger_budget_never_judges_an_earlier_round(tokens, budget):
    rounds = [len(judged(run(tokens), "tokens", size).rounds) for size in (budget, budget + 1)]
    assert rounds[0] <= rounds[1]
    assert sum(tokens[: rounds[0]]) <= budget or judged(run(tokens), "tokens", budget).over_budget


def test_another_round_is_tried_while_half_of_its_cost_is_left():
    assert worth_another([10, 30], 40) and not worth_another([10, 30], 39.9)
    assert not worth_another([0.0], 5)  # would go on for ever


@pytest.mark.parametrize("equal", ["prompts", "tokens", "seconds"])
@given(st.lists(st.floats(0.51, 1.0), min_size=3, max_size=3))
def test_a_recipe_that_equals_the_baseline_gets_its_rounds(equal, factors):
    """Whether its rounds become dearer or cheaper, and however sums are rounded."""
    summary = run([round(1000 * factor) for factor in factors])
    for entry, factor in zip(summary.rounds, factors, strict=True):
        entry.ledger.asked = round(1000 * factor)
        for record in entry.stages:
            record.computed_seconds = 10 * factor
    spent = totals(summary, equal)
    budget = spent[-1]
    assert [worth_another(spent[:n], budget) for n in (1, 2, 3)] == [True, True, False]
    assert len(judged(summary, equal, budget).rounds) == 3
