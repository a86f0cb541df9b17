"""A reward is read at the right token, whatever else is in its batch, from reward models only."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, LlamaForSequenceClassification

from data.errors import InputError, TrainingError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer, render_conversation
from models.rewards import check_reward_model, load_scorer

ITEMS = [
    ([{"role": "user", "content": "Sort these words: " + "fig " * n}], "apple " * (5 - n))
    for n in range(5)
]


def set_config(model_dir: Path, **changes) -> None:
    path = model_dir / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(params=["llama", "bert"])
def reward_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    source = request.getfixturevalue(f"{request.param}_reward_dir")
    return Path(shutil.copytree(source, tmp_path / "model"))


def test_a_score_is_the_same_alone_and_in_a_padded_batch(reward_dir: Path) -> None:
    scorer = load_scorer(reward_dir, RuntimeConfig(), 200)
    together = scorer.score(ITEMS)
    alone = np.concatenate([scorer.score([item]) for item in ITEMS])
    assert together.shape == (5,)
    assert together.dtype == np.float64
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together) > 0.1
    narrow = load_scorer(reward_dir, RuntimeConfig(token_budget=64), 200)
    np.testing.assert_allclose(narrow.score(ITEMS), together, atol=1e-5)


@pytest.mark.parametrize("padding", ["<|im_end|>", "<pad>", None])
def test_a_decoder_is_read_at_the_last_token_even_where_that_is_the_padding(
    llama_reward_dir: Path, tmp_path: Path, padding: str | None
) -> None:
    model_dir = Path(shutil.copytree(llama_reward_dir, tmp_path / "model"))
    tokenizer = load_tokenizer(model_dir)
    # No line break after the end of turn, so that the last token is EOS.
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>\\n", "<|im_end|>")
    tokenizer.pad_token = padding
    tokenizer.save_pretrained(model_dir)
    set_config(model_dir, pad_token_id=padding and tokenizer.convert_tokens_to_ids(padding))
    rewards = load_scorer(model_dir, RuntimeConfig(), 200).score(ITEMS)
    model = LlamaForSequenceClassification.from_pretrained(model_dir).eval()
    for (messages, completion), reward in zip(ITEMS, rewards, strict=True):
        ids = render_conversation(tokenizer, messages, completion)
        assert ids[-1] == tokenizer.eos_token_id
        with torch.inference_mode():
            hidden = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
            np.testing.assert_allclose(reward, model.score(hidden).item(), atol=1e-5)


def test_an_encoder_gives_its_raw_logit(bert_reward_dir: Path) -> None:
    tokenizer = load_tokenizer(bert_reward_dir)
    model = AutoModelForSequenceClassification.from_pretrained(bert_reward_dir).eval()
    rewards = load_scorer(bert_reward_dir, RuntimeConfig(), 200).score(ITEMS)
    for (messages, completion), reward in zip(ITEMS, rewards, strict=True):
        ids = torch.tensor([render_conversation(tokenizer, messages, completion)])
        with torch.inference_mode():
            np.testing.assert_allclose(reward, model(ids).logits.item(), atol=1e-5)


def test_no_items_give_no_rewards(reward_dir: Path) -> None:
    assert load_scorer(reward_dir, RuntimeConfig(), 200).score([]).shape == (0,)


def test_progress_counts_items(reward_dir: Path) -> None:
    seen: list[tuple[int, int]] = []
    scorer = load_scorer(reward_dir, RuntimeConfig(token_budget=64), 200)
    scorer.score(ITEMS, lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == (5, 5)


@pytest.mark.parametrize(("max_length", "words"), [(60, 40), (10_000, 300)])
def test_a_conversation_beyond_a_limit_has_no_reward(
    reward_dir: Path, max_length: int, words: int
) -> None:
    """Over `max_length` or, in the second case, over the 256 positions that the models know."""
    scorer = load_scorer(reward_dir, RuntimeConfig(), max_length)
    short = ([{"role": "user", "content": "Sort"}], "fig")
    rewards = scorer.score([short, (ITEMS[0][0], "apple " * words), short])
    assert np.isnan(rewards).tolist() == [False, True, False]
    np.testing.assert_allclose(rewards[0], scorer.score([short])[0], atol=1e-5)


def test_a_reward_that_is_not_finite_is_an_error(bert_reward_dir: Path, tmp_path: Path) -> None:
    model_dir = Path(shutil.copytree(bert_reward_dir, tmp_path / "model"))
    file = model_dir / "model.safetensors"
    weights = load_file(file)
    weights["classifier.weight"] = torch.full_like(weights["classifier.weight"], 3e38)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="5 of 5 rewards are not finite"):
        load_scorer(model_dir, RuntimeConfig(), 200).score(ITEMS)


def test_weights_that_are_not_finite_are_refused(bert_reward_dir: Path, tmp_path: Path) -> None:
    model_dir = Path(shutil.copytree(bert_reward_dir, tmp_path / "model"))
    file = model_dir / "model.safetensors"
    weights = load_file(file)
    weights["classifier.bias"] += torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"classifier\.bias holds a NaN or an infinity"):
        load_scorer(model_dir, RuntimeConfig(), 200)


def test_a_classifier_of_two_labels_is_refused(reward_dir: Path) -> None:
    set_config(reward_dir, id2label={"0": "bad", "1": "good"})
    with pytest.raises(InputError, match=r"^teacher\.model: .* has 2 labels") as caught:
        check_reward_model(reward_dir, "teacher.model")
    assert "\n" not in str(caught.value)


def test_a_language_model_is_refused(policy_dir: Path) -> None:
    with pytest.raises(
        InputError, match=r"^student\.model: .*LlamaForCausalLM, not a reward model"
    ):
        load_scorer(policy_dir, RuntimeConfig(), 200, field="student.model")


def test_a_model_that_lost_its_head_is_refused(reward_dir: Path) -> None:
    """transformers would fill in a random head and only warn."""
    file = reward_dir / "model.safetensors"
    weights = {
        name: tensor
        for name, tensor in load_file(file).items()
        if not name.startswith(("score", "classifier"))
    }
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"^teacher\.model: .* no classification head"):
        load_scorer(reward_dir, RuntimeConfig(), 200, field="teacher.model")


@pytest.mark.parametrize("damage", ["cut", "missing", "no config"])
def test_a_damaged_model_is_refused_in_one_line(reward_dir: Path, damage: str) -> None:
    file = reward_dir / "model.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "missing":
        file.unlink()
    else:
        (reward_dir / "config.json").unlink()
    with pytest.raises(InputError, match=r"^teacher\.model: ") as caught:
        check_reward_model(reward_dir, "teacher.model")
    assert "\n" not in str(caught.value)


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_gives_the_same_rewards(reward_dir: Path) -> None:
    ours = load_scorer(reward_dir, RuntimeConfig(), 200).score(ITEMS)
    scorer = load_scorer(reward_dir, RuntimeConfig(), 200, backend="vllm")
    try:
        np.testing.assert_allclose(scorer.score(ITEMS), ours, atol=1e-4)
    finally:
        scorer.close()
