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
    worlds: Annotated[
        str | None,
        Option(
            metavar="N",
            help="How many embedded worlds, or which, as 5,6,7: each with tokenizer, policy, "
            "teacher, student and prompts of its own. Intervals are then over worlds.",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        Option(
            metavar="N",
            help="How many, or which, as 0,1,2; of every world. By default 5, with --worlds 1.",
        ),
    ] = None,
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
    ray: Annotated[
        str | None,
        Option(
            metavar="ADDRESS",
            help="Carry out the runs on a Ray cluster: HOST:PORT, 'auto' for the one that this "
            "machine belongs to, 'local' for one that ends with the bench.",
        ),
    ] = None,
    quiet: Quiet = False,
    store: Store,
    runs_dir: RunsDir,
) -> int:
    """Compare recipes at equal budgets, over seeds or over worlds."""
    from bench.tunnel import bench

    return bench(
        recipes,
        worlds=worlds,
        seeds=seeds,
        equal=equal,
        measure=measure,
        name=name,
        overrides=overrides or [],
        workers=workers,
        ray=ray,
        store=store,
        runs_dir=runs_dir,
        quiet=quiet,
    )
