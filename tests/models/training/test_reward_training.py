"""Reward models: losses against closed forms, what is trained, and where the score is read."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from data.errors import InputError, TrainingError
from data.recipes.losses import BRADLEY_TERRY, MarginRanking
from data.recipes.recipe import AdapterConfig, RuntimeConfig
from models.chat import load_tokenizer, render_conversation
from models.rewards import load_scorer
from models.training.padding import with_safe_padding
from models.training.reward_training import (
    canary_batch,
    canary_scores,
    margin_ranking_loss,
    tokenise_pairs,
)
from models.training.trainers import remove_dropout
from tests.models.training.reward_models import ADAPTER, PAIRS, RUNTIME, config, train
from tests.models.training.training_rows import file_digests, preferences

MARGIN_RANKING = MarginRanking(name="margin_ranking", margin=0.5)
LOSSES = {"bradley_terry": BRADLEY_TERRY, "margin_ranking": MARGIN_RANKING}


def scores(model_dir: Path, pairs: Any = PAIRS) -> tuple[np.ndarray, np.ndarray]:
    """Chosen and rejected scores, one unpadded row at a time."""
    tokenizer = load_tokenizer(model_dir)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    sides = []
    for side in ("chosen", "rejected"):
        values = []
        for pair in pairs.to_pylist():
            ids = render_conversation(tokenizer, pair["messages"], pair[side])
            with torch.no_grad():
                values.append(float(model(torch.tensor([ids])).logits[0, 0]))
        sides.append(np.array(values))
    return sides[0], sides[1]


def test_margin_ranking_loss_is_its_closed_form() -> None:
    chosen, rejected = torch.tensor([2.0, 1.0, 0.0, 0.3]), torch.tensor([0.0, 0.5, 1.0, 0.3])
    loss = margin_ranking_loss(chosen, rejected, margin=1.0)
    torch.testing.assert_close(loss, torch.tensor([0.0, 0.5, 2.0, 1.0]))


@pytest.mark.parametrize("micro_batch", [0, 4])
@pytest.mark.parametrize("loss", ["bradley_terry", "margin_ranking"])
def test_first_loss_is_the_closed_form(
    tmp_path: Path, reward_dir: Path, loss: str, micro_batch: int
) -> None:
    chosen, rejected = scores(reward_dir)
    expected = {
        "bradley_terry": np.log1p(np.exp(rejected - chosen)).mean(),
        "margin_ranking": np.maximum(0, 0.5 - (chosen - rejected)).mean(),
    }[loss]
    meta = train(
        tmp_path / "out",
        reward_dir,
        config=config(batch_size=32),
        loss=LOSSES[loss],
        runtime=RuntimeConfig(device="cpu", train_micro_batch=micro_batch),
    )
    assert meta["losses"] == [pytest.approx(expected, rel=1e-4)]


@pytest.mark.parametrize("loss", ["bradley_terry", "margin_ranking"])
@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
def test_order_is_learnt(
    tmp_path: Path, llama_reward_dir: Path, loss: str, adapter: AdapterConfig | None
) -> None:
    pairs = preferences(64)
    settings = config(epochs=6, learning_rate=3e-3)
    meta = train(
        tmp_path / "out",
        llama_reward_dir,
        preferences=pairs,
        config=settings,
        loss=LOSSES[loss],
        adapter=adapter,
    )
    chosen, rejected = scores(tmp_path / "out", preferences(32, seed=9))
    assert (chosen > rejected).mean() > 0.9
    assert meta["accuracy"] > 0.9 and meta["final_loss"] < 0.5 * meta["first_loss"]


def test_full_training_moves_every_parameter(tmp_path: Path, reward_dir: Path) -> None:
    out = tmp_path / "out"
    meta = train(out, reward_dir, config=config(epochs=2))
    before, after = (
        load_file(reward_dir / "model.safetensors"),
        load_file(out / "model.safetensors"),
    )
    assert before.keys() == after.keys()
    still = {name for name in before if torch.equal(before[name], after[name])}
    # These cancel, in a difference of rewards or in a softmax: they move by rounding error alone.
    assert {n for n in still if n != "classifier.bias" and not n.endswith("key.bias")} == set()
    assert meta["steps"] == 6 and (meta["rows"], meta["too_long"]) == (21, 0)
    assert not (out / "adapter").exists()


def test_lora_trains_backbone_projections_and_the_whole_head(
    tmp_path: Path, reward_dir: Path
) -> None:
    out = tmp_path / "out"
    train(out, reward_dir, adapter=ADAPTER)
    before, after = (
        load_file(reward_dir / "model.safetensors"),
        load_file(out / "model.safetensors"),
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # Not the head's bias: it is in both scores of a pair, so its gradient is rounding alone.
    head = {name for name in before if name in ("score.weight", "classifier.weight")}
    assert head and head <= changed
    assert not any("embed" in name or "norm" in name.lower() for name in changed)
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith(("score.weight", "classifier.weight")) for name in adapter)
    modules = json.loads((out / "adapter" / "adapter_config.json").read_text())["target_modules"]
    assert len(modules) > 5 and modules == sorted(modules)  # equal bytes in every process
    assert {file.name for file in (out / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_merged_model_scores_as_the_adapter_does(tmp_path: Path, reward_dir: Path) -> None:
    out = tmp_path / "out"
    train(out, reward_dir, adapter=ADAPTER, config=config(learning_rate=1e-2))
    base = AutoModelForSequenceClassification.from_pretrained(reward_dir)
    adapted = PeftModel.from_pretrained(base, out / "adapter").eval()
    tokenizer = load_tokenizer(out)
    rows, _ = tokenise_pairs(tokenizer, PAIRS, 1024)
    batch = canary_batch(rows, tokenizer)
    merged = AutoModelForSequenceClassification.from_pretrained(out)
    torch.testing.assert_close(
        canary_scores(merged, batch), canary_scores(adapted, batch), rtol=1e-4, atol=1e-4
    )


def test_the_scorer_reads_what_was_trained(tmp_path: Path, reward_dir: Path) -> None:
    out = tmp_path / "out"
    train(out, reward_dir, adapter=ADAPTER)
    items = [(pair["messages"], pair["chosen"]) for pair in PAIRS.to_pylist()]
    scored = load_scorer(out, RUNTIME, 256).score(items)
    np.testing.assert_allclose(scored, scores(out)[0], rtol=1e-4, atol=1e-5)


# -- the last token -----------------------------------------------------------------------------

ENDS_WITH_EOS = (
    "{{ '<s>' }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def test_score_is_read_at_the_end_of_turn_though_the_padding_is_eos(
    tmp_path: Path, make_tokenizer: Any, llama_reward_dir: Path
) -> None:
    """Llama's habit of padding with EOS would move the score one token to the left."""
    eos_padded = make_tokenizer(["<s>", "</s>"], ENDS_WITH_EOS, bos="<s>", eos="</s>", pad="</s>")
    model_dir = Path(shutil.copytree(llama_reward_dir, tmp_path / "base"))
    out = tmp_path / "out"
    train(out, model_dir, tokenizer=eos_padded)
    assert eos_padded.pad_token == "</s>"  # the caller's tokenizer is as it was

    tokenizer, model = load_tokenizer(out), LlamaForSequenceClassification.from_pretrained(out)
    assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    rows, _ = tokenise_pairs(tokenizer, PAIRS, 1024)
    assert all(row["chosen_ids"][-1] == tokenizer.eos_token_id for row in rows)
    padded = canary_scores(model, canary_batch(rows, tokenizer))
    for i, row in enumerate(rows[:8]):
        with torch.no_grad():
            hidden = model.model(torch.tensor([row["chosen_ids"]])).last_hidden_state
            at_the_end = float(model.score(hidden[0, -1]))
        assert float(padded[i]) == pytest.approx(at_the_end, abs=1e-4)


