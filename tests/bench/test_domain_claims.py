"""What a bench says to the claims of DDK: shares below, noise above its share, variances."""

import pytest

from bench.variants import Step
from benchmarks.domains import claims
from data.errors import InputError
from tests.bench.test_worlds import figures

LABELS = ("equal", "ddk", "unsmoothed", "natural")


@pytest.fixture
def bench(tmp_path):
    """Of three worlds, with these gaps; in all of them equal weights are an eighth."""

    def made(macro, worst=None, noise=(0.3, 0.1, 0.12), variance=None):
        found = figures(tmp_path, {label: [[0.5]] * 3 for label in LABELS}, {})
        worst = worst or {"ddk": 0.8, "natural": 1.0}
        variance = variance or {"ddk": 0.001, "unsmoothed": 0.003}
        for recipe in found.recipes:
            weights = (0.125,) * 3 if recipe.label == "equal" else noise
            for run, gap in zip(recipe.runs, macro.get(recipe.label, (0.5,) * 3), strict=True):
                run.measures = {
                    "macro_gap": gap,
                    "worst_gap": worst.get(recipe.label, 1.0),
                    "noise_weight": weights[-1],
                    "weight_variance": variance.get(recipe.label, 0.0),
                }
                steps = [Step(round=n, value=x) for n, x in enumerate(weights, 1)]
                run.steps = {"noise_weight": steps}
        return found

    return made


def words(found):
    return [line.partition(":")[0] for line in claims(found)]


def test_all_claims_hold(bench):
    found = bench({"equal": (0.50, 0.52, 0.48), "ddk": (0.45, 0.46, 0.44)})
    assert words(found) == ["holds"] * 4
    macro, worst, noise, varies = claims(found)
    assert "10.0 % below that of equal" in macro and "in 3 pairs" in macro
    assert "20.0 % below that of natural" in worst
    assert "at most 0.1200" in noise and "an equal share is 0.1250; 0 of 6" in noise
    assert "3.00 times" in varies


@pytest.mark.parametrize(
    "macro",
    [
        {"equal": (0.50, 0.50, 0.50), "ddk": (0.491, 0.49, 0.489)},  # 2 %
        {"equal": (0.50, 0.50, 0.50), "ddk": (0.30, 0.30, 0.52)},  # the interval spans 0
        {"equal": (0.45, 0.46, 0.44), "ddk": (0.50, 0.52, 0.48)},
    ],
)
def test_a_gap_that_is_not_surely_3_percent_smaller_fails(bench, macro):
    assert words(bench(macro)) == ["fails", "holds", "holds", "holds"]


def test_each_other_claim_can_fail(bench):
    macro = {"equal": (0.50, 0.52, 0.48), "ddk": (0.45, 0.46, 0.44)}
    assert words(bench(macro, worst={"ddk": 0.91, "natural": 1.0}))[1] == "fails"
    assert words(bench(macro, noise=(0.1, 0.13, 0.1)))[2] == "fails"
    assert words(bench(macro, noise=(0.4, 0.1, 0.1)))[2] == "holds"  # the first does not count
    assert words(bench(macro, variance={"ddk": 0.002, "unsmoothed": 0.003}))[3] == "fails"


def test_a_bench_without_a_recipe_of_that_label_is_refused(tmp_path):
    with pytest.raises(InputError, match="no recipe of this bench is labelled 'ddk'"):
        claims(figures(tmp_path, {"equal": [[0.5]]}, {}))
