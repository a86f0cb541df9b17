"""What every command shares: the Typer app, its panels, and the options that mean the same.

Loads nothing but Typer: `tsalign --help` answers at once. A command imports what it needs itself.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Context, Exit, Option, Typer, echo

from data.places import runs_folder, store_url

START, LOOK, USE = "Start", "Look", "Use the aligned policy"
OPERATE, MAINTAIN = "Operate", "Maintain"

DESCRIPTION = "Teacher-student iterative alignment of language models."
EXIT_CODES = (
    "Exit codes: 0 done; 1 a run or a check failed; 2 bad input, nothing was computed; "
    "130 interrupted, run it again to continue."
)

_STYLE = {"rich_markup_mode": "rich", "pretty_exceptions_enable": False}
_CONTEXT = {"help_option_names": ["-h", "--help"]}

app = Typer(
    name="tsalign",
    help=DESCRIPTION,
    epilog=EXIT_CODES,
    context_settings=_CONTEXT,
    **_STYLE,  # type: ignore[arg-type]
)

Command = Callable[..., int | None]


def command(
    name: str, panel: str, example: str, to: Typer = app, prepare: bool = False
) -> Callable[[Command], Command]:
    """Make a command of a function; its docstring is the help, and `example` ends it.

    Typer only reads the arguments: what it returns to `cli.main` is the call to make, so that
    errors, signals and broken pipes are handled in one place. With `prepare`, Prefect's settings
    are made before the call, as the command may import it.
    """

    def register(function: Command) -> Command:
        @wraps(function)
        def parsed(*args: Any, **kwargs: Any) -> partial[int | None]:
            call = partial(function, *args, **kwargs)
            return partial(_prepared, call) if prepare else call

        to.command(
            name,
            epilog=f"Example: {example}",
            rich_help_panel=panel if to is app else None,
            context_settings=_CONTEXT,
        )(parsed)
        return function

    return register


def group(name: str, panel: str, help: str) -> Typer:
    """A command with commands of its own, such as `operate start`."""
    made = Typer(help=help, no_args_is_help=True, context_settings=_CONTEXT, **_STYLE)  # type: ignore[arg-type]
    app.add_typer(made, name=name, rich_help_panel=panel)
    return made


def _prepared(call: Callable[[], int | None]) -> int | None:
    from flows.server import set_defaults

    set_defaults()  # before anything imports Prefect
    return call()


def run_names(incomplete: str) -> Iterator[str]:
    """Names of runs for the shell's completion: the folders that have a summary."""
    for summary in sorted(runs_folder().glob("*/summary.json")):
        if summary.parent.name.startswith(incomplete):
            yield summary.parent.name


def recipe_files(incomplete: str) -> Iterator[str]:
    """Recipes for the shell's completion: their names, files and folders below what is typed."""
    from data.recipes.files import known_names

    yield from (name for name in sorted(known_names()) if name.startswith(incomplete))
    typed = Path(incomplete or ".")
    folder = typed if incomplete.endswith("/") or not incomplete else typed.parent
    for path in sorted(folder.glob("*")):
        if path.is_dir() and str(path).startswith(incomplete):
            yield f"{path}/"
        elif path.suffix in (".yaml", ".yml") and str(path).startswith(incomplete):
            yield str(path)


def recipe_keys(incomplete: str) -> Iterator[str]:
    """Fields of a recipe for the shell's completion of --set."""
    from flows.recipe_docs import rows
    from flows.table import recipe_classes

    keys = dict.fromkeys(key for model in recipe_classes() for key, *_ in rows(model))
    yield from (f"{key}=" for key in keys if key.startswith(incomplete))


def stage_names(ctx: Context, incomplete: str) -> Iterator[str]:
    """Stages of the run that is named, and their calls, for the shell's completion."""
    from data.errors import TsAlignError
    from data.summary import addresses, read_summary

    # Behind an option that has no value yet, arguments are not sorted out.
    run = ctx.params.get("run") or next(iter(ctx.args), "")
    with suppress(TsAlignError):
        summary = read_summary(runs_folder() / run / "summary.json")
        yield from (n for n in addresses(summary.stages()) if n.startswith(incomplete))


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"tsalign {version('tsalign')}")
        raise Exit()


Store = Annotated[
    str,
    Option(
        "--store",
        metavar="URL",
        parser=store_url,
        default_factory=store_url,
        show_default="$TSALIGN_STORE or .tsalign/store",
        help="Where artifacts are kept.",
    ),
]
RunsDir = Annotated[
    Path,
    Option(
        "--runs-dir",
        metavar="DIR",
        parser=runs_folder,
        default_factory=runs_folder,
        show_default="$TSALIGN_RUNS or runs",
        help="Where summaries and reports are kept.",
    ),
]
RecipeFile = Annotated[
    Path,
    Argument(
        metavar="RECIPE",
        autocompletion=recipe_files,
        help="A recipe: a YAML file, or the name of one in recipes/.",
    ),
]
Quiet = Annotated[bool, Option("--quiet", help="Print errors only.")]
Verbose = Annotated[
    bool, Option("--verbose", help="Print a line for every stage, found ones too, with counts.")
]
Overrides = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=recipe_keys,
        help="Change one value of the recipe, such as policy.beta=0.2; may be repeated.",
    ),
]


@app.callback(invoke_without_command=True)
def root(
    context: Context,
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> Callable[[], int | None] | None:
    if context.invoked_subcommand:
        return None
    from cli.next_steps import next_steps

    return next_steps
