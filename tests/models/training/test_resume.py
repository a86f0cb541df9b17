"""Trainings that are killed: they go on, bit for bit as if undisturbed, or start again."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.trainer_pt_utils import safe_globals

from data.recipes.losses import BRADLEY_TERRY, MarginRanking
from data.recipes.recipe import AdapterConfig, PolicyConfig, RuntimeConfig, TrainConfig
from data.store.digests import file_digest
from models.chat import load_tokenizer
from models.training import resume
from models.training.dpo import train_dpo
from models.training.reward_training import train_reward_model
from models.training.sft import train_sft
from models.training.trainers import PartsTrainer
from tests.models.training.training_rows import conversations, file_digests, preferences, reference

EVERY_ENTRY = RuntimeConfig(device="cpu", checkpoint_minutes=0)
SMALL = {"epochs": 2, "batch_size": 4, "max_length": 96, "learning_rate": 1e-3}
PLANNED = 12  # six an epoch
ADAPTER = AdapterConfig(r=4, dropout=0.1)


def sft(out, base, reward, checkpoints, runtime=EVERY_ENTRY, **other):
    return train_sft(
        out,
        model=base,
        tokenizer=load_tokenizer(base),
        conversations=conversations(24),
        config=TrainConfig(**SMALL | other),
        runtime=runtime,
        seed=1,
        checkpoints=checkpoints,
    )


def student(out, base, reward, checkpoints, adapter=ADAPTER, loss=BRADLEY_TERRY, **other):
    return train_reward_model(
        out,
        model=reward,
        tokenizer=load_tokenizer(reward),
        preferences=preferences(24),
        config=TrainConfig(**SMALL | other),
        adapter=adapter,
        loss=loss,
        runtime=EVERY_ENTRY,
        seed=1,
        checkpoints=checkpoints,
    )


def reward_full(out, base, reward, checkpoints, **other):
    return student(out, base, reward, checkpoints, None, **other)


def dpo(out, base, reward, checkpoints, method="full", **other):
    return train_dpo(
        out,
        policy=base,
        preferences=preferences(24),
        reference=reference(preferences(24)),
        config=PolicyConfig(
            method=method,
            sft_weight=0.1,
            adapter=ADAPTER if method == "lora" else None,
            **SMALL | other,
        ),
        runtime=EVERY_ENTRY,
        seed=1,
        checkpoints=checkpoints,
    )


def dpo_lora(out, base, reward, checkpoints, **other):
    return dpo(out, base, reward, checkpoints, "lora", **other)


TRAININGS = {train.__name__: train for train in (sft, student, reward_full, dpo, dpo_lora)}

# One server imports the libraries; each training that is killed is a fork of it.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch", "peft", "trl.trainer.dpo_trainer", "trl.trainer.sft_trainer"]
)


def die_in(method, step, name, arguments):
    """Train, in a process of its own, and be killed when the trainer calls `method` at `step`."""
    original = getattr(PartsTrainer, method)

    def killed(self, *args, **kwargs):
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **kwargs)

    setattr(PartsTrainer, method, killed)
    TRAININGS[name](*arguments)


def kill_at(step, name, out, base, reward, checkpoints, method="training_step"):
    out.mkdir()
    process = FORKS.Process(
        target=die_in, args=(method, step, name, (out, base, reward, checkpoints))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    shutil.rmtree(out)


@pytest.fixture
def models(policy_dir, llama_reward_dir):
    return policy_dir, llama_reward_dir


@pytest.fixture(scope="module")
def calm(policy_dir, llama_reward_dir, tmp_path_factory):
    """Metadata and file digests of each training when nothing disturbs it."""

    @cache
    def train(name):
        out = tmp_path_factory.mktemp("calm") / name
        return TRAININGS[name](out, policy_dir, llama_reward_dir, None), file_digests(out)

    return train


# Twice, in the first epoch and in the second; and, of one with and one without an adapter, between.
@pytest.mark.parametrize(
    ("name", "steps"),
    [*((name, (3, 8)) for name in TRAININGS), ("sft", (6,)), ("dpo_lora", (6,))],
    ids=str,
)
def test_a_killed_training_ends_as_an_undisturbed_one(name, steps, calm, models, tmp_path):
    for step in steps:
        kill_at(step, name, tmp_path / "out", *models, tmp_path / "checkpoints")
    meta = TRAININGS[name](tmp_path / "out", *models, tmp_path / "checkpoints")
    assert meta["resumed_from_step"] == steps[-1]
    assert (meta | {"resumed_from_step": 0}, file_digests(tmp_path / "out")) == calm(name)


@pytest.mark.parametrize("method", ["_save_optimizer_and_scheduler", "_save_rng_state"])
def test_killed_while_a_checkpoint_is_written_it_goes_on_from_the_one_before(
    method, calm, models, tmp_path
):
    kill_at(6, "sft", tmp_path / "out", *models, tmp_path / "checkpoints", method)
    found = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert found == {"checkpoint-5", "checkpoint-6"}
    meta = sft(tmp_path / "out", *models, tmp_path / "checkpoints")
    assert meta["resumed_from_step"] == 5
    assert file_digests(tmp_path / "out") == calm("sft")[1]


@pytest.fixture(scope="module")
def interrupted(policy_dir, llama_reward_dir, tmp_path_factory):
    """What a training that was killed at step 5 of 12 left behind."""
    folder = tmp_path_factory.mktemp("interrupted")
    kill_at(5, "sft", folder / "out", policy_dir, llama_reward_dir, folder / "checkpoints")
    return folder / "checkpoints"


@pytest.fixture
def left(interrupted, tmp_path):
    return Path(shutil.copytree(interrupted, tmp_path / "checkpoints"))


def test_one_checkpoint_is_kept_and_nothing_unsafe_is_in_it(left):
    assert [path.name for path in left.iterdir()] == ["checkpoint-5"]
    for path in (left / "checkpoint-5").glob("*.[bp][it]*"):  # .bin, .pt, .pth
        with safe_globals():
            torch.load(path, weights_only=True)


def rename_a_weight(left):
    """As a model does that saves its weights under other names than it has in memory."""
    path = left / "checkpoint-5" / "model.safetensors"
    weights = load_file(path)
    weights["renamed"] = weights.pop("model.norm.weight")
    save_file(weights, path)
    manifest = left / "checkpoint-5" / resume.MANIFEST
    content = json.loads(manifest.read_text())
    content["files"][path.name] = file_digest(path, fresh=True)
    manifest.write_text(json.dumps(content))


def test_a_weight_that_would_not_be_restored_stops_the_training(left, models, tmp_path):
    rename_a_weight(left)
    with pytest.raises(KeyError, match="model.norm.weight"):
        sft(tmp_path / "out", *models, left)


@pytest.mark.parametrize(
    "damage", ["manifest", "no json", "a list", "truncated", "flipped", "gone"]
)
def test_a_damaged_checkpoint_is_thrown_away(damage, left, models, tmp_path, caplog):
    path = left / "checkpoint-5"
    weights = path / "model.safetensors"
    content = weights.read_bytes()
    if damage == "manifest":
        (path / resume.MANIFEST).unlink()
    elif damage in ("no json", "a list"):
        (path / resume.MANIFEST).write_text("{" if damage == "no json" else "[]")
    elif damage == "truncated":
        weights.write_bytes(content[:-1])
    elif damage == "flipped":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (path / "optimizer.pt").unlink()
    assert sft(tmp_path / "out", *models, left)["resumed_from_step"] == 0
    assert "checkpoint-5: incomplete or damaged; it is not continued" in caplog.text


@pytest.mark.parametrize("other", ["learning_rate", "rows", "base"])
def test_a_checkpoint_of_another_training_is_not_continued(
    other, left, models, other_policy_dir, tmp_path, monkeypatch, caplog
):
    settings = {"learning_rate": 2e-3} if other == "learning_rate" else {}
    if other == "rows":
        others = conversations(24)[::-1]
        monkeypatch.setattr(sys.modules[__name__], "conversations", lambda n: others)
    base = other_policy_dir if other == "base" else models[0]
    meta = sft(tmp_path / "out", base, models[1], left, **settings)
    assert meta["resumed_from_step"] == 0
    assert "of other rows, settings or weights; it is not continued" in caplog.text


def test_an_adapter_is_not_continued_on_another_base(models, other_policy_dir, tmp_path):
    """The checkpoint of an adapter lacks the base's weights, so nothing else would tell."""
    kill_at(5, "dpo_lora", tmp_path / "out", *models, tmp_path / "checkpoints")
    meta = dpo_lora(tmp_path / "out", other_policy_dir, models[1], tmp_path / "checkpoints")
    assert meta["resumed_from_step"] == 0


