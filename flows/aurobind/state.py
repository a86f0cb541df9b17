"""What a run hands on: artifacts, by what they are of."""

from dataclasses import dataclass

from data.store.artifacts import Artifact

TEACHER, LONGER, LISTWISE, RANKER, FAST = "teacher", "longer", "listwise", "ranker", "student"
# Models that are compared, in words.
WHO = {
    TEACHER: "after regression",
    LONGER: "regression for as many updates more",
    LISTWISE: "after the listwise stage",
    RANKER: "LightGBM's LambdaRank",
    FAST: "the fast student",
}


@dataclass(frozen=True)
class Data:
    """Activities, and what networks read of them."""

    activities: Artifact
    molecules: Artifact
    parts: Artifact
    proteins: Artifact

    @property
    def given(self) -> dict[str, Artifact]:
        """As stages take them."""
        return dict(vars(self))


@dataclass(frozen=True)
class Screened:
    """The fast student, and what came of screening with it."""

    centroids: Artifact | None
    student: Artifact
    hits: Artifact
    by_student: Artifact  # LIBRARY_SCORES
    by_teacher: Artifact
    speed: Artifact


@dataclass(frozen=True)
class Outcome:
    """All that came of a run."""

    data: Data
    confidences: Artifact | None
    lists: Artifact
    models: dict[str, Artifact]  # by who
    predictions: dict[str, Artifact]  # PREDICTIONS, by who
    screened: Screened | None
