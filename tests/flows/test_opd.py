"""Distillation by rounds: on tiny models, on the policy's answers and on the teacher's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from cli.main import main
from data.errors import InputError
from data.measures import Measure, RoundValue
from data.recipes.recipe import Values
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from flows.opd.told import fallen, further
from flows.table import recipe_from
from models.chat import load_tokenizer, render_prompt
from tests.fixtures.models import build_tokenizer, chatml_tokenizer, save_policy
from tests.flows.tiny_recipes import TINY

LEARNS = {"learning_rate": 3e-3, "epochs": 6, "losses": {"forward_kl": 1.0, "reverse_kl": 0.5}}


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory) -> Values:
    values = TINY["opd"].recipe(tiny_recipe, tmp_path_factory.mktemp("files"))
    policy = values["policy"] | LEARNS
    evaluate = {"judge": ["length-band", "teacher"], "dev_samples": 2}
    values["run"] = "opd"
    return values | {"policy": policy, "targets": {"k": 300}, "evaluate": evaluate}


@pytest.fixture(scope="module")
def run(without_prefect, recipe, tiny_run, write_recipe):
    """Run it with changes, beside the finished run; its exit code and summary."""
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]

    def run(name, changes):
        path = write_recipe(recipe | {"run": name} | changes)
        code = main(["align", str(path), "--quiet", *where])
        folder = tiny_run / "runs" / name / "summary.json"
        return code, read_summary(folder) if folder.exists() else None

    return run


@pytest.fixture(scope="module")
def on_policy(run):
    code, summary = run("own", {"runtime": {"shard_prompts": 4}})
    assert code == 0
    return summary


@pytest.fixture(scope="module")
def offline(run, on_policy):
    code, summary = run("offline", {"answers": "teacher"})
    assert code == 0
    return summary


def artifact(summary, stage, number, role=""):
    (record,) = (
        one for one in summary.stages() if (one.name, one.round, one.role) == (stage, number, role)
    )
    return Artifact(kind=record.kind, key=record.key, digest=record.artifact)


def test_each_round_asks_the_policy_that_the_last_one_left(on_policy, recipe, tiny_run):
    store = Store(str(tiny_run / "store"))
    first, second = (store.record(artifact(on_policy, "generate", n)).key for n in (1, 2))
    learned = artifact(on_policy, "distill_policy", 1).digest
    assert first["policy"] != second["policy"] == learned
    assert store.record(artifact(on_policy, "distill_policy", 2)).key["policy"] == learned
    prompts = [store.table(artifact(on_policy, "select", n))["prompt_id"] for n in (1, 2)]
    assert not set(prompts[0].to_pylist()) & set(prompts[1].to_pylist())


def test_the_teacher_reads_the_tokens_that_were_sampled(on_policy, tiny_run):
    store = Store(str(tiny_run / "store"))
    sampled = mapping(store.table(artifact(on_policy, "generate", 1)), "completion_id", "token_ids")
    read = store.table(artifact(on_policy, "targets", 1))
    assert mapping(read, "completion_id", "token_ids") == sampled
    (record,) = (
        one for one in on_policy.stages() if (one.name, one.round, one.role) == ("targets", 1, "")
    )
    assert record.shards > 1
    assert all(
        len(ids) == 300 * len(t) for ids, t in zip(read["top_ids"], read["token_ids"], strict=True)
    )


def test_the_distance_to_the_teacher_is_that_of_a_computation_row_by_row(
    on_policy, recipe, tiny_run
):
    store = Store(str(tiny_run / "store"))
    found = store.record(artifact(on_policy, "divergence", 1)).artifact.meta
    answers = store.table(artifact(on_policy, "generate", 1, "dev")).to_pylist()
    key = store.record(artifact(on_policy, "divergence", 1)).key
    (dev,) = (one for one in on_policy.stages() if one.name == "split" and one.role == "dev")
    asked = store.table(Artifact(kind=dev.kind, key=dev.key, digest=dev.artifact))
    messages, datasets = (mapping(asked, "prompt_id", c) for c in ("messages", "dataset"))
    folders = recipe["teacher"]["model"], store.path(artifact(on_policy, "distill_policy", 1))
    assert key["policy"] == artifact(on_policy, "distill_policy", 1).digest
    tokenizer = load_tokenizer(folders[0])
    models = [AutoModelForCausalLM.from_pretrained(one).eval() for one in folders]
    values: dict[str, dict[str, list[float]]] = {}
    for row in answers:
        prompt = render_prompt(tokenizer, messages[row["prompt_id"]])
        ids = torch.tensor([prompt + row["token_ids"]])
        with torch.no_grad():
            p, q = (m(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for m in models)
        of_set = values.setdefault(datasets[row["prompt_id"]], {})
        kl = (p.exp() * (p - q)).sum(1).mean().item()
        of_set.setdefault(row["prompt_id"], []).append(kl)
    means = [np.mean([np.mean(x) for x in of_set.values()]) for of_set in values.values()]
    assert found["forward_kl"]["mean"] == pytest.approx(np.mean(means), rel=1e-4)
    assert len(answers) == 2 * 6


def test_the_policy_comes_nearer_to_its_teacher_on_prompts_it_has_not_learnt(on_policy, offline):
    for summary in (on_policy, offline):
        for name in ("kl_to_teacher", "reverse_kl_to_teacher"):
            curve = summary.measures[name].rounds
            assert [one.round for one in curve] == [0, 1, 2]
            assert curve[2].value < curve[0].value
        assert summary.measures["kl_to_teacher"].ci95
        assert not [one for one in summary.warnings if one.rule == "further_from_teacher"]


def test_offline_the_teacher_answers_and_every_other_stage_is_the_same(
    on_policy, offline, recipe, tiny_run
):
    store = Store(str(tiny_run / "store"))
    own, taught = (store.record(artifact(x, "generate", 1)).key for x in (on_policy, offline))
    same = {name for name in own if own[name] == taught[name]}
    assert own.keys() - same == {"policy"}
    assert taught["policy"] == store.record(artifact(offline, "targets", 1)).key["teacher"]
    names = [[one.address for one in x.stages()] for x in (on_policy, offline)]
    assert names[0] == names[1]
    # Base answers and distances to judge by are found.
    kept = {one.address for one in offline.stages() if one.cached and one.round == 1}
    assert {"divergence:base", "generate:dev", "drift:base"} <= kept


def test_the_teacher_judges_by_how_likely_it_finds_an_answer(on_policy, tiny_run):
    store = Store(str(tiny_run / "store"))
    assert on_policy.measures["win_rate"].judge == "length-band"
    rate = on_policy.measures["win_rate_by_teacher"]
    assert rate.judge == "teacher" and rate.n == 20
    read = [one for one in on_policy.stages() if one.address == "likelihood:test"]
    policy = Artifact(kind=read[1].kind, key=read[1].key, digest=read[1].artifact)
    tables = [one for one in on_policy.stages() if one.address == "targets:test"]
    logps = store.table(Artifact(kind=tables[1].kind, key=tables[1].key, digest=tables[1].artifact))
    rewards = mapping(store.table(policy), "completion_id", "reward")
    for row in logps.to_pylist():
        assert rewards[row["completion_id"]] == pytest.approx(np.mean(row["logps"]), rel=1e-5)
    measure = on_policy.measures["teacher_reward"]
    assert measure.rounds[1].value == pytest.approx(np.mean(list(rewards.values())))


def test_report_says_what_the_kept_tokens_hold(on_policy, tiny_run):
    (section,) = (one for one in on_policy.sections if one.name == "distillation")
    *charts, table = section.blocks
    assert [one.kind for one in charts] == ["chart", "chart"]
    assert [row.cells[0] for row in table.rows] == ["1", "2"]
    for row in table.rows:
        assert all(0 < share <= 1 for share in row.cells[1:])
    page = (tiny_run / "runs" / "own" / "report.html").read_text()
    assert "Distance to the teacher" in page


def test_the_monitor_watches_the_distance_without_a_stage(on_policy):
    (section,) = (one for one in on_policy.sections if one.name == "monitor")
    measured = on_policy.measures["kl_to_teacher"].rounds[1:]
    rows = [row.cells[:2] for row in section.blocks[1].rows]
    assert rows == [[str(one.round), one.value] for one in measured]
    assert "watch" not in {one.name for one in on_policy.stages()}


def test_alarms_for_mass_that_leaves_the_kept_tokens_and_for_a_policy_that_goes_away():
    def measure(*values):
        rounds = [RoundValue(round=number, value=value) for number, value in values]
        return Measure(value=rounds[-1].value, rounds=rounds)

    before = measure((1, 0.90), (2, 0.80))
    falls = {"kept_mass_before": before, "kept_mass": measure((1, 0.86), (2, 0.70))}
    (said,) = fallen(falls)
    assert said.rounds == [2] and "by 10 points in round 2" in said.found
    assert not fallen({"kept_mass_before": before, "kept_mass": measure((1, 0.91), (2, 0.76))})
    assert not further({"kl_to_teacher": measure((0, 0.5), (1, 0.4))}) and not further({})
    (said,) = further({"kl_to_teacher": measure((0, 0.5), (1, 0.6))})
    assert "0.600 nats per token, 0.500 at first" in said.found


def test_each_data_set_has_its_teacher(run, recipe, tiny_run, tmp_path, on_policy):
    """Of two data sets, sums and more; the other teacher's distance is measured on its own."""
    other = str(save_policy(chatml_tokenizer(), tmp_path / "of-sums", seed=3))
    teacher = recipe["teacher"] | {"by_dataset": [{"dataset": "sums", "model": other}]}
    for name, answers in (("two", "policy"), ("two-offline", "teacher")):
        changes = {"teacher": teacher, "rounds": 1, "answers": answers}
        code, summary = run(name, changes)
        assert code == 0
        store = Store(str(tiny_run / "store"))
        asked = store.table(artifact(summary, "select", 1))
        datasets = mapping(asked, "prompt_id", "dataset")
        keys = []
        for role in ("sums", "others"):
            made = artifact(summary, "targets", 1, role)
            keys.append(store.record(made).key["teacher"])
            read = store.table(made)["prompt_id"].to_pylist()
            assert {datasets[one] for one in read} == {"sums" if role == "sums" else "more"}
        assert len(set(keys)) == 2
        policy = store.record(artifact(summary, "distill_policy", 1))
        assert policy.artifact.meta["rows"] == len(asked) == summary.measures["generated"].value
        assert len(policy.key["targets"]) == 2
        assert set(summary.measures["kl_to_teacher"].parts) == {"sums", "more"}
        curve = summary.measures["kl_to_teacher"].rounds
        assert curve[1].value < curve[0].value
        assert summary.measures["win_rate_by_teacher"].n == 20
    # Where the teacher is the same, so is the distance of the base.
    bases = [
        store.record(artifact(x, "divergence", 1, "base")).artifact.meta["forward_kl"]["by_dataset"]
        for x in (on_policy, summary)
    ]
    assert bases[0]["more"]["mean"] == pytest.approx(bases[1]["more"]["mean"], rel=1e-5)
    assert bases[0]["sums"]["mean"] != pytest.approx(bases[1]["sums"]["mean"], rel=1e-2)


