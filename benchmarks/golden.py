"""Five small runs, written down, so that two versions of the code can be compared.

    python -m benchmarks.golden FOLDER                    # run, and write FOLDER/NAME.json
    python -m benchmarks.golden FOLDER --against OTHER    # and say what differs from OTHER's
    python -m benchmarks.golden FOLDER --against OTHER --no-run          # compare only
    python -m benchmarks.golden FOLDER --code TREE        # run the code of another working tree

The runs: ts-align in the embedded world, OPTune and LoRA on a policy and prompts of the user's own,
TSO's matrix of samplers, logged completions, a matrix of recorded answers. All inputs are made
here, always the same. A run is written as its stage calls in order (title, kind, key, digest of the
content, counts), its summary and what its report and `tsalign status` say, without times, dates,
versions and places. What differs is told in three groups: contents (exit status 1), keys, words.

Digests hold for one machine, so both sides must come from the same one. Nothing of the code that is
compared is imported: it is reached by its command line, by summary.json and by the folders of the
store, so that this file serves versions whose modules have other names. Where a version spells a
recipe otherwise, `RECIPES` has a further spelling; the first that is not refused is run.

FOLDER/work keeps the store and the runs of the last time, for a look at tables that differ.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from benchmarks.golden_compare import compare

ROOT = Path(__file__).parents[1]
WORLD = """
world: {lessons: 200, policy_examples: 200, teacher_pairs: 200, student_pairs: 60, prompts: 100,
        dev_prompts: 14, test_prompts: 21}
generate: {engine: transformers, k: 4, max_tokens: 12}
evaluate: {judge: oracle}
gate: {min_win_rate: 0.0}
runtime: {device: cpu, dtype: float32, shard_prompts: 7}
"""
# By name of the run, in this order: later ones use models that the first makes. For each the
# spellings of its recipe, of which the first that a version accepts is run.
RECIPES: dict[str, tuple[str, ...]] = {
    "align": (
        f"""
run: align
rounds: 2
{WORLD}
prompts: {{per_round: 14, max_tokens: 64}}
mine: {{drop_truncated: false}}
student: {{epochs: 1, batch_size: 8, max_length: 96}}
policy: {{method: full, learning_rate: 1.0e-4, epochs: 1, batch_size: 8, replay: all,
         max_length: 96}}
""",
    ),
    "optune": (
        """
recipe: optune
run: optune
rounds: 3
labels: teacher
student: {model: none}
teacher: {model: runs/align/student}
prompts: {path: prompts.jsonl, per_round: 10, dev_size: 6, test_size: 12, max_tokens: 64,
          refresh: {share: 0.5, by: reward, baseline: initial}}
generate: {engine: transformers, k: 3, max_tokens: 12}
mine: {drop_truncated: false}
policy: {model: runs/align/policy, method: lora, learning_rate: 1.0e-3, batch_size: 8,
         reference: initial, sft_weight: 0.5, max_length: 96,
         adapter: {r: 4, alpha: 8}, pair_weight: {form: sigmoid, beta_2: 1.0, normalize: true}}
gate: {min_win_rate: 0.0}
runtime: {device: cpu, dtype: float32, shard_prompts: 5}
""",
    ),
    "tso": (
        f"""
recipe: tso
run: tso
rounds: 2
{WORLD.replace("judge: oracle", "judge: oracle, every: 2")}
prompts: {{per_round: 14, max_tokens: 64}}
labels: matrix
student: {{model: none}}
teacher: {{min_margin: 0.01}}
mine: {{drop_truncated: false}}
matrix:
  cells:
    - {{name: newest, model: policy, scale: 0.86}}
    - {{name: older, model: policy, scale: 0.86, version: -1}}
    - {{name: smaller, model: world-small, scale: 0.14}}
    - {{name: people, model: world, human: true}}
  per_prompt: 2
  correction: {{judge: teacher, on_reversed: swap, on_unsure: drop}}
policy: {{method: full, learning_rate: 1.0e-4, batch_size: 8, losses: {{dual_clip: 1.0}},
         reference: previous, max_length: 96}}
""",
    ),
    "logged": (
        """
run: logged
rounds: 1
logged: {completions: answers.jsonl, held_out: 0.4}
student: {model: fresh, learning_rate: 1.0e-3, epochs: 2, batch_size: 8, max_length: 64}
runtime: {device: cpu, dtype: float32}
""",
    ),
    "recorded": (
        """
recipe: tso
run: recorded
rounds: 1
labels: matrix
policy: {model: none}
teacher: {model: runs/align/student, min_margin: 0.001}
matrix:
  correction: {judge: teacher}
  cells:
    - {name: first, family: f, version: 1, scale: 7, path: first.json}
    - {name: second, family: f, version: 2, scale: 7, path: second.json}
    - {name: little, family: f, version: 2, scale: 1, path: little.json}
