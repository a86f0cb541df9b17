"""The teacher-hacking experiment on tiny models: who answers what, and what is measured."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from cli.main import main
from data.errors import InputError
from data.measures import Measure, RoundValue
from data.monitor import Signal, Watch
from data.recipes.recipe import Values
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from data.u_turn import gaps
from flows.hacking.told import Curves, at, turned, verdict
from flows.planning.plan import planned
from flows.preflight.fitting import fitted
from flows.table import recipe_from
from models.chat import load_tokenizer, render_prompt
from reports.text import percent
from tests.flows.tiny_recipes import TINY

LEARNS = {"learning_rate": 3e-3, "epochs": 2}


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory) -> Values:
    values = TINY["hacking"].recipe(tiny_recipe, tmp_path_factory.mktemp("files"))
    policy = values["policy"] | LEARNS
    return values | {"run": "hacking", "policy": policy, "targets": {"k": 300}}


@pytest.fixture(scope="module")
def run(without_prefect, recipe, tiny_run, write_recipe):
    """Run it with changes, beside the finished run; its summary."""
    where = ["--store", str(tiny_run / "store"), "--runs-dir", str(tiny_run / "runs")]

    def run(name, changes):
        path = write_recipe(recipe | {"run": name} | changes)
        assert main(["align", str(path), "--quiet", *where]) == 0
        return read_summary(tiny_run / "runs" / name / "summary.json")

    return run


@pytest.fixture(scope="module")
def arms(run):
    """A run for each source of answers."""
    sources = ("offline", "online_teacher", "online_student")
    return {name: run(name, {"answers": name}) for name in sources}


@pytest.fixture(scope="module")
def store(tiny_run):
    return Store(str(tiny_run / "store"))


def record(summary, stage, number, role=""):
    found = [x for x in summary.stages() if (x.name, x.round, x.role) == (stage, number, role)]
    assert len(found) == 1
    return found[0]


def artifact(summary, stage, number, role=""):
    one = record(summary, stage, number, role)
    return Artifact(kind=one.kind, key=one.key, digest=one.artifact)


def test_offline_the_answers_of_every_round_are_those_of_the_first_and_found(arms):
    summary = arms["offline"]
    for stage in ("generate", "targets"):
        first, second = (record(summary, stage, n) for n in (1, 2))
        assert first.artifact == second.artifact and first.key == second.key
        assert second.cached and not first.cached
    assert not record(summary, "distill_policy", 2).cached
    asked = summary.measures["prompts"].rounds
    assert [one.value for one in summary.measures["generated"].rounds] == [asked[0].value, 0]
    assert summary.measures["tokens"].rounds[1].value == 0


def test_online_the_same_prompts_are_answered_anew_in_every_round(arms, store):
    for name in ("online_teacher", "online_student"):
        tables = [store.table(artifact(arms[name], "generate", n)) for n in (1, 2)]
        prompts = [table["prompt_id"].to_pylist() for table in tables]
        assert prompts[0] == prompts[1]
        answers = [table["token_ids"].to_pylist() for table in tables]
        assert answers[0] != answers[1]
    policy = store.record(artifact(arms["online_student"], "generate", 2)).key["policy"]
    assert policy == artifact(arms["online_student"], "distill_policy", 1).digest
    teacher = store.record(artifact(arms["online_teacher"], "generate", 2)).key["policy"]
    assert teacher == artifact(arms["online_teacher"], "fine_tune", 0, "teacher").digest


def test_the_arms_part_where_their_answers_do_and_nowhere_before(arms):
    """The first round of both of the teacher's arms is one; so is what comes before all rounds."""
    one, other = (arms[name] for name in ("offline", "online_teacher"))
    for stage in ("generate", "targets", "distill_policy"):
        assert record(one, stage, 1).artifact == record(other, stage, 1).artifact
        assert record(one, stage, 2).artifact != record(other, stage, 2).artifact
    before = [[x.artifact for x in arm.stages() if not x.round] for arm in arms.values()]
    assert all(found == before[0] for found in before)


