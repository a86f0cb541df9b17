"""The stage calls of small runs, with their keys, are those written down in `tests/flows/golden`.

A digest of an artifact is written as the call that made it, one of a file or model from outside by
a number, and the machine's versions and numerics by a word; so the files hold on every machine, and
a change of a key, or of the order of calls, is a readable diff. Where it is meant (results are then
computed again by everybody: the CHANGELOG says so), write the files anew in a commit of its own:

    RENEW_GOLDEN=1 python -m pytest tests/flows/test_golden.py

That contents stay the same is not seen here, as they differ between machines:
`python -m benchmarks.golden` compares two versions on one.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.golden import RECIPES, calls, stage_call, write_inputs
from benchmarks.golden_compare import contents, keys, paired, words
from cli.main import main
from tests.flows.test_methods import OPTUNE

GOLDEN = Path(__file__).parent / "golden"
RENEW = "RENEW_GOLDEN" in os.environ
VERSION = re.compile(r"\b\d+\.\d+[\w.+]*")  # of a library; a stage's is a whole number
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def machine_independent(folder: Path, run: str) -> list[dict[str, Any]]:
    """The stage calls of a finished run, in order, whatever machine it was run on."""
    summary = json.loads((folder / "runs" / run / "summary.json").read_text())
    masks = {summary["machine"]["numerics"]: "NUMERICS", summary["date"]: "DATE"}
    named: dict[str, str] = {}  # contents and what is from outside, by digest
    made: dict[str, str] = {}  # calls by the place of their artifact
    count: Counter[str] = Counter()

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: masked(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [masked(inner) for inner in value]
        if not isinstance(value, str):
            return value
        for text, word in masks.items():
            value = value.replace(text, word)
        return DIGEST.sub(name_of, VERSION.sub("VERSION", value))

    def name_of(digest: re.Match[str]) -> str:
        if digest[0] not in named:
            count["outside"] += 1
            named[digest[0]] = f"outside#{count['outside']}"
        return named[digest[0]]

    found = []
    for call in (stage_call(folder / "store", entry) for entry in calls(summary)):
        if call["place"] in made:
            found.append({"call": made[call["place"]], "again": True})
            continue
        stage = str(call["key"].get("stage", call["kind"]))
        count[stage] += 1
        name = made[call["place"]] = f"{stage}#{count[stage]}"
        found.append({"call": name, "kind": call["kind"], "key": masked(call["key"])})
        named.setdefault(call["content"], name)
    return found


def check(folder: Path, run: str, name: str) -> None:
    found, path = machine_independent(folder, run), GOLDEN / f"{name}.json"
    if RENEW:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    known = json.loads(path.read_text())
    assert [call["call"] for call in found] == [call["call"] for call in known]
    for call, before in zip(found, known, strict=True):
        assert call == before, f"the key of {call['call']}: see the docstring of this file"


@pytest.fixture(scope="module")
def align(prefect, write_recipe, tmp_path_factory):
    """Run a recipe in a store of its own; the folder of both."""

    def run(values: dict[str, Any]) -> Path:
        folder: Path = tmp_path_factory.mktemp("golden")
        where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
        assert main(["align", str(write_recipe(values)), "--quiet", *where]) == 0
        return folder

    return run


def spelled(name: str, **changes: Any) -> dict[str, Any]:
    """The recipe of `benchmarks.golden` in the newest spelling, with other sections."""
    values = yaml.safe_load(RECIPES[name][-1])
    return values | {
        section: values.get(section, {}) | change if isinstance(change, dict) else change
        for section, change in changes.items()
    }


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """The files that the recipes of `benchmarks.golden` name, in the folder at work."""
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)


def test_the_keys_of_ts_align(tiny_run):
    check(tiny_run, "tiny", "ts_align")


def test_the_keys_of_optune(align, tiny_recipe):
    values = tiny_recipe | {"run": "optune"}
    for section, value in OPTUNE.items():
        old = values.get(section)
        values[section] = old | value if isinstance(old, dict) else value
    check(align(values), "optune", "optune")


def test_the_keys_of_logged_completions(align, inputs):
    check(align(spelled("logged")), "logged", "logged")


def test_the_keys_of_a_recorded_matrix(align, inputs, bert_reward_dir):
    values = spelled("recorded", teacher={"model": str(bert_reward_dir)})
    check(align(values), "recorded", "recorded")