runtime: {device: cpu, dtype: float32}
""",
    ),
}
REFUSED = 2  # exit status of a recipe that is not accepted
# Of a summary: what varies with time, place and version, and stages, which are told by themselves.
VARYING = {
    *("bootstrap", "stages", "seconds", "computed_seconds", "versions", "machine", "date"),
    *("finished", "report", "config_digest", "run_digest", "checksum"),
}
CALL = {"stage", "kind", "key", "artifact"}  # what a stage call in a summary has
MASKS = [
    (r"sha256:[0-9a-f]{64}", "DIGEST"),
    (r"\b[0-9a-f]{12}\b", "DIGEST"),
    (r"\d{4}-\d\d-\d\d( \d\d:\d\d)?( UTC)?", "DATE"),
    (r"\b\d[\d,.]*\s(?:ms|s|min|h)\b(?:\s\d+\s(?:s|min)\b)?", "TIME"),
    (r"\btsalign \d[\w.+]*", "tsalign VERSION"),
]


# ---------------------------------------------------------------------------- the runs


def write_inputs(folder: Path) -> None:
    """The files that the recipes name."""
    prompts = [
        {"prompt": f"Compute {i} + {i * 7 % 11}.", "dataset": ("sums", "more")[i % 2]}
        for i in range(60)
    ]
    prompts += prompts[:2]  # repeated, to be dropped and counted
    words = ("apple", "stone", "river", "cloud", "lamp")
    answers = [
        {
            "prompt": f"Name number {p} and a {words[p % 5]}?",
            "completion": " ".join([words[(p + s) % 5]] * s + ["no"] * (4 - s)) + ".",
            "sample": s,
            "reward": (s + p % 3) % 4 / 4,
        }
        for p in range(20)
        for s in range(4)
    ]
    for name, rows in (("prompts", prompts), ("answers", answers)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for place, name in enumerate(("first", "second", "little")):
        rows = [
            {
                "instruction": f"Why {p} and {words[p % 5]}?",
                "output": f"Because {words[(p * (place + 2) + place) % 5]} says {p + place}.",
                "generator": name,
            }
            for p in range(8)[name == "first" :]  # which has left a prompt out
        ]
        (folder / f"{name}.json").write_text(json.dumps(rows))


def command(work: Path, code: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tsalign` of the working tree `code`, on one thread and with a Prefect of its own."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "TSALIGN_", "OPENAI_"))
    }
    environment |= {
        "PYTHONPATH": str(code),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "COLUMNS": "120",
        "PREFECT_HOME": str(work / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )


def align(work: Path, code: Path, name: str) -> None:
    """Run the first spelling of a recipe that is not refused. Exits with what was said if none."""
    said = ""
    for spelling in RECIPES[name]:
        (work / f"{name}.yaml").write_text(spelling.lstrip())
        places = ("--store", "store", "--runs-dir", "runs")
        done = command(work, code, "align", f"{name}.yaml", "--quiet", *places)
        if done.returncode == 0:
            return
        said += done.stderr[-3000:]
        if done.returncode != REFUSED:
            break
    raise SystemExit(f"{name}: did not end well:\n{said}")


def run_all(folder: Path, code: Path) -> None:
    """Run every recipe and write what came of it."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_inputs(work)
    for name in RECIPES:
        began = time.monotonic()
        align(work, code, name)
        found = written_down(work, code, name)
        (folder / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False))
        seconds = time.monotonic() - began
        sys.stderr.write(f"{name}: {len(found['stages'])} stages, {seconds:.0f} s\n")


# ---------------------------------------------------------------------------- what came of one


def written_down(work: Path, code: Path, name: str) -> dict[str, Any]:
    folder = work / "runs" / name
    summary = json.loads((folder / "summary.json").read_text())
    status = command(work, code, "status", name, "--runs-dir", "runs").stdout
    page = (folder / "report.html").read_text()
    return {
        "stages": [
            {"number": number} | stage_call(work / "store", call)
            for number, call in enumerate(calls(summary))
        ],
        "summary": without(summary, VARYING),
        "report": visible(page, work),
        "status": [masked(line.rstrip(), work) for line in status.splitlines()],
        "files": sorted(path.name for path in folder.iterdir() if path.suffix != ".log"),
    }


def calls(summary: Any) -> Iterator[dict[str, Any]]:
    """The stage calls in a summary, in order, wherever they stand."""
    if isinstance(summary, dict):
        if summary.keys() >= CALL:
            yield summary
        else:
            for value in summary.values():
                yield from calls(value)
    elif isinstance(summary, list):
        for value in summary:
            yield from calls(value)


def stage_call(store: Path, call: dict[str, Any]) -> dict[str, Any]:
    key = call["key"].removeprefix("sha256:")
    record = json.loads((store / call["kind"] / key[:2] / key / "artifact.json").read_text())
    assert record["artifact"]["digest"] == call["artifact"]
    return {
        "title": call["stage"],
        "kind": call["kind"],
        "content": call["artifact"],
        "files": {name: file["sha256"] for name, file in sorted(record["files"].items())},
        "counts": call["counts"],
        "meta": record["artifact"]["meta"],
        "key": record["key"],
        "place": f"{call['kind']}/{key[:2]}/{key}",
    }


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {n: without(inner, names) for n, inner in value.items() if n not in names}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


def masked(line: str, work: Path) -> str:
    """A line without times, dates, versions, digests and places."""
    line = line.replace(str(work.resolve()), "WORK").replace(str(work), "WORK")
    for pattern, word in MASKS:
        line = re.sub(pattern, word, line)
    return line


class Visible(HTMLParser):
    """Collects the text that a reader of a page sees, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = 0
        self.lines: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.lines += [line for line in map(str.rstrip, data.splitlines()) if line.strip()]


def visible(page: str, work: Path) -> list[str]:
    reader = Visible()
    reader.feed(page)
    return [masked(line, work) for line in reader.lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where NAME.json of every run is written")
    parser.add_argument("--against", type=Path, help="such a folder of another version")
    parser.add_argument("--no-run", action="store_true", help="take what is in the folder")
    parser.add_argument("--code", type=Path, default=ROOT, help="working tree whose code is run")
    args = parser.parse_args()
    if not args.no_run:
        run_all(args.folder, args.code.resolve())
    if args.against:
        sys.exit(not compare(RECIPES, args.against, args.folder))


if __name__ == "__main__":
    main()
