"""The command line: `tsalign align`, `status`, `report`.

Importing this module loads neither torch nor Prefect; what a command needs, it imports itself.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from data.errors import InputError, TsAlignError

DESCRIPTION = "Teacher-student iterative alignment of language models."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for any other bad input."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def parser() -> argparse.ArgumentParser:
    root = _Parser(prog="tsalign", description=DESCRIPTION)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    align = commands.add_parser("align", help="run a recipe, or what is missing of it")
    align.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file (YAML)")
    align.add_argument("--run", metavar="NAME", help="name of the run (default: the recipe's)")
    align.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the recipe, such as policy.beta=0.2; may be repeated",
    )
    align.add_argument("--quiet", action="store_true", help="print errors only")
    align.set_defaults(call=_align)

    status = commands.add_parser("status", help="what ran, round by round")
    status.add_argument("run", nargs="?", metavar="RUN", help="a run (default: all runs)")
    status.set_defaults(call=_status)

    report = commands.add_parser("report", help="write the HTML report of a run, or of two")
    which = report.add_mutually_exclusive_group(required=True)
    which.add_argument("run", nargs="?", metavar="RUN", help="write its report again")
    which.add_argument(
        "--compare", nargs=2, metavar=("RUN_A", "RUN_B"), help="write both side by side"
    )
    report.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: report.html of RUN, or RUN_A-vs-RUN_B.html, in the runs' folder",
    )
    report.set_defaults(call=_report)

    for command in (align, report):
        command.add_argument(
            "--store",
            default=os.environ.get("TSALIGN_STORE", ".tsalign/store"),
            metavar="URL",
            help="where artifacts are kept (default: $TSALIGN_STORE or .tsalign/store)",
        )
    for command in (align, status, report):
        command.add_argument(
            "--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs"
        )
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a user's error is one line on stderr and exit status 2."""
    try:
        args = parser().parse_args(argv)
        args.call(args)
    except TsAlignError as error:
        sys.stderr.write(f"tsalign: error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("tsalign: interrupted; run the same command again to continue\n")
        return 130
    return 0


def _align(args: argparse.Namespace) -> None:
    from data.recipe_loading import load_recipe
    from flows.launch import launch

    recipe = load_recipe(args.recipe, args.overrides, run=args.run)
    launch(recipe, store=args.store, runs_dir=args.runs_dir, quiet=args.quiet)


def _status(args: argparse.Namespace) -> None:
    from flows.show import show_run, show_runs

    if args.run:
        show_run(args.runs_dir, args.run)
    else:
        show_runs(args.runs_dir)


def _report(args: argparse.Namespace) -> None:
    from flows.show import compare_runs, write_report_again

    if args.compare:
        compare_runs(args.runs_dir, args.compare, args.store, args.out)
    else:
        write_report_again(args.runs_dir, args.run, args.store, args.out)


if __name__ == "__main__":
    sys.exit(main())
