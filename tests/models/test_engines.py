"""What every engine promises, asked of the real transformers and vLLM engines."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from benchmarks.engine_parity import parity
from data.errors import InputError, TrainingError
from data.recipes.recipe import RuntimeConfig
from models.chat import stop_ids
from models.engines import Engine, open_engine
from models.engines.base import Sampling, check_handover, make_output, sample_seeds
from models.engines.transformers import pick
from models.isolation import ChildDiedError
from tests.fixtures.models import save_policy

SAMPLED = Sampling(k=4, temperature=1.0, top_p=1.0, max_tokens=24)
GREEDY = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=24)
MAX_MODEL_LEN = 128


def seeds_of(prompts: list[list[int]]) -> list[int]:
    return list(range(len(prompts)))


def test_the_same_seeds_give_the_same_completions_in_any_order(
    engine: Engine, prompts: list[list[int]]
) -> None:
    prompts = prompts[:40]
    first = engine.generate(prompts, seeds_of(prompts), SAMPLED)
    again = engine.generate(prompts, seeds_of(prompts), SAMPLED)
    assert again == first
    part = engine.generate(prompts[9::-1], seeds_of(prompts)[9::-1], SAMPLED)[::-1]
    assert part == first[:10]
    fewer = Sampling(k=2, temperature=1.0, top_p=1.0, max_tokens=24)
    assert engine.generate(prompts, seeds_of(prompts), fewer) == [row[:2] for row in first]


def test_samples_and_seeds_differ(engine: Engine, prompts: list[list[int]]) -> None:
    samples = engine.generate([prompts[0]] * 2, [0, 1], SAMPLED)
    assert len({output.text for row in samples for output in row}) == 8


def test_an_end_of_turn_ends_a_completion_and_is_not_in_its_text(
    engine: Engine, tokenizer, policy_dir: Path, prompts: list[list[int]]
) -> None:
    stop = set(stop_ids(tokenizer, policy_dir))
    reasons = []
    for row in engine.generate(prompts[:60], seeds_of(prompts[:60]), SAMPLED):
        for output in row:
            reasons.append(output.finish_reason)
            assert output.n_tokens == len(output.token_ids)
            assert not stop & set(output.token_ids[:-1])
            assert (output.token_ids[-1] in stop) == (output.finish_reason == "stop")
            if output.finish_reason == "length":
                assert output.n_tokens == SAMPLED.max_tokens
            assert not any(special in output.text for special in tokenizer.all_special_tokens)
    assert {"stop", "length"} == set(reasons)


def test_greedy_is_what_transformers_generates(
    engine: Engine, tokenizer, policy_dir: Path, prompts: list[list[int]]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(policy_dir).eval()
    outputs = engine.generate(prompts[:8], [0] * 8, GREEDY)
    for prompt, (output,) in zip(prompts[:8], outputs, strict=True):
        ids = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0]
        assert output.token_ids == ids[len(prompt) :].tolist()


def test_logprobs_are_those_of_one_sequence_alone(
    engine: Engine, policy_dir: Path, prompts: list[list[int]]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(policy_dir).eval()
    completions = [prompts[i + 1][: 3 + i] for i in range(6)]
    values = engine.logprobs(prompts[:6], completions)
    for prompt, completion, got in zip(prompts[:6], completions, values, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        expected = [float(logits[len(prompt) - 1 + i, t]) for i, t in enumerate(completion)]
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_loaded_weights_are_the_ones_that_answer(
    engine: Engine, other_policy_dir: Path, prompts: list[list[int]]
) -> None:
    before = engine.generate(prompts[:20], [0] * 20, GREEDY)
    engine.load(other_policy_dir)
    after = engine.generate(prompts[:20], [0] * 20, GREEDY)
    fresh = open_engine("transformers", other_policy_dir, RuntimeConfig(), MAX_MODEL_LEN, seed=0)
    assert after == fresh.generate(prompts[:20], [0] * 20, GREEDY)
    assert after != before


def test_equal_weights_from_another_folder_are_no_stale_hand_over(
    engine: Engine, policy_dir: Path, tmp_path: Path
) -> None:
    engine.load(Path(shutil.copytree(policy_dir, tmp_path / "copy")))


def test_weights_that_are_not_taken_over_are_noticed(
    other_policy_dir: Path, transformers_engine: Engine, policy_dir: Path, monkeypatch
) -> None:
    transformers_engine.load(policy_dir)
    monkeypatch.setattr(transformers_engine, "_read", lambda model_dir: None)
    with pytest.raises(TrainingError, match="still serves the old weights"):
        transformers_engine.load(other_policy_dir)


@pytest.mark.vllm
def test_weights_that_vllm_does_not_take_over_are_noticed(
    vllm_engine: Engine, policy_dir: Path, other_policy_dir: Path, monkeypatch
) -> None:
    vllm_engine.load(policy_dir)
    call = vllm_engine._child.call
    with monkeypatch.context() as patch:
        patch.setattr(
            vllm_engine._child, "call", lambda name, *a, **k: name == "load" or call(name, *a, **k)
        )
        with pytest.raises(TrainingError, match="still serves the old weights"):
            vllm_engine.load(other_policy_dir)
    vllm_engine.load(policy_dir)


@pytest.mark.vllm
@pytest.mark.slow  # a second engine
def test_tied_embeddings_are_handed_over_to_the_output_layer_too(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, prompts: list[list[int]]
) -> None:
    pytest.importorskip("vllm")
    first, second = (
        save_policy(tokenizer, tmp_path / str(seed), seed, tied=True) for seed in (0, 1)
    )
    engine = open_engine("vllm", first, RuntimeConfig(), MAX_MODEL_LEN, seed=0)
    try:
        engine.load(second)
        found = engine.logprobs(prompts[:5], prompts[5:10])
    finally:
        engine.close()
    other = open_engine("transformers", second, RuntimeConfig(), MAX_MODEL_LEN, seed=0)
    for got, expected in zip(found, other.logprobs(prompts[:5], prompts[5:10]), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.vllm
def test_weights_that_vllm_takes_over_in_part_are_noticed(
    vllm_engine: Engine, policy_dir: Path, other_policy_dir: Path, tmp_path: Path, monkeypatch
) -> None:
    """The output layer stays the old one: the answers change and yet are not the new policy's."""
    mixed = Path(shutil.copytree(other_policy_dir, tmp_path / "mixed"))
    weights = load_file(mixed / "model.safetensors")
    weights["lm_head.weight"] = load_file(policy_dir / "model.safetensors")["lm_head.weight"]
    save_file(weights, mixed / "model.safetensors", metadata={"format": "pt"})
    vllm_engine.load(policy_dir)
    call = vllm_engine._child.call

    def partial(name: str, *arguments: Any, **keywords: Any) -> Any:
        return call(name, *((str(mixed),) if name == "load" else arguments), **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(vllm_engine._child, "call", partial)
        with pytest.raises(TrainingError, match="nats from those that transformers gives"):
            vllm_engine.load(other_policy_dir)
    vllm_engine.load(policy_dir)


def test_a_small_change_of_the_weights_passes_the_check() -> None:
    check_handover([-1.0, -2.0], [-1.0, -2.0001])
    with pytest.raises(TrainingError):
        check_handover([-1.0, -2.0], [-1.0, -2.0])


def test_another_architecture_is_refused(engine: Engine, llama_reward_dir: Path) -> None:
    with pytest.raises(InputError, match=r"lm_head\.weight .* missing; .* same architecture"):
        engine.load(llama_reward_dir)


@pytest.mark.parametrize("length", [0, MAX_MODEL_LEN])
def test_a_prompt_without_room_is_refused(engine: Engine, length: int) -> None:
    with pytest.raises(InputError, match=rf"prompt 1 has {length} tokens.*prompts\.max_tokens"):
        engine.generate([[5], [5] * length], [0, 0], GREEDY)


def test_the_context_ends_a_completion(engine: Engine, prompts: list[list[int]]) -> None:
    long = [5] * (MAX_MODEL_LEN - 3)
    outputs = engine.generate([long, prompts[0]], [0, 0], GREEDY)
    assert outputs[0][0].n_tokens == 3
    assert outputs[1] == engine.generate([prompts[0]], [0], GREEDY)[0]


def test_progress_counts_prompts(engine: Engine, prompts: list[list[int]]) -> None:
    seen: list[tuple[int, int]] = []
    engine.generate(prompts[:10], [0] * 10, SAMPLED, lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert seen[-1] == (10, 10)


def test_the_token_budget_changes_no_completion(
    policy_dir: Path, transformers_engine: Engine, prompts: list[list[int]]
) -> None:
    transformers_engine.load(policy_dir)
    small = RuntimeConfig(token_budget=512)
    narrow = open_engine("transformers", policy_dir, small, MAX_MODEL_LEN, seed=0)
    wide = transformers_engine.generate(prompts[:30], seeds_of(prompts[:30]), SAMPLED)
    assert narrow.generate(prompts[:30], seeds_of(prompts[:30]), SAMPLED) == wide


@pytest.mark.vllm
def test_vllm_and_transformers_agree(
    vllm_engine: Engine, transformers_engine: Engine, policy_dir: Path, prompts: list[list[int]]
) -> None:
    vllm_engine.load(policy_dir)
    transformers_engine.load(policy_dir)
    greedy = vllm_engine.generate(prompts, [0] * len(prompts), GREEDY)
    assert len({output.text for (output,) in greedy}) > 100  # the prompts do decide the answers
    identical, difference = parity(vllm_engine, transformers_engine, prompts)
    assert identical >= 0.99
    assert difference <= 1e-3


@pytest.mark.vllm
@pytest.mark.slow
def test_a_vllm_that_dies_is_an_error_once_and_then_starts_again(
    policy_dir: Path, prompts: list[list[int]]
) -> None:
    engine = open_engine("vllm", policy_dir, RuntimeConfig(), MAX_MODEL_LEN, seed=0)
    try:
        expected = engine.generate(prompts[:4], [0] * 4, SAMPLED)
        engine._child._process.kill()
        with pytest.raises(ChildDiedError):
            engine._child.call("logprobs", [[5, 6]])
        assert engine.generate(prompts[:4], [0] * 4, SAMPLED) == expected
    finally:
        engine.close()


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_refuses_a_model_in_one_line(policy_dir: Path) -> None:
    with pytest.raises(InputError, match="vLLM cannot start with") as caught:
        open_engine("vllm", policy_dir, RuntimeConfig(), 100_000, seed=0)
    assert "\n" not in str(caught.value)


def test_sample_seeds_of_neighbours_do_not_overlap() -> None:
    seeds = [seed for prompt in range(100) for seed in sample_seeds(prompt, 8)]
    assert len(set(seeds)) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert sample_seeds(7, 8)[:3] == sample_seeds(7, 3)


def test_tokens_are_picked_by_their_probabilities() -> None:
    logits = torch.tensor([0.5, 0.2, 0.2, 0.1]).log().repeat(10_000, 1)
    uniform = (torch.arange(10_000) + 0.5) / 10_000

    def shares(temperature: float, top_p: float) -> list[float]:
        tokens = pick(logits, uniform, Sampling(1, temperature, top_p, 1))
        return (torch.bincount(tokens, minlength=4) / 10_000).tolist()

    np.testing.assert_allclose(shares(1.0, 1.0), [0.5, 0.2, 0.2, 0.1], atol=2e-4)
    squares = np.array([0.25, 0.04, 0.04, 0.01])
    np.testing.assert_allclose(shares(0.5, 1.0), squares / squares.sum(), atol=2e-4)
    np.testing.assert_allclose(shares(1.0, 0.6), [5 / 7, 2 / 7, 0, 0], atol=2e-4)
    np.testing.assert_allclose(shares(1.0, 0.5), [1, 0, 0, 0], atol=2e-4)
    np.testing.assert_allclose(shares(0.0, 1.0), [1, 0, 0, 0], atol=0)


def test_impossible_tokens_are_never_picked() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for uniform in (0.0, 1 - 2**-24):
        assert pick(logits, torch.tensor([uniform]), SAMPLED).tolist() == [1]


def test_what_follows_an_end_is_cut(tokenizer) -> None:
    end = tokenizer.eos_token_id
    ids = tokenizer("fig", add_special_tokens=False)["input_ids"]
    output = make_output(tokenizer, [*ids, end, 7, end], [end])
    assert (output.text, output.token_ids, output.finish_reason) == ("fig", [*ids, end], "stop")


def test_an_unknown_engine_is_refused(policy_dir: Path) -> None:
    with pytest.raises(InputError, match=r"generate\.engine: no engine 'sglang'"):
        open_engine("sglang", policy_dir, RuntimeConfig(), MAX_MODEL_LEN, seed=0)


@pytest.mark.parametrize("name", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def test_what_embeddings_are_padded_with_is_never_sampled(
    name: str,
    policy_dir: Path,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[list[int]],
    tmp_path: Path,
) -> None:
    words = len(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(policy_dir)
    model.resize_token_embeddings(words + 60)
    with torch.no_grad():  # as likely as any token
        model.get_input_embeddings().weight[words:] = model.get_input_embeddings().weight[:60]
        model.get_output_embeddings().weight[words:] = model.get_output_embeddings().weight[:60]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    runtime = RuntimeConfig(device="cpu")
    engine = open_engine(name, tmp_path, runtime, MAX_MODEL_LEN, seed=0)
    found = engine.generate(prompts[:20], seeds_of(prompts[:20]), SAMPLED)
    assert max(token for row in found for one in row for token in one.token_ids) < words
    engine.close()
