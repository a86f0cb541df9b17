"""The sections of a recipe that ranks compounds by how strongly they bind to targets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.recipes.config import FROM_LIST, AnyOf, Config, Count, Seed, Size, Times
from data.recipes.names import Names

SYNTHETIC = "synthetic"  # activities that this project makes
MOLECULE_ACE = "moleculeace"  # those that the package MoleculeACE brings
Unit = Literal["pxc50", "nm", "minus_log10_nm"]
Objective = Literal["listwise", "regression"]  # of the stage that goes on from a teacher


class ActivityColumns(Config):
    """What a row of an activity table holds, and in which column."""

    smiles: str = Field("smiles", min_length=1, description="The compound, as SMILES")
    target: str = Field(
        "target", min_length=1, description="The target; a file without it is named after its own"
    )
    value: str = Field("pxc50", min_length=1, description="How strongly the compound binds")
    unit: Unit = Field(
        "pxc50",
        description="What that number is: -log10 of mol/l (the higher, the stronger), nmol/l, or "
        "-log10 of nmol/l, to which 9 is added",
    )
    cliff: str = Field(
        "cliff_mol", min_length=1, description="1 for a compound of an activity cliff; may be away"
    )
    group: str = Field(
        "group",
        min_length=1,
        description="Targets of one group stay together where whole targets are held out",
    )


class SyntheticConfig(Config):
    """Activities that this project makes: no compound of them was ever measured."""

    targets: Times = Field(4, ge=2, description="How many targets there are")
    molecules: Count = Field(300, ge=40, description="Compounds, each measured on most targets")
    noise: float = Field(0.2, ge=0, description="Standard deviation of a measurement, log units")
    seed: Seed = Field(0, description="Seed of the generator")


class ActivitiesConfig(Config):
    """Measured activities of compounds at targets."""

    not_in_key = frozenset({"path", "sequences", "synthetic"})

    path: Annotated[str, Names("activities", (SYNTHETIC,))] = Field(
        description="File or folder of files of activities (CSV, JSON lines, Parquet), "
        "'moleculeace' for the tables of that package, or 'synthetic'"
    )
    columns: ActivityColumns = ActivityColumns()
    max_unreadable: float = Field(
        0.02, ge=0, lt=1, description="Share of rows whose SMILES RDKit may refuse; more ends a run"
    )
    synthetic: SyntheticConfig = SyntheticConfig()
    sequences: Annotated[str | None, Names("texts")] = Field(
        None, description="Rows with the columns target and sequence, for targets.kind: kmers"
    )

    @model_validator(mode="after")
    def _columns_that_are_known(self) -> "ActivitiesConfig":
        if self.path in (MOLECULE_ACE, SYNTHETIC) and self.columns != ActivityColumns():
            raise ValueError(
                f"activities.columns: those of {self.path!r} are known; leave them out"
            )
        return self

    @property
    def read_as(self) -> ActivityColumns:
        """The columns that are read."""
        if self.path == MOLECULE_ACE:
            return ActivityColumns(value="y", unit="minus_log10_nm")
        return self.columns


class SplitConfig(Config):
    """Which activities are learned and which are held out."""

    by: Literal["scaffold", "target"] = Field(
        "scaffold",
        description="What is held out as a whole: Murcko scaffolds, over all targets together, or "
        "targets",
    )
    dev: float = Field(0.1, gt=0, lt=1, description="Share that settings may be chosen on")
    test: float = Field(0.2, gt=0, lt=1, description="Share that is only measured on")

    @model_validator(mode="after")
    def _leave_something(self) -> "SplitConfig":
        if self.dev + self.test >= 0.9:
            raise ValueError("split.dev and split.test: leave at least a tenth to learn from")
        return self


class FingerprintConfig(Config):
    """How a compound is described: a Morgan (ECFP) fingerprint."""

    radius: Times = Field(2, ge=0, le=6, description="Bonds around an atom; 2 is ECFP4")
    bits: Size = Field(1024, ge=64, le=8192, description="Length, a multiple of 64")

    @model_validator(mode="after")
    def _words(self) -> "FingerprintConfig":
        if self.bits % 64:
            raise ValueError(f"molecules.bits: must be a multiple of 64, got {self.bits}")
        return self


class OneHot(Config):
    """A target is a name: nothing is known of one that is not learned."""

    kind: Literal["one_hot"]


class Kmers(Config):
    """A target is how often each piece of k residues comes in its sequence."""

    kind: Literal["kmers"]
    k: Times = Field(2, ge=1, le=3, description="Residues of a piece")


TargetsConfig = Annotated[OneHot | Kmers, Field(discriminator="kind"), AnyOf()]


class FitConfig(Config):
    """A network and how it learns by regression."""

    width: Size = Field(1024, ge=2, description="Units of the first layer")
    trunk: Size = Field(256, ge=2, description="Units of the second layer, the trunk's features")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of units left out at random")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0, description="As AdamW has it")
    epochs: Times = Field(10, ge=1)
    batch_size: Times = Field(256, ge=2, description="Activities per optimizer step")


class ConfidenceConfig(FitConfig):
    """An ensemble whose spread says how sure a value is; only used by lists.min_confidence."""

    members: Times = Field(5, ge=2, description="How many networks there are")
    share: float = Field(0.8, gt=0, le=1, description="Share of the activities that each learns")
    width: Size = Field(256, ge=2)
    trunk: Size = Field(64, ge=2)
    epochs: Times = Field(5, ge=1)

    @property
    def member(self) -> FitConfig:
        """How each learns, in a class whose defaults are a teacher's: keys hold what differs."""
        return FitConfig(**{name: getattr(self, name) for name in FitConfig.model_fields})


