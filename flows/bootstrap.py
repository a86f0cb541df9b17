"""The embedded world from nothing, as a sub-flow: minutes on two CPU cores, once per store."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from data.recipes.recipe import SMALL, WorldConfig
from data.store.artifacts import Artifact
from tasks import bootstrap as stages
from tasks.running.subflow import subflow

Part = Literal["teacher", "preferences", "student", "small"]


@dataclass(frozen=True)
class World:
    """What the embedded world brings to a run; None: what was not asked for."""

    policy: Artifact
    pool: Artifact
    dev: Artifact
    test: Artifact
    teacher: Artifact | None
    preferences: Artifact | None  # what the student learns from
    student: Artifact | None
    small: Artifact | None  # a smaller policy

    def models(self) -> dict[str, Artifact]:
        """By the recipe's fields that may name them "world", and by a name of their own."""
        made = {
            "policy.model": self.policy,
            "student.model": self.student,
            "teacher.model": self.teacher,
            "oracle.model": self.policy,
            SMALL: self.small,
        }
        return {name: model for name, model in made.items() if model}


@subflow("bootstrap", run_name="bootstrap")
def bootstrap(world: WorldConfig, parts: Collection[Part]) -> World:
    """Prompts, tokenizer and policy of the embedded world, and those of its other parts that are
    asked for; the student needs the preferences."""
    seed = world.seed
    sizes = {"pool": world.prompts, "dev": world.dev_prompts, "test": world.test_prompts}
    pool, dev, test = (
        stages.world_prompts.as_(part, title=f"{part} prompts")(part=part, size=size, seed=seed)
        for part, size in sizes.items()
    )
    tokenizer = stages.tokenizer(lessons=world.lessons, examples=world.policy_examples, seed=seed)
    trunk = stages.trunk(tokenizer=tokenizer, lessons=world.lessons, seed=seed)
    policy = stages.base_policy.as_("", title="base policy")(
        trunk=trunk, examples=world.policy_examples, seed=seed
    )
    teacher, known, student, small = None, None, None, None
    if "teacher" in parts:
        teacher = teacher_of(world, trunk, policy)
    if "preferences" in parts:
        known = stages.student_preferences.as_("", title="student's preferences")(
            policy=policy, pairs=world.student_pairs, seed=seed
        )
    if "student" in parts and known:
        student = stages.student(tokenizer=tokenizer, preferences=known, seed=seed)
    if "small" in parts:
        small = stages.small_policy.as_("", title="small policy")(
            tokenizer=tokenizer, examples=world.policy_examples, seed=seed
        )
    return World(policy, pool, dev, test, teacher, known, student, small)


def teacher_of(world: WorldConfig, trunk: Artifact, policy: Artifact) -> Artifact:
    """A language model that rewards by its likelihood, or a classifier that has learnt pairs."""
    if world.teacher_lessons:
        return stages.likelihood_teacher.as_("", title="teacher")(
            trunk=trunk, lessons=world.teacher_lessons, known=world.lessons, seed=world.seed
        )
    taught = stages.teacher_preferences.as_("", title="teacher's preferences")(
        policy=policy,
        trunk=trunk,
        pairs=world.teacher_pairs,
        seed=world.seed,
    )
    return stages.teacher(trunk=trunk, preferences=taught, seed=world.seed)
