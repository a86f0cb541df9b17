from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import OPERATE, command, group

operate = group("operate", OPERATE, "Prefect's server, a worker and the deployments, here.")

Port = Annotated[int, Option(metavar="N", help="Of Prefect's server.")]
Folder = Annotated[Path, Option(metavar="DIR", help="Database and logs.")]
FOLDER = Path(".tsalign/operate")


@command("start", OPERATE, "tsalign operate start", to=operate)
def start(*, port: Port = 4200, folder: Folder = FOLDER) -> None:
    """Start what does not run yet, and deploy the flows."""
    from rich.console import Console

    from cli.operate import Operation

    Operation(folder, port).start(Console(highlight=False))


@command("stop", OPERATE, "tsalign operate stop", to=operate)
def stop(*, port: Port = 4200, folder: Folder = FOLDER) -> None:
    """End the worker, with the run it is at, and then the server."""
    from rich.console import Console

    from cli.operate import Operation

    Operation(folder, port).stop(Console(highlight=False))
