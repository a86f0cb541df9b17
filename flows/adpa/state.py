"""What a run of DCKD or ADPA starts from and leaves behind."""

from dataclasses import dataclass

from data.store.artifacts import Artifact
from data.summary import StageRecord
from flows.loop.state import Parts
from flows.opd.state import Judged
from tasks.stage import Model


@dataclass(frozen=True)
class Start:
    """Models, prompts and pairs of the recipe."""

    parts: Parts
    reference: Model  # the teacher before its alignment
    aligned: Model | None  # None: the run aligns it
    preferences: Artifact
    held_out: tuple[Artifact, ...]  # prompts that a user's pairs must not have


@dataclass(frozen=True)
class Training:
    """A step of the method: what the student learned from, and what has come of it."""

    name: str  # "DCKD"
    policy: Artifact
    completions: tuple[Artifact, ...] = ()  # of the student
    targets: tuple[Artifact, ...] = ()  # of the aligned teacher, on what the student learns from
    references: tuple[Artifact, ...] = ()  # of the reference on the same


@dataclass(frozen=True)
class Outcome:
    """The artifacts of the one round."""

    pairs: Artifact
    trainings: tuple[Training, ...]
    judged: Judged
    teacher_evaluations: tuple[Artifact, ...]  # of the aligned teacher's answers against the base's
    calls: tuple[StageRecord, ...] = ()  # of its stages
    number: int = 1

    @property
    def policy(self) -> Artifact:
        """What the last step has left."""
        return self.trainings[-1].policy

    @property
    def adopted(self) -> bool:
        """Nothing is chosen among policies."""
        return True
