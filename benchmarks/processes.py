"""How much faster several processes train than one, with the same batch.

    python -m benchmarks.processes [MODEL] [--processes 2] [--threads 1] [--pairs N] [--repeats 3]
        [--json FILE]

DPO with LoRA on pairs of random tokens, by one process of `--threads` threads and by several of one
thread each, in turns, each time in a process of its own. Without MODEL a Llama of 25 million random
weights. Printed are seconds and how many times faster several are, with the range over the turns:
of the steps alone, from the first to the last, and of the whole training, starting the processes
and loading included. The weights of both are compared; their largest difference is printed beside
the furthest way that any weight was moved.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from time import perf_counter

from safetensors.torch import load_file

from data.recipes.recipe import LaunchConfig, PolicyConfig, RuntimeConfig
from models.training.dpo import trainer_of
from models.training.launch import trained
from models.training.resume import WEIGHTS, save_weights
from models.training.work import Work


def made(out: Path) -> None:
    """A Llama of random weights, with a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(
        models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="!", pad_token="!")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)


def rows(asked: argparse.Namespace) -> list[dict]:
    rng, made = Random(0), []
    for _ in range(asked.pairs):
        chosen, rejected = (rng.randint(asked.answer * 3 // 4, asked.answer) for _ in range(2))
        lengths = {"prompt_ids": asked.prompt, "chosen_ids": chosen, "rejected_ids": rejected}
        row: dict = {
            name: [rng.randrange(100, 250) for _ in range(n)] for name, n in lengths.items()
        }
        row |= {
            "ref_chosen_logps": -6.0 * chosen,
            "ref_rejected_logps": -6.0 * rejected,
            "gap": 1.0,
        }
        made.append(row)
    return made


def train(asked: argparse.Namespace, processes: int, out: Path) -> dict[str, float]:
    """Seconds of the steps from the first to the last, and of everything."""
    ends: list[float] = []
    config = PolicyConfig(batch_size=asked.batch, epochs=1, max_length=1024, learning_rate=1e-4)
    runtime = RuntimeConfig(device="cpu", train=LaunchConfig(processes=processes))
    given = {"policy": asked.model}
    began = perf_counter()
    job = Work(trainer_of, rows(asked), config, runtime, 0, given, {}, None)
    trainer, _ = trained(job, out, lambda done, planned: ends.append(perf_counter()))
    whole = perf_counter() - began
    save_weights(trainer.model, out)
    return {"steps": ends[-1] - ends[0], "whole": whole}


def in_turn(asked: argparse.Namespace, processes: int, out: Path) -> dict[str, float]:
    threads = str(asked.threads if processes == 1 else 1)
    command = [sys.executable, "-m", "benchmarks.processes", str(asked.model), "--only"]
    command += [str(processes), "--out", str(out)]
    for name in ("pairs", "batch", "prompt", "answer"):
        command += [f"--{name}", str(getattr(asked, name))]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads},
    )
    found: dict[str, float] = json.loads(done.stdout[done.stdout.rindex("{") :])
    return found


def difference(one: dict, other: dict) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def compared(asked: argparse.Namespace, folder: Path) -> dict:
    """Seconds of every turn, ratios, and how far the weights are apart."""
    counts = (1, asked.processes)
    turns: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    for turn in range(asked.repeats):
        for count in counts if turn % 2 == 0 else counts[::-1]:
            out = folder / f"{turn}-{count}"
            out.mkdir()
            turns[count].append(in_turn(asked, count, out))
    weights = [load_file(folder / f"0-{count}" / WEIGHTS) for count in counts]
    start = {name: 0 * value for name, value in weights[0].items() if ".lora_B." in name}
    found: dict = {"processes": asked.processes, "threads_of_one": asked.threads}
    for what in ("steps", "whole"):
        seconds = {count: [turn[what] for turn in turns[count]] for count in counts}
        found[what] = {
            "seconds_one": seconds[1],
            "seconds_several": seconds[asked.processes],
            "ratios": [a / b for a, b in zip(*seconds.values(), strict=True)],
        }
    found["difference"] = difference(*weights)
    found["moved"] = difference(start, weights[0])  # of B, which begins at 0
    return found


def parsed() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of the one process")
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=80, help="tokens")
    parser.add_argument("--answer", type=int, default=96, help="tokens, three quarters at least")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    if asked.only:
        json.dump(train(asked, asked.only, asked.out), sys.stdout)
        return
    with tempfile.TemporaryDirectory() as folder:
        if asked.model is None:
            asked.model = Path(folder) / "model"
            made(asked.model)
        found = compared(asked, Path(folder))
    for what, name in (("steps", "steps alone"), ("whole", "whole training")):
        one, several, ratios = found[what].values()
        sys.stdout.write(
            f"{name}: {statistics.median(one):.1f} s by one, {statistics.median(several):.1f} s by "
            f"{asked.processes}; {statistics.median(ratios):.2f} times as fast "
            f"({min(ratios):.2f}-{max(ratios):.2f})\n"
        )
    sys.stdout.write(
        f"largest difference of a weight {found['difference']:.1e}, moved {found['moved']:.1e}\n"
    )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
