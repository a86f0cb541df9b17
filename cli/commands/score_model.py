from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.app import LOOK, Quiet, command


@command("score-model", LOOK, "tsalign score-model your-org/reward-model pairs.jsonl")
def score_model(
    model: Annotated[
        str,
        Argument(
            metavar="MODEL",
            help="A reward model or language model (folder or hub id), openai:MODEL, a reward "
            "function (FILE.py:FUNCTION), or a file of recorded verdicts.",
        ),
    ],
    preferences: Annotated[
        list[str],
        Argument(
            metavar="PREFERENCES...",
            help="Files of labelled pairs: JSONL, JSON, Parquet or CSV, also .gz.",
        ),
    ],
    *,
    max_length: Annotated[
        int | None,
        Option(
            metavar="N",
            min=8,
            help="Longest conversation in tokens, as your recipe has it. "
            "Default: what the model reads.",
        ),
    ] = None,
    limit: Annotated[
        int | None, Option(metavar="N", min=1, help="Only the first N pairs of each data set.")
    ] = None,
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="Writes every pair with its rewards as a Parquet file."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print all measures as JSON.")] = False,
    trust_remote_code: Annotated[
        bool,
        Option(
            "--trust-remote-code", help="Run code that comes with the model, or a reward function."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Measure how well a judge orders labelled pairs, before a run."""
    import json

    from rich.console import Console

    from cli.use.score_model import ROWS, check_out, score_model
    from cli.use.scored import present, watching
    from data.paths import named_path
    from data.tables import write_table
    from tasks.running.waiting import to_stderr

    files = [named_path(name, "PREFERENCES") for name in preferences]
    out = named_path(out, "--out") if out else None
    check_out(out)
    with watching(to_stderr(quiet)) as on_progress:
        found = score_model(
            model,
            files,
            trust_remote_code=trust_remote_code,
            max_length=max_length,
            limit=limit,
            on_progress=on_progress,
        )
    if out:
        write_table(out, found.table, ROWS)
    console = Console(quiet=quiet and not as_json, highlight=False, markup=False)
    if as_json:
        console.print(json.dumps(found.summary, indent=1, allow_nan=False), soft_wrap=True)
    else:
        present(found.summary, console)
        if out:
            console.print(f"Pairs: {out}", soft_wrap=True)
