"""One round of tsalign against a plain vLLM and TRL script whose teacher scores all K answers.

    python -m benchmarks.plain_round recipes/tunnel.yaml --repeats 3 --work .tsalign/plain

A first run of the recipe makes or imports the models, which both then use; it is not counted. Then
both go in turns, each with seeds of its own from 1 on, over the same prompts: `tsalign align` with
empty rounds, and benchmarks/plain_script.py in one process. Both train on best and worst of K with
the recipe's settings and evaluate on the recipe's test prompts; tsalign's gate, drift, monitor and
report are in its time. Prints wall seconds from start to exit, their ratios, and where they go.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import Summary, read_summary
from flows.recipe_files import read_recipe
from models.gguf import SUFFIX

# Ours has what a plain script has: one pair a prompt, none left out.
SAME = ("rounds=1", "mine.pairs=best_worst", "teacher.min_margin=0", "policy.best_pairs=1")


class Arms:
    """Both ways to carry out a round of a recipe."""

    def __init__(self, recipe: str, changes: list[str], work: Path) -> None:
        self._recipe, self._changes, self._work = recipe, changes, work
        self._store = Store(work / "store")

    def check(self) -> None:
        """Raises InputError: the recipe's, or a model that the plain script cannot read."""
        policy = str(read_recipe(self._recipe, self._changes, None).model_dump()["policy"]["model"])
        if policy.endswith(SUFFIX):
            raise InputError(
                f"policy.model: a plain script does not read '{policy}'; name a folder, such as "
                "`python -m benchmarks.real_models` makes of SmolLM2"
            )

    def ours(self, seed: int) -> tuple[float, Summary]:
        run = f"plain-ours-{seed}"
        command = [sys.executable, "-m", "cli", "align", self._recipe, "--run", run, "--quiet"]
        for change in (*SAME, f"seed={seed}", *self._changes):
            command += ["--set", change]
        folders = ["--runs-dir", str(self._work / "runs"), "--store", str(self._work / "store")]
        seconds = _timed(command + folders)
        return seconds, read_summary(self._work / "runs" / run / "summary.json")

    def plain(self, seed: int, like: Summary) -> tuple[float, dict[str, Any]]:
        """The same prompts as in the run LIKE."""
        result, task = (self._work / f"{name}-{seed}.json" for name in ("result", "task"))
        settings = self._task(like) | {
            "seed": seed,
            "out": str(self._work / f"plain-{seed}"),
            "result": str(result),
        }
        task.write_text(json.dumps(settings))
        seconds = _timed([sys.executable, "-m", "benchmarks.plain_script", str(task)])
        return seconds, json.loads(result.read_text())

    def _task(self, summary: Summary) -> dict[str, Any]:
        config, stages = summary.config, summary.rounds[0].stages
        policy, generate = config["policy"], config["generate"]
        made = {r.kind: self._path(r) for r in summary.bootstrap}  # of a kind, the last
        asked = next(r for r in stages if r.name == "select")
        held_out = [r for r in summary.bootstrap if r.kind == "prompts"]
        test = next(r for r in held_out if r.role == "test" or r.stage == "read prompts.test_path")
        return {
            "policy": made.get("policy", policy["model"]),
            "teacher": made.get("teacher", config["teacher"]["model"]),
            "prompts": self._messages(asked),
            "test": self._messages(test),
            "k": generate["k"],
            "temperature": generate.get("temperature", 1.0),
            "max_tokens": generate["max_tokens"],
            "max_model_len": config["prompts"]["max_tokens"] + generate["max_tokens"],
            "lora": [policy["adapter"]["r"], policy["adapter"]["alpha"]]
            if policy["method"] == "lora"
            else None,
            "cpu": summary.machine.get("gpu") is None,
            **{
                name: policy[name]
                for name in ("batch_size", "epochs", "learning_rate", "beta", "max_length")
            },
            "sft_weight": policy.get("sft_weight", 0.0),
        }

    def _artifact(self, record: Any) -> Artifact:
        return Artifact(kind=record.kind, key=record.key, digest=record.artifact)

    def _path(self, record: Any) -> str:
        return str(self._store.path(self._artifact(record)))

    def _messages(self, record: Any) -> list[Any]:
        found: list[Any] = self._store.table(self._artifact(record))["messages"].to_pylist()
        return found


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    if subprocess.run(command).returncode:
        raise InputError(f"{' '.join(command[:4])}: did not finish; see the lines above")
    return time.perf_counter() - began


def by_stage(summary: Summary) -> dict[str, float]:
    """Seconds of a round's stages, those that only measure together."""
    found: dict[str, float] = {}
    for record in summary.rounds[0].stages:
        name = "measuring" if record.measures or record.role in ("dev", "watch") else record.name
        found[name] = found.get(name, 0.0) + record.seconds
    return found | {"start, Prefect, report": summary.seconds - sum(found.values())}


def told(ours: list[Any], plain: list[Any]) -> Iterator[str]:
    ratios = [p[0] / o[0] for o, p in zip(ours, plain, strict=True)]
    yield "| repeat | ours, s | plain script, s | plain / ours | pairs ours | pairs plain |"
    yield "|---|---|---|---|---|---|"
    for number, (o, p) in enumerate(zip(ours, plain, strict=True), 1):
        pairs = f"{o[1].rounds[0].ledger.trained} | {p[1]['pairs']}"
        yield f"| {number} | {o[0]:.0f} | {p[0]:.0f} | {p[0] / o[0]:.2f} | {pairs} |"
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    yield f"plain / ours, median: {statistics.median(ratios):.2f} ({spread})"
    for name, runs in (
        ("ours", [by_stage(summary) for _, summary in ours]),
        ("plain script", [result["stages"] for _, result in plain]),
    ):
        spent = {stage: statistics.median(run.get(stage, 0) for run in runs) for stage in runs[0]}
        longest = sorted(spent.items(), key=lambda item: -item[1])[:9]
        yield f"{name}, median seconds: " + ", ".join(f"{n} {s:.1f}" for n, s in longest)


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plain_round",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, required=True, help="folder for models and runs")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    asked = parser.parse_args()
    if asked.repeats < 1:
        parser.error("--repeats: must be at least 1")
    try:
        asked.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--work: {error}")
    arms = Arms(asked.recipe, [f"prompts.per_round={asked.prompts}", *asked.set], asked.work)
    try:
        arms.check()
        _, first = arms.ours(0)
        ours, plain = [], []
        for seed in range(1, asked.repeats + 1):
            if seed % 2:
                ours.append(arms.ours(seed))
                plain.append(arms.plain(seed, ours[-1][1]))
            else:  # the other first: what the machine has in its caches helps neither
                plain.append(arms.plain(seed, first))
                ours.append(arms.ours(seed))
    except InputError as error:
        sys.exit(str(error))
    lines = list(told(ours, plain))
    sys.stdout.write("\n".join(lines) + "\n")
    if asked.out:
        figures = {
            "ours": [{"seconds": s, "stages": by_stage(found)} for s, found in ours],
            "plain": [{"seconds": s} | found for s, found in plain],
        }
        asked.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
