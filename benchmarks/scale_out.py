"""Two workers of Ray against one, and one against none: generation and scoring of the same prompts.

    python -m benchmarks.scale_out [--policy FOLDER --scorer FOLDER] [--prompts 64] [--repeats 3]

Each arm has a process with a store and, where it has workers, a cluster of its own, and every
worker has one core. A turn before the first repeat is not counted: it starts and loads. Then the
arms take turns, in every repeat with its seed, so that all compute the same and nothing is found.
Printed are seconds of the clock and the ratios within each repeat: on a machine that has other work
they say nothing. Without folders the models have random weights: a policy and a reward model of
SmolLM2-135M's shape (106 million weights each, as the vocabulary is one of bytes), or with --tiny
of some 90,000.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.recipes.execution import ExecutionConfig
from data.recipes.recipe import DecodingConfig, RuntimeConfig
from data.schemas import PROMPTS
from data.store.artifacts import TABLE, Artifact
from data.store.digests import tree_digest
from data.store.store import Store
from data.tables import write_table
from models import host
from models.isolation import Child
from tasks.generate import generate
from tasks.running import machine
from tasks.running.books import Books
from tasks.running.loaded import LoadedModels
from tasks.running.outside import External
from tasks.running.progress import Progress
from tasks.running.worker import Worker, computes
from tasks.running.workers import Setup, Workers
from tasks.score import score
from tasks.stage import Context, Run

ARMS = {"no worker": 0, "one worker": 1, "two workers": 2}
MAX_LENGTH = 512
CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Load(NamedTuple):
    policy: str
    scorer: str
    prompts: int
    k: int
    tokens: int
    shard: int
    engine: str


class Arm:
    """A run without Prefect, with so many workers."""

    def __init__(self, workers: int, folder: str, load: Load) -> None:
        runtime = RuntimeConfig(device="cpu", shard_prompts=load.shard, token_budget=2048)
        loaded = LoadedModels(load.engine, runtime, MAX_LENGTH)
        context = Context(Store(folder), runtime, loaded, date="2026-01-01")
        self.engine = machine.engine_identity(load.engine, context.numerics, context.runtime)
        self.run = Run(context, Progress(quiet=True), self.engine, books=Books(kept=False))
        if workers:
            setup = Setup(folder, runtime, MAX_LENGTH, 0, context.date)
            execution = ExecutionConfig(kind="ray", workers=workers)
            self.run.workers = Workers(execution, setup, Worker, computes(context))
        self.load = load
        self.models = [External(path=p, digest=tree_digest(Path(p))) for p in load[:2]]

    def turn(self, seed: int, prompts: int) -> tuple[float, float, str]:
        """Seconds of generation and of scoring, and the digest of the scores."""
        policy, scorer = self.models
        load, began = self.load, time.perf_counter()
        with self.run.active():
            asked = made(self.run.context.store, prompts)
            answers = generate(
                policy=policy,
                prompts=asked,
                k=load.k,
                decoding=DecodingConfig(max_tokens=load.tokens),
                engine=self.engine,
                stream="a",
                seed=seed,
            )
            between = time.perf_counter()
            scores = score(model=scorer, prompts=asked, completions=answers, max_length=MAX_LENGTH)
        end = time.perf_counter()
        return between - began, end - between, scores.digest

    def close(self) -> None:
        self.run.close()


def made(store: Store, number: int) -> Artifact:
    """Prompts of some 60 characters."""
    texts = [f"What are {i} and {i * i % 97}, and which is the larger one?" for i in range(number)]
    rows = [
        {"prompt_id": f"p{i}", "messages": [{"role": "user", "content": text}], "dataset": "sums"}
        for i, text in enumerate(texts)
    ]

    def body(out: Path) -> dict[str, Any]:
        write_table(out / TABLE, pa.Table.from_pylist(rows, PROMPTS), PROMPTS)
        return {}

    return store.put("prompts", {"made": number}, body)


def random_models(folder: Path, tiny: bool) -> tuple[str, str]:
    """Folders of a policy and a reward model with random weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        ["which of them is the larger one"],
        trainers.BpeTrainer(
            vocab_size=280, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<pad>", chat_template=CHATML
    )
    shape = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                 num_attention_heads=9, num_key_value_heads=3)  # fmt: skip
    if tiny:
        shape = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                     num_attention_heads=2, num_key_value_heads=1)  # fmt: skip
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=3,
        pad_token_id=0,
        **shape,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder / "policy")
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(folder / "scorer")
    for name in ("policy", "scorer"):
        tokenizer.save_pretrained(folder / name)
    return str(folder / "policy"), str(folder / "scorer")


def measure(load: Load, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each arm of each repeat, the arms in turn."""
    environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    arms = {
        name: Child(Arm, workers, str(folder / str(workers)), load, environment=environment)
        for name, workers in ARMS.items()
    }
    rows = []
    try:
        for name, arm in arms.items():
            began = time.perf_counter()
            arm.call("turn", 0, load.prompts)
            sys.stdout.write(f"{name:12} ready in {time.perf_counter() - began:.1f} s\n")
        for repeat in range(1, repeats + 1):
            for name, arm in arms.items():
                sampled, scored, digest = arm.call("turn", repeat, load.prompts)
                row = {"arm": name, "repeat": repeat, "generate": sampled, "score": scored}
                rows.append(row | {"digest": digest})
                sys.stdout.write(f"{name:12} generate {sampled:6.2f} s  score {scored:6.2f} s\n")
            assert len({row["digest"] for row in rows[-len(arms) :]}) == 1, "results differ"
    finally:
        for arm in arms.values():
            if arm.alive:
                arm.call("close")
            arm.close()
    return rows


def ratios(rows: list[dict[str, Any]], slow: str, fast: str) -> list[float]:
    """Seconds of one arm over those of another, repeat by repeat."""
    spent = {(row["arm"], row["repeat"]): row["generate"] + row["score"] for row in rows}
    repeats = sorted({row["repeat"] for row in rows})
    return [spent[slow, repeat] / spent[fast, repeat] for repeat in repeats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--policy", help="folder of a causal language model")
    parser.add_argument("--scorer", help="folder of a reward model")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64, help="of an answer, at most")
    parser.add_argument("--shard", type=int, default=8, help="prompts of a shard")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine", choices=["transformers", "vllm"], default="transformers")
    parser.add_argument("--out", type=Path, help="JSON of all figures")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = given.policy and given.scorer
        models = (given.policy, given.scorer) if own else random_models(folder, given.tiny)
        load = Load(*models, given.prompts, given.k, given.tokens, given.shard, given.engine)
        rows = measure(load, given.repeats, folder)
    found = {}
    for slow, fast in (("one worker", "two workers"), ("one worker", "no worker")):
        values = ratios(rows, slow, fast)
        found[f"{slow} / {fast}"] = values
        middle = statistics.median(values)
        sys.stdout.write(
            f"{slow} / {fast}: {middle:.2f} ({min(values):.2f} to {max(values):.2f})\n"
        )
    if given.out:
        about = {"load": load._asdict(), "machine": host.describe(RuntimeConfig(device="cpu"))}
        given.out.write_text(json.dumps(about | {"ratios": found, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
