"""Distillation over domains (DDK, Liu et al. 2024, arXiv 2407.16154): before every interval the
perplexities of teacher and policy say how its texts are mixed from domains; the policy learns the
texts and what the teacher says at every position of them.

An interval is a round, and a training of its own: the optimizer and its schedule begin anew, where
the paper has one schedule. Mixture, cursors and draw are artifacts, so that a run that is resumed
draws what it would have drawn.
"""

from data.recipes.config import WORLD
from data.recipes.distillation import TargetsConfig
from data.store.artifacts import Artifact
from flows.ddk.recipe import DdkRecipe
from flows.ddk.state import Outcome, Parts, State
from flows.ddk.told import told
from flows.fingerprint import numerics
from flows.loop.inputs import models_of, templated
from flows.result import Made, Result
from models.engine_choice import choose
from tasks.distill_policy import distill_policy
from tasks.fine_tune import fine_tune
from tasks.mixture import domain_gaps, draw_texts, first_drawn, mixture, retold
from tasks.running import machine
from tasks.running.subflow import subflow
from tasks.stage import Model, Run
from tasks.targets import targets
from tasks.texts import Part, add_noise, first_texts, import_texts, part_of_texts, world_texts

PART_TITLES: dict[Part, str] = {
    "pool": "texts to learn",
    "dev": "texts that decide",
    "test": "texts that measure",
}


def gather(run: Run, recipe: DdkRecipe) -> Parts:
    """Models and texts of the recipe, and what the teacher makes of those held out."""
    choose(recipe.teacher.engine, recipe.runtime, lambda: 0, "teacher.engine")  # it is installed
    texts = texts_of(run, recipe)
    found, _ = models_of(run, recipe)
    policy = templated(run, recipe.policy.template, found["policy.model"])
    if recipe.warm_up:
        policy = warmed(recipe, policy, texts["pool"])
    teacher = found["teacher.model"]
    dev = read(recipe, teacher, texts["dev"], "teacher dev")
    test = read(recipe, teacher, texts["test"], "teacher test", measures=True)
    return Parts(policy, teacher, texts["pool"], texts["dev"], texts["test"], dev, test)


def texts_of(run: Run, recipe: DdkRecipe) -> dict[Part, Artifact]:
    """DEMONSTRATIONS "pool", "dev" and "test", with noise where the recipe asks for it."""
    found: dict[Part, Artifact] = {}
    config, world = recipe.texts, recipe.world
    if config.path == WORLD:
        assert world is not None
        sizes = {"pool": world.prompts, "dev": world.dev_prompts, "test": world.test_prompts}
        for part, title in PART_TITLES.items():
            skew = config.skew if part == "pool" else 1.0
            found[part] = world_texts.as_(part, title=title)(
                part=part, size=sizes[part], skew=skew, seed=world.seed
            )
    else:
        source = run.outside["texts.path"]
        whole = import_texts.as_("", title="read texts.path")(source=source, columns=config.columns)
        for part, title in PART_TITLES.items():
            found[part] = part_of_texts.as_(part, title=title)(
                texts=whole,
                part=part,
                dev_size=config.dev_size,
                test_size=config.test_size,
                seed=recipe.seed,
            )
    if not config.noise:
        return found
    return {
        part: add_noise.as_(part, title=f"noise beside {PART_TITLES[part]}")(
            texts=texts, seed=recipe.seed
        )
        for part, texts in found.items()
    }


def warmed(recipe: DdkRecipe, policy: Model, texts: Artifact) -> Artifact:
    """The policy once it has learned some domains, so that it is behind unevenly."""
    assert recipe.warm_up is not None
    known = first_texts.as_("warm-up", title="texts of the warm-up")(
        texts=texts,
        datasets=list(recipe.warm_up.datasets),
        number=recipe.warm_up.texts,
        seed=recipe.seed,
    )
    return fine_tune.as_("warm-up", title="warm up the policy")(
        policy=policy, demonstrations=known, config=recipe.warming, seed=recipe.seed
    )


