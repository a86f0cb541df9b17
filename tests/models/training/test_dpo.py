"""DPO against its closed form, and what a training may and may not change."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from data.errors import CardinalityError, InputError, TrainingError
from data.recipes.recipe import AdapterConfig, PolicyConfig, RuntimeConfig
from data.schemas import REFERENCE_LOGPS
from models.batching import Parts
from models.chat import load_tokenizer, render_completion
from models.logps import sequence_logps
from models.training.dpo import make_trainer, tokenise_pairs, train_dpo
from models.training.trainers import PartsTrainer, compact_head
from tests.models.training.training_rows import file_digests, preferences, reference

RUNTIME = RuntimeConfig(device="cpu")
PAIRS = preferences(21)
REFERENCE = reference(PAIRS)


def config(**changes: Any) -> PolicyConfig:
    settings = {"learning_rate": 1e-3, "batch_size": 8, "method": "full", "beta": 0.1}
    return PolicyConfig(**{**settings, **changes})


def own_reference(policy: Path, pairs: pa.Table) -> pa.Table:
    """REFERENCE_LOGPS under the policy itself."""
    columns = {"pair_id": pairs["pair_id"]}
    for side in ("chosen", "rejected"):
        items = list(zip(pairs["messages"].to_pylist(), pairs[side].to_pylist(), strict=True))
        columns[f"{side}_logp"] = pa.array(sequence_logps(policy, items, runtime=RUNTIME)[0])
    return pa.table(columns, schema=REFERENCE_LOGPS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def train(out: Path, policy: Path, **kwargs: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    arguments = {
        "preferences": PAIRS,
        "reference": REFERENCE,
        "config": config(),
        "runtime": RUNTIME,
        "seed": 0,
    }
    return train_dpo(out, policy=policy, **{**arguments, **kwargs})


def made(out: Path, policy: Path, config: PolicyConfig, runtime: RuntimeConfig = RUNTIME) -> Any:
    """A trainer before its first step, and its rows."""
    tokenizer = load_tokenizer(policy)
    rows, _ = tokenise_pairs(tokenizer, PAIRS, REFERENCE, config.max_length)
    return make_trainer(out, policy, tokenizer, rows, config, runtime, 0), rows


def closed_form(policy: Path, beta: float, gamma: float) -> float:
    """Mean of -log sigmoid(beta ((log pi/ref)_chosen - (log pi/ref)_rejected)) + gamma NLL."""
    side = {}
    for name in ("chosen", "rejected"):
        items = list(zip(PAIRS["messages"].to_pylist(), PAIRS[name].to_pylist(), strict=True))
        side[name] = sequence_logps(policy, items, runtime=RUNTIME)
    losses = []
    for i, row in enumerate(REFERENCE.to_pylist()):
        h = (
            side["chosen"][0][i]
            - row["chosen_logp"]
            - side["rejected"][0][i]
            + row["rejected_logp"]
        )
        losses.append(math.log1p(math.exp(-beta * h)))
    nll = -side["chosen"][0].sum() / side["chosen"][1].sum()
    return sum(losses) / len(losses) + gamma * nll


@pytest.mark.parametrize("compact", [False, True], ids=["TRL as it is", "completions only"])
@pytest.mark.parametrize("gamma", [0.0, 0.3])
@pytest.mark.parametrize("beta", [0.02, 0.5])
def test_loss_is_the_closed_form(
    out: Path, policy_dir: Path, beta: float, gamma: float, compact: bool
) -> None:
    trainer, rows = made(out, policy_dir, config(beta=beta, sft_weight=gamma))
    (part,) = trainer.data_collator(rows)["parts"]
    if compact:
        with compact_head():
            loss = trainer.compute_loss(trainer.model, part)
    else:
        loss = trainer.compute_loss(trainer.model, part)
    assert loss.item() == pytest.approx(closed_form(policy_dir, beta, gamma), rel=1e-4)


def test_weighted_losses_add_up(out: Path, policy_dir: Path) -> None:
    def loss(**losses: float) -> float:
        trainer, rows = made(out, policy_dir, config(losses=losses))
        (part,) = trainer.data_collator(rows)["parts"]
        return trainer.compute_loss(trainer.model, part).item()

    both = loss(sigmoid=0.7, hinge=0.2)
    assert both == pytest.approx(0.7 * loss(sigmoid=1.0) + 0.2 * loss(hinge=1.0), rel=1e-5)


def test_loss_starts_at_log_2_when_the_policy_is_its_own_reference(
    out: Path, policy_dir: Path
) -> None:
    meta = train(out, policy_dir, reference=own_reference(policy_dir, PAIRS))
    assert meta["first_loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_no_reference_model_is_in_memory_and_prompts_carry_no_loss(
    out: Path, policy_dir: Path
) -> None:
    trainer, rows = made(out, policy_dir, config())
    assert trainer.ref_model is None
    (part,) = trainer.data_collator(rows)["parts"]
    sides = [row["chosen_ids"] for row in rows] + [row["rejected_ids"] for row in rows]
    assert part["completion_mask"].sum(1).tolist() == [len(ids) for ids in sides]
    tokenizer = load_tokenizer(policy_dir)
    pair = PAIRS.to_pylist()[0]
    prompt, chosen = render_completion(tokenizer, pair["messages"], pair["chosen"])
    assert part["input_ids"][0, : len(prompt + chosen)].tolist() == prompt + chosen


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 21])
def test_gradient_does_not_depend_on_the_micro_batch(
    out: Path, policy_dir: Path, micro_batch: int
) -> None:
    """21 pairs in parts of 4 or 5 leave a last part of one pair, and parts differ in tokens."""

    def step(size: int) -> tuple[float, torch.Tensor]:
        runtime = RuntimeConfig(device="cpu", train_micro_batch=size)
        trainer, rows = made(out, policy_dir, config(sft_weight=0.5), runtime)
        trainer.create_optimizer()
        loss = trainer.training_step(trainer.model, trainer.data_collator(rows))
        return float(loss), torch.cat([p.grad.flatten() for p in trainer.model.parameters()])

    loss, gradient = step(0)
    parts_loss, parts_gradient = step(micro_batch)
    assert parts_loss == pytest.approx(loss, rel=1e-5)
    assert F.cosine_similarity(gradient, parts_gradient, dim=0) > 1 - 1e-6
    assert float(parts_gradient.norm() / gradient.norm()) == pytest.approx(1, rel=1e-4)


def test_full_training_moves_every_parameter_and_saves_a_plain_model(
    out: Path, policy_dir: Path
) -> None:
    meta = train(out, policy_dir, config=config(epochs=2))
    before = AutoModelForCausalLM.from_pretrained(policy_dir).state_dict()
    after = AutoModelForCausalLM.from_pretrained(out).state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert {file.name for file in out.iterdir()} == {file.name for file in policy_dir.iterdir()}
    assert load_tokenizer(out).chat_template == load_tokenizer(policy_dir).chat_template
    assert meta["steps"] == 6 and meta["rows"] == 21 and meta["too_long"] == 0
    assert len(meta["losses"]) == 6 and all(map(math.isfinite, meta["losses"]))


def test_lora_is_merged_into_what_the_adapter_computes(out: Path, policy_dir: Path) -> None:
    train(out, policy_dir, config=config(method="lora", learning_rate=1e-2))
    ids = torch.arange(4, 60)[None]
    base = AutoModelForCausalLM.from_pretrained(policy_dir)
    untouched = base(ids).logits
    adapted = PeftModel.from_pretrained(base, out / "adapter")(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(out)(ids).logits
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-4)
    assert (merged - untouched).abs().max() > 0.1


def test_lora_leaves_embeddings_and_output_layer_alone(out: Path, policy_dir: Path) -> None:
    train(out, policy_dir, config=config(method="lora", learning_rate=1e-2))
    before, after = (
        load_file(policy_dir / "model.safetensors"),
        load_file(out / "model.safetensors"),
    )
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    projections = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert changed == projections


def test_preference_is_learnt(out: Path, policy_dir: Path) -> None:
    pairs = preferences(64)
    before = own_reference(policy_dir, pairs)
    meta = train(
        out, policy_dir, preferences=pairs, reference=before, config=config(epochs=4, beta=0.3)
    )
    after = own_reference(out, pairs)
    margin = [
        a["chosen_logp"] - b["chosen_logp"] - a["rejected_logp"] + b["rejected_logp"]
        for a, b in zip(after.to_pylist(), before.to_pylist(), strict=True)
    ]
    assert sum(m > 0 for m in margin) / len(margin) > 0.95
    assert meta["accuracy"] > 0.9
    assert meta["final_loss"] < 0.5 * meta["first_loss"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_equal_runs_give_equal_bytes(tmp_path: Path, policy_dir: Path, method: str) -> None:
    """Also from another folder, and whatever the order of the reference table."""
    copy = Path(shutil.copytree(policy_dir, tmp_path / "copy"))
    adapter = AdapterConfig(r=4, dropout=0.1) if method == "lora" else None
    settings = config(method=method, adapter=adapter)
    one = train(tmp_path / "one", policy_dir, config=settings)
    shuffled = REFERENCE.take(list(reversed(range(len(REFERENCE)))))
    two = train(tmp_path / "two", copy, config=settings, reference=shuffled)
    train(tmp_path / "three", policy_dir, config=settings, seed=1)
    assert one == two
    first = file_digests(tmp_path / "one")
    assert first == file_digests(tmp_path / "two")
    assert first["model.safetensors"] != file_digests(tmp_path / "three")["model.safetensors"]


@pytest.mark.parametrize(
    "table",
    [REFERENCE.slice(1), pa.concat_tables([REFERENCE, REFERENCE.slice(0, 1)])],
    ids=["one missing", "one twice"],
)
def test_reference_that_does_not_join_one_to_one_is_refused(
    out: Path, policy_dir: Path, table: pa.Table
) -> None:
    with pytest.raises(CardinalityError, match="pair_id 'p0'"):
        train(out, policy_dir, reference=table)


def test_pairs_that_are_too_long_are_left_out_whole_and_counted(
    out: Path, policy_dir: Path
) -> None:
    tokenizer = load_tokenizer(policy_dir)
    rows, counts = tokenise_pairs(tokenizer, PAIRS, REFERENCE, 1024)
    lengths = sorted(
        len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for row in rows
    )
    limit = lengths[14]
    kept = sum(length <= limit for length in lengths)
    meta = train(out, policy_dir, config=config(max_length=limit))
    assert counts == {"too_long": 0, "retokenized": 21} and 0 < kept < 21
    assert (meta["rows"], meta["too_long"]) == (kept, 21 - kept)


def test_nothing_left_to_train_on_names_the_field(out: Path, policy_dir: Path) -> None:
    with pytest.raises(InputError, match="policy.max_length: no row is left .*21 are too long"):
        train(out, policy_dir, config=config(max_length=8))


def test_a_loss_that_explodes_stops_the_training(out: Path, policy_dir: Path) -> None:
    with pytest.raises(TrainingError, match="not finite at step 2; lower learning_rate"):
        train(out, policy_dir, config=config(learning_rate=1e30, warmup_ratio=0))
    assert not (out / "model.safetensors").exists()


def test_weights_that_explode_in_the_last_step_are_not_saved(out: Path, policy_dir: Path) -> None:
    with pytest.raises(TrainingError, match="weight .* is not finite at step 1"):
        train(out, policy_dir, config=config(learning_rate=1e39, warmup_ratio=0, batch_size=32))
    assert not (out / "model.safetensors").exists()


def test_a_poisoned_policy_is_not_trained(tmp_path: Path, out: Path, policy_dir: Path) -> None:
    bad = Path(shutil.copytree(policy_dir, tmp_path / "bad"))
    weights = load_file(bad / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, bad / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.norm\.weight holds a NaN"):
        train(out, bad)


@pytest.mark.parametrize(
    ("settings", "runtime", "message"),
    [
        ({"losses": {"aot": 1.0}}, {"train_micro_batch": 4}, "train_micro_batch: must be 0"),
        (
            {"method": "lora", "adapter": AdapterConfig(target_modules=["q_prj"])},
            {},
            "policy: Target modules .*q_prj",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_training(
    out: Path, policy_dir: Path, settings: dict, runtime: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(
            out,
            policy_dir,
            config=config(**settings),
            runtime=RuntimeConfig(device="cpu", **runtime),
        )


def test_progress_counts_every_step(out: Path, policy_dir: Path) -> None:
    calls: list[tuple[int, int]] = []
    train(out, policy_dir, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_training_is_silent(out: Path, policy_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(out, policy_dir, config=config(method="lora"))
    assert capfd.readouterr() == ("", "")


def test_too_few_steps_are_an_error(
    out: Path, policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data loader that ends early must not pass for a finished training."""
    whole = PartsTrainer._get_train_sampler

    def half(self: PartsTrainer, dataset: Any = None) -> Iterator[int]:
        return list(whole(self, dataset))[:8]  # type: ignore[return-value]

    monkeypatch.setattr(PartsTrainer, "_get_train_sampler", half)
    with pytest.raises(TrainingError, match="ended at 1 of 3"):
        train(out, policy_dir)


def test_trl_calls_no_one(out: Path, policy_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(
        "trl.trainer.base_trainer.send_telemetry", lambda **kwargs: calls.append(kwargs["topic"])
    )
    train(out, policy_dir)
    assert calls == []


def test_parts_are_what_trl_would_have_made_of_the_batch(out: Path, policy_dir: Path) -> None:
    trainer, rows = made(
        out, policy_dir, config(), RuntimeConfig(device="cpu", train_micro_batch=4)
    )
    collate = trainer.data_collator
    assert isinstance(collate, Parts)
    sizes = [len(part["input_ids"]) for part in collate(rows[:10])["parts"]]
    assert sizes == [8, 8, 4]  # chosen and rejected of 4, 4 and 2 pairs
