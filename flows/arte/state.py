"""What a run of ARTE starts from and leaves behind."""

from dataclasses import dataclass, field

from data.store.artifacts import Artifact
from tasks.stage import Model


@dataclass(frozen=True)
class Parts:
    """Models and questions of a recipe."""

    student: Model
    teacher: Model
    zoo: dict[str, Model]  # by name, without the student
    seeds: Artifact  # DEMONSTRATIONS
    validation: Artifact
    test: Artifact

    @property
    def policy(self) -> Model:
        return self.student

    @property
    def samplers(self) -> dict[str, Model]:
        """The models that answer beside the student."""
        return {"teacher": self.teacher} | self.zoo


@dataclass(frozen=True)
class Items:
    """The questions that score drafts, and how they were found."""

    examples: Artifact  # DEMONSTRATIONS: the seeds, explained by the teacher
    one_shot: Artifact  # how the student does with one example
    model: Artifact  # ITEMS
    chosen: Artifact  # DEMONSTRATIONS


@dataclass(frozen=True)
class Questions:
    """Questions that a teacher has written."""

    asked: Artifact  # PROMPTS
    sampled: Artifact  # COMPLETIONS
    kept: Artifact  # PROMPTS


@dataclass(frozen=True)
class Rationales:
    """What a teacher has written of questions."""

    asked: Artifact  # ASKED
    said: Artifact  # COMPLETIONS
    explained: Artifact  # DEMONSTRATIONS


@dataclass(frozen=True)
class Drafts:
    """Questions in every style, and what they are worth to the student."""

    questions: Questions
    rationales: Rationales
    answered: Artifact  # COMPLETIONS of the student
    scores: Artifact  # SCORES


@dataclass(frozen=True)
class Tailored:
    """What the student learns, and what was made for it."""

    learned: Artifact  # DEMONSTRATIONS
    pairs: Artifact | None = None
    teacher: Artifact | None = None  # aligned
    questions: Questions | None = None  # written again
    rationales: Rationales | None = None


@dataclass(frozen=True)
class Outcome:
    """All that came of a run."""

    items: Items
    drafts: Drafts
    tailored: Tailored
    policy: Artifact
    before: Artifact  # GRADED
    after: Artifact
    right: Artifact | None  # GRADED, of what is learned; None: nobody knows
    sampled: tuple[Artifact, ...] = field(default=())  # COMPLETIONS of the method
    number: int = 1

    @property
    def adopted(self) -> bool:
        """Nothing is chosen among policies."""
        return True
