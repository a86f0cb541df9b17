"""What `runtime.train` may ask for is refused before a run where it cannot be had."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from data.errors import InputError
from data.recipes.recipe import LaunchConfig, RuntimeConfig
from flows.table import recipe_from
from models import devices
from models.training import launch_config
from models.training.launch_config import (
    SHIPPED,
    check_launch,
    config_path,
    is_sharded,
    launch_notes,
)


def runtime(device: str = "cpu", **train: Any) -> RuntimeConfig:
    return RuntimeConfig(device=device, train=LaunchConfig(**train))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs and DeepSpeed."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "gpus", lambda: 2)
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    monkeypatch.setattr(launch_config, "find_spec", lambda name: object())


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_can_be_used_on_gpus(name: str, gpus: None) -> None:
    check_launch(runtime("cuda", processes=2, config=name))
    assert is_sharded(LaunchConfig(config=name)) == (name != "ddp")
    notes = launch_notes(runtime("cuda", processes=2, config=name))
    assert any("writes no checkpoints" in note for note in notes) == (name != "ddp")


def test_accelerate_reads_what_is_shipped() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    files = [str(config_path(LaunchConfig(config=name))) for name in SHIPPED]
    kinds = [load_config_from_file(file).distributed_type for file in files]
    assert [str(kind).rpartition(".")[2] for kind in kinds] == ["MULTI_GPU", "FSDP", "DEEPSPEED"]


def test_one_process_asks_for_nothing() -> None:
    check_launch(runtime())
    check_launch(runtime(processes=2))


@pytest.mark.parametrize("config", ["fsdp", "zero3"])
def test_models_are_divided_among_gpus_alone(config: str) -> None:
    with pytest.raises(InputError, match=f"runtime.train.config: {config} divides models among"):
        check_launch(runtime(processes=2, config=config))


def test_there_are_as_many_gpus(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="runtime.train.processes: 3 asked for, .* has 2; lower"):
        check_launch(runtime("cuda", processes=3))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(InputError, match="has 1; lower it"):
        check_launch(runtime("cuda", processes=2))


def test_deepspeed_is_installed(gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_config, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="deepspeed is not installed; `pip install deepspeed`"):
        check_launch(runtime("cuda", processes=2, config="zero3"))


SHARDED = {"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}}
ZERO = {"distributed_type": "DEEPSPEED", "deepspeed_config": {"gradient_clipping": 1.0}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distributed_type": "NO"}, "has the distributed_type 'NO'; MULTI_GPU, FSDP, DEEPSPEED"),
        (["a list"], "has the distributed_type None"),
        (SHARDED | {"num_processes": 8}, "sets num_processes to 8, .* make it 2, or leave it out"),
        (SHARDED | {"num_machines": 2}, "sets num_machines to 2"),
        (SHARDED | {"mixed_precision": "fp16"}, "sets mixed_precision to 'fp16'.* make it 'bf16'"),
        (SHARDED | {"fsdp_config": {"fsdp_version": 1}}, "sets fsdp_config.fsdp_version to 1"),
        (SHARDED | {"dynamo_config": {"dynamo_backend": "INDUCTOR"}}, "sets dynamo_config"),
        ({"distributed_type": "DEEPSPEED"}, "lacks gradient_clipping"),
        (
            ZERO | {"deepspeed_config": {"gradient_clipping": 0.1}},
            "sets deepspeed_config.gradient_clipping to 0.1",
        ),
        (
            ZERO | {"deepspeed_config": {"gradient_clipping": 1.0, "deepspeed_config_file": "x"}},
            "sets deepspeed_config.deepspeed_config_file",
        ),
    ],
)
def test_a_file_that_decides_more_is_refused(
    values: Any, message: str, gpus: None, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=message):
        check_launch(runtime("cuda", processes=2, config=str(path)))


def test_a_file_of_accelerate_config_is_taken(gpus: None, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        yaml.safe_dump(
            SHARDED | {"num_processes": 2, "mixed_precision": "bf16", "main_training_function": "x"}
        )
    )
    check_launch(runtime("cuda", processes=2, config=str(path)))


@pytest.mark.parametrize(("text", "reason"), [(None, "cannot be read"), (":\n  - [", "no YAML")])
def test_a_file_that_is_none(text: str | None, reason: str, gpus: None, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    if text:
        path.write_text(text)
    asked = runtime("cuda", processes=2, config=str(path))
    with pytest.raises(InputError, match=reason):
        check_launch(asked)
    assert launch_notes(asked) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": {"batch_size": 30}}, "policy.batch_size: 30 rows .* multiple of 4"),
        ({"student": {"batch_size": 34}}, "student.batch_size: 34 rows do not go round"),
        (
            {"runtime": {"train": {"processes": 2}, "train_micro_batch": 6}},
            "policy.batch_size: 32 .* 2 in parts of runtime.train_micro_batch 6; .* multiple of 12",
        ),
        ({"policy": {"losses": {"aot": 1}}}, "runtime.train.processes: must be 1 with the aot"),
    ],
)
def test_batches_go_round(settings: dict[str, Any], message: str) -> None:
    values = {"run": "shared", "world": {}, "runtime": {"train": {"processes": 4}}} | settings
    with pytest.raises(ValidationError, match=message):
        recipe_from(values)


def test_a_student_that_is_not_trained_may_have_any_batch() -> None:
    recipe_from(
        {
            "run": "shared",
            "world": {},
            "runtime": {"train": {"processes": 4}},
            "student": {"batch_size": 3, "update": False, "replay_path": None},
        }
    )
