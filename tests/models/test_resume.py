"""Trainings that are killed: they go on, bit for bit as if undisturbed, or start again."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.recipe import AdapterConfig, PolicyConfig, RuntimeConfig, TrainConfig
from models import resume
from models.chat import load_tokenizer
from models.dpo import train_dpo
from models.reward_training import train_reward_model
from models.sft import train_sft
from tests.models.training_rows import conversations, file_digests, preferences, reference

EVERY_ENTRY = RuntimeConfig(device="cpu", checkpoint_minutes=0)
SMALL = {"epochs": 2, "batch_size": 4, "max_length": 96, "learning_rate": 1e-3}
PLANNED = 12


def sft(out, base, reward, checkpoints, **other):
    return train_sft(
        out,
        model=base,
        tokenizer=load_tokenizer(base),
        conversations=conversations(24),
        config=TrainConfig(**SMALL | other),
        runtime=EVERY_ENTRY,
        seed=1,
        checkpoints=checkpoints,
    )


def student(out, base, reward, checkpoints, **other):
    return train_reward_model(
        out,
        model=reward,
        tokenizer=load_tokenizer(reward),
        preferences=preferences(24),
        config=TrainConfig(**SMALL | other),
        adapter=AdapterConfig(r=4, dropout=0.1),
        runtime=EVERY_ENTRY,
        seed=1,
        checkpoints=checkpoints,
    )


def dpo(out, base, reward, checkpoints, method="full", **other):
    return train_dpo(
        out,
        policy=base,
        preferences=preferences(24),
        reference=reference(preferences(24)),
        config=PolicyConfig(method=method, sft_weight=0.1, **SMALL | other),
        runtime=EVERY_ENTRY,
        seed=1,
        checkpoints=checkpoints,
    )


def dpo_lora(out, base, reward, checkpoints, **other):
    return dpo(out, base, reward, checkpoints, "lora", **other)


TRAININGS = {train.__name__: train for train in (sft, student, dpo, dpo_lora)}

KILLED = """
import os, signal, sys
from pathlib import Path
from models.trainers import PartsTrainer
from tests.models.test_resume import TRAININGS
name, out, base, reward, checkpoints, last = sys.argv[1:]
original = PartsTrainer.training_step
def training_step(self, *args, **kwargs):
    if self.state.global_step == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *args, **kwargs)
PartsTrainer.training_step = training_step
TRAININGS[name](*map(Path, (out, base, reward, checkpoints)))
"""


def kill_at(step, name, out, base, reward, checkpoints):
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, name, *map(str, (out, base, reward, checkpoints, step))],
        cwd=Path(__file__).parents[2],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    shutil.rmtree(out)


@pytest.fixture
def models(policy_dir, llama_reward_dir):
    return policy_dir, llama_reward_dir


@pytest.mark.parametrize("name", TRAININGS)
def test_a_killed_training_ends_as_an_undisturbed_one(name, models, tmp_path):
    calm = TRAININGS[name](tmp_path / "calm", *models, None)
    kill_at(8, name, tmp_path / "out", *models, tmp_path / "checkpoints")  # in the second epoch
    meta = TRAININGS[name](tmp_path / "out", *models, tmp_path / "checkpoints")
    assert (calm["resumed_from_step"], meta["resumed_from_step"]) == (0, 8)
    assert meta | {"resumed_from_step": 0} == calm
    assert file_digests(tmp_path / "out") == file_digests(tmp_path / "calm")


@pytest.fixture(scope="module")
def interrupted(policy_dir, llama_reward_dir, tmp_path_factory):
    """What a training that was killed at step 5 of 12 left behind."""
    folder = tmp_path_factory.mktemp("interrupted")
    kill_at(5, "sft", folder / "out", policy_dir, llama_reward_dir, folder / "checkpoints")
    return folder / "checkpoints"


@pytest.fixture
def left(interrupted, tmp_path):
    return Path(shutil.copytree(interrupted, tmp_path / "checkpoints"))


def test_one_checkpoint_is_kept_and_none_of_it_needs_a_pickle_to_be_trusted(left):
    assert [path.name for path in left.iterdir()] == ["checkpoint-5"]
    assert not (left / "checkpoint-5" / "training_args.bin").exists()


@pytest.mark.parametrize("damage", ["manifest", "truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_thrown_away(damage, left, models, tmp_path):
    path = left / "checkpoint-5"
    weights = path / "model.safetensors"
    if damage == "manifest":
        (path / resume.MANIFEST).unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "flipped":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\\x55")
    else:
        (path / "optimizer.pt").unlink()
    assert sft(tmp_path / "out", *models, left)["resumed_from_step"] == 0


def test_a_newer_half_written_checkpoint_gives_way_to_the_one_before(left, models, tmp_path):
    shutil.copytree(left / "checkpoint-5", left / "checkpoint-6")
    (left / "checkpoint-6" / resume.MANIFEST).unlink()
    assert sft(tmp_path / "out", *models, left)["resumed_from_step"] == 5


def test_a_checkpoint_of_other_settings_is_not_continued(left, models, tmp_path):
    assert sft(tmp_path / "out", *models, left, learning_rate=2e-3)["resumed_from_step"] == 0


def test_a_checkpoint_of_other_rows_is_not_continued(left, models, tmp_path, monkeypatch):
    others = conversations(24)[::-1]
    monkeypatch.setattr(sys.modules[__name__], "conversations", lambda n: others)
    assert sft(tmp_path / "out", *models, left)["resumed_from_step"] == 0


def test_a_checkpoint_at_the_last_step_is_not_passed_off_as_a_training(left, models, tmp_path):
    (left / "checkpoint-5").rename(left / f"checkpoint-{PLANNED}")
    meta = sft(tmp_path / "out", *models, left)
    assert (meta["resumed_from_step"], meta["steps"]) == (0, PLANNED)
