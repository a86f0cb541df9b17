"""What a round of distillation leaves behind, and what it hands to the next."""

from dataclasses import dataclass

from data.store.artifacts import Artifact
from data.summary import StageRecord
from flows.loop.state import Answers
from tasks.stage import Model


@dataclass(frozen=True)
class State:
    """What one round hands to the next."""

    policy: Model
    number: int = 0  # the round that has left the policy; 0: it is the base


@dataclass(frozen=True)
class Judged:
    """What is known of a round's policy after its evaluation."""

    evaluations: tuple[Artifact, ...]  # of the same answers, by each judge
    drift: Artifact
    base_drift: Artifact  # of the base's answers: what the policy's are compared with
    base: Answers
    policy: Answers
    # How far the policy is from the teacher, on the teacher's dev answers; None: that is not here.
    apart: Artifact | None
    base_apart: Artifact | None  # the same of the base
    followed: Artifact | None = None  # instructions, where these are a judge


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a finished round."""

    number: int
    asked: Artifact
    completions: tuple[Artifact, ...]  # of several teachers, of each
    targets: tuple[Artifact, ...]  # of each teacher
    policy: Artifact
    judged: Judged | None  # None between evaluations
    calls: tuple[StageRecord, ...] = ()  # of its stages

    @property
    def adopted(self) -> bool:
        """Every policy is kept: nothing is chosen among them."""
        return True
