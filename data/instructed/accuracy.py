"""How many instructions a policy follows, against its base on the same prompts.

Per instruction: of all instructions, the share that is followed. Per prompt: of all prompts, the
share whose every instruction is followed. Both strict, as IFEval reports them (arXiv 2311.07911).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.statistics import percentile_interval
from data.summary import Followed, InstructionSummary

AT_A_TIME = 100  # resamples


class Counted(NamedTuple):
    """What is followed of a prompt's instructions, and how many there are."""

    base: float
    policy: float
    n: int


class Checked(NamedTuple):
    """An instruction of a prompt, and whether the two answers follow it."""

    prompt_id: str
    dataset: str
    kind: str
    base: bool | None  # None: it could not be checked
    policy: bool | None


def accuracy(
    rows: Iterable[Checked], samples: int = 2_000, seed: int = 0
) -> InstructionSummary | None:
    """Both accuracies in all, by data set and by kind; None where nothing could be checked.

    "In all" is the mean over data sets of equal weight. The interval is of the difference, from a
    paired bootstrap over prompts, each with all its instructions, within each data set.

    Args:
        samples: Bootstrap resamples.
    """
    rows = list(rows)
    known = [row for row in rows if row.base is not None and row.policy is not None]
    if not known:
        return None
    of_prompts: dict[str, dict[str, list[Checked]]] = defaultdict(lambda: defaultdict(list))
    of_kinds: dict[str, dict[str, list[Checked]]] = defaultdict(lambda: defaultdict(list))
    for row in known:
        of_prompts[row.dataset][row.prompt_id].append(row)
        of_kinds[row.kind][row.prompt_id].append(row)
    datasets = sorted(of_prompts)
    each = [[_counted(found) for found in of_prompts[name].values()] for name in datasets]
    whole = [[_all_or_none(one) for one in prompts] for prompts in each]
    return InstructionSummary(
        per_instruction=difference(each, samples, seed),
        per_prompt=difference(whole, samples, seed),
        by_dataset={
            name: difference([counts], samples, seed)
            for name, counts in zip(datasets, each, strict=True)
        },
        by_dataset_per_prompt={
            name: difference([counts], samples, seed)
            for name, counts in zip(datasets, whole, strict=True)
        },
        by_kind={
            kind: difference([[_counted(found) for found in prompts.values()]], samples, seed)
            for kind, prompts in sorted(of_kinds.items())
        },
        left_out=len(rows) - len(known),
    )


def _counted(rows: Sequence[Checked]) -> Counted:
    return Counted(
        sum(bool(row.base) for row in rows), sum(bool(row.policy) for row in rows), len(rows)
    )


def _all_or_none(one: Counted) -> Counted:
    return Counted(float(one.base == one.n), float(one.policy == one.n), 1)


def difference(groups: Sequence[Sequence[Counted]], samples: int, seed: int) -> Followed:
    """Shares followed, mean over groups, and their difference with its 95 % interval.

    Args:
        groups: Of each data set, its prompts.
    """
    rng, tables = np.random.default_rng(seed), [np.asarray(group, float) for group in groups]
    shares = np.mean([table.sum(axis=0)[:2] / table[:, 2].sum() for table in tables], axis=0)
    resampled = np.mean([_resampled(table, samples, rng) for table in tables], axis=0)
    return Followed(
        base=float(shares[0]),
        policy=float(shares[1]),
        difference=float(shares[1] - shares[0]),
        ci95=percentile_interval(resampled),
        n=int(sum(table[:, 2].sum() for table in tables)),
        prompts=sum(len(table) for table in tables),
    )


def _resampled(
    table: NDArray[np.float64], samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Differences of the shares in resamples of the prompts, shape (samples,)."""
    gained, n, found = table[:, 1] - table[:, 0], table[:, 2], []
    for start in range(0, samples, AT_A_TIME):
        drawn = rng.integers(0, len(table), (min(AT_A_TIME, samples - start), len(table)))
        found.append(gained[drawn].sum(axis=1) / n[drawn].sum(axis=1))
    return np.concatenate(found)
