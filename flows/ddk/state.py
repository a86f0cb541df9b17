"""What an interval starts from, and what it leaves behind."""

from dataclasses import dataclass

from data.store.artifacts import Artifact
from tasks.stage import Model


@dataclass(frozen=True)
class Parts:
    """Models and texts of a run."""

    policy: Model  # as it begins, warmed up
    teacher: Model
    pool: Artifact  # DEMONSTRATIONS to learn
    dev: Artifact  # that decide the mixture
    test: Artifact  # that only measure
    teacher_dev: Artifact  # TARGETS of the teacher
    teacher_test: Artifact


@dataclass(frozen=True)
class State:
    """What one interval hands to the next."""

    policy: Model
    mixture: Artifact | None = None  # of the interval before; None: there is none
    targets: tuple[Artifact, ...] = ()  # of all texts drawn so far


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a finished interval."""

    number: int
    mixture: Artifact
    draw: Artifact
    read: Artifact  # TARGETS of what was drawn for the first time
    known: tuple[Artifact, ...]  # of all that was drawn so far
    policy: Artifact
    gaps: Artifact
    base: Artifact | None  # gaps before the first interval; with it alone

    @property
    def adopted(self) -> bool:
        """Every policy is kept: nothing is chosen among them."""
        return True