def read(
    recipe: DdkRecipe, model: Model, texts: Artifact, role: str, measures: bool = False
) -> Artifact:
    """TARGETS of held-out DEMONSTRATIONS: how likely a model finds every token of them."""
    teaches = role.startswith("teacher")
    name = recipe.teacher.engine if teaches else "transformers"
    return targets.as_(role, title=f"{role} perplexity", measures=measures)(
        teacher=model,
        prompts=texts,
        completions=texts,
        config=TargetsConfig(k=1),
        engine=machine.engine_identity(name, numerics(recipe), recipe.runtime),
    )


def behind(recipe: DdkRecipe, parts: Parts, policy: Model, role: str = "") -> Artifact:
    """How far a policy is behind its teacher on the texts that measure."""
    whose = f"policy {role} test".replace("  ", " ")
    student = read(recipe, policy, parts.test, whose, measures=True)
    return domain_gaps.as_(role, title=f"gaps {role}".strip(), measures=True)(
        held_out=parts.test, teacher=parts.teacher_test, student=student, apart=recipe.apart
    )


@subflow("ddk", run_name="{name} / interval {number}")
def learn_interval(
    name: str, number: int, *, run: Run, recipe: DdkRecipe, parts: Parts, state: State
) -> Outcome:
    """Measure, mix, draw, have the teacher read what is new, learn."""
    base = behind(recipe, parts, state.policy, "base") if number == 1 else None
    mixed = mixture(
        texts=parts.pool,
        held_out=parts.dev,
        teacher=parts.teacher_dev,
        student=read(recipe, state.policy, parts.dev, "policy dev"),
        before=state.mixture,
        config=recipe.mixture,
        size=recipe.interval,
    )
    draw = draw_texts.as_("", title="draw")(
        texts=parts.pool, mixture=mixed, size=recipe.interval, seed=recipe.seed
    )
    new = first_drawn.as_("", title="texts drawn first")(texts=parts.pool, draw=draw)
    told = targets(
        teacher=parts.teacher,
        prompts=new,
        completions=new,
        config=recipe.targets,
        engine=machine.engine_identity(recipe.teacher.engine, numerics(recipe), recipe.runtime),
    )
    known = (*state.targets, told)
    policy = distill_policy(
        policy=state.policy,
        prompts=parts.pool,
        targets=[retold.as_("", title="targets of the draw")(draw=draw, targets=list(known))],
        config=recipe.policy,
        temperature=recipe.targets.temperature,
        seed=recipe.seed,
    )
    after = behind(recipe, parts, policy)
    return Outcome(number, mixed, draw, told, known, policy, after, base)


def ddk(run: Run, recipe: DdkRecipe) -> Made:
    """Intervals, each from the policy that the one before left."""
    parts = gather(run, recipe)
    store, done = run.context.store, list[Outcome]()
    run.so_far(lambda: told(store, recipe, done))
    state = State(parts.policy)
    for number in range(1, recipe.rounds + 1):
        run.progress.round(number, recipe.rounds)
        run.round = number
        outcome = learn_interval(
            recipe.run, number, run=run, recipe=recipe, parts=parts, state=state
        )
        done.append(outcome)
        state = State(outcome.policy, outcome.mixture, outcome.known)
        run.so_far(lambda: said(run, told(store, recipe, done)))
    return lambda: told(store, recipe, done).with_models(
        {"policy": state.policy}, {"policy": done[-1].policy.meta["final_loss"]}
    )


def said(run: Run, result: Result) -> Result:
    """The same; the last interval in a line on the terminal."""
    gap, worst = (result.measures[name].rounds for name in ("macro_gap", "worst_gap"))
    run.progress.result(
        f"behind the teacher {gap[-1].value:.3f} nats a token in the mean of domains, "
        f"{worst[-1].value:.3f} in the worst; {gap[0].value:.3f} and {worst[0].value:.3f} at first"
    )
    return result
