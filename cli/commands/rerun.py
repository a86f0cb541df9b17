from typing import Annotated

from typer import Argument, Option

from cli.app import MAINTAIN, Quiet, RunsDir, Store, Verbose, command, run_names, stage_names


@command("rerun", MAINTAIN, "tsalign rerun embedded --round 2 --stage distill", prepare=True)
def rerun(
    run: Annotated[str, Argument(help="A run.", autocompletion=run_names, metavar="RUN")],
    *,
    round: Annotated[int, Option(metavar="N", help="The round, from 1.")],
    stage: Annotated[
        str,
        Option(
            metavar="S",
            help="Where to begin: a stage such as generate, with all its calls in the round, "
            "or one of these, such as generate:dev.",
            autocompletion=stage_names,
        ),
    ] = "generate",
    quiet: Quiet = False,
    verbose: Verbose = False,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Make a stage of a round again, and what follows from it."""
    from cli.show import headline
    from flows.launch import launch_rerun

    folder = launch_rerun(
        run, round, stage, store=store, runs_dir=runs_dir, quiet=quiet, verbose=verbose
    )
    headline(folder, quiet=quiet, store=store)
