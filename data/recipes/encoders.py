"""The sections of a recipe that distils a text encoder to a teacher's vectors."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.recipes.config import FROM_LIST, AnyOf, Config, Count, Size, Times
from data.recipes.names import Names
from data.recipes.training import TrainConfig

Side = Literal["documents", "queries"]
DOCUMENTS: Literal["documents"] = "documents"
QUERIES: Literal["queries"] = "queries"
Precision = Literal["float32", "int8", "binary"]


class EncoderTeacher(Config):
    """The text encoder whose vectors the student learns."""

    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("encoder")] = Field(
        description="Folder of sentence-transformers or of Hugging Face, or hub id, of an encoder"
    )
    query_prompt: str = Field("", description="What stands before every query, as the teacher has")
    document_prompt: str = Field("", description="What stands before every document")

    def prompt(self, side: Side) -> str:
        return self.query_prompt if side == QUERIES else self.document_prompt


class TextSource(Config):
    """One of several files of texts to learn from."""

    not_in_key = frozenset({"path"})

    path: Annotated[str, Names("texts")] = Field(
        description="Rows of JSON lines, JSON, Parquet or CSV, also .gz"
    )
    column: str = Field("text", min_length=1, description="The column that holds the text")


class TextsConfig(Config):
    """What the teacher is asked for its vectors: no judgments, no negatives."""

    documents: Annotated[tuple[TextSource, ...], Names("texts"), FROM_LIST] = Field(
        (), description="Files of documents or passages"
    )
    queries: Annotated[tuple[TextSource, ...], Names("texts"), FROM_LIST] = Field(
        (), description="Files of queries"
    )

    def sources(self, side: Side) -> tuple[TextSource, ...]:
        return self.queries if side == QUERIES else self.documents


class LayersBackbone(Config):
    """Some layers of the teacher's, with its embeddings."""

    kind: Literal["layers"]
    layers: Annotated[tuple[Times, ...], FROM_LIST] = Field(
        (0, 2, 5), min_length=1, description="Which of the teacher's layers it has, from 0"
    )

    @model_validator(mode="after")
    def _in_order(self) -> "LayersBackbone":
        if list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0:
            raise ValueError("student.backbone.layers: numbers from 0 on, each once, in order")
        return self


class StaticBackbone(Config):
    """The mean of a vector per token, which begins as the teacher's token embeddings."""

    kind: Literal["static"]


class FreshBackbone(Config):
    """A transformer of random weights, of the teacher's kind and with its tokenizer."""

    kind: Literal["fresh"]
    depth: Times = Field(2, ge=1, description="Its layers")
    width: Times = Field(128, ge=4, description="Its hidden size")
    heads: Times = Field(4, ge=1, description="Its attention heads, which divide the width")

    @model_validator(mode="after")
    def _divides(self) -> "FreshBackbone":
        if self.width % self.heads:
            raise ValueError(
                f"student.backbone.heads: {self.heads} does not divide the width {self.width}"
            )
        return self


class OwnBackbone(Config):
    """An encoder of the user's, such as one that was pre-trained on much text."""

    not_in_key = frozenset({"model"})

    kind: Literal["model"]
    model: Annotated[str, Names("encoder")] = Field(description="As teacher.model")


Backbone = Annotated[
    LayersBackbone | StaticBackbone | FreshBackbone | OwnBackbone,
    Field(discriminator="kind"),
    AnyOf(),
]


class EncoderStudent(TrainConfig):
    """The student and how it learns: squared error to the teacher's vectors (LEAF, section 3)."""

    not_in_key = frozenset({"backbone", "learns"})

    backbone: Backbone = Field(
        LayersBackbone(kind="layers"), description="What the student begins as"
    )
    learns: Literal["both", "documents", "queries"] = Field(
        "both", description="Which texts it learns from"
    )
    learning_rate: float = Field(2e-4, gt=0)
    epochs: Times = Field(3, ge=1, description="Times that it reads all texts")
    cycles: Times = Field(
        1,
        ge=1,
        description="Times that the learning rate rises and falls in these epochs, linearly where "
        "it is more than once; LEAF has 3 in 30",
    )
    max_length: Size = Field(256, ge=8, description="Longest text, in tokens; the rest is cut off")

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those whose texts it learns from."""
        if self.learns == "both":
            return (DOCUMENTS, QUERIES)
        return (self.learns,)

    @model_validator(mode="after")
    def _whole_cycles(self) -> "EncoderStudent":
        if self.epochs % self.cycles:
            raise ValueError(
                f"student.cycles: {self.epochs} epochs are not {self.cycles} cycles of equal "
                "length; change one of them"
            )
        return self


class RetrievalSet(Config):
    """A retrieval collection that teacher and student are measured on."""

    not_in_key = frozenset({"path"})

    path: Annotated[str, Names("retrieval")] = Field(
        description="Folder with corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR has them"
    )


class PairsSet(Config):
    """Pairs of texts with a score of how alike they are."""

    not_in_key = frozenset({"path"})

    path: Annotated[str, Names("texts")] = Field(
        description="Rows with the columns sentence1, sentence2 and score"
    )


class EncoderEvaluation(Config):
    """What the student is measured on; nothing of it is learned."""

    retrieval: Annotated[tuple[RetrievalSet, ...], Names("retrieval"), FROM_LIST] = Field(
        min_length=1, description="Retrieval collections"
    )
    similarity: Annotated[tuple[PairsSet, ...], Names("texts"), FROM_LIST] = Field(
        (), description="Files of scored pairs, for the rank correlation"
    )
    k: Times = Field(10, ge=1, description="Documents of a query that nDCG counts")
    dimensions: Annotated[tuple[Size, ...], FROM_LIST] = Field(
        (),
        description="To how many dimensions vectors are cut; without it a half, a quarter and an "
        "eighth of the teacher's",
    )
    precisions: Annotated[tuple[Precision, ...], FROM_LIST] = Field(
        ("float32", "int8", "binary"), description="How the documents' vectors are kept"
    )
    bootstrap_samples: Count = Field(2_000, ge=100)

    @model_validator(mode="after")
    def _as_they_are(self) -> "EncoderEvaluation":
        if "float32" not in self.precisions:
            raise ValueError(
                "evaluate.precisions: needs float32, which the others are held against"
            )
        if any(one < 1 for one in self.dimensions) or len(set(self.dimensions)) < len(
            self.dimensions
        ):
            raise ValueError(
                f"evaluate.dimensions: must be numbers of at least 1, each once, got "
                f"{list(self.dimensions)}"
            )
        return self