class ListsConfig(Config):
    """Ranked lists of the compounds of one target, near ties among them."""

    size: Times = Field(8, ge=2, description="Compounds of a list")
    repeats: Times = Field(3, ge=1, description="Lists that every compound is in")
    span: float = Field(
        1.0,
        ge=0,
        description="Width of the noise that is added before values are sorted and cut into "
        "lists, log units: what lies nearer can be in one list",
    )
    min_confidence: float = Field(
        0.0, ge=0, lt=1, description="Compounds below this confidence are in no list; 0: all are"
    )


class PreferenceConfig(Config):
    """The listwise stage, and regression for as many updates beside it."""

    temperature: float = Field(0.1, gt=0, description="tau of the Plackett-Luce likelihood")
    anchor: float = Field(0.0, ge=0, description="Weight of the squared error beside it")
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(1e-4, ge=0, description="As AdamW has it")
    batch_lists: Times = Field(32, ge=1, description="Lists per optimizer step")


class RankerConfig(Config):
    """LightGBM's LambdaRank on the same activities, for comparison."""

    trees: Times = Field(200, ge=1, description="How many trees are boosted")
    leaves: Times = Field(31, ge=2, description="Most leaves of a tree")
    learning_rate: float = Field(0.1, gt=0)
    step: float = Field(0.5, gt=0, description="Log units of a grade of relevance")


class FastConfig(Config):
    """The fast student, which learns the teacher's scores and the features of its trunk."""

    not_in_key = frozenset({"centroids", "similarity"})

    width: Size = Field(64, ge=2, description="Units of its layers")
    pairs: Count = Field(150_000, ge=0, description="Random pairs that the teacher scores for it")
    centroids: Times = Field(
        100, ge=0, description="Clusters whose centroid's features it is given; 0: none"
    )
    similarity: float = Field(0.6, gt=0, lt=1, description="Least Tanimoto similarity in a cluster")
    feature_weight: float = Field(0.1, ge=0, description="alpha: of the trunk's features")
    score_weight: float = Field(1.0, gt=0, description="beta: of the absolute error of the score")
    learning_rate: float = Field(3e-3, gt=0)
    epochs: Times = Field(6, ge=1)
    batch_size: Times = Field(512, ge=2)


class CascadeConfig(Config):
    """Screening: the fast student proposes, the teacher scores again, properties decide."""

    not_in_key = frozenset({"part"})

    part: Literal["test", "dev"] = Field(
        "test", description="The library: compounds of this part; dev, to choose settings by"
    )
    share: float = Field(0.05, gt=0, le=1, description="Of the library that the teacher re-scores")
    keep: Times = Field(50, ge=1, description="Compounds of a target that are left then")
    min_weight: float = Field(200.0, ge=0, description="Least molecular weight, Da")
    max_clogp: float = Field(6.0, description="Greatest Crippen logP")
    max_donors: Times = Field(4, ge=0, description="Most hydrogen bond donors")
    max_acceptors: Times = Field(10, ge=0, description="Most hydrogen bond acceptors")
    max_similarity: float = Field(
        1.0, gt=0, le=1, description="Greatest Tanimoto similarity to a learned active; 1: any"
    )


class FitnessEvaluation(Config):
    """What all models are measured by, on the part that is held out."""

    near: Annotated[tuple[float, ...], FROM_LIST] = Field(
        (0.3, 1.0),
        min_length=2,
        max_length=2,
        description="Least and greatest distance of the two values of a near pair, log units",
    )
    active: float = Field(
        0.1, gt=0, lt=1, description="Share of a target's held-out compounds that count as active"
    )
    top: float = Field(0.01, gt=0, lt=1, description="Share of the library that is the top")
    bootstrap_samples: Count = Field(2_000, ge=100)

    @model_validator(mode="after")
    def _in_order(self) -> "FitnessEvaluation":
        low, high = self.near
        if not 0 <= low < high:
            raise ValueError(
                f"evaluate.near: must be two distances, the least first, got {list(self.near)}"
            )
        return self
