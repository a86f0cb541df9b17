"""How far a policy has moved from where it started, from its answers alone. No torch here."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.summary import Round

Vector = Sequence[float] | NDArray[np.float64]

# Rules of thumb for the warnings, relative to the base or to the round before.
LONGER, SHORTER, LESS_VARIED, FURTHER = 1.25, 0.75, 0.8, 1.25
FAR = 1.0  # nats per token: the answers' tokens are e times likelier under the policy


def distinct_2(completions: Sequence[str]) -> float:
    """Different bigrams of whitespace-separated words over all bigrams; 0 where there are none."""
    bigrams: set[tuple[str, str]] = set()
    total = 0
    for text in completions:
        words = text.split()
        bigrams.update(zip(words, words[1:], strict=False))
        total += max(0, len(words) - 1)
    return len(bigrams) / total if total else 0.0


def kl_estimate(policy_logps: Vector, base_logps: Vector) -> float:
    """Monte-Carlo estimate of KL(policy || base) per completion, in nats.

    The mean of log policy(y|x) - log base(y|x) over completions y that the policy sampled. An
    estimate: with few samples it can be slightly negative. Of the policy itself only if y was
    sampled at temperature 1 and top-p 1; otherwise of what the decoding makes of it.
    """
    if len(policy_logps) != len(base_logps) or len(policy_logps) == 0:
        raise ValueError("need the same completions under both models, and at least one")
    pairs = zip(policy_logps, base_logps, strict=True)
    return float(sum(policy - base for policy, base in pairs) / len(policy_logps))


def drift_warnings(base: Mapping[str, float], rounds: Sequence[Round]) -> list[str]:
    """What a careful reader would ask about the policies of these rounds, in plain sentences.

    Args:
        base: Fields of `Drift` for the base policy, as far as they are known.
        rounds: Finished rounds in order. Each is compared with the base and with the round whose
            policy it started from; rounds without a policy are passed over.
    """
    found: list[str] = []
    before: Round | None = None
    for entry in rounds:
        if entry.drift is None:
            continue
        texts = _against_base(base, entry)
        if before is not None:
            texts += _against_round(before, entry)
        refused = "" if entry.adopted else " (not adopted)"
        found += [f"Round {entry.round}{refused}: {text}" for text in texts]
        if entry.adopted:
            before = entry
    return found


def _against_base(base: Mapping[str, float], entry: Round) -> list[str]:
    found, drift = [], entry.drift
    assert drift is not None
    if drift.kl_to_base > FAR * drift.mean_tokens > 0:
        found.append(
            f"the policy is far from the base: a KL of {drift.kl_to_base:.1f} nats per answer, "
            "more than one per token. Such policies tend to exploit their teacher; read some "
            "answers."
        )
    if base.get("mean_tokens"):
        ratio = drift.mean_tokens / base["mean_tokens"]
        if ratio > LONGER:
            found.append(
                f"answers are {ratio - 1:.0%} longer than the base policy's. Judges tend to favour "
                "length; read some answers before trusting the win rate."
            )
        if ratio < SHORTER:
            found.append(
                f"answers are {1 - ratio:.0%} shorter than the base policy's; check that they are "
                "still complete."
            )
    if base.get("distinct_2") and drift.distinct_2 < LESS_VARIED * base["distinct_2"]:
        found.append(
            f"answers are less varied: {drift.distinct_2:.2f} of all word pairs are different, "
            f"{base['distinct_2']:.2f} for the base policy. The policy may repeat itself."
        )
    return found


def _against_round(before: Round, entry: Round) -> list[str]:
    found = []
    old, new = before.drift, entry.drift
    assert old is not None and new is not None
    judge = entry.policy.judge if entry.policy else "judge"
    rewarded_more = judge != "teacher" and new.teacher_reward > old.teacher_reward
    stalled = before.policy and entry.policy and entry.policy.win_rate <= before.policy.win_rate
    if rewarded_more and new.judge_score < old.judge_score:
        found.append(
            f"the teacher's reward rose while the {judge}'s score fell. The policy may have "
            "begun to exploit the teacher's mistakes (over-optimisation)."
        )
    elif rewarded_more and stalled:
        found.append(
            f"the teacher's reward rose ({old.teacher_reward:.2f} to {new.teacher_reward:.2f}), "
            "but the policy wins no more often. It may be learning what the teacher likes rather "
            "than better answers."
        )
    if stalled and new.kl_to_base > FURTHER * old.kl_to_base > 0:
        found.append(
            f"the policy moved further from the base (KL {old.kl_to_base:.1f} to "
            f"{new.kl_to_base:.1f} nats) without winning more often."
        )
    return found
