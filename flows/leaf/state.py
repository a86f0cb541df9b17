"""What a run of LEAF hands on: artifacts, by what they are of."""

from dataclasses import dataclass, field

from data.store.artifacts import Artifact

TEACHER, STANDARD, ASYMMETRIC, UNTRAINED = "teacher", "standard", "asymmetric", "untrained"
# Whose vectors queries and documents have: (queries, documents).
MODES = {
    TEACHER: ("teacher", "teacher"),
    ASYMMETRIC: ("student", "teacher"),
    STANDARD: ("student", "student"),
    UNTRAINED: ("start", "start"),
}


@dataclass(frozen=True)
class Measured:
    """A collection or a set of pairs, and what the encoders make of it."""

    name: str
    retrieved: dict[str, Artifact] = field(default_factory=dict)  # by mode
    fidelity: Artifact | None = None
    correlations: dict[str, Artifact] = field(default_factory=dict)  # by encoder


@dataclass(frozen=True)
class Outcome:
    """All that came of a run."""

    texts: dict[str, Artifact]  # to learn, by side
    start: Artifact
    student: Artifact
    router: Artifact
    collections: list[Measured]
    pairs: list[Measured]
