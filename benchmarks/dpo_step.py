"""What a step of DPO costs on this machine, and in which setting it costs least.

    python -m benchmarks.dpo_step MODEL [--pairs N] [--prompt N] [--answer N]

A LoRA step of TRL's trainer on N pairs of random tokens, in the settings below: seconds of the
second step (the first warms up), tokens per second, largest memory of the process. Each in a
process of its own. The loss is the same in all of them, and printed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from data.recipes.recipe import PolicyConfig, RuntimeConfig
from models.chat import load_tokenizer
from models.training.dpo import make_trainer
from models.training.trainers import compact_head

SETTINGS = {  # rows of a part (0: all), logits of completion tokens only
    "TRL's: all positions, the whole batch": (0, False),
    "completion tokens only, the whole batch": (0, True),
    "completion tokens only, two pairs at a time": (2, True),
    "completion tokens only, a pair at a time": (1, True),
}


def measured(asked: argparse.Namespace, part: int, compact: bool) -> dict[str, float]:
    rng, rows = Random(0), []
    for _ in range(2 * asked.pairs):
        chosen, rejected = (rng.randint(asked.answer * 3 // 4, asked.answer) for _ in range(2))
        texts = [
            [rng.randrange(100, 400) for _ in range(n)] for n in (asked.prompt, chosen, rejected)
        ]
        names = ("prompt_ids", "chosen_ids", "rejected_ids")
        logps = {"ref_chosen_logps": -3.0 * chosen, "ref_rejected_logps": -3.0 * rejected}
        rows.append(dict(zip(names, texts, strict=True)) | logps | {"gap": 1.0})
    config = PolicyConfig(model=str(asked.model), batch_size=asked.pairs, learning_rate=1e-4)
    runtime = RuntimeConfig(train_micro_batch=part)
    with tempfile.TemporaryDirectory() as out, compact_head() if compact else nullcontext():
        tokenizer = load_tokenizer(asked.model, False)
        trainer: Any = make_trainer(Path(out), asked.model, tokenizer, rows, config, runtime, 0)
        for step in range(2):
            batch = trainer.data_collator(rows[step * asked.pairs :][: asked.pairs])
            began = perf_counter()
            loss = float(trainer.training_step(trainer.model, batch))
            seconds = perf_counter() - began
    kinds = ("prompt_ids", "prompt_ids", "chosen_ids", "rejected_ids")
    tokens = sum(len(row[kind]) for row in rows[asked.pairs :] for kind in kinds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"loss": loss, "seconds": seconds, "tokens": tokens, "gigabytes": memory}


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dpo_step", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=80, help="tokens")
    parser.add_argument("--answer", type=int, default=96, help="tokens, three quarters at least")
    parser.add_argument("--only", choices=SETTINGS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        json.dump(measured(asked, *SETTINGS[asked.only]), sys.stdout)
        return
    print("| | seconds a step | tokens a second | memory, GB | loss |\n|---|---|---|---|---|")  # noqa: T201
    for name in SETTINGS:
        command = [sys.executable, "-m", "benchmarks.dpo_step", *sys.argv[1:], "--only", name]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(said[said.rindex("{") :])
        speed = found["tokens"] / found["seconds"]
        print(  # noqa: T201
            f"| {name} | {found['seconds']:.1f} | {speed:.0f} | {found['gigabytes']:.1f} "
            f"| {found['loss']:.4f} |"
        )


if __name__ == "__main__":
    main()
