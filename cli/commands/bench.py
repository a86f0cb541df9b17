from typing import Annotated, Literal

from typer import Argument, Option

from cli.app import START, Overrides, Quiet, RunsDir, Store, command, recipe_files

Budget = Literal["prompts", "tokens", "seconds", "rounds"]


@command("bench", START, "tsalign bench recipes/tunnel.yaml recipes/tso.yaml", prepare=True)
def bench(
    recipes: Annotated[
        list[str],
        Argument(
            help="[LABEL=]FILE[:key=value,...]; the first is what the others are compared with.",
            autocompletion=recipe_files,
            metavar="RECIPE...",
        ),
    ],
    *,
    seeds: Annotated[str, Option(metavar="N", help="How many, or which, as 0,1,2.")] = "5",
    equal: Annotated[Budget, Option(help="What every recipe may spend as much of.")] = "prompts",
    measure: Annotated[
        str | None,
        Option(metavar="NAME", help="What is compared; by default the headline of the first."),
    ] = None,
    name: Annotated[str, Option(metavar="NAME", help="Name of the bench.")] = "bench",
    overrides: Overrides = None,
    workers: Annotated[
        int | None, Option(metavar="N", help="Runs at a time; by default one per core.")
    ] = None,
    quiet: Quiet = False,
    store: Store,
    runs_dir: RunsDir,
) -> int:
    """Compare recipes at equal budgets, over seeds."""
    from bench.tunnel import bench

    return bench(
        recipes,
        seeds=seeds,
        equal=equal,
        measure=measure,
        name=name,
        overrides=overrides or [],
        workers=workers,
        store=store,
        runs_dir=runs_dir,
        quiet=quiet,
    )
