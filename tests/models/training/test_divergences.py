"""Divergences over the teacher's top tokens and a bucket for the rest."""

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.recipes.distillation import DistillLosses, JsdLoss
from data.recipes.losses import Loss
from models.teacher import top_of
from models.training.divergences import (
    DIVERGENCES,
    losses_of,
    policy_buckets,
    teacher_buckets,
)

WORDS = 11
SETTINGS: dict[str, Any] = {"forward_kl": Loss(), "reverse_kl": Loss(), "jsd": JsdLoss()}


def logits(seed: int, scale: float = 2.0, n: int = 5) -> torch.Tensor:
    return scale * torch.randn(n, WORDS, generator=torch.Generator().manual_seed(seed))


def kept(teacher: torch.Tensor, k: int) -> dict[str, torch.Tensor]:
    """What TARGETS would hold of a teacher's logits, in full precision."""
    tokens = torch.zeros(len(teacher), dtype=torch.long)
    _, rest, ids, logps = (torch.from_numpy(x) for x in top_of(teacher, tokens, k))
    return {"top_ids": ids.long(), "top_logps": logps, "rest": rest}


def buckets(teacher: torch.Tensor, policy: torch.Tensor, k: int) -> tuple[Any, Any]:
    found = kept(teacher, k)
    both = teacher_buckets(found["top_logps"], found["rest"], k == WORDS)
    return both, policy_buckets(policy, found["top_ids"])


def divergence(name: str, teacher: torch.Tensor, policy: torch.Tensor, k: int) -> torch.Tensor:
    return DIVERGENCES[name](*buckets(teacher, policy, k), SETTINGS[name])


@pytest.mark.parametrize(("name", "beta"), [("forward_kl", 0.0), ("reverse_kl", 1.0), ("jsd", 0.5)])
def test_over_the_whole_vocabulary_it_is_trls(name: str, beta: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental: it is an oracle here
        from trl.experimental.gkd import GKDTrainer
    teacher, policy = logits(0, 3.0, 64), logits(1, 3.0, 64).requires_grad_()
    other = policy.detach().clone().requires_grad_()
    mine = divergence(name, teacher, policy, WORDS).mean()
    theirs = GKDTrainer.generalized_jsd_loss(other, teacher, beta=beta)
    assert mine.item() == pytest.approx(theirs.item(), rel=1e-5)
    mine.backward()
    theirs.backward()
    torch.testing.assert_close(policy.grad, other.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_both_and_nothing_is_multiplied_by_it(temperature: float) -> None:
    teacher, policy = logits(2), logits(3)
    found, mass = losses_of(
        policy,
        torch.zeros(5, dtype=torch.long),
        kept(teacher / temperature, WORDS),
        DistillLosses(forward_kl=Loss(), sft=Loss()),
        temperature,
    )
    t, s = (x.div(temperature).log_softmax(1) for x in (teacher, policy))
    torch.testing.assert_close(found["forward_kl"], (t.exp() * (t - s)).sum(1))
    torch.testing.assert_close(found["sft"], -policy.log_softmax(1)[:, 0])  # at temperature 1
    torch.testing.assert_close(mass, torch.ones(5))


def test_closed_forms_of_two_buckets() -> None:
    """One kept token of probability p under the teacher, q under the policy."""
    p, q, beta = 0.75, 0.5, 0.25
    teacher = torch.tensor([[math.log(p), *[math.log((1 - p) / 3)] * 3]])
    policy = torch.tensor([[math.log(q), *[math.log((1 - q) / 3)] * 3]])
    found = kept(teacher, 1)
    both = (
        teacher_buckets(found["top_logps"], found["rest"], False),
        policy_buckets(policy, found["top_ids"]),
    )

    def kl(a: float, b: float) -> float:
        return a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))

    m = beta * p + (1 - beta) * q
    expected = {
        "forward_kl": kl(p, q),
        "reverse_kl": kl(q, p),
        "jsd": beta * kl(p, m) + (1 - beta) * kl(q, m),
    }
    settings = SETTINGS | {"jsd": JsdLoss(beta=beta)}
    for name, value in expected.items():
        assert DIVERGENCES[name](*both, settings[name]).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("k", [1, 3, WORDS - 1])
