"""ARTE on tiny models: what drafts are worth, what the teacher prefers, what the student learns."""

import json

import numpy as np
import pytest

from cli.main import main
from data.errors import InputError
from data.final_answer import is_right
from data.recipes.recipe import Values
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from flows.align import run_recipe
from flows.table import recipe_from
from tests.flows.tiny_recipes import TINY


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory) -> Values:
    return TINY["arte"].recipe(tiny_recipe, tmp_path_factory.mktemp("files")) | {"run": "arte"}


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """Run it with changes, without Prefect, in a store that all share; its summary and the store.

    With Prefect every flow runs in `test_every_flow`.
    """
    folder = tmp_path_factory.mktemp("arte")
    store = folder / "store"

    def finished(name: str, changes: Values):
        changed = recipe_from(recipe | {"run": name} | changes)
        run_recipe(changed, str(store), folder / "runs", quiet=True)
        return read_summary(folder / "runs" / name / "summary.json"), Store(str(store))

    return finished


@pytest.fixture(scope="module")
def whole(run):
    return run("whole", {})


def made(summary, address):
    """The artifact of a call."""
    (found,) = (one for one in summary.stages() if one.address == address)
    return Artifact(kind=found.kind, key=found.key, digest=found.artifact)


def rows(found, address):
    summary, store = found
    return store.table(made(summary, address)).to_pylist()


def test_a_draft_is_worth_the_share_of_items_that_are_answered_after_it(whole):
    asked = {one["prompt_id"]: one for one in rows(whole, "ask_after_drafts")}
    items = {one["prompt_id"]: one for one in rows(whole, "pick_items")}
    said = {one["prompt_id"]: one for one in rows(whole, "generate:one shot")}
    drafts = {one["completion_id"]: one for one in rows(whole, "explained:drafts")}
    by_task = {task: {k for k, x in items.items() if x["dataset"] == task}
               for task in ("first", "second")}  # fmt: skip
    assert all(len(found) == 4 for found in by_task.values())
    right: dict[str, list[bool]] = {}
    for name, one in asked.items():
        question, answer, last = one["messages"]
        draft, item = drafts[one["subject"]], items[one["item_id"]]
        assert [question] == draft["messages"] and answer["content"] == draft["completion"]
        assert [last] == item["messages"] and draft["dataset"] == item["dataset"]
        good = is_right(said[name]["completion"], "", item["completion"])
        right.setdefault(one["subject"], []).append(good)
    scores = {one["completion_id"]: one["reward"] for one in rows(whole, "one_shot_scores")}
    assert scores == {name: np.mean(found) for name, found in right.items()}
    assert len(set(scores.values())) > 1  # a student that sees its example


def test_the_pairs_are_of_the_teachers_own_tokens_and_ordered_by_scores(whole):
    pairs = rows(whole, "teacher_pairs")
    scores = {one["completion_id"]: one["reward"] for one in rows(whole, "one_shot_scores")}
    questions = {one["completion_id"]: one for one in rows(whole, "generate:questions drafts")}
    said = {one["completion_id"]: one for one in rows(whole, "generate:rationales drafts")}
    assert {one["source"] for one in pairs} == {"rationale", "question"}
    for one in pairs:
        assert one["margin"] > 0
        known = said if one["source"] == "rationale" else questions
        for side in ("chosen", "rejected"):
            assert one[f"{side}_token_ids"] == known[one[f"{side}_id"]]["token_ids"]
        content = one["messages"][-1]["content"]
        if one["source"] == "rationale":
            assert scores[one["chosen_id"]] - scores[one["rejected_id"]] == one["margin"]
            assert content.startswith("Let us think step by step.\n")
        else:
            assert content.startswith(f"More of {one['dataset']}:\n")


def test_no_draft_repeats_a_question_that_is_held_out(whole):
    texts = [one["messages"][-1]["content"] for one in rows(whole, "drafted_questions:drafts")]
    tasks = [one["dataset"] for one in rows(whole, "drafted_questions:drafts")]
    assert len(set(zip(tasks, texts, strict=True))) == len(texts) == 8
    summary, store = whole
    meta = store.record(made(summary, "drafted_questions:drafts")).artifact.meta
    counted = ("kept", "unfinished", "held_out", "repeated", "surplus")
    assert sum(meta[name] for name in counted) == 2 * 16


