"""Mine: the pairs of completions worth a judgment (TS-Align, step 3: the best and the worst)."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.joins import column_by_id
from data.portions import Portions, in_order_of, numbered
from data.recipes.recipe import MineConfig
from data.schemas import MINED
from data.store.artifacts import Artifact
from data.table_file import Sliced
from tasks.candidates import FATES, Numbers, usable
from tasks.stage import Context, Rows, stage

COUNTS = (
    *FATES,  # completions
    *("no_candidates", "tied", "paired"),  # prompts
    "mined",  # pairs
)
_AT_A_TIME = 1_024  # prompts

# Places among a prompt's candidates, best first, and which of the prompts have such a pair.
Places = tuple[Numbers, Numbers, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Sizes:
    """How many candidates some prompts have, two or more."""

    number: Numbers
    ids: list[str]
    seed: int

    @cached_property
    def all(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self.number), bool)

    @cached_property
    def zero(self) -> Numbers:
        return np.zeros(len(self.number), np.int64)

    @property
    def drawn(self) -> Numbers:
        """Of each prompt a place that is not the first, at random by the seed and its id."""
        sizes = zip(self.ids, self.number.tolist(), strict=True)
        draws = (random.Random(f"{self.seed}/{id_}").choice(range(1, n)) for id_, n in sizes)
        return np.fromiter(draws, np.int64, len(self.ids))


def best_worst(of: Sizes) -> Iterator[Places]:
    yield of.zero, of.number - 1, of.all


def best_random(of: Sizes) -> Iterator[Places]:
    yield of.zero, of.drawn, of.all


def top2_bottom2(of: Sizes) -> Iterator[Places]:
    """Best and worst, and of four or more candidates also second best and second worst."""
    yield of.zero, of.number - 1, of.all
    yield of.zero + 1, of.number - 2, of.number > 3


def outside_in(of: Sizes) -> Iterator[Places]:
    """Best and worst, second best and second worst, and so on: no completion is in two pairs."""
    for place in range(int(of.number.max(initial=0)) // 2):
        yield of.zero + place, of.number - 1 - place, place < of.number // 2


# Pairs of prompts' candidates by the names of `mine.pairs`: the first of each prompt, the second...
RULES: dict[str, Callable[[Sizes], Iterator[Places]]] = {
    "best_worst": best_worst,
    "best_random": best_random,
    "top2_bottom2": top2_bottom2,
    "outside_in": outside_in,
}


class Ranked:
    """The candidates of prompts, best first, equal ones by their samples.

    Of equally bad ones the lowest sample is the worst, as of equally good ones the best.
    """

    def __init__(self, owners: Numbers, rewards: npt.NDArray[np.float64]) -> None:
        """`owners` and `rewards` of each, by prompt and sample; two or more of a prompt."""
        self.order = np.lexsort((-rewards, owners))
        owners, self._rewards = owners[self.order], rewards[self.order]
        first = np.append(True, owners[1:] != owners[:-1])[: len(owners)]
        self._starts = np.flatnonzero(first)
        self.number = np.diff(np.append(self._starts, len(owners)))
        other = first.copy()
        other[1:] |= self._rewards[1:] != self._rewards[:-1]
        last = np.maximum.accumulate(np.where(other, np.arange(len(owners)), 0))
        self._worst = last[self._starts + self.number - 1]

    def at(self, prompts: Numbers, places: Numbers) -> Numbers:
        """Where the candidates of these prompts, at these places, were among all given."""
        rows = self._starts[prompts] + places
        rows += rows >= self._worst[prompts]
        is_worst = places == self.number[prompts] - 1
        found: Numbers = self.order[np.where(is_worst, self._worst[prompts], rows)]
        return found


def mine_portion(
    answers: pa.Table, config: MineConfig, seed: int, counts: dict[str, int]
) -> pa.Table:
    """MINED rows of some prompts, by prompt in the order they come; adds to `counts`.

    Args:
        answers: COMPLETIONS with their `reward`, all that these prompts have.
    """
    owners, ids = numbered(answers["prompt_id"])
    samples = answers["sample"].to_numpy()
    rows = usable(answers, owners, [samples], config.drop_truncated, counts)
    number = np.bincount(owners[rows], minlength=len(ids))
    several = np.flatnonzero(number > 1)
    counts["no_candidates"] += len(ids) - len(several)
    rows = rows[number[owners[rows]] > 1]
    rewards = penalized(answers.take(pa.array(rows)), config.length_penalty)
    ranked = Ranked(owners[rows].astype(np.int64), rewards)
    sizes = Sizes(ranked.number, ids.take(pa.array(several)).to_pylist(), seed)
    prompts, best, worst = _pairs(ranked, sizes, config.pairs)
    apart = rewards[best] - rewards[worst] > config.min_margin
    prompts, best, worst = prompts[apart], best[apart], worst[apart]
    paired = len(np.unique(prompts))
    counts["paired"] += paired
    counts["tied"] += len(several) - paired
    counts["mined"] += len(prompts)
    return mined_rows(
        answers.take(pa.array(rows[best])),
        answers.take(pa.array(rows[worst])),
        source=config.pairs,
        rewards=(pa.array(rewards[best]), pa.array(rewards[worst])),
    )


def penalized(answers: pa.Table, penalty: float) -> npt.NDArray[np.float64]:
    """The rewards less `penalty` for every 100 characters."""
    rewards: npt.NDArray[np.float64] = answers["reward"].to_numpy()
    if penalty:
        rewards = rewards - penalty * pc.utf8_length(answers["completion"]).to_numpy() / 100
    return rewards


def _pairs(ranked: Ranked, sizes: Sizes, rule: str) -> tuple[Numbers, Numbers, Numbers]:
    """The number of the prompt, and where its best and its worst are, of every pair.

    Pairs come by their prompt, those of one in the order of the rule.
    """
    every = np.arange(len(sizes.number))
    found = [
        (every[there], ranked.at(every[there], best[there]), ranked.at(every[there], worst[there]))
        for best, worst, there in RULES[rule](sizes)
    ]
    prompts, best, worst = (np.concatenate([one[i] for one in found] or [every]) for i in range(3))
    order = np.argsort(prompts, kind="stable")
    return prompts[order], best[order], worst[order]


def mined_rows(
    best: pa.Table,
    worst: pa.Table,
    source: Any,
    rewards: tuple[pa.Array, pa.Array],
    models: tuple[Any, Any] = ("policy", "policy"),
) -> pa.Table:
    """MINED rows of COMPLETIONS, best and worst in one order; `models` gave them.

    Source and models are of all rows, or an array of a text for each.
    """

    def each(value: Any) -> Any:
        return pa.repeat(value, len(best)) if isinstance(value, str) else value

    columns = {"prompt_id": best["prompt_id"], "source": each(source)}
    for side, table, model, reward in zip(
        ("best", "worst"), (best, worst), models, rewards, strict=True
    ):
        columns |= {
            f"{side}_model": each(model),
            f"{side}_id": table["completion_id"],
            f"{side}_completion": table["completion"],
            f"{side}_token_ids": table["token_ids"],
            f"{side}_reward": reward,
        }
    return pa.table([columns[name] for name in MINED.names], schema=MINED)


def mine_pairs(
    completions: Sliced, scores: Sliced, config: MineConfig, seed: int
) -> tuple[pa.Table, dict[str, int]]:
    """MINED rows for each prompt whose candidates the scorer can tell apart, by the prompts' ids.

    A prompt with fewer than two candidates, or whose pairs all differ by no more than
    `config.min_margin`, yields no row and is counted. Rewards are those that ordered the pairs,
    penalized.

    Raises:
        CardinalityError: the two tables do not hold the same completions.
    """
    rewards = column_by_id(completions, scores, "completion_id", "reward")
    counts = dict.fromkeys(COUNTS, 0)
    answers = completions.append_column("reward", rewards)
    portions = Portions(answers, _AT_A_TIME)
    parts = (mine_portion(portion, config, seed, counts) for portion in portions)
    return in_order_of(pa.concat_tables([MINED.empty_table(), *parts]), "prompt_id"), counts


def _most_pairs(inputs: Mapping[str, Any]) -> int:
    """One of a prompt, or as many as the rule says."""
    completions = inputs["completions"]
    if inputs["config"].pairs == "outside_in":
        return int(completions.rows or 0) // 2
    each = 2 if inputs["config"].pairs == "top2_bottom2" else 1
    return each * int(completions.meta.get("prompts", 0))


@stage(MINED, version="3", rows=_most_pairs)
def mine(
    ctx: Context,
    *,
    completions: Artifact,
    scores: Artifact,
    config: MineConfig,
    seed: int,
) -> Rows:
    """In: COMPLETIONS, SCORES. Out: MINED. The seed matters to the rule "best_random" only."""
    table, counts = mine_pairs(ctx.open(completions), ctx.open(scores), config, seed)
    return Rows(table, counts)
