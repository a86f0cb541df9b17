"""Figures of docs/results.md, from finished benches.

    python -m benchmarks.method_figures rewards runs/tso --dpo no-dual-clip --clip full --out a.svg
    python -m benchmarks.method_figures calls runs/ablations \\
        --recipes student-only,tsalign,teacher-all --out b.svg

`rewards`: implicit rewards of chosen and rejected completions over the steps of each training,
mean over seeds, with DPO's loss and with the dual clip. `calls`: label precision and win rate
against the teacher's calls per prompt. Each writes an SVG and prints what is drawn in it.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import read_summary
from reports.plots import Point, Series, alone, chart

SIDES = ("chosen", "rejected")
POINTS = 8  # of each training that are drawn


def bench_recipes(folder: Path) -> dict[str, dict[str, Any]]:
    bench = json.loads((folder / "bench.json").read_text())
    return {recipe["label"]: recipe for recipe in bench["recipes"]}


def histories(recipe: dict[str, Any], runs: Path, store: Store) -> list[list[dict[str, Any]]]:
    """For every run, the history of rewards of each of its trainings."""
    found = []
    for run in recipe["runs"]:
        summary = read_summary(runs / run["run"] / "summary.json")
        records = [r for r in summary.stages() if r.stage == "optimize"]
        found.append(
            [
                store.record(Artifact(kind=r.kind, key=r.key, digest=r.artifact)).artifact.meta[
                    "history"
                ]
                for r in records
            ]
        )
    return found


def at(values: list[float], share: float) -> float:
    """The value after a share of a training; histories may differ in length."""
    return values[min(len(values) - 1, round(share * (len(values) - 1)))]


def reward_curves(recipe: dict[str, Any], runs: Path, store: Store) -> dict[str, list[float]]:
    """Mean over runs of the implicit rewards, POINTS of each round."""
    known = histories(recipe, runs, store)
    rounds = min(len(trainings) for trainings in known)
    shares = [point / (POINTS - 1) for point in range(POINTS)]
    return {
        side: [
            fmean(at(run[number][f"rewards/{side}"], share) for run in known)
            for number in range(rounds)
            for share in shares
        ]
        for side in SIDES
    }


def write_rewards(args: argparse.Namespace) -> None:
    recipes, store = bench_recipes(args.bench), Store(args.store)
    curves = {
        name: reward_curves(recipes[label], args.runs_dir, store)
        for name, label in (("DPO", args.dpo), ("dual clip", args.clip))
    }
    steps = len(curves["DPO"]["chosen"])
    series = [  # a line for each round, as the reference changes between them
        Series(
            f"{name}, {side}",
            [Point(i, curve[side][i]) for i in range(start, start + POINTS)],
            style,
        )
        for (name, curve), style in zip(curves.items(), ("first", "second"), strict=True)
        for side in SIDES
        for start in range(0, steps, POINTS)
    ]
    labels = [f"{1 + i // POINTS}" if i % POINTS == 0 else "" for i in range(steps)]
    drawn = chart(
        "Implicit rewards of chosen (upper) and rejected (lower) completions",
        series,
        labels,
        axis="round (blue: DPO, orange: dual clip)",
        unit="beta (log pi - log pi_ref), mean of a step",
        size=(560, 300),
    )
    args.out.write_text(alone(str(drawn)))
    sys.stdout.write(
        "| loss | side | "
        + " | ".join(f"round {n + 1}, first | last" for n in range(steps // POINTS))
        + " |\n"
    )
    for name, curve in curves.items():
        for side in SIDES:
            ends = [
                f"{curve[side][n * POINTS]:+.2f} | {curve[side][n * POINTS + POINTS - 1]:+.2f}"
                for n in range(steps // POINTS)
            ]
            sys.stdout.write(f"| {name} | {side} | " + " | ".join(ends) + " |\n")


def write_calls(args: argparse.Namespace) -> None:
    recipes = bench_recipes(args.bench)
    names = args.recipes.split(",")
    curves: dict[str, list[Point]] = {"win rate": [], "label precision": []}
    labels = []
    sys.stdout.write("| recipe | teacher calls per prompt | label precision | win rate |\n")
    sys.stdout.write("|---|---|---|---|\n")
    for place, name in enumerate(names):
        recipe = recipes[name]
        runs, rate = recipe["runs"], recipe["win_rate"]
        calls = sum(run["teacher_calls"] for run in runs) / sum(run["prompts"] for run in runs)
        precision = fmean(run["label_precision"] for run in runs)
        interval = tuple(rate["ci95"]) if rate["ci95"] else None
        curves["win rate"].append(Point(place, rate["mean"], interval))
        curves["label precision"].append(Point(place, precision))
        labels.append(f"{name}: {calls:.1f}")
        sys.stdout.write(f"| {name} | {calls:.1f} | {precision:.1%} | {rate['mean']:.1%} |\n")
    series = [
        Series(name, points, style)
        for (name, points), style in zip(curves.items(), ("first", "second"), strict=True)
    ]
    drawn = chart(
        "Label precision and win rate against teacher calls per prompt",
        series,
        labels,
        axis="teacher calls per prompt (blue: win rate, orange: label precision)",
        percent=True,
        size=(560, 300),
    )
    args.out.write_text(alone(str(drawn)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    which = parser.add_subparsers(required=True)
    rewards = which.add_parser("rewards")
    rewards.add_argument("--dpo", required=True, help="label of the recipe with DPO's loss")
    rewards.add_argument("--clip", required=True, help="label of the recipe with the dual clip")
    rewards.set_defaults(call=write_rewards)
    calls = which.add_parser("calls")
    calls.add_argument("--recipes", required=True, help="labels, parted by commas")
    calls.set_defaults(call=write_calls)
    for one in (rewards, calls):
        one.add_argument("bench", type=Path, help="folder of a bench")
        one.add_argument("--out", type=Path, required=True, help="the SVG")
        one.add_argument("--runs-dir", type=Path, default=Path("runs"))
        one.add_argument("--store", default=".tsalign/store")
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
