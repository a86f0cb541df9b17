"""The embedded world from nothing, as a sub-flow: minutes on two CPU cores, once per store."""

from dataclasses import dataclass

from data.recipes.recipe import SMALL, WorldConfig
from data.store.artifacts import Artifact
from tasks import bootstrap as stages
from tasks.running.subflow import subflow


@dataclass(frozen=True)
class World:
    """What the embedded world brings to a run."""

    policy: Artifact
    student: Artifact
    teacher: Artifact
    pool: Artifact
    dev: Artifact
    test: Artifact
    preferences: Artifact  # what the student has learnt from
    small: Artifact | None  # a smaller policy, where one is asked for

    def models(self) -> dict[str, Artifact]:
        """By the recipe's fields that may name them "world", and by a name of their own."""
        return {
            "policy.model": self.policy,
            "student.model": self.student,
            "teacher.model": self.teacher,
            "oracle.model": self.policy,
        } | ({SMALL: self.small} if self.small else {})


@subflow("bootstrap", run_name="bootstrap")
def bootstrap(world: WorldConfig, small: bool = False) -> World:
    """Prompts, tokenizer, policy, teacher and student of the embedded world."""
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
    teacher = teacher_of(world, trunk, policy)
    known = stages.student_preferences.as_("", title="student's preferences")(
        policy=policy, pairs=world.student_pairs, seed=seed
    )
    student = stages.student(tokenizer=tokenizer, preferences=known, seed=seed)
    smaller = (
        stages.small_policy.as_("", title="small policy")(
            tokenizer=tokenizer, examples=world.policy_examples, seed=seed
        )
        if small
        else None
    )
    return World(policy, student, teacher, pool, dev, test, preferences=known, small=smaller)


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
