"""Whatever a recipe names outside of itself is read by its content, in every flow of the table."""

import json
import shutil
from pathlib import Path

import pytest

from data.recipes.names import Names, namings, references
from data.reward_functions import SHIPPED
from flows.fingerprint import run_digest
from flows.outside import READERS, outside_of
from flows.recipe_docs import named_fields
from flows.table import FLOWS, recipe_class, recipe_from

CODE = "def mine(run, recipe, parts, state, number):\n    return None\n"
OWN = {
    "policy": {"model": "{policy}", "template": "{template}"},
    "student": {"model": "{student}", "replay_path": "{preferences}"},
    "teacher": {"model": "{teacher}"},
    "prompts": {"path": "{prompts}", "dev_path": "{dev}", "test_path": "{test}", "per_round": 5},
}
ANSWERS = [{"name": n, "path": f"{{answers_{n}}}", "version": v} for v, n in enumerate("ab")]
JUDGED = {"correction": {"judge": "{judge}"}}
ASKING = {"template": "{template}"}
FUNCTIONS = [{"function": "exact-answer"}, {"function": "{code}:mine", "weight": 0.5}]
JUDGED_BY_CODE = {
    "teacher": {"model": FUNCTIONS, "asking": ASKING},
    "evaluate": {"asking": ASKING},
    "runtime": {"trust_remote_code": True},
}
# For each flow recipes that together give every field that names something.
RECIPES = {
    "ts-align": [
        OWN | {"labels": "{code}:mine", "runtime": {"trust_remote_code": True}},
        OWN | JUDGED_BY_CODE,
    ],
    "optune": [OWN],
    "tso": [
        OWN
        | {
            "labels": "matrix",
            "matrix": JUDGED
            | {
                "cells": [
                    {"name": "other", "model": "{other}", "family": "f"},
                    {"name": "old", "path": "{answers_a}", "family": "f", "version": -1},
                ]
            },
        }
    ],
    "best-of-n": [
        {name: OWN[name] for name in ("policy", "teacher", "prompts")}
        | {"student": {"model": "{student}"}, "scorer": "student"},
        {name: OWN[name] for name in ("policy", "prompts")} | JUDGED_BY_CODE,
    ],
    "opd": [
        {name: OWN[name] for name in ("policy", "prompts")}
        | {"teacher": {"model": "{teacher}", "by_dataset": [{"dataset": "d", "model": "{other}"}]}}
        | {"evaluate": {"judge": ["{judge}", "exact-answer", "{code}:mine"], "asking": ASKING}}
        | {"answers": "{answers_a}", "runtime": {"trust_remote_code": True}},
    ],
    "adpa": [
        {name: OWN[name] for name in ("policy", "prompts")}
        | {"teacher": {"model": "{teacher}", "aligned": "{other}"}, "preferences": "{preferences}"}
        | {"evaluate": {"judge": ["{judge}", "exact-answer", "{code}:mine"], "asking": ASKING}}
        | {"runtime": {"trust_remote_code": True}},
    ],
    "arte": [
        {"policy": OWN["policy"], "teacher": {"model": "{teacher}"}}
        | {"tasks": {"path": "{answers_a}"}, "items": {"zoo": [{"name": "z", "model": "{other}"}]}},
    ],
    "ddk": [
        {"policy": OWN["policy"], "teacher": {"model": "{teacher}"}}
        | {"texts": {"path": "{answers_a}"}},
    ],
    "hacking": [
        {name: OWN[name] for name in ("policy", "prompts")}
        | {"teacher": {"model": "{teacher}"}, "oracle": {"model": "{other}"}},
    ],
    "logged": [
        {
            "logged": {"completions": "{logs}"},
            "student": {"model": "{student}", "warm_up_path": "{preferences}"},
        }
    ],
    "leaf": [
        {
            "teacher": {"model": "{teacher}"},
            "texts": {"documents": [{"path": "{prompts}"}], "queries": [{"path": "{dev}"}]},
            "student": {"backbone": {"kind": "model", "model": "{other}"}},
            "evaluate": {
                "retrieval": [{"path": "{collection}"}],
                "similarity": [{"path": "{preferences}"}],
            },
        }
    ],
    "aurobind": [
        {
            "activities": {"path": "{answers_a}", "sequences": "{preferences}"},
            "targets": {"kind": "kmers"},
        }
    ],
    "vl2v": [
        {
            "images": {"path": "{prompts}"},
            "targets": ["a"],
            "teacher": {
                "kind": "contrastive",
                "text": "{teacher}",
                "images": {"path": "{collection}"},
            },
            "student": {"backbone": {"kind": "model", "model": "{other}"}},
        },
        {
            "images": {"path": "{prompts}"},
            "targets": ["a"],
            "teacher": {"kind": "folder", "model": "{teacher}"},
        },
    ],
    "matrix": [
        {"matrix": JUDGED | {"cells": ANSWERS}},
        {"matrix": {"cells": ANSWERS}, "teacher": {"model": "{teacher}"}},
    ],
}
CASES = [(flow, number) for flow in FLOWS for number in range(len(RECIPES[flow]))]


