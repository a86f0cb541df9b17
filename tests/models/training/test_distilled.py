"""A policy learns from targets: what the loss is, what is learned, what is left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from data.errors import InputError
from data.recipes.distillation import DistilledPolicy
from data.recipes.recipe import LaunchConfig, RuntimeConfig
from data.schemas import TARGETS
from data.tables import write_table
from models.chat import load_tokenizer, render_prompt
from models.teacher import Teacher
from models.training.distilled import train_on_targets
from models.training.kept_targets import KeptTargets
from tasks.targets import columns
from tests.models.training.training_rows import conversations, file_digests

RUNTIME = RuntimeConfig(device="cpu")
TALKS = conversations(12)
PROMPTS = {f"p{i}": talk[:-1] for i, talk in enumerate(TALKS)}
ANSWERS = [talk[-1]["content"] for talk in TALKS]


@pytest.fixture(scope="module")
def table(other_policy_dir: Path) -> Any:
    """TARGETS of another policy on twelve answers: k -> table."""
    teacher = Teacher(other_policy_dir, RUNTIME)

    def table(k: int) -> pa.Table:
        found = teacher.targets(list(zip(PROMPTS.values(), ANSWERS, strict=True)), k, 1.0)
        ids = pa.array(list(PROMPTS))
        return pa.table([ids, ids, *columns(found)], schema=TARGETS)

    return table


def config(**changes: Any) -> DistilledPolicy:
    given = {"method": "full", "learning_rate": 1e-3, "batch_size": 12, "max_length": 96}
    return DistilledPolicy(**given | changes)


def train(out: Path, policy: Path, targets: Any, runtime: RuntimeConfig = RUNTIME, **kwargs: Any):
    out.mkdir(exist_ok=True)
    if isinstance(targets, pa.Table):
        write_table(path := out.with_suffix(".parquet"), targets, TARGETS)
        targets = [path]
    given = {"config": config(), "temperature": 1.0, "seed": 0, "prompts": PROMPTS}
    return train_on_targets(
        out, policy=policy, targets=targets, runtime=runtime, **{**given, **kwargs}
    )


def mean_kl(teacher: Path, policy: Path, reverse: bool = False) -> float:
    """KL over all tokens, one answer at a time, mean over the answers' tokens."""
    tokenizer, values = load_tokenizer(teacher), []
    models = [AutoModelForCausalLM.from_pretrained(one).eval() for one in (teacher, policy)]
    read = Teacher(teacher, RUNTIME).targets(
        list(zip(PROMPTS.values(), ANSWERS, strict=True)), 1, 1.0
    )
    for talk, one in zip(PROMPTS.values(), read, strict=True):
        assert one is not None
        prompt, answer = render_prompt(tokenizer, talk), one.token_ids.tolist()
        with torch.no_grad():
            p, q = (
                m(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
                for m in models
            )
        p, q = (q, p) if reverse else (p, q)
        values += (p.exp() * (p - q)).sum(1).tolist()
    return float(np.mean(values))


@pytest.mark.parametrize("micro_batch", [0, 1, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_loss_is_the_mean_over_tokens_whatever_the_parts(
    tmp_path: Path,
    policy_dir: Path,
    other_policy_dir: Path,
    table: Any,
    micro_batch: int,
    reverse: bool,
) -> None:
    losses = {"reverse_kl" if reverse else "forward_kl": 2.0}
    runtime = RuntimeConfig(device="cpu", train_micro_batch=micro_batch)
    meta, learned = train(
        tmp_path / "out", policy_dir, table(1000), runtime, config=config(losses=losses)
    )
    expected = 2 * mean_kl(other_policy_dir, policy_dir, reverse)
    # Half precision: the targets are exact to 2**-8 of a nat, far less where they count.
    assert meta["losses"] == [pytest.approx(expected, rel=1e-3)]
    assert meta["steps"] == 1 and [owner for owner, _ in learned] == list(PROMPTS)
    assert meta["kept_mass"] == [pytest.approx(1.0), pytest.approx(1.0)]


def test_the_teacher_is_learnt_and_every_parameter_moves(
    tmp_path: Path, policy_dir: Path, other_policy_dir: Path, table: Any
) -> None:
    out = tmp_path / "out"
    losses = {"forward_kl": 1.0, "jsd": {"weight": 0.5, "beta": 0.3}, "sft": 0.0}
    meta, _ = train(
        out, policy_dir, table(50), config=config(losses=losses, epochs=40, batch_size=4)
    )
    assert mean_kl(other_policy_dir, out) < 0.5 * mean_kl(other_policy_dir, policy_dir)
    assert meta["final_loss"] < 0.5 * meta["first_loss"]
    assert {"loss/forward_kl", "loss/jsd", "loss/sft", "kept_mass"} <= meta["metrics"].keys()
    assert 0 < meta["kept_mass"][0] < meta["kept_mass"][1] < 1
    tokens = meta["learned_tokens"]
    assert tokens == sum(map(len, table(1)["token_ids"].to_pylist()))
    before, after = (load_file(x / "model.safetensors") for x in (policy_dir, out))
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_several_tables_are_learned_as_one(tmp_path: Path, policy_dir: Path, table: Any) -> None:
    whole, paths = table(5), [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, part in zip(paths, (whole.slice(0, 5), whole.slice(5)), strict=True):
        write_table(path, part, TARGETS)
    train(tmp_path / "one", policy_dir, whole)
    train(tmp_path / "two", policy_dir, paths)
    assert file_digests(tmp_path / "one") == file_digests(tmp_path / "two")


@pytest.mark.slow
def test_two_processes_learn_the_same(tmp_path: Path, policy_dir: Path, table: Any) -> None:
    shared = RuntimeConfig(device="cpu", train=LaunchConfig(processes=2))
    settings = {"config": config(batch_size=4, epochs=2)}
    alone, _ = train(tmp_path / "one", policy_dir, table(5), **settings)
    both, _ = train(tmp_path / "two", policy_dir, table(5), shared, **settings)
    assert both["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert both["kept_mass"] == pytest.approx(alone["kept_mass"], rel=0.1)  # a mean over shares
    one, two = (load_file(tmp_path / x / "model.safetensors") for x in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-4)


def test_an_adapter_is_merged_and_kept(tmp_path: Path, policy_dir: Path, table: Any) -> None:
    lora = config(method="lora", adapter={"r": 4}, epochs=4, learning_rate=1e-2)
    meta, _ = train(tmp_path / "out", policy_dir, table(5), config=lora)
    assert meta["final_loss"] < meta["first_loss"]
    assert (tmp_path / "out" / "adapter").is_dir()


def test_what_is_too_long_or_was_not_read_is_counted(
    tmp_path: Path, policy_dir: Path, table: Any
) -> None:
    rows = table(3).to_pylist()
    for name in ("token_ids", "logps", "rest", "top_ids", "top_logps"):
        rows[2][name] = None
    targets = pa.Table.from_pylist(rows, TARGETS)
    kept = KeptTargets([targets])
    assert kept.k == 3 and kept.tokens(2) == [] and kept.tokens(3) == rows[3]["token_ids"]
    lengths = [
        len(render_prompt(load_tokenizer(policy_dir), talk)) + len(row["token_ids"] or [])
        for talk, row in zip(PROMPTS.values(), rows, strict=True)
    ]
    limit = sorted(lengths)[-2]
    meta, learned = train(tmp_path / "out", policy_dir, targets, config=config(max_length=limit))
    over = sum(length > limit for length in lengths)
    assert (meta["unread"], meta["too_long"]) == (1, over) and over
    assert meta["rows"] == len(learned) == 11 - over and "p2" not in dict(learned)
    with pytest.raises(InputError, match="no answer is left to learn from"):
        train(tmp_path / "none", policy_dir, targets, config=config(max_length=8))


def test_another_vocabulary_is_refused(tmp_path: Path, policy_dir: Path, table: Any) -> None:
    rows = table(3).to_pylist()
    rows[0]["top_ids"][1] = 5000
    with pytest.raises(InputError, match="the same vocabulary"):
        train(tmp_path / "out", policy_dir, pa.Table.from_pylist(rows, TARGETS))


def test_a_killed_training_goes_on_as_if_undisturbed(
    tmp_path: Path, policy_dir: Path, table: Any
) -> None:
    often = RuntimeConfig(device="cpu", checkpoint_minutes=0)
    long = config(batch_size=4, epochs=4)
    train(tmp_path / "whole", policy_dir, table(5), often, config=long)

    def stop(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    given = {"config": long, "checkpoints": tmp_path / "scratch"}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "out", policy_dir, table(5), often, on_progress=stop, **given)
    meta, _ = train(tmp_path / "out", policy_dir, table(5), often, **given)
    assert meta["resumed_from_step"] >= 4
    assert file_digests(tmp_path / "out") == file_digests(tmp_path / "whole")
    other, _ = train(tmp_path / "other", policy_dir, table(6), often, **given)
    assert other["resumed_from_step"] == 0  # of other targets
