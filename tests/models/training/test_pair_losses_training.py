"""The policy's own losses in a training: equal to TRL's where they must be, and what is refused."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from data.errors import InputError
from data.recipes.losses import Losses
from data.recipes.recipe import AdapterConfig, PolicyConfig, RuntimeConfig
from data.schemas import PREFERENCES
from models.chat import load_tokenizer
from models.logps import sequence_logps
from models.training.dpo import make_trainer, tokenise_pairs, train_dpo
from models.training.trainers import compact_head
from tests.models.training.training_rows import preferences, reference

EQUAL = preferences(21)
GAPS = [0.1 * i for i in range(21)]
PAIRS = EQUAL.set_column(
    EQUAL.schema.get_field_index("margin"),
    PREFERENCES.field("margin"),
    pa.array(GAPS, pa.float64()),
)
NO_MARGINS = PAIRS.set_column(
    PAIRS.schema.get_field_index("margin"),
    PREFERENCES.field("margin"),
    pa.array([None, None, *GAPS[2:]], pa.float64()),
)
REFERENCE = reference(PAIRS)
VARIANTS = ["one_sided", "two_sided", "pessimistic"]
OFFSET = {"losses": {"sigmoid": {"margin_offset": 0.3}}}
NO_CLIP = {"chosen": 1e6, "rejected": 1e6}


def config(**changes: Any) -> PolicyConfig:
    settings = {"learning_rate": 1e-3, "batch_size": 8, "method": "full", "beta": 0.1}
    return PolicyConfig(**{**settings, **changes})


@pytest.fixture
def step(tmp_path: Path, policy_dir: Path) -> Any:
    """Loss, gradient and metrics of one step on all pairs."""

    def taken(
        changes: dict[str, Any], pairs: pa.Table = PAIRS, micro_batch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, float]]:
        settings, tokenizer = config(**changes), load_tokenizer(policy_dir)
        runtime = RuntimeConfig(device="cpu", train_micro_batch=micro_batch)
        rows, _ = tokenise_pairs(tokenizer, pairs, REFERENCE, 1024)
        trainer = make_trainer(tmp_path, policy_dir, tokenizer, rows, settings, runtime, 0)
        if settings.method == "lora":  # or all of B is 0, and so is the gradient of A
            generator = torch.Generator().manual_seed(1)
            for name, parameter in trainer.model.named_parameters():
                if "lora_B" in name:
                    parameter.data.normal_(0, 0.1, generator=generator)
        trainer.create_optimizer()
        with compact_head():
            loss = trainer.training_step(trainer.model, trainer.data_collator(rows))
        learnt = [p.grad.flatten() for p in trainer.model.parameters() if p.requires_grad]
        metrics = {name: values[0] for name, values in trainer._metrics["train"].items()}
        return loss, torch.cat(learnt), metrics

    return taken


def log_ratios(policy: Path) -> list[tuple[float, float]]:
    """log pi - log pi_ref of the chosen and the rejected side of every pair, in nats."""
    messages = PAIRS["messages"].to_pylist()
    sides = []
    for side in ("chosen", "rejected"):
        items = list(zip(messages, PAIRS[side].to_pylist(), strict=True))
        logps, _ = sequence_logps(policy, items, runtime=RuntimeConfig(device="cpu"))
        sides.append(logps - REFERENCE[f"{side}_logp"].to_numpy())
    return list(zip(*sides, strict=True))


def train(out: Path, policy: Path, pairs: pa.Table = PAIRS, **changes: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    return train_dpo(
        out,
        policy=policy,
        preferences=pairs,
        reference=reference(pairs),
        config=config(**changes),
        runtime=RuntimeConfig(device="cpu"),
        seed=0,
    )


def test_without_scale_the_weighted_loss_is_exactly_half_of_trls(step: Any) -> None:
    loss, gradient, metrics = step({})
    half, half_gradient, own = step({"pair_weight": {"form": "sigmoid", "beta_2": 0.0}})
    assert torch.equal(2 * half, loss) and gradient.norm() > 0
    assert torch.equal(2 * half_gradient, gradient)
    assert own == metrics


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_weights_of_1_give_trls_loss_and_gradient(step: Any, method: str, gamma: float) -> None:
    """Equal margins, normalised, are weights of 1."""
    adapter = {"adapter": AdapterConfig(r=4)} if method == "lora" else {}
    common = {"method": method, "sft_weight": gamma, **adapter}
    loss, gradient, metrics = step(common, EQUAL)
    ones = {"form": "linear", "normalize": True}
    own_loss, own_gradient, own_metrics = step({**common, "pair_weight": ones}, EQUAL)
    assert torch.equal(own_loss, loss) and gradient.norm() > 0
    assert torch.equal(own_gradient, gradient)
    assert own_metrics == metrics


@pytest.mark.parametrize("variant", VARIANTS)
def test_dual_clip_is_trls_loss_and_gradient_at_large_thresholds(step: Any, variant: str) -> None:
    loss, gradient, metrics = step({"sft_weight": 0.5})
    settings = {"losses": {"dual_clip": {"variant": variant, **NO_CLIP}}}
    own_loss, own_gradient, own_metrics = step({**settings, "sft_weight": 0.5})
    torch.testing.assert_close(own_loss, loss)
    torch.testing.assert_close(own_gradient, gradient)
    assert own_metrics == {**metrics, "clipped/chosen": 0, "clipped/rejected": 0}


@pytest.mark.parametrize("normalize", [False, True])
def test_weights_and_offset_are_the_closed_form(
    step: Any, policy_dir: Path, normalize: bool
) -> None:
    weights = [2.0 * gap for gap in GAPS]
    if normalize:
        weights = [weight * len(GAPS) / sum(weights) for weight in weights]
    losses = [math.log1p(math.exp(0.3 - 0.1 * (up - down))) for up, down in log_ratios(policy_dir)]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / len(losses)
    weight = {"form": "linear", "beta_2": 2.0, "normalize": normalize}
    loss, _, _ = step({**OFFSET, "pair_weight": weight})
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_own_losses_add_up_with_each_other_and_with_trls(step: Any) -> None:
    def loss(**losses: float) -> float:
        settings: dict[str, Any] = {name: {"weight": w} for name, w in losses.items()}
        if "dual_clip" in losses:
            settings["dual_clip"] |= {"chosen": 0.5, "rejected": 0.5}
        return float(step({"losses": settings})[0])

    both = loss(dual_clip=0.7, hinge=0.2)
    assert both == pytest.approx(0.7 * loss(dual_clip=1) + 0.2 * loss(hinge=1), rel=1e-5)
    weighted = {"pair_weight": {"form": "sigmoid"}}
    parts = [
        float(step({**weighted, "losses": losses})[0])
        for losses in ({"sigmoid": 1.0}, {"dual_clip": 1.0}, {"sigmoid": 0.5, "dual_clip": 2.0})
    ]
    assert parts[2] == pytest.approx(0.5 * parts[0] + 2 * parts[1], rel=1e-5)


def test_an_offset_near_0_is_dpo_and_a_large_one_asks_for_more(step: Any) -> None:
    loss, gradient, _ = step({})
    near, near_gradient, _ = step({"losses": {"sigmoid": {"margin_offset": 1e-9}}})
    torch.testing.assert_close(near, loss)
    torch.testing.assert_close(near_gradient, gradient)
    assert step({"losses": {"sigmoid": {"margin_offset": 1.0}}})[0] > loss


@pytest.mark.parametrize("micro_batch", [1, 4, 5])
@pytest.mark.parametrize(
    "losses", [{"sigmoid": 1.0}, {"dual_clip": {"chosen": 0.5, "rejected": 0.5}}]
)
def test_gradient_does_not_depend_on_the_micro_batch(
    step: Any, micro_batch: int, losses: dict[str, Any]
) -> None:
    """The gaps rise along the batch, so the mean weights of its parts differ."""
    settings = {
        "losses": losses,
        "sft_weight": 0.5,
        "pair_weight": {"form": "linear", "normalize": True},
    }
    loss, gradient, _ = step(settings)
    parts_loss, parts_gradient, _ = step(settings, micro_batch=micro_batch)
    torch.testing.assert_close(parts_loss, loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(parts_gradient, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("variant", ["one_sided", "two_sided"])
def test_the_share_of_clipped_pairs_is_counted(step: Any, policy_dir: Path, variant: str) -> None:
    rewards = [(0.1 * up, 0.1 * down) for up, down in log_ratios(policy_dir)]
    limit = {
        "chosen": sorted(abs(up) for up, _ in rewards)[5] + 1e-4,
        "rejected": sorted(abs(down) for _, down in rewards)[9] + 1e-4,
    }
    two = variant == "two_sided"
    chosen = sum((abs(up) if two else up) > limit["chosen"] for up, _ in rewards)
    rejected = sum((abs(down) if two else -down) > limit["rejected"] for _, down in rewards)
    _, _, metrics = step({"losses": {"dual_clip": {"variant": variant, **limit}}})
    assert metrics["clipped/chosen"] == pytest.approx(chosen / 21)
    assert metrics["clipped/rejected"] == pytest.approx(rejected / 21)
    assert chosen + rejected > 0


@pytest.mark.parametrize("name", Losses.model_fields)
def test_every_loss_of_a_recipe_is_finite(step: Any, name: str) -> None:
    settings = {"label_smoothing": 0.01} if name == "exo_pair" else 1.0
    loss, gradient, _ = step({"losses": {name: settings}})
    assert loss.isfinite() and gradient.isfinite().all() and gradient.norm() > 0


def test_label_smoothing_reaches_the_loss(step: Any) -> None:
    plain, smooth = (
        step({"losses": {"robust": {"label_smoothing": value}}})[0] for value in (0.0, 0.3)
    )
    assert not torch.isclose(plain, smooth)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_weight": {"form": "linear"}, "losses": {"ipo": 1}}, "policy.pair_weight: goes"),
        ({"losses": {"sigmoid": {"margin_offset": 1}, "ipo": 1}}, "margin_offset: goes"),
        ({"losses": {"exo_pair": 1}}, "label_smoothing"),
        ({"losses": {"robust": {"label_smoothing": 0.1}, "aot": 1}}, "must be the same"),
        ({"losses": {}}, "policy.losses: no loss has a weight"),
    ],
)
def test_losses_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_weights_without_margins_are_refused(tmp_path: Path, policy_dir: Path) -> None:
    with pytest.raises(InputError, match="pair_weight: 2 of 21 pairs have no margin.*a judge's"):
        train(tmp_path / "out", policy_dir, NO_MARGINS, pair_weight={"form": "sigmoid"})
    assert train(tmp_path / "plain", policy_dir, NO_MARGINS)["rows"] == 21


def test_a_training_keeps_the_history_of_its_rewards(tmp_path: Path, policy_dir: Path) -> None:
    meta = train(
        tmp_path / "out",
        policy_dir,
        preferences(64),
        epochs=10,
        losses={"dual_clip": {"chosen": 1.0, "rejected": 1.0}},
    )
    history = meta["history"]
    names = [f"{what}/{side}" for what in ("rewards", "clipped") for side in ("chosen", "rejected")]
    assert list(history) == ["step", *names]
    assert history["step"] == [*range(2, 81, 2)]
    assert all(len(history[name]) == len(meta["losses"]) == 40 for name in names)
    assert history["rewards/chosen"][-1] > history["rewards/chosen"][0]
    last_epoch = [sum(history[name][-4:]) / 4 for name in names]
    assert last_epoch == pytest.approx([meta["metrics"][name] for name in names])


def test_trls_losses_have_a_history_of_rewards_alone(tmp_path: Path, policy_dir: Path) -> None:
    meta = train(tmp_path / "out", policy_dir)
    assert list(meta["history"]) == ["step", "rewards/chosen", "rewards/rejected"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_equal_trainings_with_own_losses_are_equal(
    tmp_path: Path, policy_dir: Path, method: str
) -> None:
    settings = {
        "method": method,
        "losses": {"sigmoid": 0.5, "dual_clip": 0.5},
        "pair_weight": {"form": "sigmoid"},
    }
    metas = [train(tmp_path / name, policy_dir, **settings) for name in "ab"]
    assert metas[0] == metas[1] and math.isfinite(metas[0]["final_loss"])
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert first == second
