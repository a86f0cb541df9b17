"""The recipe of VL2V-ADiP: images of several domains, a teacher, and how a student learns."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.config import FROM_LIST
from data.recipes.images import (
    ContrastiveTeacher,
    ImageEvaluation,
    ImageSource,
    ImageStudent,
    ImageTeacher,
    LogitsConfig,
    PrototypeConfig,
)
from data.recipes.recipe import RunRecipe, Values

Method = Literal["adip", "one_stage", "image", "text", "logits", "erm", "self", "zero_shot"]
METHODS: dict[Method, str] = {
    "adip": "VL2V-ADiP: a projection on the frozen backbone, then the backbone",
    "one_stage": "the loss of ADiP, projection and backbone at once",
    "image": "the teacher's image vectors alone, at once",
    "text": "the vectors of the classes' names alone, at once",
    "logits": "the teacher's distribution over the classes, and the labels",
    "erm": "the labels alone",
    "self": "self-distillation: the teacher's own image encoder, by the loss of ADiP",
    "zero_shot": "the teacher itself, without a student",
}


class Vl2vRecipe(RunRecipe):
    """An image classifier learns from a vision-language teacher, and is measured on a domain that
    it has not seen (VL2V-ADiP): each of the domains is left out in turn."""

    counts_work: ClassVar[bool] = False  # images are no prompts that language models read

    recipe: Literal["vl2v"]
    images: ImageSource
    targets: Annotated[tuple[str, ...], FROM_LIST] = Field(
        min_length=1,
        description="Domains that are left out, one after the other: each is a round",
    )
    teacher: ImageTeacher = Field(description="A model that is there, or a stand-in for one")
    method: Method = Field("adip", description="How the student learns; docs/vl2v.md")
    image_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Lambda, by adip, one_stage and self: weight of the teacher's image vectors; "
        "the rest is that of the classes' names",
    )
    logits: LogitsConfig = LogitsConfig()
    prototypes: PrototypeConfig = PrototypeConfig()
    student: ImageStudent = ImageStudent()
    evaluate: ImageEvaluation = ImageEvaluation()

    @model_validator(mode="after")
    def _each_once(self) -> "Vl2vRecipe":
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets: each once, got {', '.join(self.targets)}")
        return self

    @model_validator(mode="after")
    def _whole_batches(self) -> "Vl2vRecipe":
        contrastive = isinstance(self.teacher, ContrastiveTeacher)
        if contrastive and self.runtime.train.processes > 1:
            raise ValueError(
                "runtime.train.processes: a teacher of the kind contrastive compares the images of "
                "a batch, which several processes would divide; use one process"
            )
        return self

    @property
    def round_count(self) -> int:
        return len(self.targets)

    @property
    def mixed(self) -> float:
        """Lambda of the method."""
        return {"image": 1.0, "text": 0.0}.get(self.method, self.image_weight)

    def yardstick(self) -> Values:
        return {"targets": list(self.targets), "evaluate": self.evaluate.model_dump(mode="json")}

    def about(self) -> str:
        return (
            "an image classifier learns from a vision-language teacher on all domains but one, and "
            "is measured on that one; each target is left out in turn."
        )

    def check_prompts(self) -> Prompts:
        from flows.vl2v.reading import check

        trusted = self.runtime.trust_remote_code
        check(self.teacher, self.student, self.method, trusted)
        self.counted_prompts()
        return []

    def counted_prompts(self) -> Counted:
        from flows.vl2v.reading import counted

        return counted(self.images, self.targets, self.teacher, self.evaluate.held_out)
