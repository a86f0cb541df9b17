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
from difflib import ndiff
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.golden import RECIPES, calls, stage_call, write_inputs
from benchmarks.golden_compare import contents, different, keys, paired, words
from cli.main import main
from tests.flows.test_methods import OPTUNE

GOLDEN = Path(__file__).parent / "golden"
RENEW = "RENEW_GOLDEN" in os.environ
VERSION = re.compile(r"\b\d+\.\d+[\w.+]*")  # of a library; a stage's is a whole number
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Written:
    """What is written down of a finished run, whatever machine it was run on."""

    def __init__(self, folder: Path, run: str) -> None:
        summary = json.loads((folder / "runs" / run / "summary.json").read_text())
        self._store = folder / "store"
        self._masks = {summary["machine"]["numerics"]: "NUMERICS", summary["date"]: "DATE"}
        self._named: dict[str, str] = {}  # contents and what is from outside, by digest
        self._made: dict[str, str] = {}  # calls by the place of their artifact
        self._count: Counter[str] = Counter()
        self.parts = {"preparation": self._calls(summary["bootstrap"])}
        self.parts |= {f"round {r['round']}": self._calls(r) for r in summary["rounds"]}
        self.adopted = [[r["adopted"], r["student"]["adopted"]] for r in summary["rounds"]]

    def _calls(self, entries: Any) -> list[dict[str, Any]]:
        return [self._call(stage_call(self._store, entry)) for entry in calls(entries)]

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        if call["place"] in self._made:
            return {"call": self._made[call["place"]], "again": True}
        key = self._masked(call["key"])
        name = self._next(str(call["key"].get("stage", call["kind"])))
        self._made[call["place"]] = name
        self._named.setdefault(call["content"], name)
        return {"call": name, "kind": call["kind"], "key": key}

    def _next(self, name: str) -> str:
        self._count[name] += 1
        return f"{name}#{self._count[name]}"

    def _masked(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._masked(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._masked(inner) for inner in value]
        if not isinstance(value, str):
            return value
        for text, word in self._masks.items():
            value = value.replace(text, word)
        return DIGEST.sub(self._name, VERSION.sub("VERSION", value))

    def _name(self, digest: re.Match[str]) -> str:
        if digest[0] not in self._named:
            self._named[digest[0]] = self._next("outside")
        return self._named[digest[0]]


def check(folder: Path, run: str, name: str) -> None:
    """Compare with what is written down, up to a round that this machine's digits end otherwise."""
    found, path = Written(folder, run), GOLDEN / f"{name}.json"
    if RENEW:
        text = json.dumps({"adopted": found.adopted} | found.parts, indent=1, ensure_ascii=False)
        path.write_text(text + "\n")
    known = json.loads(path.read_text())
    adopted = known.pop("adopted")
    assert found.parts.keys() == known.keys()
    told: list[str] = []
    for number, (part, before) in enumerate(known.items()):
        made = found.parts[part]
        names = [[call["call"] for call in calls] for calls in (before, made)]
        order = [f"{part}: {line}" for line in ndiff(*names) if line[0] in "+-"]
        told += order or [
            f"{part}: {new['call']}: {path}: {a} -> {b}"
            for old, new in zip(before, made, strict=True)
            for path, a, b in different(old, new)
        ]
        if number and found.adopted[number - 1] != adopted[number - 1]:
            break
    assert not told, "\n".join(["other keys; if that is meant, see this file's docstring:", *told])


@pytest.fixture(scope="module")
def align(prefect, write_recipe, tmp_path_factory):
    """Run a recipe in a store of its own; the folder of both."""

    def run(values: dict[str, Any]) -> Path:
        folder: Path = tmp_path_factory.mktemp("golden")
        where = ["--store", str(folder / "store"), "--runs-dir", str(folder / "runs")]
        assert main(["align", str(write_recipe(values)), "--quiet", *where]) == 0
        return folder

    return run


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """The files that the recipes of `benchmarks.golden` name, in the folder at work."""
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)


def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A recipe with other values, those of a section each for itself."""
    return values | {
        name: values.get(name, {}) | change if isinstance(change, dict) else change
        for name, change in changes.items()
    }


def spelled(name: str) -> dict[str, Any]:
    """The recipe of `benchmarks.golden`, in its newest spelling."""
    return yaml.safe_load(RECIPES[name][-1])


def test_the_keys_of_ts_align(tiny_run):
    check(tiny_run, "tiny", "ts_align")


def test_the_keys_of_optune(align, tiny_recipe):
    few = {"per_round": 6, "dev_size": 2, "test_size": 4}
    values = changed(tiny_recipe, OPTUNE | {"run": "optune", "rounds": 2})
    check(align(changed(values, {"prompts": few})), "optune", "optune")


def test_the_keys_of_logged_completions(align, inputs):
    check(align(spelled("logged")), "logged", "logged")


def test_the_keys_of_a_recorded_matrix(align, inputs, bert_reward_dir):
    values = changed(spelled("recorded"), {"teacher": {"model": str(bert_reward_dir)}})
    check(align(values), "recorded", "recorded")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["align", "tso"])
def test_the_keys_of_a_run_in_the_world(align, name):
    check(align(spelled(name)), name, f"world_{name}")


# ---------------------------------------------------------------------------- the comparison


def a_call(number: int, content: str, **others: Any) -> dict[str, Any]:
    call = {"number": number, "title": f"stage {content}", "kind": "pairs", "content": content}
    more = {"files": {"data.parquet": content}, "counts": {}, "meta": {}, "place": "pairs/a/b"}
    return call | more | {"key": {"stage": content}} | others


OLD = [a_call(0, "a"), a_call(1, "b"), a_call(2, "c", key={"stage": "c", "of": "b"})]
NONE: dict[str, Any] = {"summary": {}, "report": [], "status": [], "files": []}


@pytest.mark.parametrize(
    "new, told",
    [
        (OLD, ([], [], [])),
        (
            [OLD[0], a_call(1, "other", title="stage b", key={"stage": "b"}), OLD[2]],
            (["stage b (pairs): data.parquet"], [], []),
        ),
        (OLD[:2], (["gone: stage c (pairs)"], [], [])),
        ([*OLD, a_call(3, "d")], (["new: stage d (pairs)"], [], [])),
        (
            [OLD[0], a_call(1, "b", key={"stage": "b", "at": 1}), OLD[2]],
            ([], ["1 x at: absent -> 1 (stage b)"], []),
        ),
        (
            [OLD[0], a_call(1, "x", title="B"), a_call(2, "c", key={"stage": "c", "of": "x"})],
            (["stage b (pairs): data.parquet"], [], ['stage B: title: "stage b" -> "B"']),
        ),
        (
            [OLD[0], a_call(1, "b", title="B"), OLD[2]],
            ([], [], ['stage B: title: "stage b" -> "B"']),
        ),
        (
            [OLD[0], OLD[2] | {"number": 1}, OLD[1] | {"number": 2}],
            ([], [], ["stage stage b: called in another order"]),
        ),
    ],
)
def test_what_differs_is_told_as_contents_keys_or_words(tmp_path, new, told):
    pairs = paired(OLD, new)
    groups = contents(pairs, tmp_path, tmp_path), keys(pairs), words(pairs, NONE, NONE)
    assert tuple(map(list, groups)) == told
