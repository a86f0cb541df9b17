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
MOST = 10_000  # runs of a bench: more are a slip of the keyboard, and would be planned for minutes

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


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """Seeds, or with `option` "--worlds" world seeds. "5": 0 to 4; "0,3" or "7,": these."""
    try:
        seeds = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        seeds = []
    if seeds and "," not in text:
        if seeds[0] > MOST:
            raise InputError(f"{option} {text}: a bench has {MOST:,} runs at most; name fewer")
        seeds = list(range(seeds[0]))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(
            f"{option} {text or repr(text)}: must be how many, as 5, or which, as 0,1,2"
        )
    return seeds


class Estimate(Entry):
    """A mean over worlds, of each the mean over its seeds; in one world, over seeds."""

    mean: float
    ci95: Interval | None = None  # Student's t; None of one value or equal ones
    low: float
    high: float
    over: Literal["worlds", "seeds"] = "seeds"  # whose values it is the mean of
    deviation: float | None = None  # standard deviation between them; None of one
    next: Interval | None = None  # 95 % prediction interval of one more of them


class Difference(Entry):
    """Of a recipe and the baseline, within each world and seed."""

    mean: float
    ci95: Interval | None = None  # not corrected for the number of comparisons
    over: Literal["worlds", "seeds", "prompts"]  # what the interval covers; prompts: of one run
    low: float | None = None  # the least and the most of one world, or of one seed
    high: float | None = None
    deviation: float | None = None  # standard deviation between them; None of one
    p: float
    p_holm: float  # corrected for the number of recipes compared
    verdict: Verdict


class Other(Entry):
    """How to read a measure that is not the one compared."""

    title: str
    unit: str
    better: Literal["higher", "lower"] | None = None


class Step(Entry):
    """A measure after a round; round 0 is what the run began with."""

    round: int
    value: float
    ci95: Interval | None = None
    kept: bool = True


class BenchRun(Entry):
    """A run, at the last evaluated round within its budget."""

    run: str
    world: int | None = None  # its `world.seed`, where worlds are compared
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
    value: float  # of the measure that is compared
    win_rate: float | None  # over the base; None of a flow that has none
    ci95: Interval | None  # of the value, over prompts; None of the base policy
    measures: dict[str, float] = {}  # whatever else was measured, after the judged round
    difference: float | None = None  # to the baseline's run of this seed
    label_precision: float | None = None  # mean over rounds
    kl_to_base: float | None = None
    mean_tokens: float | None = None
    teacher_reward: float | None = None
    curve: list[float | None] = []  # the value after every round of the run
    steps: dict[str, list[Step]] = {}  # every measure that is no sum, round by round


class InWorld(Entry):
    """A recipe in one world: means over its seeds."""

    world: int
    seeds: list[int]
    value: float
    difference: float | None = None  # to the baseline, over the seeds that both have
    measures: dict[str, float] = {}


class BenchRecipe(Entry):
    label: str
    path: str
    overrides: list[str]
    changes: list[tuple[str, str, str]]  # field, value in the baseline, value here
    config_digest: str  # with the first seed
    runs: list[BenchRun]
    worlds: list[InWorld] = []  # empty where worlds are not compared
    value: Estimate
    win_rate: Estimate | None  # the same where the win rate is compared
    difference: Difference | None = None  # None of the baseline


class Failure(Entry):
    run: str
    error: str


class Bench(Entry):
    schema_version: int = 1
    name: str
    command: str
    equal: Equal
    worlds: list[int] = []  # their `world.seed`; empty: the one of the recipes
    seeds: list[int]
    recipes: list[BenchRecipe]  # the baseline first
    failures: list[Failure] = []
    judge: str
    measure: str  # that is compared
    title: str = ""  # of the measure, in words
    short: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    even: float | None = None  # its value where nothing has changed
    others: dict[str, Other] = {}  # the measures of the baseline that are no sums
    seconds: float  # of this invocation
    computed_seconds: float  # of all artifacts, each once
    unshared_seconds: float  # had every run computed its own
    versions: dict[str, str]
    machine: dict[str, str]  # of the first run
    machines_differ: dict[str, list[str]] = {}  # what differs between the runs', and its values
    finished: str  # UTC, ISO 8601


def read_bench(path: Path) -> Bench:
    """A bench that was written. Raises InputError where the file is none, or of another schema."""
    try:
        content = json.loads(path.read_text())
        if content.get("schema") != 1:
            raise InputError(f"{path}: is no bench.json of schema 1")
        content["schema_version"] = content.pop("schema")
        return Bench.model_validate(content)
    except (OSError, ValueError, AttributeError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{path}: is no bench.json that this version reads: {problem}") from None


def write_bench(path: Path, bench: Bench) -> None:
    """Write atomically, the contract's `schema` first."""
    content = bench.model_dump(mode="json")
    content = {"schema": content.pop("schema_version"), **content}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
