"""What a run starts from, what one round hands to the next, and what it leaves behind."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from data.monitor import Watch
from data.recipes.recipe import DecodingConfig, EvaluateConfig
from data.store.artifacts import Artifact
from flows.judging import Judge
from tasks.stage import Model


class Asking(Protocol):
    """What of a recipe says how a policy answers held-out prompts, and how these are scored."""

    @property
    def seed(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def answering(self) -> DecodingConfig: ...
    @property
    def evaluate(self) -> EvaluateConfig: ...


class Source(NamedTuple):
    """Prompts that rounds draw from, with the share that they have beside other sources."""

    name: str
    weight: float
    prompts: Artifact
    steps: tuple[Artifact, ...] = ()  # the file's prompts, then what each step has left of them


Pool = list[Source]


@dataclass(frozen=True)
class Parts:
    """What a run starts from: the recipe's models and prompts, brought or bootstrapped."""

    policy: Model
    student: Model | None
    teacher: Judge
    judges: tuple[Judge | None, ...]  # of the evaluation; None: the oracle
    pool: Pool
    dev: Artifact
    test: Artifact
    replay: Artifact | None  # preferences from before the first round
    samplers: dict[str, Model] = field(default_factory=dict)  # by cell of the model matrix
    judge: Judge | None = None  # corrects the matrix's order; None: nobody does


@dataclass(frozen=True)
class Stored:
    """The latest answers to prompts that are asked in every round (OPTune)."""

    prompts: Artifact
    scores: Artifact
    preferences: Artifact
    initial: Artifact  # scores of the first round


@dataclass(frozen=True)
class State:
    """What one round hands to the next."""

    policy: Model
    student: Model | None
    average: Model  # moving average of the policies
    adopted: int = 0  # the round that has left the policy; 0: it is the base
    older: tuple[Model, ...] = ()  # policies before this one, the latest first
    preferences: tuple[Artifact, ...] = ()
    stored: Stored | None = None
    watched: tuple[Watch, ...] = ()  # of the rounds that were adopted


@dataclass(frozen=True)
class Labelled:
    """The first half of a round: what was asked, answered and preferred."""

    asked: Artifact
    completions: tuple[Artifact, ...]  # one table per sampler
    mined: Artifact
    preferences: Artifact  # of this round's answers
    scores: Artifact | None = None  # of all completions, by who screened them
    stored: Stored | None = None  # with this round's answers in it
    best: Artifact | None = None  # of `preferences`, those that the policy learns; None: all

    @property
    def for_policy(self) -> Artifact:
        """The pairs that the policy learns."""
        return self.best or self.preferences

    @property
    def tokens(self) -> int:
        """Generated for this round; recorded answers cost none."""
        return sum(table.meta.get("tokens", 0) for table in self.completions)


@dataclass(frozen=True)
class Answers:
    """A policy's completions of one set of prompts, with a pointwise teacher's rewards of them."""

    completions: Artifact
    rewards: Artifact | None  # None: the teacher only compares

    @property
    def both(self) -> tuple[Artifact, Artifact | None]:
        return self.completions, self.rewards


@dataclass(frozen=True)
class Tuned:
    """The second half: the student distilled from and the policy tuned on the preferences."""

    student: Artifact | None
    policy: Artifact
    reused: int  # pairs of earlier rounds among those trained on


@dataclass(frozen=True)
class Judged:
    """What is known of a round's policy after its evaluation."""

    gate: Artifact | None  # None: the round was between evaluations, and the run ended with it
    evaluations: tuple[Artifact, ...]  # of the same answers, by each judge
    drift: Artifact
    base_drift: Artifact  # of the base's answers: what the policy's are compared with
    base: Answers
    policy: Answers
    student_rewards: Artifact | None
    followed: Artifact | None = None  # instructions, where these are a judge
    dev: tuple[Answers, ...] = ()  # of base and policy, where the run is watched


@dataclass(frozen=True)
class Agreement:
    """The student before and after, on held-out pairs."""

    before: Artifact
    after: Artifact

    @property
    def adopted(self) -> bool:
        """Whether the new student agrees with the teacher at least as often.

        Where no pair of dev answers can be told apart nothing speaks against it.
        """
        before, after = (measured.meta["agreement"] for measured in (self.before, self.after))
        return before is None or after is None or bool(after >= before)


@dataclass(frozen=True)
class Stopped:
    """A round that ended before its trainings: it has no pair to train on."""

    number: int
    labelled: Labelled
    reason: str


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a finished round."""

    number: int
    labelled: Labelled
    tuned: Tuned
    judged: Judged | None  # None between evaluations
    agreement: Agreement | None
    precision: Artifact | None
    watch: Watch | None = None
    ends: bool = False  # the run: an alarm was raised, and the recipe says stop_when: alarm

    @property
    def adopted(self) -> bool:
        """Whether the policy is kept: the gate speaks where there is an evaluation."""
        gate = self.judged.gate if self.judged else None
        return not self.ends and (gate is None or bool(gate.meta["adopted"]))

    @property
    def student_adopted(self) -> bool:
        return self.agreement is None or self.agreement.adopted
