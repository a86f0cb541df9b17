"""What benches say to the papers' claims: pairing, words, and what must hold round by round."""

import json

import pytest

from bench.variants import Step, read_bench, write_bench
from benchmarks.evidence import CLAIMS, ahead, claim_rows, lines, round_rows, verdict
from data.errors import InputError
from tests.bench.test_worlds import figures

CLAIM = {(claim.one, claim.other): claim for claim in CLAIMS}


@pytest.fixture
def bench(tmp_path):
    return lambda rates: figures(tmp_path, rates, {})


def verdicts(*benches):
    return {row[1]: row[-1] for row in claim_rows(benches)}


def test_two_recipes_of_which_neither_is_the_baseline_are_paired_within_a_world(bench):
    found = bench(
        {
            "rho1": [[0.5], [0.6], [0.7]],
            "rho0.5": [[0.58], [0.61], [0.76]],
            "random0.5": [[0.55], [0.59], [0.74]],
        }
    )
    said = ahead(CLAIM["rho0.5", "random0.5"], found)
    assert said.values == pytest.approx([0.03, 0.02, 0.02]) and said.over == "worlds"
    row = next(one for one in claim_rows([found]) if one[2].startswith("rho0.5 – random0.5"))
    assert row[3] == "3, 3 runs" and row[5] == "3 of 3 worlds"
    assert row[4] == "+2.3 [+0.9, +3.8] points"


def test_a_claim_over_the_base_is_set_against_no_change(bench):
    found = bench({"tsalign": [[0.66], [0.68], [0.67]]})
    assert ahead(CLAIM["tsalign", ""], found).values == pytest.approx([0.16, 0.18, 0.17])
    assert verdicts(found)["two rounds of 500 prompts improve on the base"] == "holds"
    assert verdicts(found)["people's answers help"] == "not measured in these files"


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ([0.70, 0.71, 0.69], [0.60, 0.60, 0.60], "holds"),
        ([0.60, 0.60, 0.60], [0.70, 0.71, 0.69], "the contrary holds"),
        ([0.60, 0.70, 0.65], [0.65, 0.64, 0.66], "not shown"),
        ([0.60, 0.60, 0.60], [0.60, 0.60, 0.60], "not shown"),
    ],
)
def test_what_should_help_holds_or_is_not_shown(bench, one, other, said):
    found = bench({"full": [[v] for v in one], "no-human": [[v] for v in other]})
    assert verdicts(found)["people's answers help"] == said


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ([0.50, 0.51, 0.49], "does not hold: a loss is shown"),
        # mean -1 point, deviation 1, n = 3: the interval ends 2.484 points lower
        ([0.60, 0.59, 0.58], "no loss shown; more than 3.5 points is ruled out"),
        ([0.60, 0.60, 0.60], "no loss shown, but none ruled out"),
        ([0.70, 0.71, 0.69], "no loss shown; more than 0.0 points is ruled out"),
    ],
)
def test_what_should_lose_nothing_says_how_much_is_ruled_out(bench, one, said):
    found = bench({"rho1": [[0.60]] * 3, "rho0.5": [[v] for v in one]})
    assert verdicts(found)["answering 50 % of the prompts again loses nothing"] == said


def test_many_rows_ask_for_more(bench):
    found = bench({"full": [[0.62], [0.63], [0.64]], "no-human": [[0.60], [0.60], [0.61]]})
    one = ahead(CLAIM["full", "no-human"], found)
    assert one.p < 0.05 < 7 * one.p
    assert verdict(one, one.p) == "holds" and verdict(one, 7 * one.p) == "not shown"


def test_seeds_of_one_world_are_told_as_such(bench):
    found = bench({"full": [[0.7, 0.71, 0.72]], "no-human": [[0.6, 0.6, 0.61]]})
    row = next(one for one in claim_rows([found]) if one[2].startswith("full – no-human"))
    assert row[3] == "1, 3 runs" and row[5] == "3 of 3 seeds"


def test_what_holds_in_a_world_holds_in_every_round_of_every_run(bench):
    found = bench({"tsalign": [[0.6, 0.6], [0.6, 0.6]]})
    good = [Step(round=n, value=0.9) for n in (1, 2)]
    fallen = [
        Step(round=1, value=0.7, ci95=(0.68, 0.72)),
        Step(round=2, value=0.6, ci95=(0.5, 0.69)),
    ]
    for run in found.recipes[0].runs:
        run.steps = {
            "label_precision": good,
            "agreement_before": [Step(round=1, value=0.85)],
            "agreement": [Step(round=1, value=0.9), Step(round=2, value=0.84 + run.world / 10)],
            "win_rate": good,
        }
    bad = found.recipes[0].runs[1]  # world 0, seed 1
    bad.steps = bad.steps | {
        "label_precision": [*good, Step(round=3, value=0.84)],
        "win_rate": fallen,
    }
    (row,) = round_rows([found], 0.85)
    assert row == ["tsalign (b)", "1 of 2", row[2], "1 of 2", "1 of 2"] and row[2].startswith("84")
    fallen[1].kept = False  # refused, so nothing was undone
    (row,) = round_rows([found], 0.84)
    assert (row[1], row[-1]) == ("2 of 2", "2 of 2")


def test_a_file_is_read_as_it_was_written_and_others_are_refused(bench, tmp_path):
    found, path = bench({"tsalign": [[0.6], [0.7]]}), tmp_path / "bench.json"
    write_bench(path, found)
    assert read_bench(path) == found and "| TS-Align |" in "\n".join(lines([found], 0.85))
    old = json.loads(path.read_text())
    for name in ("worlds", "machines_differ"):  # of before there were worlds
        del old[name]
    path.write_text(json.dumps(old))
    assert read_bench(path).worlds == []
    for text in ("{", "[]", json.dumps(old | {"schema": 2}), json.dumps(old | {"more": 1})):
        path.write_text(text)
        with pytest.raises(InputError, match=r"bench\.json"):
            read_bench(path)
    with pytest.raises(InputError, match="No such file"):
        read_bench(tmp_path / "none" / "bench.json")