@pytest.mark.parametrize(
    "change", [{"loss": MarginRanking(name="margin_ranking")}, {"adapter": AdapterConfig(r=4)}]
)
def test_loss_and_adapter_are_part_of_what_a_checkpoint_is_bound_to(change, models, tmp_path):
    kill_at(5, "student", tmp_path / "out", *models, tmp_path / "checkpoints")
    meta = student(tmp_path / "out", *models, tmp_path / "checkpoints", **change)
    assert meta["resumed_from_step"] == 0


def test_a_checkpoint_at_the_last_step_is_not_passed_off_as_a_training(
    left, models, calm, tmp_path, caplog
):
    last = (left / "checkpoint-5").rename(left / f"checkpoint-{PLANNED}")
    manifest = json.loads((last / resume.MANIFEST).read_text()) | {"step": PLANNED}
    (last / resume.MANIFEST).write_text(json.dumps(manifest))
    meta = sft(tmp_path / "out", *models, left)
    assert "at the last step already; it is not continued" in caplog.text
    assert (meta, file_digests(tmp_path / "out")) == calm("sft")


def test_no_checkpoint_is_written_before_its_time_or_at_the_last_step(models, tmp_path):
    sft(tmp_path / "out", *models, tmp_path / "checkpoints")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-11"]
    seldom = RuntimeConfig(device="cpu")
    sft(tmp_path / "two", *models, tmp_path / "none", runtime=seldom)
    assert not list((tmp_path / "none").glob("checkpoint-*"))
