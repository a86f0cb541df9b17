"""The section of a recipe that names recorded completions and judgments."""

from typing import ClassVar, Literal

from pydantic import Field

from data.recipes.config import Config, Seed


class LoggedFields(Config):
    """Names of the fields in files of format "rows"."""

    prompt: str = Field("prompt", description="Text, or a list of messages")
    completion: str = "completion"
    sample: str = Field("sample", description="Number of the completion among its prompt's")
    reward: str = Field("reward", description="The judge's reward of this completion")
    dataset: str = "dataset"
    finish_reason: str = Field("finish_reason", description='"stop" or "length"')


class LoggedConfig(Config):
    """Completions and a judge's rewards recorded earlier, in place of generation and teacher."""

    # The files enter a key by data.readers.logged.logged_digest.
    not_in_key: ClassVar[frozenset[str]] = frozenset({"completions", "judgments", "picks"})

    completions: str | list[str] = Field(description="Files, globs or folders")
    judgments: str | list[str] | None = Field(
        None, description="Files, globs or folders; without it, rewards in the completion files"
    )
    picks: str | list[str] | None = Field(
        None,
        description="Files, globs or folders of the answers that other scorers picked as best, one "
        "file each: the report sets them beside the student",
    )
    format: Literal["rows", "alpaca_eval"] = Field(
        "rows", description="One row per completion, or AlpacaEval outputs and annotations"
    )
    fields: LoggedFields = LoggedFields()
    judge: str = Field("recorded", min_length=1, description="Name of the judge in the report")
    held_out: float = Field(0.25, gt=0, lt=1, description="Share of the prompts for agreement")
    seed: Seed = Field(0, description="Of the split and of the order of the completions")