def test_a_teacher_of_no_prompt_is_refused(recipe, write_recipe, capsys):
    own = recipe["teacher"]["model"]
    teacher = recipe["teacher"] | {"by_dataset": [{"dataset": "nought", "model": own}]}
    said = refused(recipe, write_recipe, capsys, teacher=teacher)
    assert "teacher of nought: no prompt is of the data set 'nought'" in said
    assert "'more', 'sums'" in said


def test_recorded_answers_are_read_as_their_text(run, recipe, tiny_run, tmp_path):
    rows = [
        {"instruction": f"What is {i} plus {i % 7}?", "output": f"{i + i % 7}", "generator": "us"}
        for i in range(0, 60, 2)  # every other prompt
    ]
    (tmp_path / "answers.json").write_text(json.dumps(rows))
    changes = {"answers": str(tmp_path / "answers.json"), "rounds": 1}
    code, summary = run("recorded", changes)
    assert code == 0
    asked, learned = (summary.measures[name].value for name in ("prompts", "trained"))
    assert 0 < learned < asked and summary.measures["tokens"].value == 0
    store = Store(str(tiny_run / "store"))
    tokenizer = load_tokenizer(recipe["teacher"]["model"])
    read = store.table(artifact(summary, "targets", 1))["token_ids"].to_pylist()
    texts = store.table(artifact(summary, "read_cell", 1))["completion"].to_pylist()
    assert [tokenizer.decode(ids) for ids in read] == [f"{text}<|im_end|>" for text in texts]


