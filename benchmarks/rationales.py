"""The premise of ARTE on real parts: does the rationale that a small model is shown move how many
questions it answers right, beyond chance?

    python -m benchmarks.rationales [--items 40] [--tasks navigate,...] [--out FILE]

SmolLM2-135M-Instruct (`python -m benchmarks.real` puts it into .real) answers questions of three
BBH tasks after one worked example: each of the task's three examples with its rationale in four
styles (BBH's own; one sentence; numbered steps; the answer alone), so twelve drafts. Greedy, with
the same questions after every draft.

For each task it prints the accuracy of every draft, their standard deviation beside the one that
binomial noise would give, and the p-value of a permutation test: were the draft of no importance,
a question's twelve marks could be dealt among the drafts in any order. It stands at chance level
too, so that accuracy is to be read with it. Every answer is written to FILE as it comes: the same
command goes on where it was stopped. Nothing is downloaded.
"""

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.paired import holm
from benchmarks.rationale_rewrites import REWRITES
from data.final_answer import is_right
from data.recipes.recipe import RuntimeConfig

DATA = Path("../shared/realdata/bbh")
MODEL = ".real/smollm2.gguf"
MARKER = "the answer is"
_PERMUTATIONS = 10_000
_AT_ONCE = 40  # answers, of one draft mostly: vLLM reads what they share once
_LONGEST = 1_024  # tokens of a prompt with its answer


class Example(NamedTuple):
    """A worked example of BBH."""

    question: str
    rationale: str
    answer: str


class Draft(NamedTuple):
    """An example with its rationale in a style."""

    name: str  # "2 brief"
    question: str
    said: str


def read_examples(text: str) -> list[Example]:
    """The worked examples of a file of BBH's chain-of-thought prompts."""
    found = []
    for block in text.strip().split("\n\nQ: ")[1:]:
        question, _, said = block.partition("\nA: ")
        said = said.strip()
        answer = said.lower().rpartition(MARKER)[2].strip(" .\n")
        found.append(Example(question.strip(), said, answer))
    return found


def drafts_of(task: str, examples: Sequence[Example]) -> list[Draft]:
    """Every example in every style."""
    found = []
    for number, one in enumerate(examples):
        end = f"So {MARKER} {one.answer}."
        said = {"own": one.rationale, "alone": end}
        for style, texts in REWRITES[task].items():
            said[style] = f"{texts[number]} {end}"
        found += [
            Draft(f"{number + 1} {style}", one.question, text) for style, text in said.items()
        ]
    return found


def read_task(folder: Path, task: str, items: int) -> tuple[list[Draft], list[dict[str, str]]]:
    """Drafts and questions of a task. Exits where the files are not there."""
    texts = []
    for name in (f"{task}.cot.txt.gz", f"{task}.json.gz"):
        if not (folder / name).is_file():
            sys.exit(f"{folder / name}: not there; name the folder of BBH's files by --data")
        texts.append(gzip.decompress((folder / name).read_bytes()).decode())
    examples = read_examples(texts[0])
    known = {one.question for one in examples}
    asked = [one for one in json.loads(texts[1])["examples"] if one["input"] not in known]
    return drafts_of(task, examples), asked[:items]


