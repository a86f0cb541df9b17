"""What a run starts from: the user's models and prompts, or those of the embedded world.

`flows.preflight` has checked them.
"""

from pathlib import Path

from data.artifacts import Artifact
from data.digests import file_digest, tree_digest
from data.recipe import NONE, SMALL, WORLD, Recipe
from flows.bootstrap import bootstrap
from flows.preflight import held_out_sizes
from flows.preflight_models import cell_field, own_models
from flows.state import Parts
from tasks.prompts import import_preferences, import_prompts, split, without
from tasks.stage import External, Model, Run


def gather(run: Run, recipe: Recipe) -> Parts:
    """Models, prompts and earlier preferences of the recipe, ready for the first round."""
    models = external_models(recipe)
    prompts = own_prompts(run, recipe)
    used = world_sources(recipe)
    world = None
    if recipe.world and used:
        world = run.books.flow(bootstrap, run, recipe.world, small=SMALL in used)
    made = world.models() if world else {}
    replay = own_replay(run, recipe) or (world.preferences if world else None)
    pool, dev, test = prompts or (world.pool, world.dev, world.test)  # type: ignore[union-attr]

    def model(field: str, name: str) -> Model:
        return models[field] if field in models else made[field if name == WORLD else name]

    student = recipe.student.model
    return Parts(
        policy=model("policy.model", recipe.policy.model),
        student=None if student == NONE else model("student.model", student),
        teacher=model("teacher.model", recipe.teacher.model),
        pool=pool,
        dev=dev,
        test=test,
        replay=replay,
        samplers={
            cell.name: model(cell_field(cell), cell.source)
            for cell in recipe.cells
            if cell.model not in (None, "policy", WORLD)
        },
        judge=models.get("matrix.correction.judge"),
    )


def world_sources(recipe: Recipe) -> set[str]:
    """What the run needs of the embedded world: nothing, its models and prompts, a small policy."""
    named = {recipe.policy.model, recipe.student.model, recipe.teacher.model, recipe.prompts.path}
    return (named | {cell.source for cell in recipe.cells}) & {WORLD, SMALL}


def external_models(recipe: Recipe) -> dict[str, External]:
    """The models the user brought, by field, named by their content."""
    return {
        field: External(path=str(path), digest=tree_digest(path))
        for field, path in own_models(recipe).items()
    }


def external_file(path: str) -> External:
    """A file by its bytes; what is no file is a `datasets` id, by its name."""
    known = file_digest(path) if Path(path).is_file() else f"datasets:{path}"
    return External(path=path, digest=known)


def own_prompts(run: Run, recipe: Recipe) -> tuple[Artifact, Artifact, Artifact] | None:
    """Pool, dev and test prompts of the user's files, disjoint; None for the world's."""
    config = recipe.prompts
    if config.path == WORLD:
        return None

    def load(field: str, path: str) -> Artifact:
        artifact = import_prompts(run, f"read {field}", source=external_file(path))
        if artifact.meta["duplicate"]:
            run.progress.note(
                "{read} prompts, {duplicate} of them repeated".format(**artifact.meta)
            )
        return artifact

    everything = load("prompts.path", config.path)
    held_out = {
        part: load(f"prompts.{part}_path", path) if path else None
        for part, path in (("dev", config.dev_path), ("test", config.test_path))
    }
    named = [artifact for artifact in held_out.values() if artifact]
    rest = without(run, pool=everything, held_out=named) if named else everything
    if len(named) == 2:
        return rest, named[0], named[1]
    dev_size, test_size = held_out_sizes(config)
    parts = {
        part: held_out.get(part)
        or split(
            run,
            f"split {part}",
            pool=rest,
            part=part,
            dev_size=dev_size,
            test_size=test_size,
            seed=recipe.seed,
        )
        for part in ("pool", "dev", "test")
    }
    return parts["pool"], parts["dev"], parts["test"]


def own_replay(run: Run, recipe: Recipe) -> Artifact | None:
    path = recipe.student.replay_path
    if path is None:
        return None
    return import_preferences(run, "read student.replay_path", source=external_file(path))