def test_the_student_learns_what_the_aligned_teacher_says_without_a_style(whole):
    learned = rows(whole, "explained:again")
    again = {one["prompt_id"] for one in rows(whole, "drafted_questions:again")}
    assert {one["prompt_id"] for one in learned} <= again
    summary, store = whole
    keys = {
        name: store.record(made(summary, f"generate:{name}")).key["policy"]
        for name in ("questions drafts", "questions again", "rationales again")
    }
    teacher = made(summary, "optimize:teacher").digest
    assert keys["questions again"] == keys["rationales again"] == teacher
    assert keys["questions drafts"] != teacher
    measures = summary.measures
    assert summary.headline == "accuracy" and set(measures["accuracy"].parts) == {"first", "second"}
    assert [one.round for one in measures["accuracy"].rounds] == [0, 1]
    judging = {one.address for one in summary.stages() if one.measures}
    assert judging == {
        "ask_questions:test", "generate:test before", "generate:test after", "grade:test before",
        "grade:test after",
    }  # fmt: skip


def test_accuracy_is_that_of_the_answers(whole):
    marks = rows(whole, "grade:test after")
    by_task = {
        task: np.mean([x["correct"] for x in marks
                       if (x["dataset"], x["subject"]) == (task, "0 shots")])
        for task in ("first", "second")
    }  # fmt: skip
    accuracy = whole[0].measures["accuracy"]
    assert {name: x.value for name, x in accuracy.parts.items()} == pytest.approx(by_task)
    assert accuracy.value == pytest.approx(np.mean(list(by_task.values())))


def test_arms_share_the_drafts_and_their_scores(whole, run):
    first = {one.address: one.artifact for one in whole[0].stages()}
    for method, changes in (("original", {}), ("style", {"style": "long"}), ("questions", {})):
        found = run(method, {"method": method} | changes)
        summary, _ = found
        fresh = {one.address for one in summary.stages() if not one.cached}
        assert not {"one_shot_scores", "generate:one shot", "optimize:teacher"} & fresh
        shared = {one.address: one.artifact for one in summary.stages() if one.cached}
        assert all(first[name] == artifact for name, artifact in shared.items())
        if method == "questions":  # the teacher as it was explains what the aligned one asks
            (said,) = (x for x in summary.stages() if x.address == "generate:rationales again")
            assert said.artifact not in first.values()
            continue
        learned = rows(found, "pick_drafts")
        scores = {one["completion_id"]: one["reward"] for one in rows(whole, "one_shot_scores")}
        question = mapping(found[1].table(made(summary, "one_shot_scores")),
                           "completion_id", "prompt_id")  # fmt: skip
        for one in learned:
            own = [x for name, x in scores.items() if question[name] == one["prompt_id"]]
            assert one["reward"] == scores[one["completion_id"]]
            assert method == "style" or one["reward"] == max(own)
        assert {"learned_score", "learned_score_in_first"} <= set(summary.measures)


def test_a_run_that_is_run_again_computes_nothing(whole, run):
    again, _ = run("again", {})
    assert all(record.cached for record in again.stages())
    assert again.measures == whole[0].measures


def test_a_student_at_the_floor_is_refused_before_anything_is_drafted(run):
    said = r"with one example .* in first, .* in second of .* min_one_shot is 98"
    with pytest.raises(InputError, match=said):
        run("floor", {"min_one_shot": 0.98})


def refused(recipe, write_recipe, capsys, **changes):
    assert main(["check", str(write_recipe(recipe | changes))]) == 2
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


