"""A moving average of policies."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from data.recipes.recipe import RuntimeConfig
from models.training.averaging import average_models

RUNTIME = RuntimeConfig(device="cpu")


@pytest.fixture
def shifted(policy_dir: Path, tmp_path: Path) -> Path:
    """The tiny policy with 1 added to every parameter."""
    folder = tmp_path / "shifted"
    shutil.copytree(policy_dir, folder)
    model = AutoModelForCausalLM.from_pretrained(str(policy_dir))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    model.save_pretrained(folder)
    return folder


def parameters(path: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(str(path)).named_parameters())


@pytest.mark.parametrize("decay", [0.25, 0.9])
def test_the_average_is_the_weighted_mean(
    policy_dir: Path, shifted: Path, tmp_path: Path, decay: float
) -> None:
    average_models(
        tmp_path / "out", average=policy_dir, policy=shifted, decay=decay, runtime=RUNTIME
    )
    old, mean = parameters(policy_dir), parameters(tmp_path / "out")
    for name, parameter in old.items():
        torch.testing.assert_close(mean[name], parameter + (1 - decay), rtol=1e-5, atol=1e-5)


def test_another_shape_is_refused(policy_dir: Path, tmp_path: Path) -> None:
    config = LlamaConfig.from_pretrained(str(policy_dir))
    config.num_hidden_layers += 1
    LlamaForCausalLM(config).save_pretrained(tmp_path / "deeper")
    with pytest.raises(ValueError, match="different shapes"):
        average_models(
            tmp_path / "out",
            average=policy_dir,
            policy=tmp_path / "deeper",
            decay=0.5,
            runtime=RUNTIME,
        )
