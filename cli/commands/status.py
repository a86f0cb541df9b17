from typing import Annotated

from typer import Argument

from cli.app import LOOK, RunsDir, command, run_names


@command("status", LOOK, "tsalign status embedded")
def status(
    run: Annotated[
        str | None, Argument(help="A run; by default all.", autocompletion=run_names, metavar="RUN")
    ] = None,
    *,
    runs_dir: RunsDir,
) -> None:
    """Show what ran, round by round."""
    from cli.show import show_run, show_runs

    if run:
        show_run(runs_dir, run)
    else:
        show_runs(runs_dir)
