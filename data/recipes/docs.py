"""The reference of all recipe fields: `python -m data.recipes.docs > docs/recipes.md`."""

import sys
from collections.abc import Iterator
from math import isfinite
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.recipes.rates import TABLE
from data.recipes.recipe import BY_MODELS, BY_PROMPTS, Recipe

HEAD = """# Recipes

A recipe is a YAML file; `--set key=value` changes one field. Unknown keys and values that do not
fit are refused with the field's name before anything starts. Words such as `world`, `none` or
`policy` mean something only in the fields whose description names them, and win there over a folder
of that name (write `./world` for the folder); in other fields they are names like any other. All
fields with their defaults, as written by `python -m data.recipes.docs`; "by models" and "by
prompts" are explained below the table:

| field | default | |
|---|---|---|
"""

TAIL = """
## What follows from models and prompts

A field "by models" that a recipe leaves out is filled in from the configurations and weight files
of the models it names, before anything is checked. A run says at its start what was filled in,
and its summary has it, so that recipe runs the same wherever it is run again.

**Lengths.** `prompts.max_tokens` is at most 512 and half of what the policy reads (its context,
or `policy.max_length` where that is given). `generate.max_tokens` is at most 512 and what the
prompts leave; where student or teacher read less than the policy, what they have left beside a
longest prompt, or half of what they read if that is more. `policy.max_length` and
`student.max_length` are 1024, more where prompt and completion may be longer, and never more than
the model reads. What was cut off or does not fit is counted in the ledger.

**Sizes**, by how many different prompts there are, once those of `dev_path` and `test_path` are
taken out: `prompts.test_size` is a fifth of them and at most 500, `prompts.dev_size` a tenth and at
most 200, and the rounds share the rest, at most 1,000 prompts in each `prompts.per_round`. Sizes
that the recipe gives stay as they are, and the others have what they leave. Intervals get wide with
few prompts: five hundred to test on tell a win rate of 55 % from one of 50 %, fifty only one of
65 %.
**Learning rates**, by the model's number of parameters:

| parameters | `policy.method: full` | `policy.method: lora` | student (adapter and head) |
|---|---|---|---|
"""

SOURCES = """
Published rates of DPO are for one or two epochs of some 60,000 pairs, a thousand steps and more:
with all weights 5e-7 for 7 billion parameters (Zephyr, Tunstall et al. 2023) and 1e-6 for 1.7
billion, 360 and 135 million (SmolLM2's recipes in Hugging Face's alignment handbook); with LoRA
5e-6 for 7 billion (the handbook's QLoRA recipe of Zephyr). A round of 1,000 prompts in batches of
32 has thirty steps, in which such rates hardly move a policy, so smaller models get more here: by
how much is this project's choice. The best rate of LoRA is about ten times that of all weights,
and nearer fifteen in trainings of under a hundred steps (Schulman et al. 2025, "LoRA Without
Regret"). Models of under 50 million parameters have the rate of the embedded world. The student's
rates are those of classifiers tuned with LoRA: 4e-4 to 5e-4 for RoBERTa-base, 1e-4 for
DeBERTa-XXL of 1.5 billion (Hu et al. 2021, appendix D); 1e-4 is also TRL's for reward models with
LoRA. They are starting points: the report warns where a policy hardly moved or went far.
"""


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, default, description) of every field."""
    for name, field in model.model_fields.items():
        inner = section(field)
        if inner:
            yield from rows(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", default(field), meaning(field)


def section(field: FieldInfo) -> type[BaseModel] | None:
    """The configuration class of a field that is a section."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    for extra, by in ((BY_MODELS, "by models"), (BY_PROMPTS, "by prompts")):
        if field.json_schema_extra == extra:
            return by
    value: Any = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{value}`"


def meaning(field: FieldInfo) -> str:
    choices = [repr(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    return (field.description or "") + (f" ({', '.join(choices)})" if choices else "")


def main() -> None:
    lines = [
        f"| `{key}` | {value} | {text.replace('|', chr(92) + '|')} |\n"
        for key, value, text in rows(Recipe)
    ]
    sys.stdout.write(HEAD + "".join(lines) + TAIL + "".join(rate_rows()) + SOURCES)


def rate_rows() -> Iterator[str]:
    """The table of data.recipes.rates, one line for each size."""
    for row in TABLE:
        size = f"under {row.below / 1e6:,.0f} million" if isfinite(row.below) else "more"
        rates = " | ".join(f"{rate:.0e}" for rate in (row.full, row.lora, row.student))
        yield f"| {size} | {rates} |\n"


if __name__ == "__main__":
    main()
