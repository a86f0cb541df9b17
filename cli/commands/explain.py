from typing import Annotated

from typer import Argument, Option

from cli.app import LOOK, RunsDir, Store, command, run_names, stage_names


@command("explain", LOOK, "tsalign explain embedded --round 2 --stage optimize")
def explain(
    run: Annotated[str, Argument(help="A run.", autocompletion=run_names, metavar="RUN")],
    *,
    round: Annotated[
        int | None, Option(metavar="N", help="Only this one; 0 is the preparation.")
    ] = None,
    stage: Annotated[
        str | None,
        Option(
            metavar="S",
            help="Only this stage, such as optimize, or one of its calls, such as generate:dev.",
            autocompletion=stage_names,
        ),
    ] = None,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Say why each stage was found or computed."""
    from cli.explain import explain
    from data.store.store import Store

    explain(Store(store), runs_dir, run, round_number=round, stage=stage)
