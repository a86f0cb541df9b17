"""What it saves to serve a policy as an adapter of its base, and what it costs.

    python -m benchmarks.adapter_serving [--size 10] [--rank 16] [--turns 3]

For a random Llama of so many million parameters, a policy trained from it and the adapter between
them, in turns and in seconds of a core: a hand-over from base to policy and back, by whole weights
and by the adapter (`generate.adapters`), each with its checks; and a sampled token of the same
prompts, by a vLLM that is handed merged weights and one that puts the adapter on. A ratio above 1
says that the adapter samples slower.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engines import SHAPES, core_seconds, random_policy
from benchmarks.preflight_size import alike
from data.recipes.recipe import AdapterConfig, RuntimeConfig
from models.adapted import FOLDER, room_for
from models.chat import load_tokenizer, render_prompt
from models.engines.base import Engine, Sampling


def trained(base: Path, out: Path, rank: int) -> Path:
    """The base with a random adapter, as a training leaves it: the adapter and merged weights."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from models.training.adapters import policy_adapter, save_and_merge

    torch.manual_seed(1)
    config = policy_adapter(AdapterConfig(r=rank, alpha=2 * rank))
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype="float32"), config)
    for name, weight in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=0.02)
    save_and_merge(model, out).save_pretrained(out)
    load_tokenizer(base).save_pretrained(out)
    return out


def seconds(work: Callable[[], Any]) -> float:
    """Of a core, by this process and those it has started: other work beside counts little."""
    before = core_seconds()
    work()
    return core_seconds() - before


def measured(base: Path, policy: Path, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Every figure of every turn."""
    from models.engines.vllm import VllmEngine

    tokenizer = load_tokenizer(base)
    questions = [row["prompt"] for row in alike(asked.prompts, 20)]
    prompts = [render_prompt(tokenizer, [{"role": "user", "content": q}]) for q in questions]
    longest = max(map(len, prompts)) + asked.max_tokens
    adapters = (policy / FOLDER,)

    def sampled(engine: Engine) -> float:
        """Milliseconds of a core for a sampled token."""
        settings = Sampling(asked.k, 1.0, 1.0, asked.max_tokens)
        made: list[int] = []

        def work() -> None:
            for outputs in engine.generate(prompts, range(len(prompts)), settings):
                made.extend(output.n_tokens for output in outputs)

        return 1000 * seconds(work) / sum(made)

    found: dict[str, list[float]] = {}
    whole = VllmEngine(base, RuntimeConfig(), longest, 0)
    try:
        adapted = VllmEngine(base, RuntimeConfig(), longest, 0, adapters=room_for(asked.rank))
        try:
            for turn in range(asked.turns + 1):  # the first is to warm up
                took = {
                    "whole weights, to the policy, s": seconds(lambda: whole.load(policy)),
                    "adapter, to the policy, s": seconds(lambda: adapted.adapt(adapters, policy)),
                    "whole weights, a token, ms": sampled(whole),
                    "adapter, a token, ms": sampled(adapted),
                    "whole weights, back, s": seconds(lambda: whole.load(base)),
                    "adapter, back, s": seconds(lambda: adapted.adapt((), base)),
                    "base beside room for one, a token, ms": sampled(adapted),
                }
                for name, value in took.items() if turn else ():
                    found.setdefault(name, []).append(value)
        finally:
            adapted.close()
    finally:
        whole.close()
    pairs = zip(found["adapter, a token, ms"], found["whole weights, a token, ms"], strict=True)
    return found | {"adapter / whole weights, a token": [one / other for one, other in pairs]}


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10, choices=sorted(SHAPES), help="million")
    parser.add_argument("--vocabulary", type=int, default=0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the figures (JSON)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = random_policy(Path(folder) / "base", asked.size, asked.vocabulary)
        figures = measured(base, trained(base, Path(folder) / "policy", asked.rank), asked)
    for name, values in figures.items():
        around = f"{min(values):,.3f} to {max(values):,.3f}"
        sys.stdout.write(f"{name:40}{statistics.median(values):>10,.2f} ({around})\n")
    if asked.out:
        about = {name: value for name, value in vars(asked).items() if name != "out"}
        asked.out.write_text(json.dumps(about | {"figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