def test_a_tokenizer_with_padding_of_its_own_is_left_alone(tokenizer: Any) -> None:
    assert with_safe_padding(tokenizer, {tokenizer.eos_token_id}) is tokenizer


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(make_tokenizer: Any) -> None:
    only_eos = make_tokenizer(
        ["</s>"], ENDS_WITH_EOS.replace("<s>", ""), bos=None, eos="</s>", pad="</s>"
    )
    with pytest.raises(InputError, match="no padding token apart from the one that ends"):
        with_safe_padding(only_eos, {only_eos.eos_token_id})


# -- other backbones, refusals, determinism -----------------------------------------------------


@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["roberta", "modernbert"])
def test_other_encoders_train_and_reload(
    tmp_path: Path, tokenizer: Any, family: str, adapter: AdapterConfig | None
) -> None:
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 260,
        "num_labels": 1,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    torch.manual_seed(0)
    if family == "roberta":
        model = RobertaForSequenceClassification(RobertaConfig(**sizes))
    else:
        sizes |= {"cls_token_id": 1, "sep_token_id": 1}
        model = ModernBertForSequenceClassification(ModernBertConfig(**sizes))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    out = tmp_path / "out"
    train(out, model, tokenizer=tokenizer, adapter=adapter)
    after = AutoModelForSequenceClassification.from_pretrained(out).state_dict()
    head = [name for name in before if name.startswith(("classifier.", "head."))]
    # The last bias cancels in the difference of two rewards: its gradient is rounding error.
    head = [name for name in head if name not in ("classifier.bias", "classifier.out_proj.bias")]
    assert head
    assert not [name for name in head if torch.equal(before[name], after[name])]


