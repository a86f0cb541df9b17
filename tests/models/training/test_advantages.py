"""The advantage of an aligned teacher, and what a policy may expect of it."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.recipes.advantage import AdpaConfig
from models.teacher import top_of
from models.training.advantages import advantages, expected, filled
from models.training.divergences import policy_buckets

WORDS = 11


def logits(seed: int, scale: float = 2.0, n: int = 5) -> torch.Tensor:
    return scale * torch.randn(n, WORDS, generator=torch.Generator().manual_seed(seed))


def kept(teacher: torch.Tensor, k: int, at: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """What TARGETS would hold of a teacher's logits, in full precision."""
    tokens = torch.zeros(len(teacher), dtype=torch.long)
    _, _, ids, logps = (torch.from_numpy(x) for x in top_of(teacher, tokens, k, at))
    return {"top_ids": ids.long(), "top_logps": logps}


def of(aligned: torch.Tensor, other: torch.Tensor, k: int, **config: Any) -> torch.Tensor:
    """Of `other` as the reference."""
    mine = kept(aligned, k)
    settings = AdpaConfig(**config)
    if settings.reference == "none":
        return advantages(mine, None, settings)
    at = mine["top_ids"] if settings.reference == "exact" else None
    return advantages(mine, kept(other, k, at), settings)


def gain(policy: torch.Tensor, aligned: torch.Tensor, advantage: torch.Tensor) -> torch.Tensor:
    k = advantage.shape[1]
    return expected(policy_buckets(policy, kept(aligned, k)["top_ids"])[:, :k], advantage)


def test_closed_form_of_two_tokens() -> None:
    """p of token 0 under the aligned teacher, r under the reference, q under the policy."""
    p, r, q = 0.8, 0.6, 0.3
    two = [torch.tensor([[math.log(x), math.log(1 - x)]]) for x in (p, r, q)]
    mine = {"top_ids": torch.tensor([[0, 1]]), "top_logps": two[0]}
    a = advantages(mine, mine | {"top_logps": two[1]}, AdpaConfig())
    first, second = math.log(p / r), math.log((1 - p) / (1 - r))
    assert a[0].tolist() == pytest.approx([first, second], rel=1e-5)
    policy = two[2].requires_grad_()
    value = expected(policy_buckets(policy, mine["top_ids"]), a)
    mean = q * first + (1 - q) * second
    assert value.item() == pytest.approx(mean, rel=1e-5)
    value.sum().backward()
    # d J / d logit_a = pi(a) (A(a) - J): the policy gradient's, in expectation.
    slope = [q * (first - mean), (1 - q) * (second - mean)]
    assert policy.grad is not None and policy.grad[0].tolist() == pytest.approx(slope, rel=1e-4)


def test_over_the_whole_vocabulary_it_is_the_dense_formula() -> None:
    aligned, reference, policy = logits(0), logits(1), logits(2).requires_grad_()
    value = gain(policy, aligned, of(aligned, reference, WORDS))
    dense = (policy.softmax(1) * (aligned.log_softmax(1) - reference.log_softmax(1))).sum(1)
    torch.testing.assert_close(value, dense, rtol=1e-4, atol=1e-6)
    (mine,) = torch.autograd.grad(value.sum(), policy, retain_graph=True)
    (theirs,) = torch.autograd.grad(dense.sum(), policy)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_without_a_reference_it_is_the_log_probability() -> None:
    aligned, policy = logits(0), logits(2)
    value = gain(policy, aligned, of(aligned, logits(1), WORDS, reference="none"))
    torch.testing.assert_close(value, (policy.softmax(1) * aligned.log_softmax(1)).sum(1))
    assert (value < 0).all()


def test_clamped_there_is_no_advantage_below_0_or_above_1() -> None:
    aligned, reference = logits(0), logits(1)
    plain, clamped = (of(aligned, reference, 4, clamp=on) for on in (False, True))
    assert (plain < 0).any() and (plain > 1).any()
    torch.testing.assert_close(clamped, plain.clamp(0, 1), rtol=0, atol=1e-7)


def test_filled_as_by_a_loop_over_tokens() -> None:
    """A token that the reference has not kept gets the aligned teacher's least, as released."""
    aligned, reference = logits(0), logits(1)
    mine, its = kept(aligned, 4), kept(reference, 4)
    found = filled(mine["top_ids"], mine["top_logps"], its["top_ids"], its["top_logps"])
    missing = 0
    for row, value in enumerate(found.tolist()):
        known = dict(zip(its["top_ids"][row].tolist(), its["top_logps"][row].tolist(), strict=True))
        least = min(mine["top_logps"][row].tolist())
        ids = mine["top_ids"][row].tolist()
        missing += sum(word not in known for word in ids)
        assert value == pytest.approx([known.get(word, least) for word in ids])
    assert 0 < missing < found.numel()
    other = of(aligned, reference, 4, reference="fill")
    torch.testing.assert_close(other, mine["top_logps"] - found)
    assert not torch.allclose(other, of(aligned, reference, 4))


def test_filled_over_the_whole_vocabulary_it_is_exact() -> None:
    aligned, reference = logits(0), logits(1)
    both = (of(aligned, reference, WORDS, reference=how) for how in ("exact", "fill"))
    torch.testing.assert_close(*both)


@given(st.integers(0, 10**6), st.integers(1, WORDS), st.floats(0.1, 20))
def test_a_teacher_that_is_its_reference_gives_nothing_to_learn(
    seed: int, k: int, scale: float
) -> None:
    teacher, policy = logits(seed, scale), logits(seed + 1).requires_grad_()
    value = gain(policy, teacher, of(teacher, teacher, k))
    assert value.detach().abs().max() < 1e-4
    (slope,) = torch.autograd.grad(value.sum(), policy)
    assert slope.abs().max() < 1e-4
