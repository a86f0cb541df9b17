"""Completion log-probabilities against a computation of one row at a time."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, render_completion
from models.logps import batch_logps, sequence_logps
from tests.models.training.training_rows import conversations

RUNTIME = RuntimeConfig(device="cpu")
ITEMS = [(talk[:-1], talk[-1]["content"]) for talk in conversations(13)]


def naive(model_dir: Path, items: list) -> list[float]:
    """Sum over the completion of log softmax(logits)[next token], unpadded, all logits at once."""
    tokenizer = load_tokenizer(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype="float32").eval()
    sums = []
    for messages, completion in items:
        prompt, answer = render_completion(tokenizer, messages, completion)
        with torch.no_grad():
            table = model(torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
        total = 0.0
        for i, token in enumerate(answer):
            total += float(table[len(prompt) + i - 1, token])
        sums.append(total)
    return sums


def test_equals_a_row_by_row_computation(policy_dir: Path) -> None:
    sums, _ = sequence_logps(policy_dir, ITEMS, runtime=RUNTIME)
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums, naive(policy_dir, ITEMS), rtol=1e-5)


def test_counts_the_tokens_of_the_completion_alone(policy_dir: Path) -> None:
    _, n_tokens = sequence_logps(policy_dir, ITEMS, runtime=RUNTIME)
    tokenizer = load_tokenizer(policy_dir)
    # The text's own tokens and the end of turn.
    assert n_tokens.tolist() == [len(tokenizer(text)["input_ids"]) + 1 for _, text in ITEMS]


@pytest.mark.parametrize("token_budget", [64, 200, 100_000])
def test_padding_and_batches_change_nothing(policy_dir: Path, token_budget: int) -> None:
    runtime = RuntimeConfig(device="cpu", token_budget=token_budget)
    sums, _ = sequence_logps(policy_dir, ITEMS, runtime=runtime)
    alone = [sequence_logps(policy_dir, [item], runtime=RUNTIME)[0][0] for item in ITEMS]
    np.testing.assert_allclose(sums, alone, rtol=1e-5)


class WholeLogits(torch.nn.Module):
    """A model whose own code knows no `logits_to_keep`."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def forward(self, input_ids: Any, attention_mask: Any, use_cache: bool = True) -> Any:
        return self.model(input_ids, attention_mask=attention_mask, use_cache=use_cache)


SHAPE = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=2.0),
        CohereConfig(**SHAPE, logit_scale=4.0),
        GraniteConfig(**SHAPE, logits_scaling=0.1),
    ],
    ids=lambda config: config.model_type,
)
def test_logits_that_are_capped_or_scaled_behind_the_output_layer(config: Any) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight)  # so that a cap is felt
    pairs = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13, 14])]
    expected = []
    for prompt, completion in pairs:
        with torch.inference_mode():
            whole = model(torch.tensor([prompt + completion])).logits[0].log_softmax(1)
        places = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
        terms = zip(places, completion, strict=True)
        expected.append(sum(whole[place, token].item() for place, token in terms))
    np.testing.assert_allclose(batch_logps(model, pairs), expected, rtol=1e-5)
    np.testing.assert_allclose(batch_logps(WholeLogits(model), pairs), expected, rtol=1e-5)


def test_a_row_that_is_too_long_is_refused_not_cut(policy_dir: Path) -> None:
    with pytest.raises(InputError, match="has .* tokens, max_length is 12"):
        sequence_logps(policy_dir, ITEMS, max_length=12, runtime=RUNTIME)


def test_reports_progress_up_to_the_end(policy_dir: Path) -> None:
    calls: list[tuple[int, int]] = []
    runtime = RuntimeConfig(device="cpu", token_budget=64)
    sequence_logps(
        policy_dir,
        ITEMS,
        runtime=runtime,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert len(calls) > 1 and calls[-1] == (13, 13)
    assert calls == sorted(calls)


def test_a_policy_trained_to_pieces_is_refused(tmp_path: Path, policy_dir: Path) -> None:
    bad = Path(shutil.copytree(policy_dir, tmp_path / "bad"))
    weights = load_file(bad / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, bad / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.norm\.weight holds a NaN or an infinity"):
        sequence_logps(bad, ITEMS, runtime=RUNTIME)


def test_no_items_give_empty_arrays(policy_dir: Path) -> None:
    sums, n_tokens = sequence_logps(policy_dir, [], runtime=RUNTIME)
    assert sums.shape == n_tokens.shape == (0,)