def test_a_file_that_answers_no_prompt_is_refused(recipe, tmp_path, write_recipe, capsys):
    row = {"instruction": "Who?", "output": "Me.", "generator": "us"}
    (tmp_path / "answers.json").write_text(json.dumps([row]))
    answers = str(tmp_path / "answers.json")
    assert "answers none of the prompts" in refused(recipe, write_recipe, capsys, answers=answers)
    lines = Path(recipe["prompts"]["path"]).read_text().splitlines()
    asked = dict.fromkeys(json.loads(line)["prompt"] for line in lines)
    rows = [row | {"instruction": prompt, "output": " "} for prompt in asked]
    (tmp_path / "answers.json").write_text(json.dumps(rows))
    said = refused(recipe, write_recipe, capsys, answers=answers)
    assert "answers with nothing but empty texts" in said
    said_something = [one | {"output": "Me."} for one in rows[2:]]
    (tmp_path / "answers.json").write_text(json.dumps([*rows[:2], *said_something]))
    assert main(["check", str(write_recipe(recipe | {"answers": answers}))]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"answers: 2 of {len(rows)} are empty, of which the policy learns" in said


def refused(recipe, write_recipe, capsys, **changes):
    assert main(["check", str(write_recipe(recipe | changes))]) == 2
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


def test_another_vocabulary_or_end_is_refused_before_anything_runs(
    recipe, tmp_path, write_recipe, capsys
):
    special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>", "<|more|>"]
    template = chatml_tokenizer().chat_template
    other = build_tokenizer(special, template, bos=None, eos="<|im_end|>", pad="<pad>")
    teacher = {"model": str(save_policy(other, tmp_path / "other", seed=2))}
    said = refused(recipe, write_recipe, capsys, teacher=teacher)
    assert "teacher.model: has another vocabulary than policy.model" in said
    said = refused(recipe, write_recipe, capsys, targets={"k": 398})
    assert "targets.k: 398 is more than the 397 tokens there are; lower it" in said
    ends = chatml_tokenizer()
    ends.chat_template = template.replace("<|im_end|>", "<s>")
    teacher = {"model": str(save_policy(ends, tmp_path / "ends", seed=2))}
    said = refused(recipe, write_recipe, capsys, teacher=teacher)
    assert "teacher.model: ends an answer with '<s>', policy.model with '<|im_end|>'" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": {"model": "p", "losses": {"sft": 0}}}, "no loss has a weight above 0"),
        ({"policy": {"model": "p", "losses": {"jsd": {"beta": 1.0}}}}, r"losses\.jsd\.beta"),
        ({"policy": {"model": "p", "losses": {"sigmoid": 1}}}, r"losses\.sigmoid"),
        ({"targets": {"k": 0}}, r"targets\.k"),
        (
            {"teacher": {"model": "t", "by_dataset": [{"dataset": "a", "model": "m"}] * 2}},
            "'a' stands there twice",
        ),
        (
            {"teacher": {"model": "t", "engine": "vllm"}, "targets": {"temperature": 2.0}},
            r"targets\.temperature: must be 1",
        ),
        ({"world": {}, "teacher": {"model": "world"}}, "teacher.model: the world's models share"),
        ({"gate": {"min_win_rate": 0.5}}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_fit_are_refused(recipe, changes, message):
    with pytest.raises((ValueError, InputError), match=message):
        recipe_from(recipe | changes)


def test_a_world_whose_teacher_is_a_classifier_is_refused():
    values = {"recipe": "opd", "run": "w", "world": {}, "evaluate": {"judge": "oracle"}}
    with pytest.raises(ValueError, match=r"world\.teacher_lessons"):
        recipe_from(values)
    assert recipe_from(values | {"world": {"teacher_lessons": 100}}).teacher.model == "world"
