"""QLoRA: an adapter learns on weights in 4 bits, and is merged into the whole ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from data.errors import InputError
from data.recipes.recipe import LaunchConfig, PolicyConfig, RuntimeConfig, TrainConfig
from models import devices
from models.loading import load_policy_in_4_bits
from models.logps import sequence_logps
from models.training import dpo, launch_config
from models.training.launch_config import check_qlora
from tests.models.training.training_rows import preferences, reference

RUNTIME = RuntimeConfig(device="cpu")
QLORA = PolicyConfig(method="qlora", batch_size=8, max_length=96, learning_rate=1e-2, epochs=4)
PAIRS = preferences(21)
ITEMS = list(zip(PAIRS["messages"].to_pylist(), PAIRS["chosen"].to_pylist(), strict=True))


def test_it_has_an_adapter_of_its_own() -> None:
    assert QLORA.adapter is not None and QLORA.trained_as == "lora"
    with pytest.raises(ValueError, match="policy.adapter: the method qlora needs one"):
        PolicyConfig(method="qlora", adapter=None)


def test_where_it_cannot_be_had_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_qlora(PolicyConfig(), RUNTIME)
    check_qlora(TrainConfig(learning_rate=1.0), RUNTIME)
    with pytest.raises(InputError, match="on an NVIDIA GPU, and none is used here; use lora"):
        check_qlora(QLORA, RUNTIME)
    monkeypatch.setattr(devices, "gpus", lambda: 2)
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(launch_config, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="qlora needs bitsandbytes; `pip install bitsandbytes`"):
        check_qlora(QLORA, RuntimeConfig())
    monkeypatch.setattr(launch_config, "find_spec", lambda name: object())
    check_qlora(QLORA, RuntimeConfig(train=LaunchConfig(processes=2)))
    with pytest.raises(InputError, match="fsdp divides it; use runtime.train.config ddp"):
        check_qlora(QLORA, RuntimeConfig(train=LaunchConfig(processes=2, config="fsdp")))


def test_the_adapter_is_merged_into_whole_weights(
    policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernels that bitsandbytes has for a CPU; a run asks for a GPU."""
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    whole, held = dpo._base, []

    def base(policy: Path, config: PolicyConfig, runtime: RuntimeConfig) -> Any:
        held.append(len(held) == 0)  # the first is trained, the second is what is merged into
        if not held[-1]:
            return whole(policy, config, runtime)
        return load_policy_in_4_bits(policy, torch.float32, torch.device("cpu"))

    monkeypatch.setattr(dpo, "_base", base)
    told = dpo.train_dpo(
        tmp_path,
        policy=policy_dir,
        preferences=PAIRS,
        reference=reference(PAIRS),
        config=QLORA,
        runtime=RUNTIME,
        seed=1,
    )
    assert held == [True, False]
    assert told["losses"][-1] < told["losses"][0]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(path.name for path in policy_dir.iterdir()),
        "adapter",
    }
    ids = torch.arange(4, 60)[None]
    plain = AutoModelForCausalLM.from_pretrained(policy_dir)
    adapted = PeftModel.from_pretrained(plain, tmp_path / "adapter")(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
    assert torch.allclose(merged, adapted, atol=1e-4)
    assert {w.dtype for w in load_file(tmp_path / "model.safetensors").values()} == {torch.float32}


def test_the_reference_is_what_the_training_starts_from(policy_dir: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    whole, _ = sequence_logps(policy_dir, ITEMS, runtime=RUNTIME)
    held, _ = sequence_logps(policy_dir, ITEMS, runtime=RUNTIME, in_4_bits=True)
    assert 0.01 < abs(held - whole).max() < 0.5 * abs(whole).max()
