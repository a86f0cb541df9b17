"""Distillation over domains on tiny models: what is drawn, what is read once, what is measured."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from cli.main import main
from data.domains import first_factor, next_factor
from data.measures import Measure, RoundValue
from data.recipes.recipe import Values
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from flows.align import run_recipe
from flows.ddk.told import clipped, noisy, verdict
from flows.planning.plan import planned
from flows.preflight.fitting import fitted
from flows.recipe_files import load_recipe
from flows.table import recipe_from
from tests.fixtures.models import build_tokenizer, chatml_tokenizer, save_policy
from tests.flows.tiny_recipes import TINY


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory) -> Values:
    """Three intervals of 48 texts from domains of 14, 6 and 2, and noise: all come again."""
    values = TINY["ddk"].recipe(tiny_recipe, tmp_path_factory.mktemp("files"))
    return values | {"run": "ddk", "rounds": 3, "steps": 6}


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """Run it with changes, without Prefect, in a store that all share; its summary and the store.

    With Prefect every flow runs in `test_every_flow`.
    """
    folder = tmp_path_factory.mktemp("ddk")
    store = folder / "store"

    def finished(name: str, changes: Values):
        changed = recipe_from(recipe | {"run": name} | changes)
        run_recipe(changed, str(store), folder / "runs", quiet=True)
        return read_summary(folder / "runs" / name / "summary.json"), Store(str(store))

    return finished


@pytest.fixture(scope="module")
def whole(run):
    return run("whole", {})


def made(summary, name, number=0, role=None):
    """The artifacts of calls of a stage in a round, in order."""
    return [
        Artifact(kind=one.kind, key=one.key, digest=one.artifact)
        for one in summary.stages()
        if one.name == name and one.round == number and role in (None, one.role)
    ]


def tables(summary, store, name, role=None):
    return [store.table(made(summary, name, n, role)[0]) for n in (1, 2, 3)]


def test_the_mixture_follows_the_perplexities_by_the_equations(whole):
    summary, store = whole
    mixed = tables(summary, store, "mixture")
    names = mixed[0]["dataset"].to_pylist()
    assert names == ["minus", "noise", "plus", "times"]
    (dev,) = made(summary, "add_noise", role="dev")
    domain = mapping(store.table(dev), "completion_id", "dataset")
    (teacher,) = made(summary, "targets", role="teacher dev")
    students = tables(summary, store, "targets", "policy dev")
    factor = None
    for table, student in zip(mixed, students, strict=True):
        nats = []
        for side in (store.table(teacher), student):
            sums = dict.fromkeys(names, (0.0, 0))
            for row in side.to_pylist():
                loss, tokens = sums[domain[row["completion_id"]]]
                now = loss - sum(row["logps"]), tokens + len(row["logps"])
                sums[domain[row["completion_id"]]] = now
            nats.append(np.array([sums[name][0] / sums[name][1] for name in names]))
        ratios = np.minimum(np.exp(nats[1] - nats[0]), 3.0)
        factor = first_factor(ratios) if factor is None else next_factor(factor, ratios, 0.5)
        assert table["ratio"].to_numpy() == pytest.approx(ratios, rel=1e-5)
        assert table["factor"].to_numpy() == pytest.approx(factor, rel=1e-5)
    sizes = mixed[0]["texts"].to_numpy()
    assert sizes.tolist() == [6, 7, 14, 2]
    assert mixed[0]["share"].to_numpy() == pytest.approx(sizes / sizes.sum())
    assert mixed[2]["share"].equals(mixed[2]["factor"])


def test_every_text_is_read_by_the_teacher_once_and_learned_as_often_as_drawn(whole):
    summary, store = whole
    draws = tables(summary, store, "draw_texts")
    read = [store.table(one) for n in (1, 2, 3) for one in made(summary, "targets", n, "")]
    names = [name for table in read for name in table["completion_id"].to_pylist()]
    drawn = [name for table in draws for name in table["completion_id"].to_pylist()]
    assert len(names) == len(set(names)) and set(names) == set(drawn)
    assert [len(one) for one in draws] == [48] * 3 and len(drawn) > 2 * len(names)
    for number, (draw, told) in enumerate(
        zip(draws, tables(summary, store, "retold"), strict=True), 1
    ):
        assert told["prompt_id"].to_pylist() == draw["prompt_id"].to_pylist()
        assert len(set(told["completion_id"].to_pylist())) == 48
        (policy,) = made(summary, "distill_policy", number)
        meta = store.record(policy).artifact.meta
        assert meta["rows"] == 48 and meta["unread"] == meta["too_long"] == 0
    first = {r["completion_id"]: r["top_logps"] for table in read for r in table.to_pylist()}
    for row in told.to_pylist():
        assert row["top_logps"] == first[row["completion_id"].partition("+")[0]]
    again = summary.measures["again"].rounds
    assert [x.value for x in again] == [sum(p > 0 for p in d["pass"].to_pylist()) for d in draws]


def test_cursors_go_on_where_the_interval_before_ended(whole):
    summary, store = whole
    mixed = tables(summary, store, "mixture")
    for before, after in zip(mixed, mixed[1:], strict=False):
        ends = before["cursor"].to_numpy() + before["drawn"].to_numpy()
        assert after["cursor"].to_pylist() == ends.tolist()
    counted: Counter[str] = Counter()
    for table in tables(summary, store, "draw_texts"):
        counted.update(table["completion_id"].to_pylist())
    domain = {
        row["completion_id"]: row["dataset"]
        for table in tables(summary, store, "draw_texts")
        for row in table.to_pylist()
    }
    for name in mixed[0]["dataset"].to_pylist():  # evenly: nothing is skipped or drawn too often
        times = [n for text, n in counted.items() if domain[text] == name]
        assert max(times) - min(times) <= 1


def test_a_run_that_goes_on_is_one_that_was_never_interrupted(whole, run):
    summary, _ = whole
    shorter, _ = run("resumed", {"rounds": 2})
    assert all(record.cached for record in shorter.stages())
    resumed, _ = run("resumed", {"rounds": 3})
    assert [x.artifact for x in resumed.stages()] == [x.artifact for x in summary.stages()]
    assert resumed.measures == summary.measures


def test_a_plan_knows_how_many_texts_are_held_out(recipe, tmp_path):
    values = recipe | {"texts": recipe["texts"] | {"noise": False}}
    asked = fitted(recipe_from(values))
    rows = asked.counted_prompts().rows
    plan = planned(asked, str(tmp_path / "store"), tmp_path / "runs", rows)
    reads = {step.title: step.reads for step in plan.steps if step.stage == "targets"}
    assert reads["policy dev perplexity"] == 3 * asked.texts.dev_size
    assert reads["policy test perplexity"] == 3 * asked.texts.test_size


def test_gaps_are_measured_on_texts_that_decide_nothing(whole):
    summary, store = whole
    gap, worst = summary.measures["macro_gap"], summary.measures["worst_gap"]
    assert summary.headline == "macro_gap" and gap.better == "lower"
    assert [one.round for one in gap.rounds] == [one.round for one in worst.rounds] == [0, 1, 2, 3]
    parts = gap.rounds[-1].parts
    assert set(parts) == {"minus", "noise", "plus", "times"}
    counted = [one.value for name, one in parts.items() if name != "noise"]
    assert gap.value == pytest.approx(np.mean(counted)) and worst.value == max(counted)
    assert gap.rounds[-1].value < gap.rounds[0].value and gap.ci95[0] < gap.value < gap.ci95[1]
    keys = [store.record(one).key for one in made(summary, "mixture", 1)]
    held_out = [store.record(one).key["held_out"] for one in made(summary, "domain_gaps", 1)]
    assert keys[0]["held_out"] not in held_out
    judging = {x.address for x in summary.stages() if x.measures}
    assert judging == {
        "targets:teacher test", "targets:policy base test", "targets:policy test",
        "domain_gaps", "domain_gaps:base",
    }  # fmt: skip


def test_baselines_are_settings(whole, run):
    """Without smoothing, and equal sampling without the teacher; the rest: tests/data."""
    summary, _ = whole
    weights = {name: {"weight": w} for name, w in (("sft", 1.0), ("forward_kl", 0.2))}
    assert summary.config["policy"]["losses"] == weights
    found, store = run("unsmoothed", {"mixture": {"rule": "unsmoothed"}, "rounds": 2})
    table = store.table(made(found, "mixture", 2)[0])
    wanted = first_factor(table["ratio"].to_numpy())
    assert table["factor"].to_numpy() == pytest.approx(wanted)
    # All that draw by size at first share what the teacher says of it, and the training.
    first = {x.address: x.cached for x in found.stages() if x.round == 1}
    assert first["targets"] and first["distill_policy"] and not first["mixture"]
    policy = {n: x for n, x in summary.config["policy"].items() if n != "adapter"}
    changes = {"mixture": {"rule": "smoothed", "alpha": 0}, "rounds": 1}
    changes["policy"] = policy | {"losses": {"sft": 1}}
    found, store = run("equal", changes)
    table = store.table(made(found, "mixture", 1)[0])
    assert table["drawn"].to_pylist() == [12] * 4


def test_an_override_of_one_loss_leaves_the_other(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("recipe: ddk\nrun: r\nworld: {teacher_lessons: 9}\npolicy: {batch_size: 4}\n")
    losses = load_recipe(path, ["policy.losses.forward_kl=0.5"]).policy.losses.by_name
    assert {name: one.weight for name, one in losses.items()} == {"sft": 1.0, "forward_kl": 0.5}
    path.write_text(
        "recipe: ddk\nrun: r\nworld: {teacher_lessons: 9}\npolicy: {losses: {sft: 2}}\n"
    )
    losses = load_recipe(path, ["policy.losses.sft=3"]).policy.losses.by_name
    assert {name: one.weight for name, one in losses.items()} == {"sft": 3.0}


@pytest.mark.parametrize(
    ("value", "first", "said"),
    [
        (0.5, 0.8, "Behind the teacher: 0.500 nats"),
        (-1.699, -0.798, "below 0 the policy is ahead, and such a teacher has little to teach"),
    ],
)
def test_a_policy_that_is_ahead_of_its_teacher_is_said_to_be(whole, value, first, said):
    gap = whole[0].measures["macro_gap"].model_copy(update={"value": value, "even": first})
    assert said in verdict(gap).line


def test_the_report_draws_the_mixture(whole):
    summary, _ = whole
    (section,) = (one for one in summary.sections if one.name == "mixture")
    *charts, table = section.blocks
    assert [one.title for one in charts] == ["minus", "noise", "plus", "times"]
    assert all(one.even == 0.25 and len(one.series[0].points) == 3 for one in charts)
    for column in range(1, 4):
        assert sum(row.cells[column] for row in table.rows) == pytest.approx(1)


def refused(recipe, write_recipe, capsys, **changes):
    assert main(["check", str(write_recipe(recipe | changes))]) == 2
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


def test_bad_input_is_refused_in_one_line_before_anything_runs(
    recipe, tmp_path, write_recipe, capsys
):
    said = refused(recipe, write_recipe, capsys, warm_up={"datasets": ["plus", "divided"]})
    assert "warm_up.datasets: no text is of the domain 'divided'; there are 'minus'" in said
    few = recipe["texts"] | {"dev_size": 5}
    said = refused(recipe, write_recipe, capsys, texts=few)
    assert "texts.path: the domain 'times' has 8 texts, of which none is left to learn" in said
    (tmp_path / "one.jsonl").write_text(
        json.dumps({"prompt": "a", "completion": "b", "dataset": "c"}) + "\n"
    )
    one = recipe["texts"] | {"path": str(tmp_path / "one.jsonl")}
    said = refused(recipe, write_recipe, capsys, texts=one)
    assert "has one domain, 'c', and a mixture takes two" in said
    gone = recipe["texts"] | {"path": str(tmp_path / "gone.jsonl")}
    assert "texts.path" in refused(recipe, write_recipe, capsys, texts=gone)
    special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>", "<|more|>"]
    template = chatml_tokenizer().chat_template
    other = build_tokenizer(special, template, bos=None, eos="<|im_end|>", pad="<pad>")
    teacher = {"model": str(save_policy(other, tmp_path / "other", seed=2))}
    said = refused(recipe, write_recipe, capsys, teacher=teacher)
    assert "teacher.model: has another vocabulary than policy.model" in said
    long = recipe["policy"] | {"max_length": 8}
    said = refused(recipe, write_recipe, capsys, policy=long)
    assert "policy.max_length is 8; raise it or remove the prompt" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixture": {"rule": "natural", "alpha": 0.5}}, r"mixture.*alpha"),
        ({"mixture": {"rule": "smoothed", "alpha": 1.5}}, r"mixture.*alpha"),
        ({"mixture": {"rule": "smoothed", "clip": 0.5}}, r"mixture.*clip"),
        ({"policy": {"model": "world-small"}}, r"teacher\.model: the world's models share"),
        ({"texts": {"path": "t.jsonl", "skew": 0.5}}, r"texts\.skew: is of the world's texts"),
        ({"warm_up": {"datasets": []}}, r"warm_up\.datasets"),
        (
            {"teacher": {"model": "t", "engine": "vllm"}, "targets": {"temperature": 2.0}},
            r"targets\.temperature: must be 1",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    own = {"policy": {"model": "p"}, "teacher": {"model": "t"}, "texts": {"path": "t.jsonl"}}
    with pytest.raises(Exception, match=message):
        recipe_from({"recipe": "ddk", "run": "r", "world": {}} | own | changes)


def test_the_published_rule_is_meant_where_none_is_named():
    own = {"policy": {"model": "p"}, "teacher": {"model": "t"}, "texts": {"path": "t.jsonl"}}
    recipe = recipe_from({"recipe": "ddk", "run": "r", "mixture": {"alpha": 0}} | own)
    assert recipe.mixture.rule == "smoothed" and recipe.mixture.alpha == 0


def test_an_unknown_family_of_the_world_is_refused():
    recipe = recipe_from(
        {"recipe": "ddk", "run": "r", "world": {"teacher_lessons": 100}}
        | {"policy": {"model": "world-small"}, "warm_up": {"datasets": ["poetry"]}}
    )
    with pytest.raises(Exception, match=r"no text is of the domain 'poetry'; there are 'arith"):
        recipe.check_prompts()


def test_warned_of_noise_that_weighs_and_of_ratios_that_all_are_clipped(whole):
    summary, _ = whole
    rounds = [RoundValue(round=n, value=x) for n, x in ((1, 0.4), (2, 0.2), (3, 0.3))]
    (said,) = noisy({"noise_weight": Measure(value=0.3, even=0.25, rounds=rounds)})
    assert said.rounds == [3]  # the first interval is drawn by size
    recipe = recipe_from(summary.config)
    names, done = ["minus", "noise", "plus", "times"], [SimpleNamespace(number=n) for n in (1, 2)]
    mixed = [
        pa.table({"dataset": names, "ratio": ratios})
        for ratios in ([3.0, 1.0, 3.0, 2.0], [3.0, 3.0, 2.9, 2.0])
    ]
    (said,) = clipped(recipe, mixed, done)
    assert said.rounds == [1] and "at least 3 times" in said.found