def test_gradients_are_those_of_the_full_softmax(name: str, k: int) -> None:
    """Of the same sums written out with one_hot buckets, in double precision, by autograd."""
    teacher, policy = logits(4).double(), logits(5).double().requires_grad_()
    divergence(name, teacher, policy, k).sum().backward()
    mine, policy.grad = policy.grad, None
    ids = teacher.topk(k, dim=1).indices
    member = torch.zeros(len(ids), k + 1, WORDS, dtype=torch.double)
    for row, chosen in enumerate(ids.tolist()):
        for place, word in enumerate(chosen):
            member[row, place, word] = 1.0
        member[row, k] = 1 - member[row, :k].sum(0)
    p = (member @ teacher.softmax(1)[:, :, None])[..., 0]
    q = (member @ policy.softmax(1)[:, :, None])[..., 0]
    m = (p + q) / 2
    value = {
        "forward_kl": p * (p.log() - q.log()),
        "reverse_kl": q * (q.log() - p.log()),
        "jsd": (p * (p.log() - m.log()) + q * (q.log() - m.log())) / 2,
    }[name]
    value.sum().backward()
    torch.testing.assert_close(mine, policy.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_gradient_vanishes_where_both_are_equal(name: str) -> None:
    policy = logits(6).requires_grad_()
    divergence(name, policy.detach(), policy, 4).sum().backward()
    assert policy.grad is not None and policy.grad.abs().max() < 1e-5


seeds = st.integers(0, 10**6)


@given(
    seeds, seeds, st.integers(1, WORDS), st.sampled_from(sorted(DIVERGENCES)), st.floats(0.1, 20)
)
def test_never_negative_and_never_more_than_over_all_tokens(
    a: int, b: int, k: int, name: str, scale: float
) -> None:
    teacher, policy = logits(a, scale), logits(b, scale)
    few = divergence(name, teacher, policy, k)
    assert torch.isfinite(few).all() and (few > -1e-5).all()
    assert (few <= divergence(name, teacher, policy, WORDS) * (1 + 1e-4) + 1e-4).all()


@given(seeds, st.integers(1, WORDS), st.sampled_from(sorted(DIVERGENCES)), st.floats(0.1, 20))
def test_zero_where_both_are_equal(seed: int, k: int, name: str, scale: float) -> None:
    teacher = logits(seed, scale)
    assert divergence(name, teacher, teacher.clone(), k).abs().max() < 1e-4


@given(seeds, seeds, st.integers(1, WORDS - 1), st.floats(0.1, 30))
def test_buckets_are_distributions_and_the_rest_is_never_negative(
    a: int, b: int, k: int, scale: float
) -> None:
    """Also from half precision, in which TARGETS are kept."""
    found = kept(logits(a, scale), k)
    half = found["top_logps"].half()
    for one in (
        teacher_buckets(half, found["rest"], False),
        policy_buckets(logits(b), found["top_ids"]),
    ):
        assert (one <= 1e-6).all()
        torch.testing.assert_close(one.exp().sum(1), torch.ones(5), rtol=1e-5, atol=1e-5)


def test_a_teacher_that_is_sure_beyond_float32_gives_no_infinity() -> None:
    teacher = torch.zeros(1, WORDS)
    teacher[0, 3] = 200.0  # all others together: less than the smallest float32
    policy = torch.zeros(1, WORDS, requires_grad=True)
    for name in DIVERGENCES:
        value = divergence(name, teacher, policy, 1)
        value.sum().backward()
        assert torch.isfinite(value).all() and policy.grad is not None
        assert torch.isfinite(policy.grad).all()
