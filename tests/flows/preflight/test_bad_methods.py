"""Slots that do not fit each other: one line that says what to do, before any work."""

import pytest

from flows.loop.recipe import AlignRecipe

POLICY = {"name": "new", "model": "policy"}
OLDER = {"name": "old", "model": "policy", "version": -1}
PEOPLE = {"name": "people", "path": "gone.json", "human": True}


def matrix(*cells, **settings):
    return {
        "labels": "matrix",
        "student.model": "none",
        "matrix": {"cells": list(cells), **settings},
    }


REFRESH = {"prompts.refresh": {"share": 0.5}}
GONE = matrix(POLICY, PEOPLE)

CASES = {
    "the labels need a student": (
        {"student.model": "none"},
        "student.model: labels: student+teacher needs one; name it",
    ),
    "the student cannot label if there is none": (
        {"student.model": "none", "labels": "student"},
        "student.model: labels: student needs one; name it",
    ),
    "labels by a matrix that is not there": (
        {"labels": "matrix"},
        "matrix: goes with 'labels: matrix'; set both or neither",
    ),
    "a matrix that nobody labels by": (
        GONE | {"labels": "teacher"},
        "matrix: goes with 'labels: matrix'; set both or neither",
    ),
    "a least reward where the matrix labels": (
        GONE | {"policy.best_pairs": 0.5},
        "policy.best_pairs: the matrix orders pairs by cells; leave it out",
    ),
    "a refresh by rewards that a matrix does not have": (
        GONE | REFRESH | {"policy.replay": "none"},
        "prompts.refresh: the matrix has no rewards to choose prompts by",
    ),
    "a refresh and a replay of all": (REFRESH, "policy.replay: must be none with prompts.refresh"),
    "a refresh and a replay of a share": (
        REFRESH | {"policy.replay": "share"},
        "policy.replay: must be none with prompts.refresh",
    ),
    "a share of nothing": (
        {"prompts.refresh": {"share": 0}, "policy.replay": "none"},
        "prompts.refresh.share: must be greater than 0",
    ),
    "no prompt for the first round of a refresh": (
        REFRESH | {"policy.replay": "none", "prompts.per_round": 40},
        "there are 34; lower prompts.per_round",
    ),
    "no pair in the first round, the older policy being none yet": (
        matrix(POLICY, OLDER),
        "matrix.cells: no cell of the first round beats another",
    ),
    "no pair on the axes that count": (
        matrix(POLICY, PEOPLE, axes=["scale"]),
        "matrix.cells: no cell of the first round beats another",
    ),
    "recorded answers that are not there": (GONE, "gone.json: no such file"),
    "a cell's model that is not there": (
        matrix(POLICY, {"name": "small", "model": "./gone", "scale": 0.5}),
        "matrix cell small: './gone' is no folder here",
    ),
    "a cell with neither model nor path": (
        matrix(POLICY, {"name": "empty"}),
        "cell empty: needs either a model or a path",
    ),
    "a policy of the future": (
        matrix(POLICY, OLDER | {"version": 1}),
        "cell old: a version of the policy is 0, -1, -2, ...",
    ),
    "two cells of one name": (matrix(POLICY, POLICY), "two cells are named new"),
    "people of a world that is not there": (
        matrix(POLICY, {"name": "people", "model": "world", "human": True}),
        "matrix cell people: name your own, or add 'world: {}'",
    ),
    "people of the world, who answer its own prompts alone": (
        matrix(POLICY, {"name": "people", "model": "world", "human": True}) | {"world": {}},
        "matrix cell people: the world's people answer only its own prompts; give a path",
    ),
    "weights by margins that nobody gives": (
        matrix(POLICY, PEOPLE, correction={"judge": "none"})
        | {"policy.pair_weight": {"form": "sigmoid"}},
        "policy.pair_weight: the matrix has no margins without a judge",
    ),
    "weights of a loss that has none": (
        {"policy.pair_weight": {"form": "sigmoid"}, "policy.losses": {"ipo": 1.0}},
        "policy.pair_weight: goes with the losses sigmoid and dual_clip only",
    ),
    "an exo_pair that is not smoothed": (
        {"policy.losses": {"exo_pair": 1.0}},
        "policy.losses.exo_pair.label_smoothing: is required; add it",
    ),
    "a smoothing that nothing uses": (
        {"policy.label_smoothing": 0.1},
        "policy.label_smoothing: is a setting of the loss now",
    ),
}  # fmt: skip


@pytest.mark.parametrize("changes, says", CASES.values(), ids=CASES)
def test_slots_that_do_not_fit_are_refused(refuse_change, changes, says):
    line = refuse_change(changes)
    assert says in line and len(line) < 400


@pytest.mark.parametrize("model", ["world", "teacher", "fresh", "none"])
def test_a_name_that_is_no_sampler_is_refused(refuse_change, model):
    cell = {"name": "small", "model": model, "scale": 0.5}
    line = refuse_change(matrix(POLICY, cell) | {"world": {}})
    assert f"cell small: '{model}' is no sampler; name 'policy', 'world-small' or a" in line


@pytest.mark.parametrize(
    "changes, says",
    [
        ({}, None),
        ({"labels": "teacher"}, "with labels: teacher it would have to score all answers"),
        ({"policy": {"best_pairs": 0.5}}, "policy.best_pairs goes by rewards (take it out)"),
        (
            {"prompts": {"refresh": {"share": 0.5}}, "policy": {"replay": "none"}},
            "prompts.refresh chooses prompts by rewards",
        ),
    ],
)
def test_what_needs_rewards_is_not_for_a_teacher_that_compares_two_answers(changes, says):
    recipe = AlignRecipe.model_validate({"recipe": "ts-align", "run": "one", "world": {}} | changes)
    assert recipe.refuse_comparing() == says
