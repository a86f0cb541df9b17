"""What a run of VL2V hands on: artifacts, by what they are of."""

from dataclasses import dataclass

from data.store.artifacts import Artifact
from tasks.stage import Model


@dataclass(frozen=True)
class Parts:
    """What all targets share."""

    images: Artifact
    teacher: Model  # which gives images their vectors
    prototypes: Artifact
    vectors: Artifact  # the teacher's, of all images
    pretraining: Artifact | None  # images that a stand-in for a teacher has learned


@dataclass(frozen=True)
class Outcome:
    """A domain that was left out."""

    target: str
    student: Artifact | None  # None: the teacher itself is measured
    found: Artifact  # RECOGNISED by the student
    teacher: Artifact  # RECOGNISED by the teacher
    aligned: Artifact | None = None  # the student between its two stages
