from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import USE, Quiet, RunsDir, Store, command
from cli.use.sides import Against, MaxTokens, Rounds, Run, Seed, Temperature, checking


@command("compare", USE, "tsalign compare embedded --prompts mine.jsonl --judge", prepare=True)
def compare(
    run: Run,
    *,
    prompts: Annotated[
        str, Option(metavar="FILE", help="JSONL, Parquet or CSV, as a recipe's prompts.")
    ],
    limit: Annotated[
        int | None, Option(metavar="N", min=1, help="Only the first N prompts.")
    ] = None,
    rounds: Rounds = None,
    against: Against = None,
    judge: Annotated[
        bool, Option("--judge", help="Have the run's teacher judge the answers.")
    ] = False,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        Option(
            metavar="PATH",
            help="Writes PATH.html and PATH.parquet. Default: compare-FILE in the run's folder.",
        ),
    ] = None,
    quiet: Quiet = False,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Answer your own prompts with base and aligned policy, side by side."""
    import sys

    from cli.use.chat import decoding_of
    from cli.use.policies_of import notes_on, pair_of
    from data.paths import named_path
    from data.store.inventory import run_folder
    from data.store.store import Store as Artifacts
    from flows.recipe_files import recorded_recipe

    artifacts = Artifacts(store)
    with checking():
        policies = pair_of(artifacts, runs_dir, run, rounds, against)
    from cli.use.compare import compare as answer
    from cli.use.compare import prompts_to_compare

    asked, places = prompts_to_compare(prompts, limit)
    for note in notes_on(policies):
        sys.stderr.write(f"tsalign: note: {note}\n")
    decoding = decoding_of(recorded_recipe(policies[-1].summary), temperature, max_tokens)
    found = answer(
        artifacts,
        policies,
        asked,
        places,
        prompts,
        decoding=decoding,
        seed=seed,
        judge=judge,
        quiet=quiet,
    )
    from cli.use.compared import present

    stem = named_path(prompts, "--prompts").name.split(".")[0]
    out = named_path(out, "--out") if out else run_folder(runs_dir, run) / f"compare-{stem}"
    present(found, policies, decoding, seed, out, quiet=quiet)
