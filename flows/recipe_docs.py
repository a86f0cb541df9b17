"""The reference of all recipe fields: `python -m flows.recipe_docs > docs/recipes.md`."""

import inspect
import sys
from collections.abc import Iterator
from math import isfinite
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.recipes.config import BY_MODELS, BY_PROMPTS
from data.recipes.loading import sections
from data.recipes.losses import Loss
from data.recipes.names import Names
from data.recipes.rates import TABLE
from data.recipes.recipe import RunRecipe
from flows.table import FLOWS, recipe_class, recipe_classes

HEAD = """# Recipes

A recipe is a YAML file; `--set key=value` changes one field. Unknown keys and values that do not
fit are refused with the field's name before anything starts. `recipe` names the flow; without it,
it is `ts-align`. A flow has the fields of every recipe and its own, and no others. As written by
`python -m flows.recipe_docs`; "by models" and "by prompts" are explained below the tables.
"""

TABLE_HEAD = """
| field | default | |
|---|---|---|
"""

NAMES = """
## What a recipe names

Models, files and code from outside: their content, not their name, decides what is computed again.
A word means something in its own fields only, and wins there over a folder of that name (write
`./world` for the folder); in other fields it is a name like any other.

| field | in recipes | names | words |
|---|---|---|---|
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


Row = tuple[str, str, str]  # key, default, meaning


def rows(model: type[BaseModel], without: type[BaseModel] | None = None) -> Iterator[Row]:
    """All fields of a recipe class; not those it has from `without`."""
    for name, field in model.model_fields.items():
        if without is None or name not in without.model_fields:
            yield from field_rows(name, field)


def field_rows(key: str, field: FieldInfo) -> Iterator[Row]:
    """A field, or those of its section; a union's by the member that has them."""
    listed = any(isinstance(one, Names) and one.kind == "prompts" for one in field.metadata)
    members = [] if listed else list(sections(field.annotation))  # docs/data.md has a source's
    tag = field.discriminator
    if not members:
        yield key, default(field), meaning(field)
    elif isinstance(tag, str):
        names = {get_args(one.model_fields[tag].annotation)[0]: one for one in members}
        about = (field.description or "") + f" ({', '.join(map(repr, names))})"
        first = "required" if field.is_required() else f"`{getattr(field.default, tag)}`"
        yield f"{key}.{tag}", first, about
        for inner in dict.fromkeys(name for one in members for name in one.model_fields):
            having = [name for name, one in names.items() if inner in one.model_fields]
            if inner != tag:
                found = next(one for one in members if inner in one.model_fields)
                of = found.model_fields[inner]
                only = f"Only used by {', '.join(having)}: "
                for name, value, text in field_rows(f"{key}.{inner}", of):
                    yield name, value, only + text[:1].lower() + text[1:]
    elif issubclass(members[0], Loss):
        settings = " or a mapping of `weight` and its settings"
        own = members[0] is not Loss
        yield key, "", f"{field.description or 'As TRL has it'}: its weight{settings * own}"
        for name, inner_field in members[0].model_fields.items():
            if name != "weight":
                yield from field_rows(f"{key}.{name}", inner_field)
    else:
        if any(one is str for one in get_args(field.annotation)):  # a name, or the section
            yield key, default(field), meaning(field)
        for name, inner_field in members[0].model_fields.items():
            yield from field_rows(f"{key}.{name}", inner_field)


def lower(field: FieldInfo) -> str:
    text = meaning(field)
    return text[:1].lower() + text[1:]


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    for extra, by in ((BY_MODELS, "by models"), (BY_PROMPTS, "by prompts")):
        if field.json_schema_extra == extra:
            return by
    value: Any = field.get_default()
    return "" if value is None else f"`{value}`"


def meaning(field: FieldInfo) -> str:
    choices = [repr(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    return (field.description or "") + (f" ({', '.join(choices)})" if choices else "")


def name_rows() -> Iterator[str]:
    """Every field that names something outside of the recipe, from the recipes' annotations."""
    found: dict[tuple[str, Names], list[str]] = {}
    for recipe in FLOWS:
        for key, names in named_fields(recipe_class(recipe)):
            found.setdefault((key, names), []).append(recipe)
    for (key, names), recipes in found.items():
        words = ", ".join(f"`{word}`" for word in names.words)
        yield f"| `{key}` | {', '.join(recipes)} | {names.kind} | {words} |\n"


def named_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Names]]:
    """The fields of a class that carry `Names`, sections and lists included."""
    for name, field in model.model_fields.items():
        mark = next((one for one in field.metadata if isinstance(one, Names)), None)
        if mark:
            yield f"{prefix}{name}", mark
            continue
        for section in sections(field.annotation):
            yield from named_fields(section, f"{prefix}{name}.")


def table(found: Iterator[Row]) -> str:
    lines = (f"| `{key}` | {value} | {text.replace('|', '/')} |\n" for key, value, text in found)
    return TABLE_HEAD + "".join(lines)


def reference() -> str:
    """The page."""
    parts = [HEAD, "\n## Every recipe\n", table(rows(RunRecipe))]
    for model in recipe_classes():
        names = ", ".join(name for name in FLOWS if recipe_class(name) is model)
        parts += [f"\n## {names}\n\n{inspect.cleandoc(model.__doc__ or '')}\n"]
        parts += [table(rows(model, without=RunRecipe))]
    return "".join([*parts, NAMES, *name_rows(), TAIL, *rate_rows(), SOURCES])


def main() -> None:
    sys.stdout.write(reference())


def rate_rows() -> Iterator[str]:
    """The table of data.recipes.rates, one line for each size."""
    for row in TABLE:
        size = f"under {row.below / 1e6:,.0f} million" if isfinite(row.below) else "more"
        rates = " | ".join(f"{rate:.0e}" for rate in (row.full, row.lora, row.student))
        yield f"| {size} | {rates} |\n"


if __name__ == "__main__":
    main()
