"""vLLM serves a policy as adapters on its base as it serves the merged weights."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from data.errors import TrainingError
from data.recipes.recipe import AdapterConfig, RuntimeConfig
from models.adapted import FOLDER, RANKS, Adapted, modules_of, room_for
from models.engines.base import Sampling
from models.engines.transformers import TransformersEngine
from models.training.adapters import policy_adapter, save_and_merge
from tests.fixtures.once import Once

GREEDY = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=24)
LENGTH = 128
R = 4


def trained(base: Path, out: Path, tokenizer: PreTrainedTokenizerFast, seed: int) -> Path:
    """A policy as a training leaves it: an adapter that is not nothing, and the merged weights."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    adapted = get_peft_model(model, policy_adapter(AdapterConfig(r=R, alpha=2 * R, dropout=0.0)))
    for name, weight in adapted.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(weight, std=0.2)
    save_and_merge(adapted, out).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def policies(once: Once, policy_dir: Path, tokenizer: PreTrainedTokenizerFast) -> list[Path]:
    """The base, and what two trainings have left one after the other."""
    first = once("adapted-1", lambda out: trained(policy_dir, out, tokenizer, 1))
    return [policy_dir, first, once("adapted-2", lambda out: trained(first, out, tokenizer, 2))]


def adapters(policies: list[Path]) -> tuple[Path, ...]:
    return tuple(policy / FOLDER for policy in policies[1:])


def test_modules_that_an_adapter_may_be_on(policies: list[Path]) -> None:
    """Those of PEFT's all-linear, and not the embeddings or the output layer."""
    found = modules_of(policies[0])
    names = load_file(adapters(policies)[0] / "adapter_model.safetensors")
    assert found == sorted({name.split(".lora_")[0].split(".")[-1] for name in names})
    assert "lm_head" not in found and "q_proj" in found


def test_ranks_add_up_and_there_is_room_for_them(policies: list[Path]) -> None:
    assert [Adapted(policies[0], "", adapters(policies[:n])).rank for n in (1, 2, 3)] == [0, 4, 8]
    assert [room_for(rank) for rank in (1, 8, 9, 500, 4000)] == [8, 8, 16, 512, 512]
    config = json.loads((adapters(policies)[0] / "adapter_config.json").read_text())
    assert config["r"] == R and list(RANKS) == sorted(RANKS)


@pytest.fixture(scope="module")
def engine(policies: list[Path]) -> Iterator:
    pytest.importorskip("vllm")
    from models.engines.vllm import VllmEngine

    engine = VllmEngine(policies[0], RuntimeConfig(), LENGTH, 0, adapters=room_for(2 * R))
    yield engine
    engine.close()


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_it_answers_as_the_merged_policy_whichever_comes_next(
    engine, policies: list[Path], prompts: list[list[int]]
) -> None:
    """Greedy answers are equal, log-probabilities to 1e-3 nats, of 20 prompts; base, both policies
    and back, by one engine that is handed no weights."""
    child = engine._child
    for number in (0, 1, 2, 1, 0, 2):
        merged = TransformersEngine(policies[number], RuntimeConfig(), LENGTH)
        engine.adapt(adapters(policies[: number + 1]), policies[number])
        expected = merged.generate(prompts[:20], [0] * 20, GREEDY)
        assert engine.generate(prompts[:20], [0] * 20, GREEDY) == expected
        pairs = prompts[:20], [row[0].token_ids for row in expected]
        np.testing.assert_allclose(
            np.concatenate(engine.logprobs(*pairs)),
            np.concatenate(merged.logprobs(*pairs)),
            atol=1e-3,
        )
    assert engine._child is child


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_other_weights_and_a_new_process_lose_no_adapter(
    engine, policies: list[Path], other_policy_dir: Path, prompts: list[list[int]]
) -> None:
    engine.load(policies[0])
    engine.adapt(adapters(policies), policies[2])
    expected = engine.generate(prompts[:8], [0] * 8, GREEDY)
    os.kill(engine._child.pid, signal.SIGKILL)
    with pytest.raises(Exception, match="ended with exit code"):
        engine._child.call("logprobs", [[5, 6]])
    assert engine.generate(prompts[:8], [0] * 8, GREEDY) == expected
    engine.load(other_policy_dir)
    assert engine.generate(prompts[:8], [0] * 8, GREEDY) != expected
    engine.load(policies[0])
    engine.adapt(adapters(policies), policies[2])
    assert engine.generate(prompts[:8], [0] * 8, GREEDY) == expected
    with pytest.raises(TrainingError, match="from those that transformers gives"):
        engine.adapt(adapters(policies[:2]), policies[2])  # another policy than it is said to be
