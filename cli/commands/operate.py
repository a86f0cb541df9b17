from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.app import OPERATE, command, group, run_names

operate = group("operate", OPERATE, "Prefect's server, a worker and the deployments, here.")

Port = Annotated[
    int | None,
    Option(metavar="N", help="Of Prefect's server.", show_default="4200"),
]
Folder = Annotated[Path, Option(metavar="DIR", help="Database and logs.")]
FOLDER = Path(".tsalign/operate")


@command("start", OPERATE, "tsalign operate start", to=operate)
def start(*, port: Port = None, folder: Folder = FOLDER) -> None:
    """Start what does not run yet, and deploy the flows."""
    from rich.console import Console

    from cli.operating.operate import Operation
    from cli.operating.status import say_started

    console = Console(highlight=False)
    operation = Operation(folder, port)
    operation.start(console)
    say_started(operation, console)


@command("stop", OPERATE, "tsalign operate stop", to=operate)
def stop(*, port: Port = None, folder: Folder = FOLDER) -> None:
    """End the worker, with the run it is at, and then the server."""
    from rich.console import Console

    from cli.operating.operate import Operation

    Operation(folder, port).stop(Console(highlight=False))


@command("status", OPERATE, "tsalign operate status", to=operate, prepare=True)
def status(
    *,
    json: Annotated[bool, Option("--json", help="As one JSON document.")] = False,
    folder: Folder = FOLDER,
) -> int:
    """Show server, worker, deployments, and their runs."""
    from cli.operating.status import show_status

    return show_status(folder, json)


def _things(incomplete: str) -> list[str]:
    names = ["worker", "server", "reports", *run_names("")]
    return [name for name in names if name.startswith(incomplete)]


@command("logs", OPERATE, "tsalign operate logs small --follow", to=operate, prepare=True)
def logs(
    what: Annotated[
        str,
        Argument(
            help="worker, server, or a run's name or id.",
            metavar="[worker|server|RUN]",
            autocompletion=_things,
        ),
    ] = "worker",
    *,
    follow: Annotated[bool, Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[int, Option("--lines", "-n", min=1, help="So many of the last.")] = 50,
    folder: Folder = FOLDER,
) -> int:
    """Show what worker, server or a run have logged."""
    from cli.operating.logs import show_logs

    return show_logs(what, folder, lines, follow)