def test_bad_input_is_refused_in_one_line_before_anything_runs(
    recipe, tmp_path, write_recipe, capsys
):
    tasks = recipe["tasks"]
    said = refused(recipe, write_recipe, capsys, tasks=tasks | {"validation": 12})
    assert "tasks.path: the task 'first' has 14 questions, of which none is left" in said
    gone = tasks | {"path": str(tmp_path / "gone.jsonl")}
    assert "tasks.path" in refused(recipe, write_recipe, capsys, tasks=gone)
    (tmp_path / "bad.jsonl").write_text(json.dumps({"task": "t", "question": "Q?"}) + "\n")
    bad = tasks | {"path": str(tmp_path / "bad.jsonl")}
    assert "line 1: has no 'answer'" in refused(recipe, write_recipe, capsys, tasks=bad)
    zoo = recipe["items"] | {"zoo": [{"name": "big", "model": str(tmp_path)}]}
    said = refused(recipe, write_recipe, capsys, items=zoo)
    assert "zoo model big" in said and "config.json" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "style"}, "style: 'method: style' needs one of steps, short"),
        ({"style": "long"}, "style: goes with 'method: style', and with no other; remove it"),
        ({"method": "style", "style": "odd"}, "style: 'odd' is none of drafts.styles steps, short"),
        ({"items": {"k": 101}}, "items.k: 101 questions cannot be chosen of tasks.validation 100"),
        ({"items": {"shots": [0, 2]}}, "items.shots: must hold 1"),
        ({"items": {"shots": [1, 1]}}, "items.shots: must be different numbers"),
        ({"items": {"shots": [1, 4]}}, "items.shots: 4 examples are more than tasks.seeds 3"),
        ({"evaluate": {"shots": [-1]}}, "evaluate.shots: must be different numbers from 0"),
        ({"generate": {"k": 100}}, "generate.k: 100 sampled questions cannot give"),
        ({"drafts": {"ask": "More"}}, "drafts.ask: must say where the examples stand"),
        (
            {"drafts": {"styles": [{"name": "a", "instruction": "A"}] * 2}},
            "drafts.styles: 'a' stands there twice",
        ),
        (
            {"items": {"zoo": [{"name": "a", "model": "m"}] * 2}},
            "items.zoo: 'a' stands there twice",
        ),
        ({"tasks": {"path": "world"}, "world": {}}, "tasks.path: the world's teacher and student"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    own = {"policy": {"model": "p"}, "teacher": {"model": "t"}, "tasks": {"path": "q.jsonl"}}
    with pytest.raises(Exception, match=message):
        recipe_from({"recipe": "arte", "run": "r"} | own | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": {"model": "world-small"}}, "policy.model: 'world-small' knows no puzzles"),
        ({"policy": {"template": "plain"}}, "policy.template: the world's student has its own"),
        ({"items": {"zoo": [{"name": "a", "model": "m"}]}}, "items.zoo: the world brings its own"),
        ({"drafts": {"naive": "Think."}}, "drafts.styles: the world's teacher knows its own words"),
    ],
)
def test_of_the_world_only_what_it_knows_is_taken(changes, message):
    with pytest.raises(Exception, match=message):
        recipe_from({"recipe": "arte", "run": "r", "world": {}} | changes)


@pytest.mark.slow
def test_the_world_of_puzzles_runs_end_to_end(tmp_path):
    """On models that have learnt next to nothing: what is right is by chance, and refused by the
    recipe's own floor."""
    values = {
        "recipe": "arte", "run": "puzzles", "method": "original",
        "world": {"lessons": 4000, "policy_examples": 1000},
        "tasks": {"validation": 8, "test": 8},
        "drafts": {"questions": 4}, "items": {"k": 4, "shots": [0, 1]}, "min_one_shot": 0.0,
        "generate": {"engine": "transformers", "k": 40, "max_tokens": 48},
        "policy": {"method": "full"}, "teacher": {"method": "full"}, "evaluate": {"shots": [0]},
        "runtime": {"device": "cpu"},
    }  # fmt: skip
    store, runs = str(tmp_path / "store"), tmp_path / "runs"
    run_recipe(recipe_from(values), store, runs, quiet=True)
    summary = read_summary(runs / "puzzles" / "summary.json")
    assert set(summary.measures["accuracy"].parts) == {"falling", "sorting", "odd"}
    assert 0 <= summary.measures["learned_right"].value <= 1
    with pytest.raises(InputError, match="in sorting, .* min_one_shot is 90.0%"):
        run_recipe(recipe_from(values | {"min_one_shot": 0.9}), store, runs, quiet=True)
