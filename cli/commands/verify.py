from typing import Annotated

from typer import Argument, Option

from cli.app import MAINTAIN, RunsDir, Store, command, run_names


@command("verify", MAINTAIN, "tsalign verify embedded --repair", prepare=True)
def verify(
    run: Annotated[
        str | None, Argument(help="A run; by default all.", autocompletion=run_names, metavar="RUN")
    ] = None,
    *,
    repair: Annotated[bool, Option("--repair", help="Compute what is damaged again.")] = False,
    store: Store,
    runs_dir: RunsDir,
) -> int:
    """Hash every artifact that runs refer to, and their reports."""
    from cli.upkeep import verify
    from data.store.store import Store

    return verify(Store(store), runs_dir, run, repair=repair)
