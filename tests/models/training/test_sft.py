"""SFT: loss on the completion alone, nothing cut, equal runs equal bytes."""

import math
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig, Scheduler, TrainConfig
from models.chat import load_tokenizer
from models.hardware import training_dtype
from models.logps import sequence_logps
from models.training.sft import tokenise_conversations, train_sft
from tests.models.training.training_rows import conversations, file_digests

RUNTIME = RuntimeConfig(device="cpu")
TALKS = conversations(21)


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"learning_rate": 1e-3, "batch_size": 8, **changes})


def train(out: Path, model: Any, tokenizer: Any, **kwargs: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    arguments = {"conversations": TALKS, "config": config(), "runtime": RUNTIME, "seed": 0}
    return train_sft(out, model=model, tokenizer=tokenizer, **{**arguments, **kwargs})


def mean_nll(model_dir: Path, talks: list) -> float:
    sums, n_tokens = sequence_logps(
        model_dir, [(talk[:-1], talk[-1]["content"]) for talk in talks], runtime=RUNTIME
    )
    return float(-sums.sum() / n_tokens.sum())


@pytest.mark.parametrize("micro_batch", [0, 1, 5])
def test_loss_is_the_mean_over_completion_tokens(
    tmp_path: Path, policy_dir: Path, tokenizer: Any, micro_batch: int
) -> None:
    runtime = RuntimeConfig(device="cpu", train_micro_batch=micro_batch)
    meta = train(
        tmp_path / "out", policy_dir, tokenizer, config=config(batch_size=32), runtime=runtime
    )
    assert meta["steps"] == 1
    assert meta["losses"] == [pytest.approx(mean_nll(policy_dir, TALKS), rel=1e-5)]


def test_labels_cover_the_last_answer_and_its_end_only(tokenizer: Any) -> None:
    talk = [
        {"role": "user", "content": "red"},
        {"role": "assistant", "content": "green"},
        {"role": "user", "content": "blue"},
        {"role": "assistant", "content": "fig"},
    ]
    (row,), too_long = tokenise_conversations(tokenizer, [talk], 100)
    labelled = [token for token in row["labels"] if token != -100]
    assert tokenizer.decode(labelled) == "fig<|im_end|>"
    assert row["input_ids"][-len(labelled) :] == labelled
    assert tokenizer.decode(row["input_ids"]).startswith("<|im_start|>user\nred<|im_end|>")
    assert row["n_tokens"] == len(labelled) and too_long == 0


def test_demonstrations_are_learnt_and_every_parameter_moves(
    tmp_path: Path, policy_dir: Path, tokenizer: Any
) -> None:
    talks = conversations(64)
    out = tmp_path / "out"
    train(out, policy_dir, tokenizer, conversations=talks, config=config(epochs=4))
    assert mean_nll(out, talks) < 0.8 * mean_nll(policy_dir, talks)
    before, after = (
        load_file(policy_dir / "model.safetensors"),
        load_file(out / "model.safetensors"),
    )
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert {file.name for file in out.iterdir()} == {file.name for file in policy_dir.iterdir()}


def test_equal_runs_give_equal_bytes(tmp_path: Path, policy_dir: Path, tokenizer: Any) -> None:
    """From a directory, from a copy of it, and from a model in memory."""
    copy = Path(shutil.copytree(policy_dir, tmp_path / "copy"))
    in_memory = AutoModelForCausalLM.from_pretrained(policy_dir)
    for name, model in (("one", policy_dir), ("two", copy), ("three", in_memory)):
        train(tmp_path / name, model, load_tokenizer(policy_dir))
    train(tmp_path / "other", policy_dir, tokenizer, seed=1)
    first = file_digests(tmp_path / "one")
    assert first == file_digests(tmp_path / "two") == file_digests(tmp_path / "three")
    assert first["model.safetensors"] != file_digests(tmp_path / "other")["model.safetensors"]


def test_conversations_that_are_too_long_are_counted(
    tmp_path: Path, policy_dir: Path, tokenizer: Any
) -> None:
    rows, _ = tokenise_conversations(tokenizer, TALKS, 1024)
    limit = sorted(len(row["input_ids"]) for row in rows)[10]
    kept = sum(len(row["input_ids"]) <= limit for row in rows)
    meta = train(tmp_path / "out", policy_dir, tokenizer, config=config(max_length=limit))
    assert 0 < kept < 21 and (meta["rows"], meta["too_long"]) == (kept, 21 - kept)


def test_a_conversation_without_an_answer_is_refused(
    tmp_path: Path, policy_dir: Path, tokenizer: Any
) -> None:
    with pytest.raises(InputError, match="conversation 1: must end with an assistant message"):
        train(tmp_path / "out", policy_dir, tokenizer, conversations=[TALKS[0], TALKS[1][:1]])


@pytest.mark.parametrize("scheduler", get_args(Scheduler))
def test_every_schedule_of_the_recipe_trains(
    tmp_path: Path, policy_dir: Path, tokenizer: Any, scheduler: str
) -> None:
    meta = train(tmp_path / "out", policy_dir, tokenizer, config=config(scheduler=scheduler))
    assert meta["steps"] == 3 and math.isfinite(meta["final_loss"])
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_a_model_is_saved_in_the_precision_it_came_in(
    tmp_path: Path, policy_dir: Path, tokenizer: Any, stored: torch.dtype
) -> None:
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(policy_dir, dtype=stored).save_pretrained(base)
    tokenizer.save_pretrained(base)
    train(tmp_path / "out", base, tokenizer)
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {stored}


@pytest.mark.parametrize(
    ("stored", "dtype", "frozen", "held"),
    [
        (torch.bfloat16, "float32", True, torch.float32),
        (torch.bfloat16, "bfloat16", True, torch.bfloat16),
        (torch.float32, "bfloat16", True, torch.float32),
        (torch.bfloat16, "bfloat16", False, torch.float32),
    ],
)
def test_weights_that_learn_are_held_in_float32(
    stored: torch.dtype, dtype: Any, frozen: bool, held: torch.dtype
) -> None:
    assert training_dtype(stored, RuntimeConfig(device="cpu", dtype=dtype), frozen) == held
