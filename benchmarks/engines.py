"""Which engine samples faster here, vLLM or transformers: what `generate.engine: auto` rests on.

    python -m benchmarks.engines [MODEL ...] [--sizes 1,10,30,110]

For models in folders, and for random ones of so many millions of parameters (a Llama that reads
bytes and hardly ever ends an answer; `--vocabulary` adds words it can say), both engines are
started and sample the same prompts in turn, several times over. Printed are tokens a second, and
how long vLLM takes for a token, in transformers' time for one: the median and range over the turns,
by the clock and in seconds of a core. Below 1 vLLM is faster. Starting an engine counts for itself.
Beside other work the clock tells who gets the cores, and the cores' seconds what each engine needs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from benchmarks.engine_parity import throughput
from benchmarks.preflight_size import alike
from data.recipes.recipe import RuntimeConfig

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as in `flows.server.SETTINGS`

ENGINES = ("vllm", "transformers")
# Width and layers of a Llama of about so many million parameters; the last is SmolLM2-135M, which
# has 28 million more in its 49,152 words and a third as many heads for keys and values.
SHAPES = {1: (128, 5), 3: (192, 7), 10: (320, 8), 30: (512, 10), 110: (768, 16), 106: (576, 30)}
_SAID = ("prompts", "k", "max_tokens", "turns", "vocabulary")
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def random_policy(out: Path, millions: int, vocabulary: int) -> Path:
    """A Llama with random weights and a tokenizer of bytes; its layers have that size."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({sign: n for n, sign in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>", pad_token="<pad>", chat_template=_TEMPLATE
    )
    torch.manual_seed(0)
    width, layers = SHAPES[millions]
    config = LlamaConfig(
        vocab_size=max(vocabulary, len(tokenizer)),
        tie_word_embeddings=True,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=3 if width == 576 else width // 64,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def core_seconds() -> float:
    """That this process and those it has started have used so far."""
    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def measured(model: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of each engine in every turn, and seconds of its start."""
    from models.chat import load_tokenizer, render_prompt
    from models.checkpoints import count_parameters
    from models.engines import open_engine

    tokenizer = load_tokenizer(model)
    questions = [row["prompt"] for row in alike(asked.prompts, 20)]
    prompts = [render_prompt(tokenizer, [{"role": "user", "content": q}]) for q in questions]
    longest = max(map(len, prompts)) + asked.max_tokens
    found: dict[str, Any] = {"parameters": count_parameters(model), "start": {}}
    engines = {}
    try:
        for name in ENGINES:
            began = perf_counter()
            engines[name] = open_engine(name, model, RuntimeConfig(), longest, 0)
            found["start"][name] = perf_counter() - began
            throughput(engines[name], prompts[:4], 4, asked.k)  # what is done once
        speeds: dict[str, list[float]] = {name: [] for name in ENGINES}
        cores: dict[str, list[float]] = {name: [] for name in ENGINES}  # seconds a token
        for _ in range(asked.turns):
            for name in ENGINES:
                before, began = core_seconds(), perf_counter()
                speed = throughput(engines[name], prompts, asked.max_tokens, asked.k)
                tokens = speed * (perf_counter() - began)
                speeds[name].append(speed)
                cores[name].append((core_seconds() - before) / tokens)
    finally:
        for engine in engines.values():
            engine.close()
    return found | {
        "tokens_per_second": speeds,
        "core_seconds_per_token": cores,
        "ratio": _ratios(speeds["transformers"], speeds["vllm"]),
        "core_ratio": _ratios(cores["vllm"], cores["transformers"]),
    }


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]


def line(name: str, found: dict[str, Any]) -> str:
    speeds = found["tokens_per_second"]
    vllm, ours = (statistics.median(speeds[engine]) for engine in ENGINES)
    ratios = "".join(
        f"{statistics.median(one):>8.2f}{min(one):>7.2f}-{max(one):<5.2f}"
        for one in (found["ratio"], found["core_ratio"])
    )
    starts = "".join(f"{found['start'][engine]:>6.0f}" for engine in ENGINES)
    return (
        f"{name:<24}{found['parameters'] / 1e6:>9.1f}{vllm:>11,.0f}{ours:>14,.0f}{ratios}{starts}\n"
    )


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--sizes", default="", help=f"millions, of {', '.join(map(str, SHAPES))}")
    parser.add_argument("--vocabulary", type=int, default=0, help="of the random ones")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the figures (JSON)")
    asked = parser.parse_args()
    sizes = [int(part) for part in asked.sizes.split(",") if part]
    figures: dict[str, Any] = {}
    sys.stdout.write(
        f"{'model':<24}{'million':>9}{'vllm, t/s':>11}{'transformers':>14}{'  by clock, range':<21}"
        f"{'  by core, range':<20}{'starts, s':>12}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        random = {
            f"random {one}": random_policy(Path(folder) / str(one), one, asked.vocabulary)
            for one in sizes
        }
        for name, model in ({str(model): model for model in asked.models} | random).items():
            figures[name] = measured(model, asked)
            sys.stdout.write(line(name[-23:], figures[name]))
            sys.stdout.flush()
    if asked.out:
        about = {key: getattr(asked, key) for key in _SAID}
        asked.out.write_text(json.dumps(about | {"models": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
