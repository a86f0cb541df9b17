"""A round run again from a stage: that stage and what follows is made anew, nothing before."""

import json

import pytest

from data.errors import InputError


def rerun(folder, by_prefect=False, **choice):
    """By default the flow's function alone, which is the quicker."""
    from flows.rerun import rerun_round

    places = {"store": str(folder / "store"), "runs_dir": str(folder / "runs")}
    call = rerun_round if by_prefect else rerun_round.fn
    call("tiny", **choice, **places, quiet=True)
    return json.loads((folder / "runs" / "tiny" / "summary.json").read_text())


def computed(stages):
    return [stage["stage"] for stage in stages if not stage["cached"]]


def test_from_optimize_the_policy_and_what_reads_it_are_made_again(prefect, tiny_copy):
    before = json.loads((tiny_copy / "runs" / "tiny" / "summary.json").read_text())
    after = rerun(tiny_copy, by_prefect=True, round=2, stage="optimize")
    assert computed(after["bootstrap"] + after["rounds"][0]["stages"]) == []
    again = computed(after["rounds"][1]["stages"])
    assert again[0] == "optimize" and {"gate", "evaluate", "drift"} <= set(again)
    assert not {"generate", "distill", "relabel", "agreement (after)"} & set(again)
    assert after["final"] == before["final"]


def test_from_a_stage_of_the_first_round_the_later_rounds_follow(tiny_copy):
    after = rerun(tiny_copy, round=1, stage="mine")
    first, second = (computed(entry["stages"]) for entry in after["rounds"])
    assert first[0] == "mine" and "relabel" in first and "optimize" in first
    assert "generate" not in first and "generate" in second


def test_what_an_earlier_round_has_made_is_not_made_again(tiny_copy):
    """The base's answers are made in the first round and found in the second."""
    after = rerun(tiny_copy, round=2, stage="generate")
    first, second = (computed(entry["stages"]) for entry in after["rounds"])
    assert first == [] and "generate" in second and "round 2 answers dev prompts" in second
    assert not {"base answers test prompts", "round 1 answers dev prompts"} & set(second)


def test_a_call_alone_is_made_again(tiny_copy):
    after = rerun(tiny_copy, round=2, stage="generate:test")
    again = computed(after["rounds"][1]["stages"])
    assert again[0] == "round 2 answers test prompts"
    assert {"evaluate", "drift"} <= set(again) and not {"generate", "optimize"} & set(again)


def test_a_stage_that_the_round_has_not_is_refused_with_those_it_has(tiny_copy):
    with pytest.raises(InputError, match="round 2 of tiny has no stage 'generat'") as error:
        rerun(tiny_copy, round=2, stage="generat")
    assert "generate, generate:dev" in str(error.value)
    assert str(error.value).count("\n") == 0


def test_a_failed_round_goes_on_from_the_stage(tiny_copy, monkeypatch):
    monkeypatch.setattr("models.training.dpo.train_dpo", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rerun(tiny_copy, round=2, stage="optimize")
    monkeypatch.undo()
    after = rerun(tiny_copy, round=2, stage="optimize")
    assert computed(after["rounds"][0]["stages"]) == []
    assert "optimize" in computed(after["rounds"][1]["stages"])


def test_a_round_that_does_not_exist_is_refused(tiny_copy):
    with pytest.raises(InputError, match="tiny has the rounds 1 to 2"):
        rerun(tiny_copy, round=3, stage="optimize")


def test_a_store_elsewhere_is_refused(tiny_copy):
    from flows.rerun import rerun_round

    places = {"store": "memory://somewhere", "runs_dir": str(tiny_copy / "runs")}
    with pytest.raises(InputError, match="a round is made again in local stores"):
        rerun_round.fn("tiny", 1, "mine", **places, quiet=True)
