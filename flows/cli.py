"""The command line: `tsalign align`, `bench`, `status`, `report`, `explain`, `verify`, `gc`.

Importing this module loads neither torch nor Prefect; what a command needs, it imports itself.
"""

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from data.errors import InputError, TsAlignError
from data.places import runs_folder, store_url
from flows.problems import interrupted, log_of_a_command, terminable, unexpected
from flows.server import set_defaults

RUNNING = ("align", "bench", "verify", "rerun")  # what may load Prefect and torch
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

    bench = commands.add_parser("bench", help="compare recipes at equal budgets, over seeds")
    bench.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="[LABEL=]FILE[:key=value,...]; the first is what the others are compared with",
    )
    bench.add_argument(
        "--seeds", default="5", metavar="N", help="how many, or which, as 0,1,2 (default: 5)"
    )
    bench.add_argument(
        "--equal",
        choices=("prompts", "tokens", "seconds", "rounds"),
        default="prompts",
        help="what every recipe may spend as much of (default: prompts)",
    )
    bench.add_argument("--name", default="bench", help="of the bench (default: bench)")
    bench.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of every recipe; may be repeated",
    )
    bench.add_argument(
        "--workers", type=int, metavar="N", help="runs at a time (default: one per core)"
    )
    bench.add_argument("--quiet", action="store_true", help="print errors only")
    bench.set_defaults(call=_bench)

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

    explain = commands.add_parser("explain", help="why each stage was found or computed")
    explain.add_argument("run", metavar="RUN")
    explain.add_argument("--round", type=int, metavar="N", help="only this one; 0: preparation")
    explain.add_argument("--stage", metavar="S", help="only this one, such as optimize")
    explain.set_defaults(call=_explain)

    verify = commands.add_parser("verify", help="hash every artifact that runs refer to")
    verify.add_argument("run", nargs="?", metavar="RUN", help="a run (default: all runs)")
    verify.add_argument("--repair", action="store_true", help="compute what is damaged again")
    verify.set_defaults(call=_verify)

    gc = commands.add_parser("gc", help="list, or delete, what no run refers to")
    gc.add_argument("--delete", action="store_true", help="remove it (default: only list it)")
    gc.add_argument(
        "--older-than", type=float, default=168.0, metavar="HOURS", help="default: 168, a week"
    )
    gc.add_argument(
        "--runs-dir",
        dest="runs_dirs",
        type=runs_folder,
        action="append",
        metavar="DIR",
        help="once for every folder of runs that use the store (default: $TSALIGN_RUNS or runs)",
    )
    gc.set_defaults(call=_gc)

    again = commands.add_parser("rerun", help="make a stage of a round again and what follows")
    again.add_argument("run", metavar="RUN")
    again.add_argument("--round", type=int, required=True, metavar="N")
    again.add_argument("--stage", default="generate", metavar="S", help="default: generate")
    again.add_argument("--quiet", action="store_true", help="print errors only")
    again.set_defaults(call=_rerun)

    operate = commands.add_parser("operate", help="Prefect server, worker and deployments, here")
    operate.add_argument("action", choices=("start", "stop"))
    operate.add_argument("--port", type=int, default=4200, help="of the server (default: 4200)")
    operate.add_argument(
        "--folder",
        type=Path,
        default=Path(".tsalign/operate"),
        metavar="DIR",
        help="database and logs (default: .tsalign/operate)",
    )
    operate.set_defaults(call=_operate)

    for command in (align, bench, report, explain, verify, gc, again):
        command.add_argument(
            "--store",
            type=store_url,
            default=store_url(),
            metavar="URL",
            help="where artifacts are kept (default: $TSALIGN_STORE or .tsalign/store)",
        )
    for command in (align, bench, status, report, explain, verify, again):
        command.add_argument(
            "--runs-dir",
            type=runs_folder,
            default=runs_folder(),
            metavar="DIR",
            help="default: $TSALIGN_RUNS or runs",
        )
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. An error is one line on stderr: exit status 2 for a user's, 1 for any other,
    130 after Ctrl-C or SIGTERM, 141 where nobody reads what is printed."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a sign of what a finished run prints must not make it fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with terminable():
        try:
            args = parser().parse_args(argv)
            if args.command in RUNNING:
                set_defaults()
            status: int = args.call(args) or 0
            sys.stdout.flush()
            return status
        except KeyboardInterrupt:
            return interrupted()
        except Exception as error:
            return failed(error)


def failed(error: Exception) -> int:
    """Say what is wrong, in one line for each problem; the exit status."""
    if isinstance(error, BrokenPipeError):
        # Python would complain once more when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        error = InputError(f"{error.filename}: {error.strerror}; check the path")
    if not isinstance(error, TsAlignError):
        error = unexpected(error, log_of_a_command())
    sys.stderr.writelines(f"tsalign: error: {problem}\n" for problem in error.problems)
    return error.exit_code


def _align(args: argparse.Namespace) -> None:
    from data.recipe_loading import load_recipe
    from flows.launch import launch

    recipe = load_recipe(args.recipe, args.overrides, run=args.run)
    launch(recipe, store=args.store, runs_dir=args.runs_dir, quiet=args.quiet)


def _bench(args: argparse.Namespace) -> int:
    from flows.bench import bench

    options = {name: value for name, value in vars(args).items() if name not in ("command", "call")}
    return bench(**options)


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


def _explain(args: argparse.Namespace) -> None:
    from data.store import Store
    from flows.explain import explain

    explain(Store(args.store), args.runs_dir, args.run, round_number=args.round, stage=args.stage)


def _verify(args: argparse.Namespace) -> int:
    from data.store import Store
    from flows.upkeep import verify

    return verify(Store(args.store), args.runs_dir, args.run, repair=args.repair)


def _gc(args: argparse.Namespace) -> None:
    from data.store import Store
    from flows.upkeep import collect

    runs_dirs = args.runs_dirs or [runs_folder()]
    collect(Store(args.store), runs_dirs, older_than=args.older_than, delete=args.delete)


def _rerun(args: argparse.Namespace) -> None:
    from flows.launch import launch_rerun

    places = {"store": args.store, "runs_dir": args.runs_dir}
    launch_rerun(args.run, args.round, args.stage, **places, quiet=args.quiet)


def _operate(args: argparse.Namespace) -> None:
    from rich.console import Console

    from flows.operate import Operation

    operation = Operation(args.folder, args.port)
    do = operation.start if args.action == "start" else operation.stop
    do(Console(highlight=False))


if __name__ == "__main__":
    sys.exit(main())
