"""Padding and time of scoring batches by `runtime.token_budget`, on real answers.

    python -m benchmarks.batches MODEL [--logs ../shared/realdata/rewardbench_bon16]

MODEL is a reward model, a causal language model, whose log-likelihoods are computed, or an encoder
without a head, which is given one. Of the logged answers so many are drawn at random (`--answers`,
several numbers) as the model's tokenizer reads them, cut to what it reads; printed is for each
budget which share of the tokens it computes is padding, as batches are made now and as they would
be without a limit of a row's padding. The first number of answers is read with every budget in
turn, several times over: seconds of a core, which tell more than a clock's on a machine with other
work, and their ratio to the first budget's in the same turn, median and range; and the largest
difference of a reward from the first budget's. Also printed is how much of a training's batches of
`--batch` such rows is padding: in random order, and as trainings here draw them.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.readers.logged import read_logged
from data.recipes.logged import LoggedConfig
from data.recipes.recipe import RuntimeConfig
from data.tables import mapping
from models.batching import MOST_PADDING, LengthGroups, length_batches
from models.chat import render_conversations
from models.checkpoints import readable_length
from models.logps import sequence_logps
from models.reward_files import compares, lacks_head
from models.rewards import load_scorer
from models.silence import quiet
from models.text_pairs import load_reader
from models.training.fresh_head import add_head

LOGS = "../shared/realdata/rewardbench_bon16"
BUDGETS = (16_384, 4_096, 2_048, 1_024, 512)
LONGEST = 4_096  # tokens, where the model sets no lower limit

Item = tuple[list[dict[str, str]], str]


def items_of(logs: str, seed: int) -> list[Item]:
    """Prompt and answer of every logged answer, in random order."""
    found = read_logged(
        LoggedConfig(
            format="alpaca_eval", completions=f"{logs}/samples", judgments=f"{logs}/judged"
        )
    )
    asked = mapping(found.prompts, "prompt_id", "messages")
    rows = found.completions.select(["prompt_id", "completion"]).to_pylist()
    random.Random(seed).shuffle(rows)
    return [(asked[row["prompt_id"]], row["completion"]) for row in rows]


@quiet()
def lengths_of(model: Path, items: Sequence[Item]) -> list[int]:
    """Tokens of each item, at most what the model reads."""
    tokenizer, most = load_reader(model), readable_length(model, LONGEST)
    return [min(most, len(ids)) for ids in render_conversations(tokenizer, items)]


def padding(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the computed tokens that no row has."""
    computed = sum(len(rows) * max(lengths[row] for row in rows) for rows in batches)
    return 1 - sum(lengths) / computed


def reader(model: Path, items: Sequence[Item]) -> Callable[[RuntimeConfig], tuple[float, Any]]:
    """Reads the items with a runtime: seconds without the loading of a reward model, rewards."""
    most = readable_length(model, LONGEST)

    def likelihoods(runtime: RuntimeConfig) -> tuple[float, Any]:
        began = time.process_time()
        rewards, _ = sequence_logps(model, items, runtime=runtime)
        return time.process_time() - began, rewards

    def rewards_of(runtime: RuntimeConfig) -> tuple[float, Any]:
        scorer = load_scorer(model, runtime, most)
        began = time.process_time()
        rewards = scorer.score(items)
        seconds = time.process_time() - began
        scorer.close()
        return seconds, rewards

    return likelihoods if compares(model) else rewards_of


