"""What a bench says to the claims of VL2V: gains by target and seed, with their interval."""

import pytest

from benchmarks.vl2v import by_case, claims, rows
from data.errors import InputError
from tests.bench.test_worlds import figures

TARGETS = ("photo", "sketch")
SEEDS = 3


@pytest.fixture
def bench(tmp_path):
    """Two targets and three seeds; accuracies out of and in domain by method."""

    def made(out, inside=None, labels=("erm", "adip", "image", "logits")):
        found = figures(tmp_path, {label: [[0.5] * SEEDS] for label in labels}, {})
        for recipe in found.recipes:
            for number, run in enumerate(recipe.runs):
                noise = (number - 1) / 1000 * (recipe.label == "adip")
                value, there = out[recipe.label], (inside or {}).get(recipe.label, 0.8)
                run.measures = {"ood_accuracy": value, "id_accuracy": there}
                for target, shift in zip(TARGETS, (0.1, -0.1), strict=True):
                    run.measures |= {f"ood_{target}": value + shift + noise, f"id_{target}": there}
        return found

    return made


GOOD = {"erm": 0.40, "adip": 0.45, "image": 0.43, "logits": 0.44}


def said(found):
    """What was found, by claim."""
    lines = [line.strip("| ").split(" | ") for line in claims(found)][2:]
    return {name: text for name, text in lines}


def test_all_claims_are_met(bench):
    found = said(bench(GOOD))
    assert len(found) == 4 and all(text.endswith(": met") for text in found.values())
    assert "+5.0 points [+4.9, +5.1] in 6" in next(iter(found.values()))


@pytest.mark.parametrize(
    ("out", "inside", "failing"),
    [
        ({"adip": 0.41, "image": 0.40, "logits": 0.40}, {}, "over ERM"),
        ({}, {"adip": 0.78}, "below ERM"),
        ({"image": 0.46}, {}, "(image)"),
        ({"logits": 0.46}, {}, "(logits)"),
    ],
)
def test_each_claim_can_fail(bench, out, inside, failing):
    found = said(bench(GOOD | out, inside))
    wrong = [name for name, text in found.items() if not text.endswith(": met")]
    assert len(wrong) == 1 and failing in wrong[0]


def test_one_pair_shows_nothing_to_be_above_0_and_what_was_not_run_is_said(bench):
    found = bench(GOOD, labels=("erm", "adip"))
    for recipe in found.recipes:
        del recipe.runs[1:]
        for run in recipe.runs:
            del run.measures["ood_sketch"], run.measures["id_sketch"]
    first, _, *naive = said(found).values()
    assert first.startswith("+4.9 points in 1: not met")
    assert naive == ["not run", "not run"]


def test_a_row_has_every_target_and_both_means(bench):
    lines = list(rows(bench(GOOD)))
    assert lines[0] == "| method | photo | sketch | out of domain | in domain |"
    assert "| erm | 50.0 | 30.0 | 40.0 | 80.0 |" in lines


def test_a_bench_of_another_flow_is_refused(bench):
    found = bench(GOOD)
    found.recipes[0].runs[0].measures = {"win_rate": 0.5}
    with pytest.raises(InputError, match="has no accuracy by target"):
        by_case(found, "ood_")