def test_equal_runs_give_equal_bytes(tmp_path: Path, reward_dir: Path) -> None:
    copy = Path(shutil.copytree(reward_dir, tmp_path / "copy"))
    settings = {"adapter": AdapterConfig(r=4, dropout=0.2), "config": config(epochs=2)}
    assert train(tmp_path / "one", reward_dir, **settings) == train(
        tmp_path / "two", copy, **settings
    )
    train(tmp_path / "other", reward_dir, seed=1, **settings)
    first = file_digests(tmp_path / "one")
    assert first == file_digests(tmp_path / "two")
    assert first["model.safetensors"] != file_digests(tmp_path / "other")["model.safetensors"]


def test_dropout_leaves_the_backbone_and_stays_in_the_adapter(
    tmp_path: Path, bert_reward_dir: Path
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(bert_reward_dir).train()
    ids = torch.arange(4, 40)[None]
    assert not torch.equal(model(ids).logits, model(ids).logits)
    remove_dropout(model)
    assert torch.equal(model(ids).logits, model(ids).logits)

    def weights(dropout: float) -> str:
        out = tmp_path / str(dropout)
        train(out, bert_reward_dir, adapter=AdapterConfig(r=4, dropout=dropout))
        return file_digests(out)["model.safetensors"]

    assert weights(0.0) != weights(0.5)


def test_pairs_that_are_too_long_are_counted(tmp_path: Path, bert_reward_dir: Path) -> None:
    rows, _ = tokenise_pairs(load_tokenizer(bert_reward_dir), PAIRS, 1024)
    lengths = sorted(max(len(r["chosen_ids"]), len(r["rejected_ids"])) for r in rows)
    kept = sum(length <= lengths[14] for length in lengths)
    meta = train(tmp_path / "out", bert_reward_dir, config=config(max_length=lengths[14]))
    assert 0 < kept < 21 and (meta["rows"], meta["too_long"]) == (kept, 21 - kept)


def test_two_labels_are_refused(tmp_path: Path, bert_reward_dir: Path, tokenizer: Any) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        bert_reward_dir, num_labels=2, ignore_mismatched_sizes=True
    )
    with pytest.raises(InputError, match="has 2 labels, must have 1"):
        train(tmp_path / "out", model, tokenizer=tokenizer)


def test_a_loss_that_explodes_stops_the_training(tmp_path: Path, llama_reward_dir: Path) -> None:
    settings = config(learning_rate=1e30, warmup_ratio=0)
    with pytest.raises(TrainingError, match="not finite at step 2; lower learning_rate"):
        train(tmp_path / "out", llama_reward_dir, config=settings)


def test_history_is_short_and_ends_with_the_last_steps(
    tmp_path: Path, bert_reward_dir: Path
) -> None:
    meta = train(tmp_path / "out", bert_reward_dir, config=config(batch_size=1, epochs=4))
    assert meta["steps"] == 84 and len(meta["losses"]) == 42
    assert meta["final_loss"] == meta["losses"][-1]
    assert all(map(math.isfinite, meta["losses"]))
