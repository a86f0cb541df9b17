from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.app import LOOK, RunsDir, Store, command, run_names
from data.errors import InputError


@command("report", LOOK, "tsalign report --compare embedded optune")
def report(
    run: Annotated[
        str | None,
        Argument(help="Write its report again.", autocompletion=run_names, metavar="RUN"),
    ] = None,
    *,
    compare: Annotated[
        tuple[str, str] | None,
        Option(metavar="RUN_A RUN_B", help="Write both side by side.", autocompletion=run_names),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Where to; by default report.html of RUN, or RUN_A-vs-RUN_B.html.",
        ),
    ] = None,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Write the HTML report of a run, or of two."""
    from cli.show import compare_runs, write_report_again

    if (run is None) == (compare is None):
        raise InputError("name one RUN, or two with --compare; see `tsalign report --help`")
    if compare:
        compare_runs(runs_dir, list(compare), store, out)
    elif run is not None:
        write_report_again(runs_dir, run, store, out)
