"""Do the engines agree on a run's own models, and which is faster?

    python -m benchmarks.engine_parity runs/embedded

Prints, for a run of the embedded world: on its policy and test prompts, the share of identical
greedy completions of vLLM and transformers and the largest difference of a token's log-probability;
on its teacher, the largest difference of a reward between vLLM's pooling runner and transformers;
and tokens per second side by side.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from data.recipes.recipe import RuntimeConfig
from data.store.artifacts import Artifact
from data.store.store import Store
from models.engines.base import Engine, Sampling

os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def parity(
    left: Engine, right: Engine, prompts: Sequence[Sequence[int]], max_tokens: int = 24
) -> tuple[float, float]:
    """(share of identical greedy completions, largest difference of log-probabilities in nats).

    Log-probabilities are compared on the completions of `left`, token by token.
    """
    greedy = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=max_tokens)
    seeds = [0] * len(prompts)
    ours, theirs = left.generate(prompts, seeds, greedy), right.generate(prompts, seeds, greedy)
    completions = [outputs[0].token_ids for outputs in ours]
    pairs = zip(
        left.logprobs(prompts, completions), right.logprobs(prompts, completions), strict=True
    )
    worst = max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)
    return float(np.mean([a == b for a, b in zip(ours, theirs, strict=True)])), worst


def throughput(engine: Engine, prompts: Sequence[Sequence[int]], max_tokens: int, k: int) -> float:
    """Sampled tokens per second, eight completions a prompt by default."""
    started = perf_counter()
    answers = engine.generate(prompts, list(range(len(prompts))), Sampling(k, 1.0, 1.0, max_tokens))
    tokens = sum(output.n_tokens for outputs in answers for output in outputs)
    return tokens / (perf_counter() - started)


def made_by(folder: Path, stage: str) -> Artifact:
    """The artifact that a stage of the run's bootstrap made."""
    summary = json.loads((folder / "summary.json").read_text())
    record = next(s for s in summary["bootstrap"] if s["stage"] == stage)
    return Artifact(kind=record["kind"], key=record["key"], digest=record["artifact"])


def main() -> None:
    from models.chat import load_tokenizer, render_prompt
    from models.engines import open_engine
    from models.rewards import load_scorer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", default=os.environ.get("TSALIGN_STORE", ".tsalign/store"))
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=40)
    parser.add_argument("--max-length", type=int, default=128)
    args = parser.parse_args()
    runtime = RuntimeConfig()
    store = Store(args.store)
    messages = store.table(made_by(args.run, "test prompts"))["messages"].to_pylist()
    messages = messages[: args.prompts]
    teacher = store.path(made_by(args.run, "teacher"))
    tokenizer = load_tokenizer(args.run / "policy")
    prompts = [render_prompt(tokenizer, conversation) for conversation in messages]
    engines = [
        open_engine(name, args.run / "policy", runtime, args.max_length, 0)
        for name in ("vllm", "transformers")
    ]
    same, worst = parity(engines[0], engines[1], prompts, args.max_tokens)
    speeds = np.array(
        [[throughput(e, prompts, args.max_tokens, 8) for e in engines] for _ in range(3)]
    )
    answers = engines[1].generate(
        prompts, [0] * len(prompts), Sampling(1, 1.0, 1.0, args.max_tokens)
    )
    for engine in engines:
        engine.close()
    items = [(m, outputs[0].text) for m, outputs in zip(messages, answers, strict=True)]
    rewards = []
    for backend in ("vllm", "transformers"):
        scorer = load_scorer(teacher, runtime, args.max_length, backend)  # type: ignore[arg-type]
        rewards.append(scorer.score(items))
        scorer.close()
    ratio = np.median(speeds[:, 0] / speeds[:, 1])
    sys.stdout.write(
        f"{len(prompts)} prompts\n"
        f"identical greedy completions  {same:.1%}\n"
        f"largest log-prob difference   {worst:.1e} nats\n"
        f"largest reward difference     {np.abs(rewards[0] - rewards[1]).max():.1e}\n"
        f"tokens/s, median of 3         vllm {np.median(speeds[:, 0]):.0f}, "
        f"transformers {np.median(speeds[:, 1]):.0f}, ratio {ratio:.2f}\n"
    )


if __name__ == "__main__":
    main()
