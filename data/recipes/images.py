"""The sections of a recipe that distils a vision-language teacher into an image classifier."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from data.recipes.config import FROM_LIST, AnyOf, Config, Size, Times
from data.recipes.names import Names
from data.recipes.training import Schedule

CLASS, DOMAIN = "{class}", "{domain}"  # in templates


class ImageSource(Config):
    """Images with their classes and domains."""

    not_in_key = frozenset({"path"})

    path: Annotated[str, Names("images")] = Field(
        description="Parquet file with the columns image, label and domain; or a folder "
        "DOMAIN/CLASS/FILE; or a folder with prompts.jsonl, whose messages hold images"
    )
    split: str | None = Field(None, description="Only rows whose column `split` says this")
    broken: Literal["refuse", "drop"] = Field(
        "refuse", description="What becomes of an image that cannot be read; what is dropped counts"
    )


Width = Annotated[Times, Field(ge=8, multiple_of=8)]
Depth = Annotated[Times, Field(ge=1, le=6)]


class CnnBackbone(Config):
    """A small convolutional network of this project, of random weights."""

    kind: Literal["cnn"]
    width: Width = Field(24, description="Channels of its first layer")
    depth: Depth = Field(3, description="Blocks, each of which doubles the channels")


class ModelBackbone(Config):
    """An image model of the user's, such as a ResNet or ViT that was pre-trained on ImageNet."""

    not_in_key = frozenset({"model"})

    kind: Literal["model"]
    model: Annotated[str, Names("image model")] = Field(
        description="Folder of Hugging Face, or hub id, of an image model"
    )


ImageBackbone = Annotated[CnnBackbone | ModelBackbone, Field(discriminator="kind"), AnyOf()]
Pixels = Annotated[Size, Field(ge=16, le=1024)]


class FolderTeacher(Config):
    """A vision-language model that is there: only its vectors are used, but for `method: self`."""

    not_in_key = frozenset({"model"})

    kind: Literal["folder"]
    model: Annotated[str, Names("image teacher")] = Field(
        description="Folder or hub id of a CLIP of transformers, or a folder of open_clip"
    )


class ContrastiveTeacher(Schedule):
    """A stand-in for a model of web pre-training: an image network that is trained here, with a
    frozen text encoder, on images of all domains and their captions."""

    not_in_key = frozenset({"text", "images", "caption"})

    kind: Literal["contrastive"]
    text: Annotated[str, Names("encoder")] = Field(
        description="Folder of sentence-transformers or of Hugging Face, or hub id, of an encoder"
    )
    images: ImageSource = Field(description="What it learns from; none of the benchmark's images")
    caption: str = Field("a {domain} of a {class}", description="What is said of each of them")
    width: Width = Field(24, description="Channels of its first layer")
    depth: Depth = Field(3, description="Blocks, each of which doubles the channels")
    size: Pixels = Field(32, description="Pixels of a side that it sees")
    temperature: float = Field(
        0.07, gt=0, description="What cosines are divided by in its loss; CLIP begins with 0.07"
    )
    learning_rate: float = Field(2e-3, gt=0)
    epochs: Times = Field(20, ge=1)

    @property
    def backbone(self) -> CnnBackbone:
        """Its image network."""
        return CnnBackbone(kind="cnn", width=self.width, depth=self.depth)

    @field_validator("caption")
    @classmethod
    def _names_the_class(cls, text: str) -> str:
        return with_class(text, "teacher.caption")


ImageTeacher = Annotated[FolderTeacher | ContrastiveTeacher, Field(discriminator="kind"), AnyOf()]


class PretrainConfig(Schedule):
    """What the backbone learns from source images before it sees a label or the teacher."""

    learning_rate: float = Field(2e-3, gt=0)
    epochs: Annotated[Times, Field(ge=0)] = Field(  # type: ignore[assignment]
        10,
        description="Times that it learns by how much images are turned (RotNet); 0: it does not",
    )


class AlignConfig(Schedule):
    """Stage 1 of ADiP: the projection, on a frozen backbone."""

    learning_rate: float = Field(5e-3, gt=0)
    epochs: Times = Field(5, ge=1)


class DistilConfig(Schedule):
    """Stage 2 of ADiP: the backbone. Other methods have one stage, of as many epochs as both."""

    learning_rate: float = Field(2e-3, gt=0)
    epochs: Times = Field(15, ge=1)


class ImageStudent(Config):
    """The image classifier that learns."""

    backbone: ImageBackbone = Field(CnnBackbone(kind="cnn"), description="What it begins as")
    size: Pixels = Field(32, description="Pixels of a side that it sees")
    pretrain: PretrainConfig = PretrainConfig()
    align: AlignConfig = AlignConfig()
    distil: DistilConfig = DistilConfig()


class PrototypeConfig(Config):
    """The texts whose vectors stand for the classes."""

    templates: Annotated[tuple[str, ...], FROM_LIST] = Field(
        ("a photo of a {class}",), min_length=1, description="Each with {class} in it"
    )

    @field_validator("templates")
    @classmethod
    def _name_the_class(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if named := next((one for one in templates if DOMAIN in one), None):
            raise ValueError(
                f"prototypes.templates: {named!r:.60} names the domain, which a class has none of; "
                f"leave {DOMAIN} out"
            )
        return tuple(with_class(one, "prototypes.templates") for one in templates)


class LogitsConfig(Config):
    """How `method: logits` learns the teacher's distribution over the classes."""

    scale: float = Field(
        10.0, gt=0, description="What the teacher's cosines are multiplied by before the softmax"
    )
    labels: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Weight of the labels' cross-entropy; the rest is the teacher's",
    )


class ImageEvaluation(Config):
    """What students are measured on: the domain that was left out, and images of the others."""

    held_out: float = Field(
        0.2, gt=0, lt=1, description="Share of the other domains' images that nobody learns from"
    )
    bootstrap_samples: Annotated[int, Field(ge=100, le=10_000_000)] = 2_000


def with_class(text: str, field: str) -> str:
    """`text`, a template. Raises ValueError where it does not name the class."""
    if CLASS not in text:
        raise ValueError(f"{field}: {text!r:.60} must say where the class stands: {CLASS}")
    return text
