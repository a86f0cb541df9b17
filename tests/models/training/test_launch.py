"""Several processes train what one trains, leave nothing behind, and say why they failed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from safetensors.torch import load_file

from data.errors import InputError, TrainingError
from data.recipes.fine_tuning import FineTuneConfig
from data.recipes.recipe import AdapterConfig, LaunchConfig, PolicyConfig, RuntimeConfig
from data.recipes.training import StudentTraining
from models.isolation import ChildDiedError
from models.text_pairs import load_reader
from models.training.demonstrations import train_on_answers
from models.training.dpo import train_dpo
from models.training.launch import trained
from models.training.reward_training import train_reward_model
from models.training.work import read, write
from tests.models.training.odd_trainings import DPO, PAIRS, SETTINGS, Short, divided, little_memory
from tests.models.training.training_rows import reference
from tests.repository import ROOT

ONE = RuntimeConfig(device="cpu", checkpoint_minutes=0)
TWO = RuntimeConfig(device="cpu", checkpoint_minutes=0, train=LaunchConfig(processes=2))


def dpo(out: Path, model: Path, runtime: RuntimeConfig, **other: Any) -> dict[str, Any]:
    out.mkdir()
    settings = DPO | other.pop("settings", {})
    given = {"preferences": PAIRS, "reference": reference(PAIRS), "seed": 1} | other
    return train_dpo(out, policy=model, config=PolicyConfig(**settings), runtime=runtime, **given)


def reward(out: Path, model: Path, runtime: RuntimeConfig, **other: Any) -> dict[str, Any]:
    out.mkdir()
    config = StudentTraining(**SETTINGS | {"method": "lora"} | other.pop("settings", {}))
    given = {"preferences": PAIRS, "seed": 1, "loss": config.loss} | other
    return train_reward_model(
        out,
        model=model,
        tokenizer=load_reader(model),
        config=config,
        adapter=config.adapter,
        runtime=runtime,
        **given,
    )


def answers(out: Path, model: Path, runtime: RuntimeConfig, **other: Any) -> dict[str, Any]:
    """Fine-tuning on the chosen completions."""
    out.mkdir()
    tokens = pa.nulls(len(PAIRS), pa.list_(pa.int32()))
    columns = {"messages": PAIRS["messages"], "completion": PAIRS["chosen"], "token_ids": tokens}
    return train_on_answers(
        out,
        policy=model,
        demonstrations=pa.table(columns),
        config=FineTuneConfig(**SETTINGS, method="full"),
        runtime=runtime,
        seed=1,
        **other,
    )


def moved(one: Path, other: Path) -> float:
    """The largest difference between the weights of two saved models."""
    weights = [load_file(path / "model.safetensors") for path in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    return max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])


@pytest.mark.parametrize(
    "train, model",
    [
        (dpo, "policy_dir"),
        pytest.param(reward, "llama_reward_dir", marks=pytest.mark.slow),
        pytest.param(answers, "policy_dir", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_what_one_does(
    train: Any, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Up to the order in which float32 adds up: each process sums its half, then they are added.

    A gradient differs by some 1e-7 of itself, and Adam's step by as much of the learning rate, but
    for weights whose gradient all but vanishes. Allowed: 1e-3 of how far any weight was moved.
    """
    base = request.getfixturevalue(model)
    seen: list[tuple[int, int]] = []
    told = [
        train(tmp_path / "one", base, ONE),
        train(tmp_path / "two", base, TWO, on_progress=lambda *step: seen.append(step)),
    ]
    assert moved(tmp_path / "one", tmp_path / "two") < 1e-3 * moved(base, tmp_path / "one")
    for name in ("steps", "rows", "resumed_from_step"):
        assert told[0][name] == told[1][name]
    assert told[1]["losses"] == pytest.approx(told[0]["losses"], rel=1e-5)
    assert told[1].get("accuracy") == pytest.approx(told[0].get("accuracy"))
    # Means over rows, but for TRL's means over tokens, which are over those of a part.
    of_tokens = {"entropy", "logits/chosen", "logits/rejected", "mean_token_accuracy"}
    for name in told[0]["metrics"].keys() - of_tokens:
        if name not in ("min_reward", "max_reward"):
            assert told[1]["metrics"][name] == pytest.approx(told[0]["metrics"][name], rel=1e-4)
    assert seen[-1] == (6, 6)
    # The model alone is left, as one process leaves it.
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }


def workers(folder: Path) -> list[int]:
    """The processes that are at the training in `folder`, the launcher too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and "models.training.worker" in command:
            found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], Any], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


LONG = {"epochs": 12}  # 36 steps


def steps_saved(checkpoints: Path) -> int:
    saved = checkpoints.glob("checkpoint-*/complete.json")
    return max((int(path.parent.name.partition("-")[2]) for path in saved), default=0)


@pytest.fixture(scope="module")
def interrupted(policy_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a training in two processes whose parent was killed in the second epoch."""
    folder = tmp_path_factory.mktemp("interrupted")
    script = (
        "from pathlib import Path\n"
        "from tests.models.training.test_launch import LONG, TWO, dpo\n"
        f"dpo(Path({str(folder / 'out')!r}), Path({str(policy_dir)!r}), TWO, settings=LONG,"
        f" checkpoints=Path({str(folder / 'checkpoints')!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        assert until(lambda: steps_saved(folder / "checkpoints") >= 4 or parent.poll() is not None)
        assert len(workers(folder / "out")) == 3  # and the launcher
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: not workers(folder / "out"), 20)
    return folder / "checkpoints"


