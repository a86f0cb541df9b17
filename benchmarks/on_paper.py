"""A round of TS-Align on GPUs, on paper: the example of docs/cost.md.

    python -m benchmarks.on_paper [--device 8xh100] [--prompts 50000] [--k 16] [--answer 300]

A policy of 7 billion parameters, a teacher of 13, a student of 355 million; nothing is measured and
nothing is loaded. Work is divided as a run with workers of Ray divides it (docs/scale.md):
sampling, scores, labels and reference log-probabilities among all GPUs of all nodes, trainings
among those of one. `models.gpus` has the arithmetic.
"""

import argparse
import sys
from typing import NamedTuple

from data.durations import duration
from models.gpus import (
    ENGINE_SECONDS,
    READ_BYTES,
    Gpus,
    Sizes,
    named_gpus,
    reading,
    sampling,
    training,
)

# Shapes of Mistral 7B, Llama 2 13B and RoBERTa large, by their config.json.
POLICY = Sizes(7_240_000_000, layers=32, hidden=4096, cached=2 * 8 * 128)
TEACHER = Sizes(13_020_000_000, layers=40, hidden=5120, cached=2 * 40 * 128)
STUDENT = Sizes(355_000_000, layers=24, hidden=1024, cached=2 * 1024)
PAIRS = 1.0  # of a prompt that are learned from
TOKEN_BYTES = 10  # of a sampled token in the store: its id and its text


class Work(NamedTuple):
    """A round's numbers."""

    prompts: int
    k: int
    prompt: int  # tokens
    answer: int  # tokens
    student_epochs: int = 2
    method: str = "full"

    @property
    def length(self) -> int:
        return self.prompt + self.answer


class Row(NamedTuple):
    stage: str
    calls: int
    tokens: float
    seconds: float
    memory: float  # bytes on the fullest GPU
    shared: bool  # among nodes


def rows(work: Work, gpus: Gpus, nodes: int = 1) -> list[Row]:
    """The stages of a round on so many nodes of these GPUs."""
    n, length, pairs = work.prompts, work.length, round(PAIRS * work.prompts)
    # Shards go to whichever worker is free, so that nodes lose nothing more than GPUs of one do.
    here, share = gpus, 1 / nodes
    found = sampling(here, POLICY, n, work.k, work.prompt, work.answer)
    table = [Row("generate", n * work.k, n * work.k * work.answer,
                 found.seconds * share + ENGINE_SECONDS, found.memory, True)]  # fmt: skip
    reads = (
        ("student scores all", STUDENT, n * work.k),
        ("teacher scores best and worst", TEACHER, 2 * n),
        ("reference log-probabilities", POLICY, 2 * pairs),
    )
    for stage, model, texts in reads:
        found = reading(here, model, texts * length)
        seconds = found.seconds * share + model.bytes / READ_BYTES
        table.append(Row(stage, texts, texts * length, seconds, found.memory, True))
    learned = (
        ("student is trained", STUDENT, work.student_epochs, "full"),
        ("policy is trained (DPO)", POLICY, 1, work.method),
    )
    for stage, model, epochs, method in learned:
        tokens = 2 * pairs * epochs * length
        found = training(gpus, model, tokens, method)
        seconds = found.seconds + 2 * model.bytes / READ_BYTES
        table.append(Row(stage, pairs, tokens, seconds, found.memory, False))
    return table


def seconds(work: Work, gpus: Gpus, nodes: int) -> float:
    return sum(row.seconds for row in rows(work, gpus, nodes))


def say(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="8xh100")
    parser.add_argument("--prompts", type=int, default=50_000)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=200, help="tokens of a prompt")
    parser.add_argument("--answer", type=int, default=300, help="tokens of an answer")
    parser.add_argument("--method", default="full", choices=["full", "lora"])
    given = parser.parse_args()
    gpus = named_gpus(given.device)
    work = Work(given.prompts, given.k, given.prompt, given.answer, method=given.method)
    say("stage", "calls", "tokens", "time", "memory of a GPU")
    for row in rows(work, gpus):
        cells = (f"{row.calls:,}", f"{row.tokens / 1e6:,.0f} million", duration(row.seconds))
        say(row.stage, *cells, f"{row.memory / 1e9:.0f} GB")
    say("in all", "", "", duration(seconds(work, gpus, 1)), "")
    everything = reading(gpus, TEACHER, work.prompts * work.k * work.length)
    disk = (work.prompts * work.k * work.answer * TOKEN_BYTES + POLICY.bytes + STUDENT.bytes) / 1e9
    sys.stdout.write(
        f"\nTeacher on all answers, as without a student: {duration(everything.seconds)}. "
        f"Disk: {disk:.0f} GB.\n\n"
    )
    say("prompts", "one node", "two nodes", "four nodes", "faster with two", "GPU hours, 1 and 2")
    for prompts in (1_000, 2_000, 5_000, 10_000, 50_000, 200_000):
        took = {n: seconds(work._replace(prompts=prompts), gpus, n) for n in (1, 2, 4)}
        hours = (f"{n * gpus.number * took[n] / 3600:.1f}" for n in (1, 2))
        say(f"{prompts:,}", *map(duration, took.values()), f"{took[1] / took[2]:.2f}",
            " and ".join(hours))  # fmt: skip


if __name__ == "__main__":
    main()
