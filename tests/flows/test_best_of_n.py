"""Best-of-n distillation: two rounds on tiny models, by the student and with an adapter too."""

import pytest

from cli.main import main
from data.errors import InputError
from data.recipes.recipe import Values
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from flows.table import recipe_from
from tests.flows.tiny_recipes import TINY

ADAPTER = {"method": "lora", "adapter": {"r": 4}, "learning_rate": 1e-2, "epochs": 4}


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory) -> Values:
    values = TINY["best-of-n"].recipe(tiny_recipe, tmp_path_factory.mktemp("files"))
    return values | {"run": "best", "rounds": 2}


@pytest.fixture(scope="module")
def run(without_prefect, recipe, tiny_run, write_recipe):
    """Run it with changes, beside the finished run; its exit code and summary."""
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]

    def run(name, changes):
        path = write_recipe(recipe | {"run": name} | changes)
        code = main(["align", str(path), "--quiet", *where])
        return code, read_summary(tiny_run / "runs" / name / "summary.json")

    return run


@pytest.fixture(scope="module")
def by_student(run, recipe, bert_reward_dir, judge_dir):
    """The student picks, the policy learns by an adapter, a language model judges."""
    policy, student = recipe["policy"] | ADAPTER, {"model": str(bert_reward_dir)}
    teacher = {"model": str(judge_dir), "asking": {"dev_pairs": 1}}
    changes = {"scorer": "student", "student": student, "teacher": teacher, "policy": policy}
    code, summary = run("by-student", changes)
    assert code == 0
    return summary


def artifact(summary, stage, number):
    found = [one for one in summary.stages() if (one.name, one.round) == (stage, number)]
    record = next(one for one in found if not one.role)
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)


def test_each_round_asks_the_policy_that_the_last_one_left(by_student, tiny_run):
    store = Store(str(tiny_run / "store"))
    first, second = (store.record(artifact(by_student, "generate", n)).key for n in (1, 2))
    assert first["policy"] != second["policy"] == artifact(by_student, "fine_tune", 1).digest
    prompts = [store.table(artifact(by_student, "select", n))["prompt_id"] for n in (1, 2)]
    assert not set(prompts[0].to_pylist()) & set(prompts[1].to_pylist())


def test_what_is_learned_is_what_the_scorer_rewarded_most(by_student, tiny_run):
    store = Store(str(tiny_run / "store"))
    rewards = mapping(store.table(artifact(by_student, "score", 1)), "completion_id", "reward")
    answers = store.table(artifact(by_student, "generate", 1)).to_pylist()
    tokens = {row["completion_id"]: row["token_ids"] for row in answers}
    picked = store.table(artifact(by_student, "pick", 1)).to_pylist()
    assert picked
    for row in picked:
        of_prompt = [r["completion_id"] for r in answers if r["prompt_id"] == row["prompt_id"]]
        assert row["reward"] == max(rewards[one] for one in of_prompt)
        assert row["token_ids"] == tokens[row["completion_id"]]


def test_the_policy_learns_them(by_student, tiny_run):
    store = Store(str(tiny_run / "store"))
    meta = store.record(artifact(by_student, "fine_tune", 1)).artifact.meta
    assert meta["final_loss"] < meta["first_loss"] - 0.1
    assert meta["rows"] == by_student.measures["trained"].rounds[0].value
    assert (store.path(artifact(by_student, "fine_tune", 1)) / "adapter").is_dir()


def test_the_student_costs_no_call_of_the_teacher(by_student):
    measures = by_student.measures
    assert measures["teacher_calls"].value == 0
    assert measures["generated"].value == 2 * 10 * 4
    rewards = [measures[f"reward_of_{name}"].value for name in ("picked", "usable")]
    assert rewards[0] > rewards[1]
    assert [one.round for one in measures["win_rate"].rounds] == [1, 2]


def test_what_the_language_model_said_stands_in_the_report(by_student):
    (section,) = (one for one in by_student.sections if one.name == "verdicts")
    rows = [row.cells[:2] for row in section.blocks[0].rows]
    compared = ["new policy against the last", "policy against base"]
    assert rows == [[str(n), what] for n in (1, 2) for what in compared] + [["", "in all"]]
    calls = sum(one.counts["judge_calls"] for one in by_student.work if one.kind == "verdicts")
    assert calls > 0 and calls in section.blocks[0].rows[-1].cells


def test_a_round_in_which_nothing_can_be_picked_says_why(run, capsys):
    code, summary = run("none", {"pick": {"drop_truncated": False, "min_margin": 1000.0}})
    assert code == 2
    assert "pick.min_margin is 1000: lower it" in capsys.readouterr().err
    assert summary.finished is None and not summary.measures


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scorer": "student"}, "student.model: 'scorer: student' needs one"),
        ({"prompts": {"refresh": {"share": 0.5}}}, "refresh"),
        ({"evaluate": {"judge": "oracle"}}, "the oracle knows only the embedded world"),
        ({"policy": {"model": "p", "beta": 0.2}}, "beta"),
    ],
)
def test_settings_that_do_not_fit_are_refused(recipe, changes, message):
    with pytest.raises((ValueError, InputError), match=message):
        recipe_from(recipe | changes)


def test_a_policy_that_stays_though_no_evaluation_met_it_is_judged_at_the_end(run):
    judged = {"evaluate": {"every": 2}, "gate": {"min_win_rate": 1.0}}
    code, summary = run("late", judged)
    rate = summary.measures["win_rate"]
    assert code == 0 and rate.round == 1 and rate.kept
    points = {one.round: one.kept for one in rate.rounds}
    assert points == {1: True, 2: False}
    assert [one.round for one in summary.measures["gate_win_rate"].rounds] == [2]
