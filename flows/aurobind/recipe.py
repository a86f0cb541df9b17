"""The recipe of AuroBind's fitness half: activities, a teacher, lists, and a screening cascade."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.fitness import (
    SYNTHETIC,
    ActivitiesConfig,
    CascadeConfig,
    ConfidenceConfig,
    FastConfig,
    FingerprintConfig,
    FitConfig,
    FitnessEvaluation,
    Kmers,
    ListsConfig,
    OneHot,
    PreferenceConfig,
    RankerConfig,
    SplitConfig,
    TargetsConfig,
)
from data.recipes.recipe import RunRecipe, Values


class AurobindRecipe(RunRecipe):
    """A model of binding learns to rank the compounds of a target, and a fast one screens."""

    counts_work: ClassVar[bool] = False  # nothing here samples or reads texts

    recipe: Literal["aurobind"]
    activities: ActivitiesConfig
    split: SplitConfig = SplitConfig()
    molecules: FingerprintConfig = FingerprintConfig()
    targets: TargetsConfig = Field(
        OneHot(kind="one_hot"), description="What networks know of a target"
    )
    teacher: FitConfig = FitConfig()
    confidence: ConfidenceConfig = ConfidenceConfig()
    lists: ListsConfig = ListsConfig()
    preference: PreferenceConfig = PreferenceConfig()
    ranker: RankerConfig | None = Field(
        RankerConfig(), description="LightGBM's LambdaRank beside it; null: none"
    )
    student: FastConfig | None = Field(
        FastConfig(), description="The fast student; null: none, and no screening"
    )
    cascade: CascadeConfig = CascadeConfig()
    evaluate: FitnessEvaluation = FitnessEvaluation()

    @model_validator(mode="after")
    def _targets_that_are_known(self) -> "AurobindRecipe":
        kmers = isinstance(self.targets, Kmers)
        if self.split.by == "target" and not kmers:
            raise ValueError(
                "split.by: of a target that is held out a name says nothing; set targets to "
                "{kind: kmers} and name activities.sequences"
            )
        if kmers and not self.activities.sequences:
            raise ValueError("activities.sequences: targets.kind kmers needs them; name a file")
        if self.activities.sequences and not kmers:
            raise ValueError(
                "activities.sequences: only targets.kind kmers reads them; leave them out, or set "
                "targets to {kind: kmers}"
            )
        if kmers and self.activities.path == SYNTHETIC:
            raise ValueError(
                "targets.kind: targets that are made up have no sequences; leave targets out"
            )
        return self

    def yardstick(self) -> Values:
        return {"evaluate": self.evaluate.model_dump(mode="json")}

    def about(self) -> str:
        return (
            "a model of binding is fitted to activities and then learns from lists to rank the "
            "compounds of a target; a fast student of it screens. Structures are not predicted."
        )

    def check_prompts(self) -> Prompts:
        from flows.aurobind.reading import check

        check(self.activities, self.lists, self.ranker is not None)
        return []

    def counted_prompts(self) -> Counted:
        from flows.aurobind.reading import counted

        return counted(self.activities, self.lists)
