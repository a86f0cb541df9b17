"""What a round costs when a share rho of its prompts is answered again, against the cost model.

    python -m benchmarks.optune_speed runs/optune-rho [--runs-dir runs]

Reads the runs of a `tsalign bench` whose recipes differ in `prompts.refresh`; the baseline has
rho = 1. Compared are rounds from the second on, of equal seed and number, by what their stages once
took: choosing prompts, generation, scoring, pairs, reference log-probabilities, training. Not
counted: dev and test prompts, which measure and are the same for all. The model is
1 / (g rho + 1 - g), g being the share of generation and scoring in the baseline's round.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from data.summary import Round, Summary, read_summary

REPEATED = ("generate", "score")
LOOP = (
    *REPEATED,
    *("select", "mine", "relabel", "renew scores", "renew pairs", "reference", "optimize"),
)


def spent(entry: Round, stages: tuple[str, ...] = LOOP) -> float:
    """Seconds that the stages of a round once took."""
    return sum(record.computed_seconds for record in entry.stages if record.stage in stages)


def refreshing(summary: Summary) -> list[Round]:
    return summary.rounds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench", type=Path, help="folder of a bench")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    args = parser.parse_args()
    bench = json.loads((args.bench / "bench.json").read_text())
    runs = {
        recipe["label"]: [
            read_summary(args.runs_dir / run["run"] / "summary.json") for run in recipe["runs"]
        ]
        for recipe in bench["recipes"]
    }
    base = next(iter(runs.values()))
    g = statistics.median(
        spent(entry, REPEATED) / spent(entry) for run in base for entry in refreshing(run)
    )
    write = sys.stdout.write
    write(f"share g of generation and scoring in a round with rho = 1: {g:.3f} (median)\n\n")
    write("| recipe | rho | rounds | speed-up of a round, median (range) | model | tokens |\n")
    write("|---|---|---|---|---|---|\n")
    for label, summaries in runs.items():
        rho = summaries[0].config["prompts"]["refresh"]["share"]
        pairs = [
            (full, entry)
            for one, other in zip(base, summaries, strict=True)
            for full, entry in zip(refreshing(one), refreshing(other), strict=True)
        ]
        ratios = [spent(full) / spent(entry) for full, entry in pairs]
        tokens = sum(entry.tokens for _, entry in pairs) / sum(full.tokens for full, _ in pairs)
        write(
            f"| {label} | {rho} | {len(ratios)} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f}) | {1 / (g * rho + 1 - g):.2f} "
            f"| {tokens:.0%} |\n"
        )


if __name__ == "__main__":
    main()
