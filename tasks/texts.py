"""Texts of several domains: from a file or of the embedded world, those to learn and those held
out."""

from typing import Any, Literal

import pyarrow as pa

from data.domains import in_sequence
from data.readers.texts import domains_of, parted, read_texts, text_row, with_noise
from data.recipes.domains import TextColumns
from data.schemas import DEMONSTRATIONS
from data.store.artifacts import Artifact
from data.tables import mapping
from data.world import generate
from data.world.questions import FAMILIES
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage

Part = Literal["pool", "dev", "test"]


@stage(DEMONSTRATIONS, version="1", rows="source")
def import_texts(ctx: Context, *, source: External, columns: TextColumns) -> Rows:
    """Out: DEMONSTRATIONS, validated; `dataset` is the domain."""
    found = read_texts(source.path, columns)
    return Rows(found.table, found.counts)


@stage(DEMONSTRATIONS, version="1", rows="part")
def part_of_texts(
    ctx: Context, *, texts: Artifact, part: Part, dev_size: int, test_size: int, seed: int
) -> Rows:
    """In: DEMONSTRATIONS of all texts. Out: those to learn ("pool") or held out, so many of every
    domain."""
    table = parted(ctx.table(texts), dev_size, test_size, seed)[part]
    return Rows(table, {"texts": len(table)})


@stage(DEMONSTRATIONS, version="1", rows="size")
def world_texts(ctx: Context, *, part: Part, size: int, skew: float, seed: int) -> Rows:
    """Out: DEMONSTRATIONS, a good answer to each of `size` prompts of a part of the world; of every
    family `skew` times as many as of the one before are left.

    The answers come from the generator, not from the oracle.
    """
    prompts = generate.prompt_table(part, size, seed)
    asked = set(prompts["prompt_id"].to_pylist())
    answers = generate.written_answers(part, size, seed, asked, "people")
    said = mapping(answers, "prompt_id", "completion")
    left = dict(zip(FAMILIES, world_sizes(size, skew), strict=True))
    rows = []
    for one in prompts.to_pylist():
        if left[one["dataset"]]:
            left[one["dataset"]] -= 1
            name = one["prompt_id"]
            rows.append(text_row(one["messages"], said[name], one["dataset"], name))
    return Rows(rows, {"texts": len(rows)})


def world_sizes(size: int, skew: float) -> list[int]:
    """Texts of each family of the world, of `size` prompts; at least one."""
    number = len(FAMILIES)
    whole = [size // number + (place < size % number) for place in range(number)]
    return [max(1, round(n * skew**place)) for place, n in enumerate(whole)]


def _with_another(inputs: Any) -> int:
    return 2 * int(inputs["texts"].rows or 0)


@stage(DEMONSTRATIONS, version="1", rows=_with_another)
def add_noise(ctx: Context, *, texts: Artifact, seed: int) -> Rows:
    """In: DEMONSTRATIONS. Out: these and a domain "noise", their words in random order."""
    table = ctx.table(texts)
    noisy = with_noise(table, seed)
    return Rows(noisy, {"texts": len(noisy), "noise": len(noisy) - len(table)})


def _of_each(inputs: Any) -> int:
    return len(inputs["datasets"]) * int(inputs["number"])


@stage(DEMONSTRATIONS, version="1", rows=_of_each)
def first_texts(
    ctx: Context, *, texts: Artifact, datasets: list[str], number: int, seed: int
) -> Rows:
    """In: DEMONSTRATIONS. Out: of each of these domains the first that are drawn, at most all."""
    table, parts = ctx.table(texts), []
    for name, own in by_domain(table).items():
        if name in datasets:
            rows, _ = in_sequence(name, len(own), 0, min(number, len(own)), seed)
            parts.append(own.take(pa.array(rows)))
    found = pa.concat_tables(parts)
    return Rows(found, {"texts": len(found)})


def by_domain(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each domain, in the order that arrays of domains have."""
    names = table["dataset"].to_pylist()
    places: dict[str, list[int]] = {name: [] for name in domains_of(table)}
    for place, name in enumerate(names):
        places[name].append(place)
    return {name: table.take(pa.array(rows)) for name, rows in places.items()}