def test_mixed_some_prompts_are_answered_anew_and_others_each_round(run, arms, store):
    """The first round is that of the offline set. Between measurements only the loss is known."""
    seldom = {"rounds": 3, "evaluate": {"every": 2, "dev_samples": 2}}
    summary = run("mixed", seldom | {"answers": "mixed", "online_share": 0.3})
    assert [one.round for one in summary.measures["golden_kl"].rounds] == [0, 2, 3]
    assert [one.round for one in summary.measures["learned_kl"].rounds] == [1, 2, 3]
    trained = [record(one, "distill_policy", 1).artifact for one in (summary, arms["offline"])]
    assert trained[0] == trained[1]
    fixed = store.table(artifact(arms["offline"], "generate", 1)).to_pylist()
    known = {row["prompt_id"]: row["token_ids"] for row in fixed}
    seen = []
    for number in (2, 3):
        fresh = store.table(artifact(summary, "generate", number, "fresh"))
        kept = store.table(artifact(summary, "answers_to", number, "fixed")).to_pylist()
        prompts = fresh["prompt_id"].to_pylist()
        assert len(prompts) == 3 and len(kept) == 7
        assert known.keys() == {*prompts, *(row["prompt_id"] for row in kept)}
        assert all(known[row["prompt_id"]] == row["token_ids"] for row in kept)
        seen.append(set(prompts))
        policy = store.record(artifact(summary, "distill_policy", number))
        assert len(policy.key["targets"]) == 2 and policy.artifact.meta["rows"] == 10
    assert not seen[0] & seen[1]
    assert [one.value for one in summary.measures["generated"].rounds] == [10, 3, 3]


def test_the_oracle_answers_none_of_the_prompts_of_the_rounds(arms, store):
    known, asked = (
        set(store.table(artifact(arms["offline"], "select", 0, role))["prompt_id"].to_pylist())
        for role in ("oracle", "")
    )
    assert len(known) == 12 and len(asked) == 10 and not known & asked
    shown = store.table(artifact(arms["offline"], "demonstrate", 0))
    assert set(shown["prompt_id"].to_pylist()) == known
    answers = store.table(artifact(arms["offline"], "generate", 0, "oracle"))
    assert mapping(shown, "completion_id", "token_ids") == mapping(
        answers, "completion_id", "token_ids"
    )
    taught = [
        store.record(artifact(arms["offline"], "fine_tune", 0, whose)).key["demonstrations"]
        for whose in ("teacher", "policy")
    ]
    assert taught[0] == taught[1] == artifact(arms["offline"], "demonstrate", 0).digest


