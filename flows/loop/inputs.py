"""What a run starts from: the user's models and prompts, or those of the embedded world.

`flows.preflight.inputs` has checked them.
"""

from pathlib import Path

from data.recipes.names import from_world, models
from data.recipes.recipe import SMALL, WORLD, PromptsConfig, RunRecipe, StudentTraining
from data.store.artifacts import Artifact
from flows.bootstrap import World, bootstrap
from flows.evaluations import judges_of
from flows.judging import judge_of, speaker
from flows.loop.recipe import AlignRecipe
from flows.loop.state import Parts
from flows.preflight.prompts import held_out_sizes
from models.checkpoints import lacks_head
from tasks.distill import distill
from tasks.fresh_head import fresh_head
from tasks.prompts import import_preferences, import_prompts, split, without
from tasks.running.outside import External
from tasks.set_template import set_template
from tasks.stage import Model, Run


def gather(run: Run, recipe: AlignRecipe) -> Parts:
    """Models, prompts and earlier preferences of the recipe, ready for the first round."""
    prompts = own_prompts(run, recipe.prompts, recipe.seed)
    found, world = models_of(run, recipe)
    replay = own_replay(run, recipe) or (world.preferences if world else None)
    pool, dev, test = prompts or (world.pool, world.dev, world.test)  # type: ignore[union-attr]
    samplers = {cell.name: found.get(cell.called) for cell in recipe.cells}
    student, corrects = found.get("student.model"), "matrix.correction.judge"
    teacher = judge_of(
        run, recipe, "teacher.model", recipe.teacher.model, recipe.teacher.asking, found
    )
    return Parts(
        policy=templated(run, recipe.policy.template, found["policy.model"]),
        student=ready(recipe.student, recipe.seed, student, replay) if student else None,
        teacher=teacher,
        judges=judges_of(run, recipe, teacher, found),
        pool=pool,
        dev=dev,
        test=test,
        replay=replay,
        samplers={name: model for name, model in samplers.items() if model},
        judge=speaker(run, corrects, run.outside[corrects]) if corrects in run.outside else None,
    )


def models_of(run: Run, recipe: RunRecipe) -> tuple[dict[str, Model], World | None]:
    """The models of a recipe by field, brought or made, and the world where anything is of it."""
    used = set(from_world(recipe).values())
    world = bootstrap(recipe.world, small=SMALL in used) if recipe.world and used else None
    made = world.models() if world else {}
    found: dict[str, Model] = {}
    for one in models(recipe):
        if not one.is_word:
            found[one.field] = run.outside[one.field]
        elif model := made.get(one.field if one.value == WORLD else one.value):
            found[one.field] = model
    return found, world


def templated(run: Run, template: str | None, policy: Model) -> Model:
    """The policy as it is, or with the chat template that the recipe names."""
    if template is None:
        return policy
    found = run.outside.get("policy.template", template)
    return set_template.as_("", title="set the policy's template")(policy=policy, template=found)


def ready(
    config: StudentTraining, seed: int, student: Model, earlier: Artifact | None = None
) -> Model:
    """The student as it is; one without a head gets one, trained on earlier preferences if any."""
    if not isinstance(student, External) or not lacks_head(Path(student.path), student.field):
        return student
    headed = fresh_head.as_("", title="give the student a head")(model=student, seed=seed)
    if earlier is None:
        return headed
    return distill.as_("warm-up", title="warm up the student")(
        student=headed,
        preferences=earlier,
        replay=[],
        share=0.0,
        config=config,
        seed=seed,
    )


def own_prompts(
    run: Run, config: PromptsConfig, seed: int
) -> tuple[Artifact, Artifact, Artifact] | None:
    """Pool, dev and test prompts of the user's files, disjoint; None for the world's."""
    if config.path == WORLD:
        return None

    def load(field: str) -> Artifact:
        artifact = import_prompts.as_(field, title=f"read {field}")(source=run.outside[field])
        if artifact.meta["duplicate"]:
            run.progress.note(
                "{read} prompts, {duplicate} of them repeated".format(**artifact.meta)
            )
        return artifact

    everything = load("prompts.path")
    held_out = {
        part: load(f"prompts.{part}_path") if path else None
        for part, path in (("dev", config.dev_path), ("test", config.test_path))
    }
    named = [artifact for artifact in held_out.values() if artifact]
    rest = without(pool=everything, held_out=named) if named else everything
    if len(named) == 2:
        return rest, named[0], named[1]
    dev_size, test_size = held_out_sizes(config)
    parts = {
        part: held_out.get(part)
        or split.as_(part)(
            pool=rest,
            part=part,
            dev_size=dev_size,
            test_size=test_size,
            seed=seed,
        )
        for part in ("pool", "dev", "test")
    }
    return parts["pool"], parts["dev"], parts["test"]


def own_replay(run: Run, recipe: AlignRecipe) -> Artifact | None:
    if recipe.student.replay_path is None:
        return None
    source = run.outside["student.replay_path"]
    return import_preferences.as_("student.replay_path", title="read student.replay_path")(
        source=source
    )
