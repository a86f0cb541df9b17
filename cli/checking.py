"""`tsalign check` and `align --dry-run`: look at a recipe and print what was found."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import InputError
from data.places import check_writable, runs_folder, store_url
from data.store.store import Store
from flows.recipe_files import load_recipe
from models.gpus import named_gpus
from tasks.running.waiting import to_stderr, waiting


def check_recipe(
    path: Path,
    overrides: Sequence[str],
    *,
    run: str | None,
    store: str,
    runs_dir: Path,
    deep: bool = False,
    time: bool = False,
    device: str | None = None,
    as_json: bool = False,
) -> int:
    """Print what is known of the recipe before its run; the exit status: 2 for a bad recipe,
    1 where the store shows that the run will end without a result.

    Problems are printed on stderr, a line each, with --json also on stdout.

    Raises:
        InputError: the recipe cannot be read, `device` is no GPU that is known, the store cannot
            be written, or the flow's work is not foreseen.
    """
    recipe = load_recipe(path, overrides, run=run)
    gpus = None if device is None else named_gpus(device)
    if (time or gpus) and not recipe.counts_work:
        option = "--time" if time else "--device"
        raise InputError(
            f"{option}: what a recipe of '{recipe.recipe}' takes is not foreseen, as its models "
            "read no prompts; leave it out"
        )
    if time:
        check_writable("--store", Store(store).root)
    from cli import check_view
    from flows.planning.check import checked

    with waiting(f"Checking {recipe.run}: models, prompts and the store", to_stderr()):
        found = checked(recipe, store=store, runs_dir=runs_dir, deep=deep, gpus=gpus)
    if time and found.plan and not found.problems:
        from flows.planning.predict import predicted

        with waiting(f"Measuring {recipe.run}: what its stages take here", to_stderr()):
            folder = runs_dir / found.recipe.run
            found.time = predicted(found.recipe, store, folder, found.prompts)
    if as_json:
        sys.stdout.write(check_view.as_json(found) + "\n")
    for problem in found.problems:
        sys.stderr.write(f"tsalign: error: {problem}\n")
    if found.problems:
        return 2
    if not as_json:
        changes = [part for text in overrides for part in ("--set", text)]
        named = ["--run", run] if run else []
        if store != store_url():
            named += ["--store", store]
        if runs_dir != runs_folder():
            named += ["--runs-dir", str(runs_dir)]
        command = shlex.join(["tsalign", "align", str(path), *named, *changes])
        check_view.show(found, str(path), command)
    return 1 if found.plan and found.plan.fails else 0
