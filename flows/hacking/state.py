"""What a run of the experiment starts from, and what its rounds leave behind."""

from dataclasses import dataclass
from typing import NamedTuple

from data.store.artifacts import Artifact
from flows.loop.state import Pool
from tasks.stage import Model


@dataclass(frozen=True)
class Given:
    """Models as the recipe names them, and prompts."""

    oracle: Model
    teacher: Model
    policy: Model
    pool: Pool
    dev: Artifact

    @property
    def samplers(self) -> dict[str, Model]:
        """The models that answer beside the policy."""
        return {"oracle": self.oracle, "teacher": self.teacher}


class Apart(NamedTuple):
    """How far a model is from oracle and teacher: divergences in nats an answer."""

    golden: Artifact
    proxy: Artifact


@dataclass(frozen=True)
class Parts:
    """What the rounds start from: teacher and policy have learnt the oracle's answers."""

    oracle: Model
    teacher: Artifact
    policy: Artifact
    asked: Artifact  # the prompts of every round
    dev: Artifact
    said: Apart  # COMPLETIONS of the dev prompts, by the oracle and by the teacher
    of_teacher: Artifact  # the teacher's own distance to the oracle


class Answered(NamedTuple):
    """Prompts with answers to learn on."""

    prompts: Artifact
    completions: Artifact
    role: str = ""


@dataclass(frozen=True)
class State:
    """What one round hands to the next."""

    policy: Artifact
    number: int = 0  # the round that has left the policy; 0: it has learnt from the oracle alone


@dataclass(frozen=True)
class Outcome:
    """The artifacts of a finished round."""

    number: int
    asked: Artifact
    sampled: tuple[Artifact, ...]  # COMPLETIONS, made now or in an earlier round
    targets: tuple[Artifact, ...]
    policy: Artifact
    apart: Apart | None  # None between measurements
    judged: None = None  # nobody compares its answers with the base's

    @property
    def adopted(self) -> bool:
        """Every policy is kept: nothing is chosen among them."""
        return True
