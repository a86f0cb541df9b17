"""A series of runs on a growing file of prompts: each goes on from the one before.

Run N of the series NAME is NAME-00N. What it was given is frozen in its own folder before it
starts, so a run that failed is continued on the same prompts, whatever has arrived since.
"""

import re
from pathlib import Path

import pyarrow as pa

from data.errors import InputError
from data.readers.held_out import decontaminated, split_prompts, without_prompts
from data.readers.prompts import read_prompt_file
from data.recipes.recipe import RUN_NAME, WORLD
from data.schemas import PROMPTS
from data.summary import read_summary
from data.tables import read_table, write_table
from flows.policy_recipe import PolicyRecipe
from flows.preflight.fitting import filled

_PARTS = ("prompts", "dev", "test")


def next_run(recipe: PolicyRecipe, runs_dir: Path) -> PolicyRecipe | None:
    """The recipe of the next run of the series `recipe.run`; None where no prompt is new.

    The first run holds out dev and test prompts, and all later ones are judged on the same. Later
    runs start from the policy and the student the last finished one ended with.

    Raises:
        InputError: the name is too long, the prompts are not in a file, or there are too few to
            start with.
    """
    if recipe.prompts.path == WORLD or not isinstance(recipe.prompts.path, str):
        raise InputError("prompts.path: a series needs a file of prompts that can grow; name one")
    if not re.fullmatch(RUN_NAME, f"{recipe.run}-000"):
        raise InputError(
            f"series: {recipe.run!r} is too long, its runs add a number; use 60 characters at most"
        )
    finished = finished_runs(recipe.run, runs_dir)
    name = f"{recipe.run}-{len(finished) + 1:03d}"
    folder = runs_dir / name
    if not (folder / "prompts.parquet").exists():
        parts = new_prompts(recipe, [runs_dir / run for run in finished])
        if not len(parts["prompts"]):
            return None
        for part, table in reversed(parts.items()):  # prompts last: with it the rest is there
            freeze(folder / f"{part}.parquet", table)
    return going_on(recipe, name, folder, runs_dir / finished[-1] if finished else None)


def finished_runs(series: str, runs_dir: Path) -> list[str]:
    """Names of the finished runs of a series, in order, up to the first that is not."""
    names: list[str] = []
    while True:
        name = f"{series}-{len(names) + 1:03d}"
        path = runs_dir / name / "summary.json"
        if not path.is_file() or read_summary(path).finished is None:
            return names
        names.append(name)


def new_prompts(recipe: PolicyRecipe, earlier: list[Path]) -> dict[str, pa.Table]:
    """Prompts that no earlier run was given, with the held-out ones of the first run."""
    config = filled(recipe, recipe.sizes()).prompts
    (source,) = config.sources("path").values()
    found = read_prompt_file(source.path, source.name, source.columns).table
    if not earlier:
        parts = split_prompts([found], config.dev_size, config.test_size, recipe.seed)
        return {"prompts": without_prompts(found, parts.values()), **parts}
    held_out = {part: read_table(earlier[0] / f"{part}.parquet", PROMPTS) for part in _PARTS[1:]}
    seen = [read_table(folder / "prompts.parquet", PROMPTS) for folder in earlier]
    return {"prompts": without_prompts(found, [*seen, *held_out.values()]), **held_out}


def freeze(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    write_table(temporary, table, PROMPTS)
    temporary.replace(path)


def going_on(recipe: PolicyRecipe, name: str, folder: Path, last: Path | None) -> PolicyRecipe:
    """The recipe on the frozen prompts, from where the last run ended: its policy, and its student
    where it has trained one."""
    values = recipe.model_dump(exclude_unset=True) | {"run": name}
    frozen = {part: read_table(folder / f"{part}.parquet", PROMPTS) for part in _PARTS}
    pool, *held_out = (frozen[part] for part in _PARTS)
    available = len(decontaminated(pool, held_out, recipe.prompts.decontaminate)[0])
    if not available:
        raise InputError(
            "prompts.path: every prompt is held out too, or shares eight words in a row with one "
            "that is; bring others, or set prompts.decontaminate to exact"
        )
    per_round = min(recipe.prompts.per_round, available)
    if not getattr(recipe.prompts, "refresh", None):  # which asks the same prompts in every round
        values["rounds"] = min(recipe.rounds, available // per_round)
    values["prompts"] = values.get("prompts", {}) | {
        "path": str(folder / "prompts.parquet"),
        "dev_path": str(folder / "dev.parquet"),
        "test_path": str(folder / "test.parquet"),
        "per_round": per_round,
    }
    values["prompts"].pop("columns", None)  # what is frozen has this project's names
    if last:
        for part in ("policy", *(("student",) if (last / "student").exists() else ())):
            # Not the link: the folder it means today, named by its content.
            model = str((last / part).resolve(strict=True))
            values[part] = values.get(part, {}) | {"model": model}
        values["policy"].pop("template", None)  # the last policy has it
    return type(recipe).model_validate(values)
