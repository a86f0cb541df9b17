from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import MAINTAIN, Store, command
from data.places import runs_folder


@command("gc", MAINTAIN, "tsalign gc --older-than 24 --delete")
def gc(
    *,
    delete: Annotated[
        bool, Option("--delete", help="Remove it; without this it is only listed.")
    ] = False,
    older_than: Annotated[
        float, Option(metavar="HOURS", min=0, help="Keep what is newer.")
    ] = 168.0,
    runs_dirs: Annotated[
        list[Path] | None,
        Option(
            "--runs-dir",
            metavar="DIR",
            parser=runs_folder,
            show_default="$TSALIGN_RUNS or runs",
            help="Once for every folder of runs that use the store.",
        ),
    ] = None,
    store: Store,
) -> None:
    """List, or delete, what no run refers to."""
    from cli.upkeep import collect
    from data.store.store import Store

    folders = runs_dirs or [runs_folder()]
    collect(Store(store), folders, older_than=older_than, delete=delete)