@pytest.fixture
def places(tmp_path):
    """A file or folder for each name in braces."""
    found = {}
    for name in ("policy", "student", "teacher", "judge", "other"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"name": name}))
        found[name] = folder
    pair = {"prompt": "Old?", "chosen": "yes", "rejected": "no"}
    logs = [{"prompt": "a", "completion": str(i), "reward": i} for i in range(2)]
    rows = {name: [{"prompt": f"What is {name}?"}] for name in ("prompts", "dev", "test")}
    rows |= {"preferences": [pair], "logs": logs}
    rows |= {
        f"answers_{name}": [{"instruction": "What?", "output": "That.", "generator": name}]
        for name in "ab"
    }
    for name, lines in rows.items():
        found[name] = tmp_path / f"{name}.jsonl"
        found[name].write_text("".join(json.dumps(row) + "\n" for row in lines))
    found["collection"] = tmp_path / "collection"
    shutil.copytree(found["policy"], found["collection"])
    found["template"], found["code"] = tmp_path / "own.jinja", tmp_path / "own.py"
    found["template"].write_text("{{ messages }}")
    found["code"].write_text(CODE)
    return found


def made(flow, number, places):
    text = json.dumps(RECIPES[flow][number])
    for name, path in places.items():
        text = text.replace(f"{{{name}}}", str(path))
    return recipe_from({"recipe": flow, "run": "r"} | json.loads(text))


def changed(path: Path) -> None:
    """Other bytes, of the same meaning to whoever reads them."""
    file = path / "config.json" if path.is_dir() else path
    text = file.read_text()
    file.write_text(text.replace("That", "This") if "That" in text else text + "\n")
    if path.suffix == ".jsonl" and "prompt" in text:
        file.write_text(text.replace("?", " then?").replace('"a"', '"b"'))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_everything_named_is_among_what_is_outside_and_in_the_runs_digest(case, places):
    recipe = made(*case, places)
    before = outside_of(recipe)
    assert set(before) == {one.field for one in references(recipe)} and before
    digest = run_digest(recipe, before)
    for one in references(recipe):
        if one.kind == "shipped":  # by its version
            continue
        path = Path(before[one.field].path)
        if one.kind == "logs":
            path = places["logs"]
        kept = path.with_name(f"{path.name}.kept")
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, kept)
        changed(path)
        after = outside_of(recipe)
        assert {f for f in after if after[f].digest != before[f].digest} >= {one.field}
        assert run_digest(recipe, after) != digest, one.field
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        kept.rename(path)
        assert run_digest(recipe, outside_of(recipe)) == digest


@pytest.mark.parametrize("flow", FLOWS)
def test_the_recipes_of_these_tests_give_every_field_that_names_something(flow, places):
    """A new field with Names fails here until a recipe above gives it."""
    recipes = [made(flow, number, places) for number in range(len(RECIPES[flow]))]
    if flow == "optune":  # as ts-align
        return
    shown = {one.kind for recipe in recipes for one in references(recipe)}
    if flow == "ts-align":
        shown |= {one.kind for one in references(made("tso", 0, places))}
    declared = {names.kind for _, names in named_fields(recipe_class(flow))}
    if "any judge" in declared:
        declared = declared - {"any judge"} | {"scorer", "shipped", "reward function"}
    assert shown == declared - ({"code", "shipped", "reward function"} if flow == "tso" else set())


def test_a_shipped_function_is_named_by_its_version(places, monkeypatch):
    recipe = made("ts-align", 1, places)
    before = outside_of(recipe)
    assert before["teacher.model.0"].digest == "exact-answer 1"
    digest = run_digest(recipe, before)
    newer = SHIPPED["exact-answer"]._replace(version="2")
    monkeypatch.setitem(SHIPPED, "exact-answer", newer)
    assert run_digest(recipe, outside_of(recipe)) != digest


def test_every_kind_has_a_reader():
    kinds = {names.kind for flow in FLOWS for _, names in named_fields(recipe_class(flow))}
    assert kinds - {"any judge"} <= set(READERS)


def test_a_word_is_no_reference_and_a_folder_of_that_name_is(places):
    recipe = recipe_from({"run": "w", "world": {}, "policy": {"model": "./world"}})
    assert [one.field for one in references(recipe)] == ["policy.model"]
    words = {one.field: one.words for one in namings(recipe)}
    assert "world" in words["teacher.model"] and "none" not in words["teacher.model"]
    assert Names("policy").words == ()
