from typing import Annotated

from typer import Argument, Option

from cli.app import LOOK, RunsDir, command, run_names


@command("status", LOOK, "tsalign status embedded")
def status(
    run: Annotated[
        str | None, Argument(help="A run; by default all.", autocompletion=run_names, metavar="RUN")
    ] = None,
    *,
    as_json: Annotated[
        bool, Option("--json", help="Print JSON: states, rounds, win rates, intervals.")
    ] = False,
    runs_dir: RunsDir,
) -> None:
    """Show all runs with their results, or one of them round by round."""
    from cli.runs import show_run, show_runs

    if run:
        show_run(runs_dir, run, as_json=as_json)
    else:
        show_runs(runs_dir, as_json=as_json)
