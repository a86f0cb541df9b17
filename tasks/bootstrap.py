"""Bootstrap: prompts and models of the embedded world, each an artifact of its own.

Besides evaluate this is the only stage that may ask the oracle: it labels the pairs that teacher
and student learn from. The loop never sees it.
"""

from typing import Any

from data.schemas import COMPLETIONS, PREFERENCES, PROMPTS
from data.store.artifacts import Artifact
from data.world import generate
from tasks.stage import Context, Rows, stage


@stage(PROMPTS, version="1", rows="size")
def world_prompts(ctx: Context, *, part: str, size: int, seed: int) -> Rows:
    """Out: PROMPTS, the part "pool", "dev" or "test" of the world; disjoint by question."""
    table = generate.prompt_table(part, size, seed)
    return Rows(table, {"prompts": len(table)})


@stage("tokenizer", version="2", model=True)
def tokenizer(ctx: Context, *, lessons: int, examples: int, seed: int) -> dict[str, Any]:
    """Out: a tokenizer with a chat template, from the words of the demonstrations."""
    from models.world.models import train_tokenizer

    texts = generate.lessons(lessons, seed) + generate.demonstrations(examples, seed)
    return train_tokenizer(ctx.out, conversations=texts)


@stage("policy", version="2", model=True)
def trunk(ctx: Context, *, tokenizer: Artifact, lessons: int, seed: int) -> dict[str, Any]:
    """Out: a language model that has learnt the tasks from good answers."""
    from models.world.models import train_trunk

    return train_trunk(
        ctx.out,
        tokenizer=ctx.path(tokenizer),
        conversations=generate.lessons(lessons, seed),
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage("policy", version="2", model=True)
def base_policy(ctx: Context, *, trunk: Artifact, examples: int, seed: int) -> dict[str, Any]:
    """Out: the policy to align, tuned on answers of mixed quality."""
    from models.world.models import train_policy

    return train_policy(
        ctx.out,
        trunk=ctx.path(trunk),
        conversations=generate.demonstrations(examples, seed),
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage("policy", version="1", model=True)
def small_policy(ctx: Context, *, tokenizer: Artifact, examples: int, seed: int) -> dict[str, Any]:
    """Out: a smaller policy, for the model matrix and for transfer."""
    from models.world.models import train_small_policy

    return train_small_policy(
        ctx.out,
        tokenizer=ctx.path(tokenizer),
        conversations=generate.demonstrations(examples, seed),
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage(COMPLETIONS, version="2", rows="prompts")
def people(ctx: Context, *, prompts: Artifact, cell: str, size: int, seed: int) -> Rows:
    """Out: COMPLETIONS, one good answer to each of these prompts of the pool, as people wrote it.

    They come from the generator, not from the oracle. `size` is that of the pool.
    """
    asked = set(ctx.table(prompts)["prompt_id"].to_pylist())
    table = generate.written_answers("pool", size, seed, asked, cell)
    return Rows(table, {"generated": len(table)})


@stage(PREFERENCES, version="5", model=True, rows="pairs")
def teacher_preferences(
    ctx: Context, *, policy: Artifact, trunk: Artifact, pairs: int, seed: int
) -> Rows:
    """Out: PREFERENCES among answers of many sources, labelled by the oracle."""
    from models.world.preferences import teacher_preferences as label

    return Rows(
        *label(
            questions=generate.teacher_questions(pairs, seed),
            policy=ctx.path(policy),
            trunk=ctx.path(trunk),
            seed=seed,
            on_progress=ctx.on_progress,
        )
    )


@stage(PREFERENCES, version="5", model=True, rows="pairs")
def student_preferences(ctx: Context, *, policy: Artifact, pairs: int, seed: int) -> Rows:
    """Out: a few PREFERENCES among the policy's answers, labelled by the oracle."""
    from models.world.preferences import student_preferences as label

    return Rows(
        *label(
            questions=generate.student_questions(pairs, seed),
            policy=ctx.path(policy),
            seed=seed,
            on_progress=ctx.on_progress,
        )
    )


@stage("teacher", version="2", model=True, rows="preferences")
def teacher(ctx: Context, *, trunk: Artifact, preferences: Artifact, seed: int) -> dict[str, Any]:
    """In: PREFERENCES. Out: the teacher reward model."""
    from models.world.models import train_teacher

    return train_teacher(
        ctx.out,
        trunk=ctx.path(trunk),
        preferences=ctx.table(preferences),
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage("teacher", version="1", model=True)
def likelihood_teacher(
    ctx: Context, *, trunk: Artifact, lessons: int, known: int, seed: int
) -> dict[str, Any]:
    """Out: the trunk after `lessons` good answers beyond the `known` ones, as a reward model."""
    from models.world.models import train_likelihood_teacher

    return train_likelihood_teacher(
        ctx.out,
        trunk=ctx.path(trunk),
        conversations=generate.further_lessons(lessons, known, seed),
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage("student", version="2", model=True, rows="preferences")
def student(
    ctx: Context, *, tokenizer: Artifact, preferences: Artifact, seed: int
) -> dict[str, Any]:
    """In: PREFERENCES. Out: the student reward model before any round."""
    from models.world.models import train_student

    return train_student(
        ctx.out,
        tokenizer=ctx.path(tokenizer),
        preferences=ctx.table(preferences),
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )
