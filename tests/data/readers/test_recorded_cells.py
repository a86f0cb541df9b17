"""Recorded answers of a model matrix: one file per cell, joined by the prompt's text."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from data.errors import InputError
from data.matrix import cell_pairs, maximal
from data.readers.prompts import prompt_id
from data.readers.recorded_cells import (
    answered_prompts,
    cell_completions,
    lengths_by_axis,
    matrix_pairs,
    read_answers,
)
from data.recipes.methods import Place
from data.schemas import PREFERENCES, PROMPTS
from flows.recipe_files import load_recipe
from tests.repository import ROOT, SHARED

REAL = SHARED / "realdata/alpacaeval_outputs"


def write(path, generator, answers):
    rows = [
        {"instruction": p, "output": text, "generator": generator, "dataset": "d"}
        for p, text in answers
    ]
    path.write_text(json.dumps(rows))
    return path


def text_id(text):
    return prompt_id([{"role": "user", "content": text}])


def prompts(*rows):
    return pa.Table.from_pylist(
        [
            {"prompt_id": name, "messages": [{"role": "user", "content": text}], "dataset": "d"}
            for name, text in rows
        ],
        PROMPTS,
    )


def test_prompts_are_those_that_any_file_answers(tmp_path):
    one = write(tmp_path / "one.json", "m1", [("a", "1"), ("b", "1")])
    two = write(tmp_path / "two.json", "m2", [("c", "2"), ("a", "2")])
    found = answered_prompts([one, two])
    assert found["prompt_id"].to_pylist() == [text_id("a"), text_id("b"), text_id("c")]
    assert found.schema == PROMPTS


def test_answers_are_joined_by_text_whatever_the_prompts_id_and_place(tmp_path):
    path = write(tmp_path / "one.json", "m1", [("a", "to a"), ("b", "to b"), ("c", "to c")])
    found = cell_completions(path, "cell", prompts(("mine", "b"), ("none", "z"), ("other", "a")))
    columns = ["completion_id", "prompt_id", "completion"]
    assert [tuple(row.values()) for row in found.select(columns).to_pylist()] == [
        ("mine/cell/0", "mine", "to b"),
        ("other/cell/0", "other", "to a"),
    ]


@pytest.mark.parametrize(
    "answers, message",
    [
        ([("m1", "a"), ("m2", "b")], "row 2: an answer of 'm2' after some of 'm1'"),
        ([("m1", "a"), ("m1", "a")], "row 2: answers a prompt that is there twice"),
        ([], "holds no answers"),
    ],
)
def test_a_file_that_is_not_of_one_model_is_refused(tmp_path, answers, message):
    rows = [{"instruction": p, "output": "x", "generator": g} for g, p in answers]
    (tmp_path / "one.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=message):
        read_answers(tmp_path / "one.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="gone.json: no such file"):
        read_answers(tmp_path / "gone.json")


OLD = Place(name="old", family="f", version=1, scale=7)
NEW = Place(name="new", family="f", version=2, scale=7)
PEOPLE = Place(name="people", family="none", human=True)


def preference(chosen, rejected, source, texts, swapped=False):
    return {
        "pair_id": f"{chosen.name}>{rejected.name}",
        "prompt_id": "p",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        "dataset": "d",
        "chosen": texts[0],
        "rejected": texts[1],
        "chosen_id": "c",
        "rejected_id": "r",
        "chosen_model": chosen.name,
        "rejected_model": rejected.name,
        "source": source,
        "margin": None,
        "weight": 1.0,
        "swapped": swapped,
        "round": 1,
    }


def test_a_pair_knows_both_models_and_their_axis():
    rows = [
        preference(NEW, OLD, "matrix:version", ("abcd", "ab")),
        preference(OLD, NEW, "matrix:version", ("a", "ab"), swapped=True),
        preference(PEOPLE, NEW, "matrix:human", ("abc", "abc")),
    ]
    pairs = matrix_pairs(pa.Table.from_pylist(rows, PREFERENCES), [OLD, NEW, PEOPLE])
    first, second, third = pairs.to_pylist()
    assert (
        first
        | {
            "instruction": "Hi",
            "chosen_version": 2.0,
            "rejected_version": 1.0,
            "chosen_scale": 7.0,
            "family": "f",
            "axis": "version",
            "source": "matrix:version",
        }
        == first
    )
    assert (second["chosen_version"], second["axis"], second["swapped"]) == (1.0, "version", True)
    assert (third["family"], third["axis"]) == ("f", "human")
    assert lengths_by_axis(pairs) == {
        "version": {"chosen_longer": 0.5, "length_ratio": 1.25},
        "human": {"chosen_longer": 0.0, "length_ratio": 1.0},
    }


def test_the_recipe_places_47_models_and_compares_each_with_another():
    recipe = load_recipe(ROOT / "recipes/tso_logged.yaml")
    assert recipe.recipe == "matrix" and len(recipe.cells) == 47
    pairs = cell_pairs(recipe.cells, recipe.matrix)
    assert {name for a, b, _ in pairs for name in (a.name, b.name)} == {
        cell.name for cell in recipe.cells
    }
    assert {c.name for c in maximal(recipe.cells)} == {a.name for a, _, _ in pairs}


@pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the recorded AlpacaEval outputs in ../shared/realdata"
)
def test_real_files_answer_the_same_prompts_but_for_the_five_that_are_known():
    recipe = load_recipe(ROOT / "recipes/tso_logged.yaml")
    names = ("Qwen1.5-7B-Chat", "llama-2-70b-chat-hf", "phi-2", "text_davinci_001")
    paths = {cell.name: REAL / Path(cell.path).name for cell in recipe.cells}
    assert all(path.is_file() for path in paths.values())
    asked = answered_prompts([paths[name] for name in names])
    found = [len(cell_completions(paths[name], name, asked)) for name in names]
    assert len(asked) == 805 and found == [805, 804, 803, 803]
