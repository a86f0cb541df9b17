"""How often does a rule of mine.pairs order its pair as an independent judge does?

    python -m benchmarks.pair_rules ../shared/realdata/rewardbench_bon16 [--run runs/logged]

On 16 recorded answers to each of 805 AlpacaEval prompts, 11 of which GPT-4-turbo has judged against
a fixed reference (recipes/logged.yaml reads them in the same way). Rules choose among the judged
ones by a scorer's rewards: length in characters, a random number and, with --run, the student of a
finished run of recipes/logged.yaml before and after distillation, on its held-out prompts. Of six
published reward models only the answer each picked of the 16 is recorded, so picks are compared
with the other judged answers. Ties of the judge count half; intervals are 95 %, of a bootstrap over
prompts; "equal length" counts pairs that differ by a tenth or less. Prints Markdown.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.readers.logged import Logged, judged_only, longer_answer_scores, read_logged
from data.readers.logged_pairs import agreement, of_equal_length
from data.readers.rows import read_rows
from data.recipes.recipe import LoggedConfig, MineConfig
from data.schemas import JUDGED_PAIRS, SCORES
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from data.tables import mapping
from tasks.mine import RULES, mine_pairs

HEAD = "| pairs | agrees with the judge | n | equal length | n |\n|---|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with samples/, judged/ and rm_picks/")
    parser.add_argument("--seed", type=int, default=0, help="of shuffle, random scorer, bootstrap")
    parser.add_argument("--run", type=Path, help="folder of a finished run of recipes/logged.yaml")
    parser.add_argument("--store", default=".tsalign/store", help="artifacts of that run")
    parser.add_argument("--penalties", type=float, nargs="*", default=[1e-5, 3e-5, 1e-4, 3e-4])
    args = parser.parse_args()
    logged = read_logged(
        LoggedConfig(
            format="alpaca_eval",
            completions=str(args.data / "samples"),
            judgments=str(args.data / "judged"),
            seed=args.seed,
        )
    )
    candidates, _ = judged_only(logged.completions, logged.judgments)
    judge = mapping(logged.judgments, "completion_id", "reward")
    out = sys.stdout.write
    out(f"Seed {args.seed}, {len(logged.prompts)} prompts, {len(candidates)} judged answers.\n")
    for name, scores in scorers(candidates, args):
        out(f"\n{name}, {spread(scores)}:\n\n{HEAD}\n")
        for title, config in rules(name, args.penalties):
            out(line(title, rule_pairs(candidates, scores, config, args.seed), judge, args.seed))
    out(f"\nPicks of the best of 16, where the pick is among the judged 11:\n\n{HEAD}\n")
    for path in sorted((args.data / "rm_picks").iterdir()):
        pairs = pick_pairs(path, logged, judge)
        title = f"{path.name.split('.json')[0]}, {pick_count(pairs)} picks"
        out(line(title, pairs, judge, args.seed))


def scorers(candidates: pa.Table, args: argparse.Namespace) -> Iterator[tuple[str, pa.Table]]:
    """Names and SCORES of those who can score every judged answer to some of the prompts."""
    yield "Longer is better", longer_answer_scores(candidates)
    rng = random.Random(args.seed)
    ids = candidates.select(["completion_id", "prompt_id"]).to_pylist()
    yield "Random", pa.Table.from_pylist([row | {"reward": rng.random()} for row in ids], SCORES)
    if args.run:
        stages = read_summary(args.run / "summary.json").stages()
        for when in ("before", "after"):
            title = f"student scores held-out ({when})"
            found = next(record for record in stages if record.stage == title)
            artifact = Artifact(kind=found.kind, key=found.key, digest=found.artifact)
            scores = Store(args.store).table(artifact)
            yield f"Student {when} distillation, held out", scores
        read = set(scores.filter(scores["reward"].is_valid())["completion_id"].to_pylist())
        same = candidates.filter([i in read for i in candidates["completion_id"].to_pylist()])
        yield "Longer is better, of the answers that the student read", longer_answer_scores(same)


def spread(scores: pa.Table) -> str:
    """How many prompts, and how far apart the rewards of one prompt's answers are."""
    rewards: dict[str, list[float]] = {}
    for row in scores.to_pylist():
        if row["reward"] is not None:
            rewards.setdefault(row["prompt_id"], []).append(row["reward"])
    mean = sum(max(known) - min(known) for known in rewards.values()) / len(rewards)
    return f"{len(rewards)} prompts, best minus worst reward {mean:.2g} on average"


def rules(scorer: str, penalties: list[float]) -> Iterator[tuple[str, MineConfig]]:
    for rule in RULES:
        yield rule, MineConfig(pairs=rule)  # type: ignore[arg-type]
    # A penalty on length leaves the order by length as it is, or turns it round.
    for penalty in penalties if scorer.startswith("Student") else []:
        config = MineConfig(pairs="best_worst", length_penalty=penalty)
        yield f"best_worst, {penalty:.5f} off per 100 characters", config


def rule_pairs(candidates: pa.Table, scores: pa.Table, config: MineConfig, seed: int) -> pa.Table:
    """JUDGED_PAIRS in the order of the rule."""
    scored = set(scores["completion_id"].to_pylist())
    known = candidates.filter([i in scored for i in candidates["completion_id"].to_pylist()])
    mined, _ = mine_pairs(known, scores, config, seed)
    return as_pairs(
        (row["prompt_id"], row["best_id"], row["best_completion"], row["worst_id"],
         row["worst_completion"])
        for row in mined.to_pylist()
    )  # fmt: skip


def pick_pairs(path: Path, logged: Logged, judge: Mapping[str, float]) -> pa.Table:
    """JUDGED_PAIRS of every judged pick with every other judged answer to its prompt."""
    by_prompt: dict[str, dict[str, str]] = {}
    instruction = {
        row["prompt_id"]: row["messages"][-1]["content"] for row in logged.prompts.to_pylist()
    }
    for row in logged.completions.to_pylist():
        if row["completion_id"] in judge:
            answers = by_prompt.setdefault(instruction[row["prompt_id"]], {})
            answers.setdefault(row["completion"], row["completion_id"])
    found = []
    for _, row in read_rows(path):
        answers = by_prompt[row["instruction"]]
        pick = row["output"]
        if pick in answers:
            found += [
                (row["instruction"], answers[pick], pick, other, text)
                for text, other in answers.items()
                if text != pick
            ]
    return as_pairs(iter(found))


def as_pairs(rows: Iterator[tuple[str, str, str, str, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "prompt_id": prompt,
                "better_id": better,
                "worse_id": worse,
                "margin": 0.0,
                "length_ratio": max(1, len(text)) / max(1, len(other)),
            }
            for prompt, better, text, worse, other in rows
        ],
        schema=JUDGED_PAIRS,
    )


def pick_count(pairs: pa.Table) -> int:
    return len(set(pairs["prompt_id"].to_pylist()))


def line(title: str, pairs: pa.Table, judge: Mapping[str, float], seed: int) -> str:
    """A row of the table: the share of the pairs that the judge orders as the rule does."""
    cells = [cell(agreement(part, judge, seed=seed)) for part in (pairs, of_equal_length(pairs))]
    return f"| {title} | {' | '.join(cells)} |\n"


def cell(found: dict[str, Any]) -> str:
    if found["agreement"] is None:
        return "– | 0"
    low, high = found["ci95"]
    share = f"{100 * found['agreement']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return f"{share} | {found['pairs']:,}"


if __name__ == "__main__":
    main()
