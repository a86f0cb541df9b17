"""What has become of a policy's answers? Base and policy of a run, side by side.

    python -m benchmarks.answers runs/smollm2 [--store FOLDER] [--prompts N] [--shown N]

For the last round that was evaluated, on its held-out prompts with the same decoding, prints a
Markdown table: tokens of an answer, the share cut off at the limit, distinct-2, the share of
four-word sequences that have come before in their answer, and the perplexity under the base, per
token, which rises where a policy writes what the base never would and falls where it repeats
itself. Then answers of both to `--shown` prompts, drawn by a seed.
"""

import argparse
import sys
from pathlib import Path
from random import Random
from typing import Any

from data.errors import InputError
from data.places import store_url, using
from data.reward_functions.instructions import MOST_TAKEN, penalty
from data.store.artifacts import Artifact
from data.store.store import Store
from data.summary import StageRecord, Summary, read_summary
from data.tables import as_sampled
from flows.outside import outside_of
from flows.recipe_files import recorded_recipe
from models.drift import distinct_2, perplexity
from models.logps import sequence_logps

LONG = 40  # words: a shorter answer loses by being short


def last(summary: Summary, title: str) -> StageRecord:
    """The last call whose title ends so. Exits where there is none."""
    found = [record for record in summary.stages() if record.stage.endswith(title)]
    if not found:
        sys.exit(f"{summary.run}: no stage '{title}' in its summary")
    return found[-1]


def table_of(store: Store, record: StageRecord) -> Any:
    return store.table(Artifact(kind=record.kind, key=record.key, digest=record.artifact))


def repeated(texts: list[str]) -> float:
    """Mean share of four-word sequences that are there already, of answers that are not short."""
    shares = [penalty(text) / MOST_TAKEN for text in texts if len(text.split()) >= LONG]
    return sum(shares) / len(shares) if shares else 0.0


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RUN", help="such as runs/smollm2")
    parser.add_argument("--store", default=store_url())
    parser.add_argument("--prompts", type=int, default=200, help="that perplexity is taken on")
    parser.add_argument("--shown", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the prompts that are drawn")
    asked = parser.parse_args()
    if min(asked.prompts, asked.shown) < 1:
        parser.error("--prompts and --shown: name 1 or more")
    try:
        summary, store = read_summary(asked.folder / "summary.json"), Store(asked.store)
    except InputError as error:
        parser.error(str(error))
    recipe = recorded_recipe(summary)
    with using(asked.store):
        base = Path(outside_of(recipe)["policy.model"].path)
    prompts = {
        row["prompt_id"]: row
        for row in table_of(store, last(summary, "read prompts.test_path")).to_pylist()
    }
    written = {
        who: table_of(store, last(summary, f"{title} answers test prompts"))
        for who, title in (("base", "base"), ("policy", f"round {summary.rounds[-1].round}"))
    }
    lines = [
        "| | tokens | cut off | distinct-2 | repeated | perplexity under the base |",
        "|---|---|---|---|---|---|",
    ]
    ids = written["base"]["prompt_id"].to_pylist()
    drawn = sorted(Random(asked.seed).sample(range(len(ids)), min(asked.prompts, len(ids))))
    for who, table in written.items():
        texts = table["completion"].to_pylist()
        sampled = list(as_sampled(table, "completion", "token_ids"))
        owners = table["prompt_id"].to_pylist()
        items = [(prompts[owners[i]]["messages"], sampled[i]) for i in drawn]
        logps, counts = sequence_logps(base, items, runtime=recipe.runtime)
        cut = table["finish_reason"].to_pylist().count("length") / len(texts)
        tokens = sum(table["n_tokens"].to_pylist()) / len(texts)
        lines.append(
            f"| {who} | {tokens:.1f} | {cut:.1%} | {distinct_2(texts):.3f} | {repeated(texts):.1%} "
            f"| {perplexity(logps, counts):.1f} |"
        )
    answers = {
        who: dict(zip(t["prompt_id"].to_pylist(), t["completion"].to_pylist(), strict=True))
        for who, t in written.items()
    }
    for number in Random(asked.seed + 1).sample(drawn, min(asked.shown, len(drawn))):
        question = prompts[ids[number]]["messages"][-1]["content"]
        lines += ["", f"**{' / '.join(question.split(chr(10)))}**"]
        for who in answers:
            lines += [
                "",
                f"*{who}*",
                "",
                *(f"> {line}" for line in answers[who][ids[number]].split("\n")),
            ]
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
