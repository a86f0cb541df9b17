"""Sections of a recipe that fill a slot in another way than TS-Align does: OPTune's and TSO's.

What the papers say and what is this project's choice is in docs/method.md.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.recipes.config import FROM_LIST, NONE, SMALL, WORLD, Config, Size, Times
from data.recipes.names import Names

CELL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class RefreshConfig(Config):
    """OPTune: the same prompts in every round, of which only a share is answered again."""

    share: float = Field(gt=0, le=1, description="rho: share of the prompts answered again")
    by: Literal["reward", "random"] = Field(
        "reward", description="Which: those with the lowest stored reward, or any, as a control"
    )
    reward: Literal["mean", "min", "max", "chosen"] = Field(
        "mean", description="What the reward of a prompt is, of its stored completions'"
    )
    baseline: Literal["none", "initial"] = Field(
        "none", description="initial: minus the mean reward of the first round's completions"
    )


class Place(Config):
    """Where a sampler stands in the model matrix; see data.matrix for the order."""

    name: str = Field(pattern=CELL_NAME, description="Names the sampler in pairs and counts")
    human: bool = Field(False, description="Recorded answers of people, above every model")
    family: str = Field("policy", description="Only cells of one family are compared")
    version: float = Field(
        0, description="Higher is newer; of 'policy', 0 is the newest and -1 a round earlier"
    )
    scale: float = Field(1, gt=0, description="Higher is larger, such as billions of parameters")

    @property
    def called(self) -> str:
        """How messages name the cell, whatever its answers come from."""
        return f"matrix cell {self.name}"


class RecordedCell(Place):
    """A sampler of a recorded model matrix: its place in it, and the file of its answers."""

    not_in_key = frozenset({"path"})

    path: Annotated[str, Names("answers")] = Field(
        description="Recorded answers: AlpacaEval outputs of one model"
    )


class CellConfig(Place):
    """One sampler of the model matrix: its place in it, and where its answers come from."""

    not_in_key = frozenset({"model", "path"})

    model: Annotated[str | None, Names("policy", ("policy", WORLD, SMALL))] = Field(
        None, description="'policy' (this run's), 'world-small', or a Hugging Face directory"
    )
    path: Annotated[str | None, Names("answers")] = Field(
        None, description="Recorded answers: AlpacaEval outputs of one model"
    )

    @model_validator(mode="after")
    def _one_source(self) -> "CellConfig":
        if self.human and self.model not in (None, WORLD):
            raise ValueError(f"cell {self.name}: answers of people come from a path, or 'world'")
        if not self.human and self.model in (WORLD, "teacher", "fresh", NONE):
            raise ValueError(
                f"cell {self.name}: '{self.model}' is no sampler; name 'policy', 'world-small' or "
                "a Hugging Face directory"
            )
        if (self.model is None) == (self.path is None):
            raise ValueError(f"cell {self.name}: needs either a model or a path")
        if self.model == "policy" and (self.version > 0 or self.version % 1):
            raise ValueError(f"cell {self.name}: a version of the policy is 0, -1, -2, ...")
        return self


class CorrectionConfig(Config):
    """What a judge makes of the order that the matrix presumes (TSO's validity)."""

    not_in_key = frozenset({"judge"})

    judge: Annotated[str, Names("judge", ("teacher", NONE))] = Field(
        "teacher",
        description="'teacher', 'none', or the directory of a language model that names the "
        "better of two answers; it is asked in both orders",
    )
    on_reversed: Literal["swap", "drop"] = Field(
        "swap", description="What becomes of a pair whose presumed negative the judge prefers"
    )
    on_unsure: Literal["drop", "keep"] = Field(
        "drop",
        description="What becomes of a tie, of too small a margin, and of a verdict that turns "
        "with the order",
    )


class Matrix(Config):
    """TSO's model matrix: which answers of its cells make a pair.

    A cell beats another of its family that is neither newer nor larger and not both equal; people
    beat all models.
    """

    not_in_key = frozenset({"cells", "correction"})

    positives: Literal["maximal", "any", "human"] = Field(
        "maximal",
        description="Whose answers are chosen: those of cells that none beats, of any that beats "
        "another, or of people",
    )
    axes: Annotated[tuple[Literal["version", "scale", "both", "human"], ...], FROM_LIST] = Field(
        ("version", "scale", "both", "human"), description="What chosen and rejected may differ in"
    )
    per_prompt: Times = Field(0, ge=0, description="Most pairs of a prompt, at random; 0: all")
    correction: CorrectionConfig = CorrectionConfig()


class MatrixConfig(Matrix):
    cells: Annotated[tuple[CellConfig, ...], FROM_LIST] = Field(min_length=2)

    @model_validator(mode="after")
    def _names(self) -> "MatrixConfig":
        check_cell_names(self.cells)
        return self


class RecordedMatrix(Matrix):
    """A model matrix of answers that are there already."""

    not_in_key = Matrix.not_in_key | {"max_length", "drop_truncated"}

    cells: Annotated[tuple[RecordedCell, ...], FROM_LIST] = Field(min_length=2)
    max_length: Size = Field(
        1024, ge=8, description="Longest prompt with its answer that a judge reads, in its tokens"
    )
    drop_truncated: bool = Field(True, description="An unfinished answer makes no pair")

    @model_validator(mode="after")
    def _names(self) -> "RecordedMatrix":
        check_cell_names(self.cells)
        return self


def check_cell_names(cells: Sequence[Place]) -> None:
    """Raises ValueError for two cells of one name."""
    names = [cell.name for cell in cells]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two cells are named {min(twice)}; give each its own name")
