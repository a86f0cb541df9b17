"""The section `prompts` of a recipe: files of prompts, what is held out of them, and how many."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from data.recipes.config import BY_MODELS, BY_PROMPTS, WORLD, Config, Count, Size
from data.recipes.names import Names, Naming, namings

Decontaminate = Literal["8gram", "exact", "none"]
PARTS = ("path", "dev_path", "test_path")


class PromptColumns(Config):
    """Which columns of a file hold what, where their names do not say it."""

    prompt: str | None = Field(None, description="Text, or messages that end with the user's")
    messages: str | None = Field(None, description="A whole talk, whose last answer is left out")
    input: str | None = Field(None, description="What the prompt is about: follows it")
    system: str | None = Field(None, description="What the system says first")
    dataset: str | None = Field(None, description="The data set that a row is from")
    prompt_id: str | None = Field(None, description="A name of its own for every prompt")

    @model_validator(mode="after")
    def _one_prompt(self) -> "PromptColumns":
        if self.prompt and self.messages:
            raise ValueError("columns: prompt and messages are two ways to say it; name one")
        if self.input and not self.prompt:
            raise ValueError("columns.input: follows the prompt; name that in columns.prompt too")
        if self.system and not (self.prompt or self.messages):
            raise ValueError("columns.system: name prompt or messages too, which it goes before")
        return self

    def named(self) -> dict[str, str]:
        """Column by field, of the fields that are given."""
        return {field: column for field, column in self if column is not None}


class HeldOutSource(Config):
    """One of several files of prompts."""

    path: Annotated[str, Names("prompts")] = Field(description="As prompts.path")
    name: str | None = Field(
        None, min_length=1, description="Its data set's name, for rows without one; default: file's"
    )
    columns: PromptColumns = Field(
        PromptColumns(), description="As prompts.columns, in place of these"
    )


class PromptSource(HeldOutSource):
    """One of several files that rounds draw their prompts from."""

    weight: float = Field(
        1.0, gt=0, description="Share of a round's prompts that are drawn from it, among the others"
    )


def _as_sources(value: Any) -> Any:
    """A list of sources, of which those without settings may be their path alone."""
    if not isinstance(value, list | tuple):
        return value
    if not value:
        raise ValueError("names no file; give one")
    return tuple({"path": one} if isinstance(one, str) else one for one in value)


def _form(value: Any) -> str:
    return "list" if isinstance(value, tuple) else "str"


_Name = Annotated[str, Tag("str")]
_ONE_OR_LIST = Discriminator(_form)  # so that what is wrong in a list is said of its place there
Sources = Annotated[
    Annotated[_Name | Annotated[tuple[PromptSource, ...], Tag("list")], _ONE_OR_LIST],
    BeforeValidator(_as_sources),
]
HeldOut = Annotated[
    Annotated[_Name | Annotated[tuple[HeldOutSource, ...], Tag("list")], _ONE_OR_LIST],
    BeforeValidator(_as_sources),
]


class PromptsConfig(Config):
    path: Annotated[Sources, Names("prompts", (WORLD,))] = Field(
        WORLD,
        description="JSONL, JSON, Parquet or CSV file (.gz too), a saved data set, a datasets id, "
        "'world', or a list of such sources, each with its own path, weight, name and columns "
        "(docs/data.md)",
    )
    dev_path: Annotated[HeldOut | None, Names("prompts")] = Field(
        None, description="Held-out prompts for agreement and the gate, as path"
    )
    test_path: Annotated[HeldOut | None, Names("prompts")] = Field(
        None, description="Held-out prompts for the win rate, as path"
    )
    columns: PromptColumns = Field(
        PromptColumns(),
        description="Where the names of columns do not say it, as {prompt: question}; for every "
        "file without columns of its own",
    )
    decontaminate: Decontaminate = Field(
        "8gram",
        description="Which prompts of the pool are never drawn: those that share eight words in a "
        "row with a held-out prompt (8gram), are one with it but for case and white space (exact), "
        "or have the same text (none)",
    )
    dev_size: Count = Field(
        200,
        ge=2,
        description="Without dev_path: so many prompts of the pool",
        json_schema_extra=BY_PROMPTS,
    )
    test_size: Count = Field(
        500,
        ge=2,
        description="Without test_path: so many prompts of the pool",
        json_schema_extra=BY_PROMPTS,
    )
    per_round: Count = Field(
        1_000, ge=1, description="Prompts drawn for each round", json_schema_extra=BY_PROMPTS
    )
    max_tokens: Size = Field(
        512, ge=1, description="Longest prompt, in policy tokens", json_schema_extra=BY_MODELS
    )

    @model_validator(mode="before")
    @classmethod
    def _columns_of_sources(cls, values: Any) -> Any:
        """Sources of a list without columns of their own have those of the section."""
        columns = values.get("columns") if isinstance(values, dict) else None
        if not columns:
            return values
        lists = {part: values[part] for part in PARTS if isinstance(values.get(part), list | tuple)}
        for part, found in lists.items():
            values = values | {part: [_with(one, columns) for one in found]}
        return values

    def sources(self, part: str) -> dict[str, PromptSource]:
        """The sources of "path", "dev_path" or "test_path" by their place, as `prompts.path.0`."""
        return {
            one.field: source_of(one)
            for one in namings(self, "prompts.")
            if one.field.split(".")[1] == part and not one.is_word
        }


def _with(source: Any, columns: Any) -> Any:
    one = {"path": source} if isinstance(source, str) else source
    return {"columns": columns} | one if isinstance(one, dict) else one


def source_of(named: Naming) -> PromptSource:
    """The source that a field of the section names."""
    section = named.section
    if isinstance(section, PromptSource):
        return section
    if isinstance(section, HeldOutSource):
        return PromptSource(path=section.path, name=section.name, columns=section.columns)
    assert isinstance(section, PromptsConfig)
    return PromptSource(path=named.value, columns=section.columns)
