"""`runs/NAME/bench.json`, schema 1: recipes compared at equal budgets. See docs/bench.md.

Also what the command line says of a recipe: FILE, FILE:key=value,key=value, LABEL=FILE:...
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.budgets import Equal
from data.errors import InputError
from data.summary import Entry, Interval, write_text

_LABEL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
_KEY = r"[A-Za-z_][A-Za-z0-9_.]*="

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Variant:
    """A recipe of a bench: a file, and what is changed of it."""

    label: str
    path: str
    overrides: tuple[str, ...] = ()


def parse_variant(text: str) -> Variant:
    """[LABEL=]FILE[:key=value,key=value]; a comma parts two changes only before another key."""
    label, rest = "", text
    named = re.fullmatch(rf"({_LABEL})=(.+)", text)
    if named and ":" not in named[1]:
        label, rest = named.groups()
    path, *changes = re.split(rf":(?={_KEY})", rest, maxsplit=1)
    overrides = tuple(re.split(rf",(?={_KEY})", changes[0])) if changes else ()
    if not label:
        plain = "-".join((Path(path).stem, *overrides))
        label = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")
    if not re.fullmatch(_LABEL, label):
        raise InputError(f"{text}: needs a short name; write LABEL={rest}")
    return Variant(label, path, overrides)


def parse_variants(texts: Sequence[str]) -> list[Variant]:
    """All recipes of a bench. Raises InputError where two have one label."""
    variants = [parse_variant(text) for text in texts]
    labels = [variant.label for variant in variants]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"two recipes are named {twice[0]!r}; name one as LABEL=FILE:key=value")
    return variants


def parse_seeds(text: str) -> list[int]:
    """ "5": seeds 0 to 4; "0,3" or "7,": these."""
    try:
        seeds = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        seeds = []
    if seeds and "," not in text:
        seeds = list(range(seeds[0]))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {text}: must be how many, as 5, or which, as 0,1,2")
    return seeds


class Estimate(Entry):
    """A mean over seeds."""

    mean: float
    ci95: Interval | None = None  # Student's t over seeds; None of one seed or equal values
    low: float
    high: float


class Difference(Entry):
    """Of the win rates of a recipe and the baseline, seed by seed."""

    mean: float
    ci95: Interval | None = None  # not corrected for the number of comparisons
    over: Literal["seeds", "prompts"]  # what the interval covers; prompts where there is one seed
    p: float
    p_holm: float  # corrected for the number of recipes compared
    verdict: Verdict


class BenchRun(Entry):
    """A run, at the last evaluated round within its budget."""

    run: str
    seed: int
    run_digest: str
    budget: float
    over_budget: bool  # its first evaluated round costs more than the budget
    rounds: int  # within the budget
    judged_round: int | None  # the last adopted of these; None: none, the base policy is judged
    prompts: int
    tokens: int  # generated
    teacher_calls: int
    seconds: float  # of the method: without what only measures
    stage_seconds: dict[str, float]  # of the method
    measuring_seconds: dict[str, float]
    win_rate: float
    ci95: Interval | None  # over prompts; None of the base policy
    difference: float | None = None  # to the baseline's run of this seed
    label_precision: float | None = None  # mean over rounds
    kl_to_base: float
    mean_tokens: float | None = None
    teacher_reward: float | None = None
    curve: list[float | None] = []  # win rate after every round of the run


class BenchRecipe(Entry):
    label: str
    path: str
    overrides: list[str]
    changes: list[tuple[str, str, str]]  # field, value in the baseline, value here
    config_digest: str  # with the first seed
    runs: list[BenchRun]
    win_rate: Estimate
    difference: Difference | None = None  # None of the baseline


class Failure(Entry):
    run: str
    error: str


class Bench(Entry):
    schema_version: int = 1
    name: str
    command: str
    equal: Equal
    seeds: list[int]
    recipes: list[BenchRecipe]  # the baseline first
    failures: list[Failure] = []
    judge: str
    seconds: float  # of this invocation
    computed_seconds: float  # of all artifacts, each once
    unshared_seconds: float  # had every run computed its own
    versions: dict[str, str]
    machine: dict[str, str]
    finished: str  # UTC, ISO 8601


def write_bench(path: Path, bench: Bench) -> None:
    """Write atomically, the contract's `schema` first."""
    content = bench.model_dump(mode="json")
    content = {"schema": content.pop("schema_version"), **content}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
