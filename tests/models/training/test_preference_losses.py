"""Losses of pairs against closed forms, and where their gradients vanish."""

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from data.recipes.losses import DualClipLoss, PairWeightConfig
from models.training.losses import clipped, dual_clip_loss, offset_sigmoid, pair_weights

VARIANTS = ("one_sided", "two_sided", "pessimistic")
C_W, C_L = 2.0, 4.0
REWARDS = st.floats(-30, 30)
PAIRS = st.lists(st.tuples(REWARDS, REWARDS), min_size=1)


def weights(gaps: list[float], **settings: Any) -> list[float]:
    config = TypeAdapter(PairWeightConfig).validate_python(settings)
    return pair_weights(torch.tensor(gaps, dtype=torch.float64), config).tolist()


def clip(variant: str, chosen: float = C_W, rejected: float = C_L) -> DualClipLoss:
    return DualClipLoss(variant=variant, chosen=chosen, rejected=rejected)


def leaf(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def dual_clip(r_w: float, r_l: float, config: DualClipLoss) -> tuple[float, float, float]:
    """Loss and its derivatives by the chosen and the rejected reward."""
    chosen, rejected = leaf([r_w]), leaf([r_l])
    loss = dual_clip_loss(chosen, rejected, config).sum()
    by_chosen, by_rejected = torch.autograd.grad(loss, (chosen, rejected))
    return loss.item(), by_chosen.item(), by_rejected.item()


def dpo(margin: float) -> float:
    return max(-margin, 0.0) + math.log1p(math.exp(-abs(margin)))


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-15)


def test_weights_are_the_closed_forms() -> None:
    gaps = [0.0, 0.5, 3.0]
    assert weights(gaps, form="linear", beta_2=2.0) == [0, 1, 6]
    expected = [1 / (1 + math.exp(-2 * gap)) for gap in gaps]
    assert weights(gaps, form="sigmoid", beta_2=2.0) == pytest.approx(expected)
    assert weights(gaps, form="linear", normalize=True) == pytest.approx([0, 3 / 7, 18 / 7])


def test_without_scale_the_sigmoid_form_halves_every_pair() -> None:
    assert weights([0.0, 1.0, 40.0], form="sigmoid", beta_2=0.0) == [0.5, 0.5, 0.5]


def test_a_linear_weight_is_never_negative() -> None:
    assert weights([-3.0, 0.0], form="linear") == [0, 0]
    assert weights([-3.0, 0.0], form="linear", normalize=True) == [0, 0]


@given(
    st.floats(-20, 20),
    st.floats(0.01, 5),
    st.floats(0.1, 3),
    st.sampled_from(["sigmoid", "linear"]),
)
def test_weight_increases_with_the_gap(gap: float, more: float, beta_2: float, form: str) -> None:
    less, greater = weights([gap, gap + more], form=form, beta_2=beta_2)
    assert less <= greater and less >= 0
    if 0 <= gap <= 5:  # beyond, a sigmoid may be rounded to 1
        assert less < greater


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from(["sigmoid", "linear"]))
def test_normalised_weights_average_to_1_and_keep_their_ratios(
    gaps: list[float], form: str
) -> None:
    plain = weights(gaps, form=form)
    normalised = weights(gaps, form=form, normalize=True)
    mean = sum(plain) / len(plain)
    if mean > 1e-200:
        assert sum(normalised) / len(normalised) == pytest.approx(1)
        assert normalised == pytest.approx([weight / mean for weight in plain])


@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_offset_sigmoid_is_the_closed_form(offset: float) -> None:
    h = [-40.0, -1.0, 0.0, 2.0]
    found = offset_sigmoid(torch.tensor(h, dtype=torch.float64), 0.3, offset).tolist()
    assert found == [near(dpo(0.3 * value - offset)) for value in h]


