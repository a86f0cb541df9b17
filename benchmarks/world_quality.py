"""How good are the embedded world's models, by the oracle, on its dev prompts?

    python -m benchmarks.world_quality runs/embedded

Prints the mean score and the share of perfect answers of base, trunk and aligned policy; what a
policy that is always right would win; how often teacher and student order two of the base's answers
as the oracle does; and the aligned policy's win rate over the base at several temperatures. The dev
prompts are not those the run's own win rate comes from.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from data.recipes.recipe import RuntimeConfig
from data.statistics import outcome, win_rate
from data.store.artifacts import Artifact
from data.store.store import Store
from data.world.oracle import score
from models.chat import load_tokenizer, render_prompt
from models.engines import open_engine
from models.engines.base import Sampling
from models.rewards import load_scorer

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

MAX_LENGTH = 128
RUNTIME = RuntimeConfig()


class Models:
    """Models and dev prompts of a finished run."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._summary = json.loads((folder / "summary.json").read_text())
        self._store, self._folder = store, folder
        prompts = store.table(self._artifact("dev prompts"))
        self.messages = prompts["messages"].to_pylist()
        self.datasets = prompts["dataset"].to_pylist()

    def _artifact(self, stage: str) -> Artifact:
        record = next(r for r in self._summary["bootstrap"] if r["stage"] == stage)
        return Artifact(kind=record["kind"], key=record["key"], digest=record["artifact"])

    def path(self, name: str) -> Path:
        """Folder of "trunk", "base policy", "teacher", "student" or "aligned"."""
        if name == "aligned":
            return self._folder / "policy"
        return self._store.path(self._artifact(name))

    def answers(self, name: str, temperature: float, k: int) -> list[list[str]]:
        """`k` answers to every dev prompt."""
        tokenizer = load_tokenizer(self.path(name))
        prompts = [render_prompt(tokenizer, messages) for messages in self.messages]
        engine = open_engine("transformers", self.path(name), RUNTIME, MAX_LENGTH, 0)
        seeds = list(range(len(prompts)))
        outputs = engine.generate(prompts, seeds, Sampling(k, temperature, 1.0, 40))
        engine.close()
        return [[output.text for output in samples] for samples in outputs]

    def oracle(self, answers: list[list[str]]) -> np.ndarray:
        """Scores, shape (prompts, k)."""
        pairs = zip(self.messages, answers, strict=True)
        return np.array([[score(messages, text) for text in texts] for messages, texts in pairs])

    def order_accuracy(self, name: str, answers: list[list[str]]) -> float:
        """Share of pairs of one prompt's answers that a reward model orders as the oracle does."""
        truth = self.oracle(answers)
        scorer = load_scorer(self.path(name), RUNTIME, MAX_LENGTH)
        items = [(m, t) for m, texts in zip(self.messages, answers, strict=True) for t in texts]
        rewards = scorer.score(items).reshape(truth.shape)
        scorer.close()
        right = [
            (rewards[i, a] > rewards[i, b]) == (truth[i, a] > truth[i, b])
            for i in range(len(truth))
            for a, b in combinations(range(truth.shape[1]), 2)
            if truth[i, a] != truth[i, b]
        ]
        return float(np.mean(right))


def lines(models: Models, k: int) -> Iterator[str]:
    base = models.answers("base policy", 1.0, k)
    scores = models.oracle(base)
    yield f"{len(models.messages)} dev prompts, {k} answers each, temperature 1"
    for name in ("base policy", "trunk", "aligned"):
        values = scores if name == "base policy" else models.oracle(models.answers(name, 1.0, k))
        yield f"{name}: mean score {values.mean():.3f}, perfect {(values == 1).mean():.3f}"
    yield f"an always-right policy would win {1 - (scores == 1).mean() / 2:.3f} of the base's"
    for name in ("teacher", "student"):
        yield f"{name}: orders base answers as the oracle {models.order_accuracy(name, base):.3f}"
    for temperature in (1.0, 0.7, 0.0):
        values = {
            name: models.oracle(models.answers(name, temperature, k)).ravel()
            for name in ("base policy", "aligned")
        }
        pairs = zip(values["base policy"], values["aligned"], strict=True)
        datasets = [name for name in models.datasets for _ in range(k)]
        result = win_rate([outcome(a, b) for a, b in pairs], datasets)
        low, high = result["ci95"]  # type: ignore[misc]
        yield (
            f"temperature {temperature}: base {values['base policy'].mean():.3f}, "
            f"aligned {values['aligned'].mean():.3f}, "
            f"win rate {result['win_rate']:.3f} [{low:.3f}, {high:.3f}]"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", default=os.environ.get("TSALIGN_STORE", ".tsalign/store"))
    parser.add_argument("--samples", type=int, default=4)
    args = parser.parse_args()
    for line in lines(Models(args.run, Store(args.store)), args.samples):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