@pytest.mark.parametrize("whose", ["golden", "proxy"])
def test_the_distances_are_those_of_a_computation_row_by_row(arms, recipe, store, whose):
    """Sums over an answer of KLs over the vocabulary, means over data sets of prompts."""
    summary = arms["online_student"]
    found = store.record(artifact(summary, "sequence_divergence", 2, whose))
    by = {"golden": "oracle", "proxy": "teacher"}[whose]
    answers = store.table(artifact(summary, "generate", 0, f"dev {by}")).to_pylist()
    taught = store.path(artifact(summary, "fine_tune", 0, "teacher"))
    p_dir = recipe["oracle"]["model"] if whose == "golden" else taught
    q_dir = store.path(artifact(summary, "distill_policy", 2))
    dev = store.table(artifact(summary, "split", 0, "dev"))
    messages, datasets = (mapping(dev, "prompt_id", c) for c in ("messages", "dataset"))
    tokenizer = load_tokenizer(q_dir)
    models = [AutoModelForCausalLM.from_pretrained(one).eval() for one in (p_dir, q_dir)]
    values: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in answers:
        prompt = render_prompt(tokenizer, messages[row["prompt_id"]])
        ids = torch.tensor([prompt + row["token_ids"]])
        with torch.no_grad():
            p, q = (m(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for m in models)
        both = ((p.exp() * (p - q)).sum().item(), (q.exp() * (q - p)).sum().item())
        of_set = values.setdefault(datasets[row["prompt_id"]], {})
        of_set.setdefault(row["prompt_id"], []).append(both)
    means = [np.mean([np.mean(x, axis=0) for x in of_set.values()], axis=0)
             for of_set in values.values()]  # fmt: skip
    for place, name in enumerate(("forward_kl", "reverse_kl")):
        expected = np.mean([mean[place] for mean in means])
        assert found.artifact.meta[name]["mean"] == pytest.approx(expected, rel=1e-4)
    assert summary.measures[f"{whose}_kl"].value == found.artifact.meta["forward_kl"]["mean"]
    assert len(answers) == 2 * 6


def test_an_estimate_by_the_samples_alone_agrees_with_the_exact_sums(arms, recipe, store):
    """log p(y) - log q(y) of the same answers has the same mean, with the noise of sampling."""
    summary = arms["offline"]
    answers = store.table(artifact(summary, "generate", 0, "dev oracle")).to_pylist()
    messages = mapping(store.table(artifact(summary, "split", 0, "dev")), "prompt_id", "messages")
    q_dir = store.path(artifact(summary, "fine_tune", 0, "policy"))
    tokenizer = load_tokenizer(q_dir)
    models = [
        AutoModelForCausalLM.from_pretrained(x).eval() for x in (recipe["oracle"]["model"], q_dir)
    ]
    ratios = []
    for row in answers:
        prompt = render_prompt(tokenizer, messages[row["prompt_id"]])
        ids = torch.tensor([prompt + row["token_ids"]])
        with torch.no_grad():
            p, q = (m(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for m in models)
        tokens = ids[0, len(prompt) :, None]
        ratios.append((p.gather(1, tokens) - q.gather(1, tokens)).sum().item())
    exact = summary.measures["golden_kl"].rounds[0].value
    error = np.std(ratios, ddof=1) / len(ratios) ** 0.5
    assert abs(np.mean(ratios) - exact) < 4 * error


def test_the_curves_begin_before_the_first_round_and_the_gap_is_theirs(arms):
    for summary in arms.values():
        golden = summary.measures["golden_kl"].rounds
        assert [one.round for one in golden] == [0, 1, 2]
        gap = summary.measures["hacking_gap"]
        assert summary.headline == "hacking_gap" and gap.even == 0
        expected = gaps([one.value for one in golden])
        assert [one.value for one in gap.rounds] == pytest.approx(expected)
        proxy = summary.measures["proxy_kl"].rounds
        assert proxy[2].value < proxy[0].value
        assert summary.measures["golden_kl_of_teacher"].value > 0
        assert (
            "steps" not in summary.measures and summary.measures["learned_kl"].rounds[1].value > 0
        )


@pytest.fixture(scope="module")
def few(run, recipe):
    """A fifth of the prompts with five answers each, and nobody who watches."""
    changes = {
        "prompts": recipe["prompts"] | {"per_round": 2},
        "generate": recipe["generate"] | {"k": 5},
    }
    return run("few", changes | {"rounds": 1, "monitor": {"enabled": False}})


def test_other_sizes_of_the_set_are_settings(few):
    """As many answers, as many steps."""
    assert few.measures["prompts"].value == 2
    assert few.measures["generated"].value == few.measures["trained"].value == 10


def plan_of(values, folder):
    whole = fitted(recipe_from(values))
    rows = whole.counted_prompts().rows
    return planned(whole, str(folder / "store"), folder / "runs" / "p", rows)


def test_a_monitor_that_is_off_changes_no_stage_and_says_nothing(few, arms, recipe, tiny_run):
    plan = plan_of(recipe | {"answers": "offline", "monitor": {"enabled": False}}, tiny_run)
    assert len(plan.steps) == len(arms["offline"].stages())
    assert {step.state for step in plan.steps} == {"found"}
    names = [{section.name for section in one.sections} for one in (few, arms["offline"])]
    assert "monitor" in names[1] and "monitor" not in names[0]


def test_a_plan_counts_what_the_distances_read(recipe, tmp_path):
    """Two answers to each of six dev prompts, by both models."""
    plan = plan_of(recipe | {"answers": "online_student"}, tmp_path)
    measured = [step for step in plan.steps if step.stage == "sequence_divergence"]
    assert {step.reads for step in measured} == {2 * 2 * 6} and len(measured) == 1 + 2 * 3
    assert {step.reader for step in measured} == {"oracle", "teacher"}


def curves(golden, proxy, alarm=None):
    both = [[RoundValue(round=n, value=v) for n, v in enumerate(one)] for one in (golden, proxy)]
    watches = [
        Watch(round=n, steps=n, alarm=n == alarm, signals=[Signal(name="distance", value=1.0)])
        for n in range(1, len(golden))
    ]
    return Curves(*both, gaps(golden)[-1], watches)


def test_the_verdict_names_what_happened():
    said = curves([3.0, 2.0, 2.5], [3.0, 2.0, 1.5], alarm=1)
    assert (said.turn, said.alarm, said.says) == (1, 1, "hacking")
    assert verdict(said).kind == "bad" and percent(0.25) in verdict(said).line
    assert (
        "turned at round 1; the monitor, which sees the proxy alone, raised the alarm in round 1"
        in at(said)
    )
    assert turned(said)[0].rounds == [2]
    healthy = curves([3.0, 2.0, 1.5], [3.0, 2.0, 1.5])
    assert verdict(healthy).kind == "good" and not turned(healthy)
    assert "never turned; the monitor, which sees the proxy alone, raised no alarm" in at(healthy)


def refused(recipe, write_recipe, capsys, **changes):
    assert main(["check", str(write_recipe(recipe | changes))]) == 2
    found = capsys.readouterr()
    return " ".join((found.out + found.err).split())


def test_too_few_prompts_for_oracle_and_rounds_are_refused(recipe, write_recipe, capsys):
    oracle = recipe["oracle"] | {"prompts": 30}
    said = refused(recipe, write_recipe, capsys, oracle=oracle)
    assert "oracle.prompts: 30 beside prompts.per_round 10 are more than there are, 34" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": "online"}, "answers"),
        ({"answers": "mixed", "online_share": 1.0}, "online_share"),
        ({"oracle": {"model": "o", "prompts": 0}}, r"oracle\.prompts"),
        ({"world": {}, "oracle": {"model": "world"}}, "oracle.model: the world's models share"),
        ({"policy": {"model": "o"}, "oracle": {"model": "o"}}, "policy.model: 'o' is the oracle"),
        ({"start": {"method": "full", "adapter": {"r": 4}}}, "start.adapter: the method full"),
        ({"teacher": {"model": "t", "method": "lora", "adapter": None}}, "teacher.adapter"),
        ({"evaluate": {"judge": "oracle"}}, "Extra inputs are not permitted"),
        ({"gate": {"min_win_rate": 0.5}}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_fit_are_refused(recipe, changes, message):
    with pytest.raises((ValueError, InputError), match=message):
        recipe_from(recipe | changes)


def test_one_prompt_cannot_be_shared(recipe):
    prompts = recipe["prompts"] | {"per_round": 1}
    with pytest.raises(ValueError, match=r"prompts\.per_round: must be 2 or more"):
        recipe_from(recipe | {"prompts": prompts, "answers": "mixed"})


WORLD = {"recipe": "hacking", "run": "w", "policy": {"model": "world-small"}}


def test_a_world_without_a_teacher_that_writes_is_refused():
    with pytest.raises(ValueError, match=r"world\.teacher_lessons"):
        recipe_from(WORLD | {"world": {}})
    taught = recipe_from(WORLD | {"world": {"teacher_lessons": 100}})
    assert (taught.oracle.model, taught.teacher.model) == ("world", "world")
    small = recipe_from(WORLD | {"world": {}, "teacher": {"model": "world-small"}})
    assert small.teacher.model == "world-small"


def test_what_differs_between_two_worlds_is_what_bench_compares_by():
    one, other = (
        recipe_from(WORLD | {"world": {"teacher_lessons": 100}, "prompts": {"per_round": n}})
        for n in (10, 20)
    )
    assert one.yardstick() == other.yardstick() and json.dumps(one.yardstick())
    changed = recipe_from(WORLD | {"world": {"teacher_lessons": 200}})
    assert changed.yardstick() != one.yardstick()


def test_a_measure_without_rounds_stands_for_the_last_one():
    """So that a bench has U-turn and alarm of its runs."""
    from bench.budgets import Round, by_round

    found = by_round(Measure(value=3.0), [Round(1, []), Round(2, [])])
    assert found[2].value == 3.0 and set(found) == {2}
