from typing import Annotated

from typer import Argument, Option

from cli.app import LOOK, RunsDir, Store, command, run_names


@command("open", LOOK, "tsalign open embedded")
def open_reports(
    run: Annotated[
        str | None,
        Argument(
            help="Its report; by default the page of all runs.",
            autocompletion=run_names,
            metavar="RUN",
        ),
    ] = None,
    *,
    port: Annotated[
        int, Option(min=0, max=65535, metavar="N", help="To listen on; 0 takes a free one.")
    ] = 0,
    no_browser: Annotated[
        bool, Option("--no-browser", help="Print the address, and open nothing.")
    ] = False,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Show reports in the browser, on this machine alone, until Ctrl-C."""
    from cli.report_server import serve_reports

    serve_reports(runs_dir, store, run, port=port, browser=not no_browser)