def spread(marks: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Standard deviation of the drafts' accuracies, and the one of binomial noise alone.

    Args:
        marks: (drafts, items) of 1, right, and 0.
    """
    rates, mean = marks.mean(axis=1), marks.mean()
    return float(rates.std(ddof=1)), float(np.sqrt(mean * (1 - mean) / marks.shape[1]))


def permutation_p(marks: npt.NDArray[np.float64], times: int = _PERMUTATIONS) -> float:
    """How often drafts differ as much where every item's marks are dealt among them at random."""
    rng = np.random.default_rng(0)
    found, more = marks.mean(axis=1).var(), 0
    for _ in range(times):
        dealt = rng.permuted(marks, axis=0).mean(axis=1).var()
        more += dealt >= found - 1e-12
    return float((more + 1) / (times + 1))


class Asked(NamedTuple):
    """A question after a draft."""

    task: str
    draft: str
    item: int
    messages: list[dict[str, str]]
    answer: str

    @property
    def name(self) -> str:
        return f"{self.task}/{self.draft}/{self.item}"


def all_asked(task: str, drafts: Sequence[Draft], items: Sequence[dict[str, str]]) -> list[Asked]:
    found = []
    for draft in drafts:
        shown = [
            {"role": "user", "content": draft.question},
            {"role": "assistant", "content": draft.said},
        ]
        for number, item in enumerate(items):
            talk = [*shown, {"role": "user", "content": item["input"]}]
            found.append(Asked(task, draft.name, number, talk, item["target"]))
    return found


def answered(
    asked: Sequence[Asked], model: str, engine: str, out: Path, tokens: int
) -> dict[str, str]:
    """What the model says, by name; read from `out` as far as it is there, and written there."""
    known: dict[str, str] = {}
    by = [model, engine, tokens]
    if out.exists():
        rows = (json.loads(line) for line in out.read_text().splitlines())
        known = {row["name"]: row["said"] for row in rows if row["by"] == by}
    left = [one for one in asked if one.name not in known]
    if not left:
        return known
    from flows.preflight.folders import model_path
    from models.chat import load_tokenizer, render_prompts
    from models.engines import open_engine
    from models.engines.base import Sampling

    folder = model_path("model", model)
    answering = open_engine(engine, folder, RuntimeConfig(), _LONGEST, seed=0)
    tokenizer = load_tokenizer(folder)
    greedy = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=tokens)
    try:
        for start in range(0, len(left), _AT_ONCE):
            part = left[start : start + _AT_ONCE]
            prompts = render_prompts(tokenizer, [one.messages for one in part])
            found = answering.generate(prompts, [0] * len(part), greedy)
            with out.open("a") as file:
                for one, (output,) in zip(part, found, strict=True):
                    known[one.name] = output.text
                    row = {"name": one.name, "said": output.text, "by": by}
                    file.write(json.dumps(row) + "\n")
    finally:
        answering.close()
    return known


def report(asked: Sequence[Asked], said: dict[str, str]) -> Iterator[str]:
    """A table of each task, and what the drafts do to it."""
    by_task: dict[str, list[Asked]] = {}
    for one in asked:
        by_task.setdefault(one.task, []).append(one)
    matrices = {task: _marks(found, said) for task, found in by_task.items()}
    p = {task: permutation_p(marks) for task, (_, marks) in matrices.items()}
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    for task, (names, marks) in matrices.items():
        unanswered = sum(
            not re.search(MARKER, said[one.name], re.IGNORECASE) for one in by_task[task]
        )
        yield f"{task}: {marks.shape[1]} questions after each of {len(names)} drafts"
        yield "| draft | right |"
        yield "|---|---|"
        for name, rate in zip(names, marks.mean(axis=1), strict=True):
            yield f"| {name} | {100 * rate:.1f} % |"
        found, noise = spread(marks)
        yield (
            f"mean {100 * marks.mean():.1f} %; standard deviation over drafts {100 * found:.1f} "
            f"points, of binomial noise {100 * noise:.1f}; p {p[task]:.4f}, {corrected[task]:.4f} "
            f"with Holm's correction; no answer in {unanswered} of {marks.size}"
        )
        yield ""


def _marks(
    asked: Sequence[Asked], said: dict[str, str]
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names of the drafts, and whether each question was answered right after each."""
    rows: dict[str, list[float]] = {}
    for one in asked:
        right = is_right(said[one.name], MARKER, one.answer)
        rows.setdefault(one.draft, []).append(float(right))
    return list(rows), np.array(list(rows.values()))


def main(given: Sequence[str] | None = None) -> None:
    assert __doc__
    parser: Any = argparse.ArgumentParser(
        prog="python -m benchmarks.rationales",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--items", type=int, default=40, help="questions of each task")
    parser.add_argument("--tasks", default=",".join(REWRITES), help="of these three")
    parser.add_argument("--tokens", type=int, default=96, help="longest answer")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--engine", default="auto", choices=("auto", "vllm", "transformers"))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of BBH's files")
    parser.add_argument("--out", type=Path, default=Path(".real/rationales.jsonl"))
    options = parser.parse_args(given)
    tasks = options.tasks.split(",")
    if unknown := [task for task in tasks if task not in REWRITES]:
        parser.error(f"--tasks: {unknown[0]!r} is none of {', '.join(REWRITES)}")
    asked = [
        one
        for task in tasks
        for one in all_asked(task, *read_task(options.data, task, options.items))
    ]
    said = answered(asked, options.model, options.engine, options.out, options.tokens)
    sys.stdout.writelines(f"{line}\n" for line in report(asked, said))


if __name__ == "__main__":
    main()