@quiet()
def measured(
    model: Path, items: Sequence[Item], budgets: Sequence[int], repeats: int
) -> dict[int, dict[str, Any]]:
    """Seconds and ratios of every budget, from turns in which each has one run."""
    read = reader(model, items)
    seconds: dict[int, list[float]] = {budget: [] for budget in budgets}
    rewards: dict[int, Any] = {}
    read(RuntimeConfig(token_budget=budgets[0]))  # what is done once in a process
    for _ in range(repeats):
        for budget in budgets:
            took, rewards[budget] = read(RuntimeConfig(token_budget=budget))
            seconds[budget].append(took)
    first = budgets[0]
    return {
        budget: {
            "seconds": took,
            "ratio": [one / other for one, other in zip(took, seconds[first], strict=True)],
            "difference": float(np.nanmax(np.abs(rewards[budget] - rewards[first]))),
            "read": int(np.isfinite(rewards[budget]).sum()),
        }
        for budget, took in seconds.items()
    }


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--logs", default=LOGS)
    parser.add_argument("--answers", default="48,512,8192")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--repeats", type=int, default=3, help="turns; 0: padding alone")
    parser.add_argument("--batch", type=int, default=32, help="rows of a training's batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file for the figures (JSON)")
    asked = parser.parse_args()
    numbers, budgets = (
        [int(part) for part in text.split(",")] for text in (asked.answers, asked.budgets)
    )
    items = items_of(asked.logs, asked.seed)[: max(numbers)]
    with tempfile.TemporaryDirectory() as folder:
        model = asked.model
        if not compares(model) and lacks_head(model):
            made = Path(folder) / "model"
            add_head(made, model=model, runtime=RuntimeConfig(), seed=asked.seed)
            model = made
        lengths = lengths_of(model, items)
        found: dict[str, Any] = {"padding": _paddings(lengths, numbers, budgets)}
        found["training"] = _trained(lengths, asked.batch, asked.seed)
        if asked.repeats:
            found["timed"] = measured(model, items[: numbers[0]], budgets, asked.repeats)
            _print_timed(found["timed"], numbers[0])
    if asked.out:
        about = {name: str(value) for name, value in vars(asked).items() if name != "out"}
        asked.out.write_text(json.dumps(about | found, indent=1) + "\n")


def _paddings(
    lengths: list[int], numbers: Sequence[int], budgets: Sequence[int]
) -> list[dict[str, Any]]:
    rows = []
    say = sys.stdout.write
    say(f"{'answers':>8}{'tokens':>12}{'budget':>8}{'batches':>9}{'padding':>9}{'unlimited':>11}\n")
    for number in numbers:
        some = lengths[:number]
        for budget in budgets:
            batches = length_batches(some, budget, MOST_PADDING)
            row = {
                "answers": len(some),
                "tokens": sum(some),
                "budget": budget,
                "batches": len(batches),
                "padding": padding(some, batches),
                "unlimited": padding(some, length_batches(some, budget, 1.0)),
            }
            rows.append(row)
            say(
                f"{row['answers']:>8,}{row['tokens']:>12,}{budget:>8,}{row['batches']:>9,}"
                f"{row['padding']:>9.1%}{row['unlimited']:>11.1%}\n"
            )
    return rows


def _trained(lengths: list[int], size: int, seed: int) -> dict[str, float]:
    """Padding of an epoch's batches, in random order and by groups of length."""
    shuffled = random.Random(seed).sample(range(len(lengths)), len(lengths))
    orders = {"random": shuffled, "by length": list(LengthGroups(lengths, size, seed))}
    found = {}
    for name, order in orders.items():
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        found[name] = padding(lengths, batches)
        sys.stdout.write(f"training, batches of {size}, {name}: {found[name]:.1%} padding\n")
    return found


def _print_timed(timed: dict[int, dict[str, Any]], number: int) -> None:
    say = sys.stdout.write
    say(f"{number} answers\n{'budget':>8}{'seconds':>9}{'ratio':>7}{'range':>14}{'differs':>10}\n")
    for budget, row in timed.items():
        ratio = row["ratio"]
        say(
            f"{budget:>8,}{statistics.median(row['seconds']):>9.2f}"
            f"{statistics.median(ratio):>7.2f}{min(ratio):>8.2f}-{max(ratio):<5.2f}"
            f"{row['difference']:>10.1e}\n"
        )


if __name__ == "__main__":
    main()