def band(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@given(REWARDS, REWARDS, st.sampled_from(VARIANTS))
def test_dual_clip_is_the_closed_form(r_w: float, r_l: float, variant: str) -> None:
    two_sided = band(r_w, -C_W, C_W) - band(r_l, -C_L, C_L)
    expected = {
        "one_sided": dpo(min(r_w, C_W) - max(r_l, -C_L)),
        "two_sided": dpo(two_sided),
        "pessimistic": max(dpo(two_sided), dpo(r_w - r_l)),
    }
    assert dual_clip(r_w, r_l, clip(variant))[0] == near(expected[variant])


@given(REWARDS, REWARDS, st.sampled_from(VARIANTS))
def test_dual_clip_is_dpo_at_large_thresholds(r_w: float, r_l: float, variant: str) -> None:
    loss, by_chosen, by_rejected = dual_clip(r_w, r_l, clip(variant, 1e9, 1e9))
    slope = -1 / (1 + math.exp(r_w - r_l))
    assert (loss, by_chosen, by_rejected) == (near(dpo(r_w - r_l)), near(slope), near(-slope))


@pytest.mark.parametrize(
    ("r_w", "r_l", "by_chosen", "by_rejected"),
    [(3, -1, False, True), (1, -6, True, False), (-2, -6, True, False), (3, -6, False, False)],
)
def test_one_sided_gradients_at_the_points_of_reference(
    r_w: float, r_l: float, by_chosen: bool, by_rejected: bool
) -> None:
    _, *gradients = dual_clip(r_w, r_l, clip("one_sided"))
    assert [gradient != 0 for gradient in gradients] == [by_chosen, by_rejected]


@given(REWARDS, REWARDS, st.floats(0.1, 10), st.floats(0.1, 10))
def test_one_sided_gradients_vanish_exactly_beyond_the_thresholds(
    r_w: float, r_l: float, c_w: float, c_l: float
) -> None:
    """What is left pulls as in DPO: the chosen reward up, the rejected down."""
    _, by_chosen, by_rejected = dual_clip(r_w, r_l, clip("one_sided", c_w, c_l))
    assert (by_chosen < 0) == (r_w <= c_w) and by_chosen <= 0
    assert (by_rejected > 0) == (r_l >= -c_l) and by_rejected >= 0


@given(REWARDS, REWARDS)
def test_two_sided_gradients_vanish_exactly_outside_the_band(r_w: float, r_l: float) -> None:
    _, by_chosen, by_rejected = dual_clip(r_w, r_l, clip("two_sided"))
    assert (by_chosen == 0) == (abs(r_w) > C_W)
    assert (by_rejected == 0) == (abs(r_l) > C_L)


@given(st.floats(-30, -C_W - 0.01), REWARDS)
def test_two_sided_gives_up_a_chosen_reward_that_has_fallen(r_w: float, r_l: float) -> None:
    """Which is the case that alignment cares about; one_sided raises it."""
    assert dual_clip(r_w, r_l, clip("two_sided"))[1] == 0
    assert dual_clip(r_w, r_l, clip("one_sided"))[1] < 0


@given(REWARDS, REWARDS)
@example(3.0, 5.0)  # both are clipped, and the margin stays
def test_pessimistic_clips_only_where_that_makes_the_loss_worse(r_w: float, r_l: float) -> None:
    clipped_margin = band(r_w, -C_W, C_W) - band(r_l, -C_L, C_L)
    variant = "two_sided" if clipped_margin < r_w - r_l else None
    found = dual_clip(r_w, r_l, clip("pessimistic"))
    assert found == dual_clip(r_w, r_l, clip(variant) if variant else clip("two_sided", 1e9, 1e9))
    if variant is None:  # clipping would flatter the policy: DPO's gradient, on both sides
        assert found[1] < 0 < found[2]


def test_pessimistic_rescues_a_fallen_chosen_reward_unless_the_rejected_fell_further() -> None:
    assert dual_clip(-3, 0, clip("pessimistic"))[1] < 0
    assert dual_clip(-3, -6, clip("pessimistic"))[1:] == (0, 0)


@given(REWARDS, REWARDS)
def test_the_worse_of_one_sided_and_dpo_is_always_one_sided(r_w: float, r_l: float) -> None:
    """Why pessimistic compares with two_sided."""
    assert dual_clip(r_w, r_l, clip("one_sided"))[0] >= dpo(r_w - r_l) * (1 - 1e-12)


@given(PAIRS, st.sampled_from(VARIANTS))
def test_clipped_marks_exactly_the_rewards_without_gradient(
    pairs: list[tuple[float, float]], variant: str
) -> None:
    chosen, rejected = (leaf(side) for side in zip(*pairs, strict=True))
    dual_clip_loss(chosen, rejected, clip(variant)).sum().backward()
    masks = clipped(chosen, rejected, clip(variant))
    assert masks[0].tolist() == (chosen.grad == 0).tolist()
    assert masks[1].tolist() == (rejected.grad == 0).tolist()


def test_clipped_at_known_points() -> None:
    chosen, rejected = torch.tensor([3.0, 1.0, -3.0, 2.0]), torch.tensor([0.0, -6.0, 5.0, -4.0])
    expected = {
        "one_sided": ([True, False, False, False], [False, True, False, False]),
        "two_sided": ([True, False, True, False], [False, True, True, False]),
        "pessimistic": ([True, False, False, False], [False, True, False, False]),
    }
    for variant, masks in expected.items():
        found = clipped(chosen, rejected, clip(variant))
        assert tuple(mask.tolist() for mask in found) == masks


@given(st.floats(-1, 1), st.floats(-3, 3), st.floats(-1, 1), st.sampled_from(VARIANTS))
def test_inside_the_band_only_the_difference_counts(
    r_w: float, r_l: float, shift: float, variant: str
) -> None:
    before, after = (dual_clip(r_w + by, r_l + by, clip(variant)) for by in (0.0, shift))
    assert before == pytest.approx(after, rel=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_outside_the_band_a_shift_changes_the_loss(variant: str) -> None:
    assert dual_clip(1, 0, clip(variant))[0] != near(dual_clip(5, 4, clip(variant))[0])
