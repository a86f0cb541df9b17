"""Before the first round: teacher and policy learn the oracle's answers, and both are measured."""

from data.store.artifacts import Artifact
from flows.hacking.recipe import HackingRecipe
from flows.hacking.state import Apart, Given, Parts
from flows.loop.inputs import models_of, of_world, own_prompts, round_prompts, templated
from flows.loop.state import Pool
from tasks.divergence import sequence_divergence
from tasks.fine_tune import demonstrate, fine_tune
from tasks.generate import generate
from tasks.prompts import decontaminate
from tasks.stage import Model, Run


def gather(run: Run, recipe: HackingRecipe) -> Given:
    """Models and prompts of the recipe."""
    prompts = own_prompts(run, recipe.prompts, recipe.seed)
    found, world = models_of(run, recipe)
    pool, dev, _ = prompts or of_world(world)
    policy = templated(run, recipe.policy.template, found["policy.model"])
    return Given(found["oracle.model"], found["teacher.model"], policy, pool, dev)


def taught(run: Run, recipe: HackingRecipe, given: Given) -> Parts:
    """Teacher and policy once they have learnt the oracle's answers, how far both are from it, and
    the prompts of the rounds, none of which the oracle has answered."""
    known = round_prompts(given.pool, recipe.oracle.prompts, 1, recipe.seed, "oracle")
    rest = others(given.pool, known)
    asked = round_prompts(rest, recipe.prompts.per_round, 1, recipe.seed)
    answers = generate.as_("oracle", title="oracle answers")(
        policy=given.oracle,
        prompts=known,
        k=1,
        decoding=recipe.answering,
        engine=run.engine,
        stream="oracle",
        seed=recipe.seed,
    )
    shown = demonstrate(prompts=known, completions=answers)
    teacher = fine_tune.as_("teacher", title="teacher learns the oracle's answers")(
        policy=given.teacher, demonstrations=shown, config=recipe.teacher, seed=recipe.seed
    )
    policy = fine_tune.as_("policy", title="policy learns the oracle's answers")(
        policy=given.policy, demonstrations=shown, config=recipe.start, seed=recipe.seed
    )
    said = Apart(
        held_out(run, recipe, given.oracle, given.dev, "oracle"),
        held_out(run, recipe, teacher, given.dev, "teacher"),
    )
    return Parts(
        oracle=given.oracle,
        teacher=teacher,
        policy=policy,
        asked=asked,
        dev=given.dev,
        said=said,
        of_teacher=distance("golden of the teacher", given.oracle, given.dev, said.golden, teacher),
    )


def others(pool: Pool, known: Artifact) -> Pool:
    """The pool without these prompts."""
    return [
        one._replace(
            prompts=decontaminate.as_(f"rounds {one.name}", title=f"{one.name} for the rounds")(
                pool=one.prompts, earlier=[], held_out=[known], rule="none"
            )
        )
        for one in pool
    ]


def held_out(run: Run, recipe: HackingRecipe, model: Model, dev: Artifact, whose: str) -> Artifact:
    """COMPLETIONS of the dev prompts from the model's own distribution, at temperature 1."""
    return generate.as_(f"dev {whose}", title=f"{whose} answers dev prompts", measures=True)(
        policy=model,
        prompts=dev,
        k=recipe.evaluate.dev_samples,
        decoding=recipe.answering,
        engine=run.engine,
        stream="dev",
        seed=recipe.seed,
    )


def distance(
    role: str, teacher: Model, prompts: Artifact, completions: Artifact, policy: Model
) -> Artifact:
    """KL_seq(teacher || policy) on what the teacher has sampled, and the reverse at its places."""
    return sequence_divergence.as_(role, title=role, measures=True)(
        teacher=teacher, policy=policy, prompts=prompts, completions=completions
    )


def measured(parts: Parts, policy: Model) -> Apart:
    """Golden and proxy of a policy."""
    return Apart(
        distance("golden", parts.oracle, parts.dev, parts.said.golden, policy),
        distance("proxy", parts.teacher, parts.dev, parts.said.proxy, policy),
    )
