"""What a run starts from: the user's models and prompts, or those of the embedded world.

`flows.preflight.inputs` has checked them.
"""

from pathlib import Path

from data.readers.seen import LOST
from data.recipes.names import from_world, models
from data.recipes.prompts import PromptsConfig
from data.recipes.recipe import SMALL, WORLD, RunRecipe, StudentConfig, StudentTraining
from data.store.artifacts import Artifact
from flows.bootstrap import Part, World, bootstrap
from flows.evaluations import judges_of
from flows.judging import judge_of, speaker
from flows.loop.recipe import AlignRecipe
from flows.loop.state import Parts, Pool, Source
from flows.preflight.prompts import sizes_of, source_names
from models.reward_files import lacks_head
from tasks.distill import distill
from tasks.fresh_head import fresh_head
from tasks.prompts import decontaminate, import_preferences, import_prompts, join, split
from tasks.running.outside import External, PromptRows
from tasks.select import draw, select
from tasks.set_template import set_template
from tasks.stage import Model, Run


def gather(run: Run, recipe: AlignRecipe) -> Parts:
    """Models, prompts and earlier preferences of the recipe, ready for the first round."""
    prompts = own_prompts(run, recipe.prompts, recipe.seed)
    found, world = models_of(run, recipe)
    replay = own_replay(run, recipe) or (world.preferences if world else None)
    pool, dev, test = prompts or of_world(world)
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


def of_world(world: World | None) -> tuple[Pool, Artifact, Artifact]:
    """Pool, dev and test prompts of the embedded world."""
    assert world is not None
    return [Source(WORLD, 1.0, world.pool)], world.dev, world.test


def models_of(run: Run, recipe: RunRecipe) -> tuple[dict[str, Model], World | None]:
    """The models of a recipe by field, brought or made, and the world where anything is of it."""
    parts = parts_of_world(recipe)
    world = None if recipe.world is None or parts is None else bootstrap(recipe.world, parts=parts)
    made = world.models() if world else {}
    found: dict[str, Model] = {}
    for one in models(recipe):
        if not one.is_word:
            found[one.field] = run.outside[one.field]
        elif model := made.get(one.field if one.value == WORLD else one.value):
            found[one.field] = model
    return found, world


def parts_of_world(recipe: RunRecipe) -> list[Part] | None:
    """What the recipe takes of the embedded world beside prompts and policy; None: nothing at all.

    The rounds of a student take all of it, whose preferences they replay.
    """
    used = from_world(recipe)
    if not used:
        return None
    whole = isinstance(recipe, AlignRecipe)
    wanted: dict[Part, bool] = {
        "teacher": whole or (recipe.world_teaches and used.get("teacher.model") == WORLD),
        "preferences": whole or bool({"preferences", "student.model"} & used.keys()),
        "student": whole or "student.model" in used,
        "small": SMALL in used.values(),
    }
    return [part for part, said in wanted.items() if said]


def templated(run: Run, template: str | None, policy: Model) -> Model:
    """The policy as it is, or with the chat template that the recipe names."""
    if template is None:
        return policy
    found = run.outside.get("policy.template", template)
    return set_template.as_("", title="set the policy's template")(policy=policy, template=found)


def ready(
    config: StudentTraining, seed: int, student: Model, earlier: Artifact | None = None
) -> Model:
    """The student as it is; one without a head gets one, trained on earlier preferences if any.

    So is one that has a head where the recipe says it (`warm_up`).
    """
    headless = isinstance(student, External) and lacks_head(Path(student.path), student.field)
    warm = headless or (isinstance(config, StudentConfig) and config.warm_up)
    headed = student
    if headless:
        headed = fresh_head.as_("", title="give the student a head")(model=student, seed=seed)
    if earlier is None or not warm:
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
) -> tuple[Pool, Artifact, Artifact] | None:
    """Pool, dev and test prompts of the user's files, disjoint; None for the world's.

    `flows.preflight.prompts` does the same before the run, by the same functions.
    """
    if config.path == WORLD:
        return None
    sources = config.sources("path")
    everything = [_imported(run, field) for field in sources]
    held_out = {
        part: _held_out(run, config, part)
        for part in ("dev", "test")
        if getattr(config, f"{part}_path")
    }
    steps = [[table] for table in everything]
    if held_out or len(steps) > 1:
        for number, (field, own) in enumerate(zip(sources, steps, strict=True)):
            earlier, apart = everything[:number], list(held_out.values())
            own.append(_clean(run, config, field, own[-1], earlier, apart))
    sizes = sizes_of(config)
    if any(sizes.values()):
        chosen = {
            part: split.as_(part)(pools=[own[-1] for own in steps], part=part, **sizes, seed=seed)
            for part in ("dev", "test")
            if part not in held_out
        }
        for field, own in zip(sources, steps, strict=True):
            apart = list(chosen.values())
            own.append(_clean(run, config, f"{field} apart", own[-1], [], apart))
        held_out |= chosen
    pool = [
        Source(name, one.weight, own[-1], tuple(own))
        for name, one, own in zip(source_names(config), sources.values(), steps, strict=True)
    ]
    return pool, held_out["dev"], held_out["test"]


def round_prompts(pool: Pool, size: int, number: int, seed: int, role: str = "") -> Artifact:
    """The prompts of a round: the next of the pool, from several sources by their weights.

    Args:
        role: Of the call, where prompts are drawn for something else too.
    """
    if len(pool) == 1:
        call = select.as_(role)
        return call(pool=pool[0].prompts, size=size, round_number=number, seed=seed)
    return draw.as_(role, title=f"select {role}".strip())(
        pools=[one.prompts for one in pool],
        names=[one.name for one in pool],
        weights=[one.weight for one in pool],
        size=size,
        round_number=number,
        seed=seed,
    )


def _imported(run: Run, field: str) -> Artifact:
    """The prompts of a file, by the recipe's field."""
    source = run.outside[field]
    assert isinstance(source, PromptRows)
    artifact = import_prompts.as_(field, title=f"read {field}")(source=source)
    if artifact.meta["duplicate"]:
        run.progress.note("{read} prompts, {duplicate} of them repeated".format(**artifact.meta))
    return artifact


def _held_out(run: Run, config: PromptsConfig, part: str) -> Artifact:
    """The dev or test prompts of the files that the recipe names."""
    tables = [_imported(run, field) for field in config.sources(f"{part}_path")]
    if len(tables) == 1:
        return tables[0]
    return join.as_(part, title=f"join {part} prompts")(sources=tables)


def _clean(
    run: Run,
    config: PromptsConfig,
    role: str,
    pool: Artifact,
    earlier: list[Artifact],
    held_out: list[Artifact],
) -> Artifact:
    """A source's prompts without those of earlier ones, and without what is held out."""
    kept = decontaminate.as_(role)(
        pool=pool, earlier=earlier, held_out=held_out, rule=config.decontaminate
    )
    lost = {name: kept.meta.get(name, 0) for name in LOST}
    if any(lost.values()):
        run.progress.note("; ".join(f"{n} {LOST[name]}" for name, n in lost.items() if n))
    return kept


def own_replay(run: Run, recipe: AlignRecipe) -> Artifact | None:
    if recipe.student.replay_path is None:
        return None
    source = run.outside["student.replay_path"]
    return import_preferences.as_("student.replay_path", title="read student.replay_path")(
        source=source
    )