@pytest.mark.slow  # of one process: test_resume.py
@pytest.mark.parametrize("runtime", [ONE, TWO], ids=["by one", "by two"])
def test_what_a_killed_run_left_is_continued(
    runtime: RuntimeConfig, interrupted: Path, policy_dir: Path, tmp_path: Path
) -> None:
    dpo(tmp_path / "calm", policy_dir, ONE, settings=LONG)
    shutil.copytree(interrupted, tmp_path / "checkpoints")
    saved = steps_saved(interrupted)
    told = dpo(
        tmp_path / "out",
        policy_dir,
        runtime,
        settings=LONG,
        checkpoints=tmp_path / "checkpoints",
    )
    assert told["resumed_from_step"] == saved >= 4
    apart, far = moved(tmp_path / "calm", tmp_path / "out"), moved(policy_dir, tmp_path / "calm")
    assert apart < 1e-3 * far


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_and_ends_the_others(
    policy_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def kill_one(done: int, planned: int) -> None:
        os.kill(max(workers(out)), signal.SIGKILL)

    with pytest.raises(ChildDiedError, match="2 processes ended with exit code 1") as died:
        dpo(out, policy_dir, TWO, settings={"epochs": 60}, on_progress=kill_one)
    assert "Signal 9 (SIGKILL)" in died.value.__notes__[0]
    assert until(lambda: not workers(out), 20)


def test_what_a_process_refuses_is_raised_here(policy_dir: Path, tmp_path: Path) -> None:
    wrong = {"method": "lora", "adapter": AdapterConfig(target_modules=["q_prj"])}
    with pytest.raises(InputError, match="^policy: Target modules .*q_prj"):
        dpo(tmp_path / "out", policy_dir, TWO, settings=wrong)


@pytest.mark.slow
def test_an_interrupted_training_ends_its_processes(policy_dir: Path, tmp_path: Path) -> None:
    def interrupt(done: int, planned: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dpo(tmp_path / "out", policy_dir, TWO, settings={"epochs": 60}, on_progress=interrupt)
    assert until(lambda: not workers(tmp_path / "out"), 20)


@pytest.mark.parametrize("runtime", [ONE, TWO])
def test_a_training_is_the_same_after_it_was_a_file(
    runtime: RuntimeConfig, policy_dir: Path, tmp_path: Path
) -> None:
    job = little_memory(policy_dir, runtime)
    write(tmp_path / "work", job)
    assert read(tmp_path / "work") == job


@pytest.mark.parametrize(
    "runtime", [ONE, pytest.param(TWO, marks=pytest.mark.slow)], ids=["one", "two"]
)
def test_where_memory_is_short_smaller_parts_give_the_same(
    runtime: RuntimeConfig, policy_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out").mkdir()
    trainer, told = trained(little_memory(policy_dir, runtime), tmp_path / "out")
    assert told["micro_batch"] == 2
    assert "going on with 2 rows per forward pass" in caplog.text
    trainer.model.save_pretrained(tmp_path / "short")
    dpo(tmp_path / "calm", policy_dir, ONE)
    apart = moved(tmp_path / "calm", tmp_path / "short")
    assert apart < 1e-3 * moved(policy_dir, tmp_path / "calm")


def test_not_even_one_row_fits(
    policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Short, "limit", 0)
    with pytest.raises(TrainingError, match="not enough memory for 1 row per forward pass"):
        trained(little_memory(policy_dir, ONE), tmp_path)


def test_what_belongs_into_one_part_is_not_cut(policy_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not enough memory for 8 rows per forward pass"):
        trained(little_memory(policy_dir, ONE), tmp_path, whole=True)


@pytest.mark.slow
def test_a_model_divided_by_fsdp_is_trained_like_a_whole_one(
    policy_dir: Path, tmp_path: Path
) -> None:
    """The configuration that is shipped, over gloo; parts of two pairs."""
    fsdp = LaunchConfig(processes=2, config="fsdp")
    runtime = RuntimeConfig(device="cpu", train=fsdp, train_micro_batch=2)
    (tmp_path / "out").mkdir()
    trainer, told = trained(divided(policy_dir, runtime), tmp_path / "out")
    trainer.model.save_pretrained(tmp_path / "divided")
    calm = dpo(tmp_path / "calm", policy_dir, ONE)
    assert told["losses"] == pytest.approx(calm["losses"], rel=1e-5)
    apart = moved(tmp_path / "calm", tmp_path / "divided")
    assert apart < 1e-3 * moved(policy_dir, tmp_path / "calm")
