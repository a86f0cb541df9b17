"""What decides every key of a run, in one digest: is there anything left to do?"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import tasks
from data.digests import digest_of, file_digest, tree_digest
from data.recipe import Recipe
from data.recipe_loading import config_digest
from tasks import machine
from tasks.stage import STAGES, TRAINING, library_versions


def engine_of(recipe: Recipe) -> str:
    """The generation engine on this machine, as it enters every generation's key."""
    return machine.engine_identity(machine.engine_name(recipe.generate.engine), numerics(recipe))


def numerics(recipe: Recipe) -> str:
    return machine.numerics(recipe.runtime)


def input_digests(recipe: Recipe) -> dict[str, str]:
    """Content digests of the files and model folders that the recipe names, by path."""
    named = [
        recipe.policy.model,
        recipe.student.model,
        recipe.teacher.model,
        recipe.student.replay_path,
        recipe.prompts.path,
        recipe.prompts.dev_path,
        recipe.prompts.test_path,
        *(cell.source for cell in recipe.cells),
        recipe.matrix.correction.judge if recipe.matrix else None,
        recipe.own_labels[0] if recipe.own_labels else None,
    ]
    digests = {}
    for path in (Path(name) for name in named if name):
        if path.is_dir():
            digests[str(path)] = tree_digest(path)
        elif path.is_file():
            digests[str(path)] = file_digest(path)
    if recipe.logged:
        from data.logged import logged_digest

        digests["logged"] = logged_digest(recipe.logged)
    return digests


def stage_versions() -> dict[str, str]:
    """Version of every stage there is, whatever happens to be imported already."""
    for module in iter_modules(tasks.__path__):
        import_module(f"tasks.{module.name}")
    ours = sorted(item for item in STAGES.items() if item[1].body.__module__.startswith("tasks."))
    return {name: stage.version for name, stage in ours}


def run_digest(recipe: Recipe) -> str:
    """Recipe, inputs, stage versions, libraries and machine."""
    return digest_of(
        {
            "recipe": config_digest(recipe),
            "inputs": input_digests(recipe),
            "stages": stage_versions(),
            "libraries": library_versions(TRAINING),
            "engine": engine_of(recipe),
        }
    )
