"""How much faster the student of a run of LEAF encodes than its teacher, on this machine.

    python -m benchmarks.leaf_speed runs/leaf --texts .real/leaf

Documents a second in batches as a run encodes them, and milliseconds for a query alone, medians of
`--repeats` in turn for both, so that what else the machine does falls on both alike. Seconds of the
processor are told beside those of the clock.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from data.recipes.recipe import RuntimeConfig
from data.summary import read_summary
from models.encoders.loading import encode, load_encoder


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def texts_of(path: Path, number: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for _, line in zip(range(number), file, strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--texts", type=Path, default=Path(".real/leaf"))
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    config = read_summary(given.run / "summary.json").config
    runtime = RuntimeConfig.model_validate(config["runtime"])
    folders = {"teacher": Path(config["teacher"]["model"]), "student": given.run / "encoder"}
    models = {name: load_encoder(folder, runtime) for name, folder in folders.items()}
    documents = texts_of(given.texts / "documents.jsonl", given.documents)
    queries = texts_of(given.texts / "queries.jsonl", given.queries)
    spent: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in models}
    for number in range(given.repeats + 1):  # the first is not counted
        for name, model in models.items():
            whole = timed(lambda model=model: encode(model, documents, "", runtime))
            alone = timed(lambda model=model: [encode(model, [q], "", runtime) for q in queries])
            if number:
                spent[name].append((*whole, *alone))
    print("| | documents a second | of the processor | ms a query | of the processor |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    medians = {}
    for name, rows in spent.items():
        a, b, c, d = (statistics.median(column) for column in zip(*rows, strict=True))
        medians[name] = len(documents) / a, len(documents) / b, c, d
        ms = [1_000 * one / len(queries) for one in (c, d)]
        cells = [f"{len(documents) / one:.1f}" for one in (a, b)] + [f"{one:.1f}" for one in ms]
        print(f"| {name} | {' | '.join(cells)} |")  # noqa: T201
    own, its = medians["student"], medians["teacher"]
    shares = (own[0] / its[0], own[1] / its[1], its[2] / own[2], its[3] / own[3])
    print(f"| times faster | {' | '.join(f'{one:.2f}' for one in shares)} |")  # noqa: T201


if __name__ == "__main__":
    main()
