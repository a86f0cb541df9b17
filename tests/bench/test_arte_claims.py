"""What a bench says to the claims of ARTE: gains in points, and ranks of styles."""

import pytest

from benchmarks.arte import differences, lines, rank_correlations
from data.errors import InputError
from tests.bench.test_worlds import figures

TASKS = ("sorting", "odd")


@pytest.fixture
def bench(tmp_path):
    """Of three worlds, with these accuracies by arm; arms of styles have scores by task too."""

    def made(accuracy, pools=None):
        labels = [*accuracy, *(pools or {})]
        found = figures(tmp_path, {label: [[0.5]] * 3 for label in labels}, {})
        for recipe in found.recipes:
            for number, run in enumerate(recipe.runs):
                if recipe.label in accuracy:
                    run.measures = {"accuracy": accuracy[recipe.label][number]}
                    continue
                run.measures = {"accuracy": 0.5}
                for task, (score, then) in zip(TASKS, pools[recipe.label], strict=True):
                    run.measures[f"learned_score_in_{task}"] = score
                    run.measures[f"accuracy_in_{task}"] = then
        return found

    return made


def said(found, claim):
    (line,) = (line for line in lines(found) if line.startswith(f"| {claim}"))
    return line.rsplit("|", 2)[1].strip()


def test_a_gain_of_three_points_surely_above_0_is_met(bench):
    found = bench({"original": (0.50, 0.55, 0.60), "arte": (0.54, 0.60, 0.64)})
    assert differences(found, "arte", "original") == pytest.approx([0.04, 0.05, 0.04])
    gain = said(found, "arte - original")
    assert gain.startswith("+4.3 [") and gain.endswith(": met")
    assert said(found, "arte - fixed") == "not run"


@pytest.mark.parametrize(
    "arte",
    [
        (0.52, 0.57, 0.62),  # two points, and surely
        (0.80, 0.56, 0.40),  # five in the mean, and by no means surely
        (0.40, 0.45, 0.50),
    ],
)
def test_any_other_gain_is_not_met(bench, arte):
    found = bench({"original": (0.50, 0.55, 0.601), "arte": arte})
    assert said(found, "arte - original").endswith(": not met")


def pools(**orders):
    """Of each style, its score and the accuracy after it in two tasks, one of them easy."""
    return {
        style: [(0.1 * score, 0.1 * then), (0.5 + 0.1 * score, 0.5 + 0.1 * then)]
        for style, (score, then) in orders.items()
    }


def test_ranks_are_of_what_is_left_of_the_tasks_means(bench):
    same = pools(steps=(3, 3), short=(2, 2), recall=(1, 1), words=(0, 0))
    found = bench({"original": (0.5,) * 3}, same)
    assert rank_correlations(found) == pytest.approx([1, 1, 1])
    assert said(found, "score of a style").endswith("in 3 pairs: met")
    against = pools(steps=(3, 0), short=(2, 1), recall=(1, 2), words=(0, 3))
    found = bench({"original": (0.5,) * 3}, against)  # though easy tasks are high in both
    assert rank_correlations(found) == pytest.approx([-1, -1, -1])
    assert said(found, "score of a style").endswith("not met")


def test_a_bench_of_another_flow_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no accuracy; name a bench of the flow `arte`"):
        list(lines(figures(tmp_path, {"arte": [[0.5]]}, {})))
