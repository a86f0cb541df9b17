"""A model matrix of recorded answers, from the recipe to the table of pairs."""

import json

import pyarrow.parquet as pq
import pytest

from cli.main import main

PROMPTS = 6
CELLS = {"old": (1, 7), "new": (2, 7), "small": (2, 1), "elsewhere": (9, 9)}


@pytest.fixture
def cells(tmp_path):
    """Recorded answers; the old model has left one prompt out."""
    found = []
    for name, (version, scale) in CELLS.items():
        rows = [
            {"instruction": f"Why {p}?", "output": f"{name} says {p}.", "generator": name}
            for p in range(PROMPTS)[name == "old" :]
        ]
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(rows))
        family = "other" if name == "elsewhere" else "f"
        place = {"name": name, "family": family, "version": version, "scale": scale}
        found.append(place | {"path": str(path)})
    return found


@pytest.fixture
def recipe(cells):
    return {
        "recipe": "matrix",
        "run": "pairs",
        "matrix": {"cells": cells, "correction": {"judge": "none"}},
    }


@pytest.fixture
def align(without_prefect, tmp_path, write_recipe):
    def call(values):
        where = ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]
        assert main(["align", str(write_recipe(values)), "--quiet", *where]) == 0
        folder = tmp_path / "runs" / "pairs"
        summary = json.loads((folder / "summary.json").read_text())
        return summary, pq.read_table(folder / "pairs.parquet").to_pylist(), folder

    return call


def test_recorded_answers_become_pairs_with_their_models_and_axis(align, recipe):
    summary, pairs, folder = align(recipe)
    models = [(r["chosen_model"], r["rejected_model"], r["axis"], r["family"]) for r in pairs]
    assert sorted(set(models)) == [
        ("new", "old", "version", "f"),
        ("new", "small", "scale", "f"),
    ]
    assert len(models) == PROMPTS + PROMPTS - 1
    assert {r["chosen"] for r in pairs if r["instruction"] == "Why 3?"} == {"new says 3."}
    entry = summary["rounds"][0]
    assert entry["policy"] is None and summary["final"] is None and entry["teacher_calls"] == 0
    assert {axis: x["labelled"] for axis, x in entry["matrix"].items()} == {
        "version": PROMPTS - 1,
        "scale": PROMPTS,
    }
    page = (folder / "report.html").read_text()
    assert "The model matrix, by axis" in page and "Nobody has judged them" in page
    assert "Agreement with the judge" not in page and "thing to check" not in page
    again, _, _ = align(recipe)
    stages = again["bootstrap"] + again["rounds"][0]["stages"]
    assert stages and all(stage["cached"] for stage in stages)


def test_a_changed_file_is_read_again_and_a_moved_one_is_not(align, recipe, cells, tmp_path):
    align(recipe)
    old = tmp_path / "old.json"
    (tmp_path / "elsewhere").mkdir()
    moved = old.rename(tmp_path / "elsewhere" / old.name)  # its name can reach the rows
    cells[0]["path"] = str(moved)
    summary, _, _ = align(recipe)
    stages = summary["bootstrap"] + summary["rounds"][0]["stages"]
    assert all(stage["cached"] for stage in stages)
    moved.write_text(moved.read_text().replace("old says", "I say"))
    _, pairs, _ = align(recipe)
    rejected = {r["rejected"] for r in pairs if r["rejected_model"] == "old"}
    assert rejected == {f"I say {p}." for p in range(1, PROMPTS)}


def test_a_judge_corrects_the_order(align, recipe, bert_reward_dir):
    recipe["matrix"]["correction"] = {"judge": "teacher"}
    recipe["teacher"] = {"model": str(bert_reward_dir)}
    summary, pairs, _ = align(recipe)
    entry = summary["rounds"][0]
    ledger = entry["ledger"]
    assert ledger["agreed"] + ledger["swapped"] == ledger["mined"] == len(pairs)
    assert ledger["swapped"] == sum(r["swapped"] for r in pairs)
    assert {r["chosen_model"] for r in pairs if r["swapped"]} <= {"old", "small"}
    assert all(r["margin"] > 0 for r in pairs)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r["matrix"]["cells"][0].update(path="gone.json"), "gone.json: no such file"),
        (
            lambda r: r["matrix"]["cells"][0].update(model="policy", version=0),
            "unknown key 'matrix.cells.0.model'",
        ),
        (
            lambda r: r["matrix"].update(axes=["human"]),
            "matrix.cells: no cell of the first round beats",
        ),
        (lambda r: r.update(rounds=2), "unknown key 'rounds' in a recipe of matrix"),
        (lambda r: r["matrix"].update(correction={"judge": "teacher"}), "teacher.model: name your"),
        (lambda r: r.update(labels="teacher"), "unknown key 'labels' in a recipe of matrix"),
    ],
)
def test_what_can_give_no_pairs_is_refused_at_once(recipe, refuse_recipe, change, message):
    change(recipe)
    assert message in refuse_recipe(json.dumps(recipe))


def test_cells_that_answer_different_prompts_are_refused(recipe, refuse_recipe, tmp_path):
    for number, cell in enumerate(recipe["matrix"]["cells"]):
        rows = [{"instruction": f"Only {number}", "output": "x", "generator": cell["name"]}]
        (tmp_path / f"{cell['name']}.json").write_text(json.dumps(rows))
    message = "no two cells that make a pair answer the same prompt"
    assert message in refuse_recipe(json.dumps(recipe))
