"""What a round of best-of-n distillation leaves behind, and what it hands to the next."""

from dataclasses import dataclass

from data.store.artifacts import Artifact
from data.summary import StageRecord
from flows.loop.state import Answers
from tasks.stage import Model


@dataclass(frozen=True)
class State:
    """What one round hands to the next."""

    policy: Model
    adopted: int = 0  # the round that has left the policy; 0: it is the base


@dataclass(frozen=True)
class Judged:
    """What is known of a round's policy after its evaluation."""

    gate: Artifact | None  # None: the round was between evaluations, and the run ended with it
    evaluations: tuple[Artifact, ...]  # of the same answers, by each judge
    drift: Artifact
    base_drift: Artifact  # of the base's answers: what the policy's are compared with
    base: Answers
    policy: Answers
    followed: Artifact | None = None  # instructions, where these are a judge


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a finished round."""

    number: int
    asked: Artifact
    completions: Artifact
    scores: Artifact
    picked: Artifact
    policy: Artifact
    judged: Judged | None  # None between evaluations
    calls: tuple[StageRecord, ...] = ()  # of its stages

    @property
    def adopted(self) -> bool:
        """Whether the policy is kept: the gate speaks where there is an evaluation."""
        gate = self.judged.gate if self.judged else None
        return gate is None or bool(gate.meta["adopted"])
