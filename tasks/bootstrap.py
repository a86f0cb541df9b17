"""Bootstrap: prompts and models of the embedded world, each an artifact of its own.

Besides evaluate this is the only stage that may ask the oracle: it labels the pairs that teacher
and student learn from. The loop never sees it.
"""

from pathlib import Path
from typing import Any

from data.schemas import COMPLETIONS, PROMPTS
from data.store.artifacts import Artifact
from data.tables import write_table
from data.world import generate
from tasks.stage import TRAINING, Context, stage


@stage("prompts", version="1")
def world_prompts(
    out: Path, context: Context, *, part: str, size: int, seed: int
) -> dict[str, Any]:
    """Out: PROMPTS, the part "pool", "dev" or "test" of the world; disjoint by question."""
    table = generate.prompt_table(part, size, seed)
    write_table(out / "data.parquet", table, PROMPTS)
    return {"prompts": len(table)}


@stage("tokenizer", version="2", libraries=TRAINING)
def tokenizer(
    out: Path, context: Context, *, lessons: int, examples: int, seed: int
) -> dict[str, Any]:
    """Out: a tokenizer with a chat template, from the words of the demonstrations."""
    from models.world.models import train_tokenizer

    texts = generate.lessons(lessons, seed) + generate.demonstrations(examples, seed)
    return train_tokenizer(out, conversations=texts)


@stage("policy", version="2", libraries=TRAINING, isolated=True)
def trunk(
    out: Path, context: Context, *, tokenizer: Artifact, lessons: int, seed: int
) -> dict[str, Any]:
    """Out: a language model that has learnt the tasks from good answers."""
    from models.world.models import train_trunk

    return train_trunk(
        out,
        tokenizer=context.path(tokenizer),
        conversations=generate.lessons(lessons, seed),
        runtime=context.runtime,
        seed=seed,
        on_progress=context.on_progress,
        checkpoints=context.scratch,
        tracking=context.tracking,
    )


@stage("policy", version="2", libraries=TRAINING, isolated=True)
def base_policy(
    out: Path, context: Context, *, trunk: Artifact, examples: int, seed: int
) -> dict[str, Any]:
    """Out: the policy to align, tuned on answers of mixed quality."""
    from models.world.models import train_policy

    return train_policy(
        out,
        trunk=context.path(trunk),
        conversations=generate.demonstrations(examples, seed),
        runtime=context.runtime,
        seed=seed,
        on_progress=context.on_progress,
        checkpoints=context.scratch,
        tracking=context.tracking,
    )


@stage("policy", version="1", libraries=TRAINING, isolated=True)
def small_policy(
    out: Path, context: Context, *, tokenizer: Artifact, examples: int, seed: int
) -> dict[str, Any]:
    """Out: a smaller policy, for the model matrix and for transfer."""
    from models.world.models import train_small_policy

    return train_small_policy(
        out,
        tokenizer=context.path(tokenizer),
        conversations=generate.demonstrations(examples, seed),
        runtime=context.runtime,
        seed=seed,
        on_progress=context.on_progress,
        checkpoints=context.scratch,
        tracking=context.tracking,
    )


@stage("completions", version="2")
def people(
    out: Path, context: Context, *, prompts: Artifact, cell: str, size: int, seed: int
) -> dict[str, Any]:
    """Out: COMPLETIONS, one good answer to each of these prompts of the pool, as people wrote it.

    They come from the generator, not from the oracle. `size` is that of the pool.
    """
    asked = set(context.store.table(prompts)["prompt_id"].to_pylist())
    table = generate.written_answers("pool", size, seed, asked, cell)
    write_table(out / "data.parquet", table, COMPLETIONS)
    return {"generated": len(table)}


@stage("preferences", version="4", libraries=TRAINING, isolated=True)
def teacher_preferences(
    out: Path, context: Context, *, policy: Artifact, trunk: Artifact, pairs: int, seed: int
) -> dict[str, Any]:
    """Out: PREFERENCES among answers of many sources, labelled by the oracle."""
    from models.world.preferences import teacher_preferences as label

    return label(
        out,
        questions=generate.teacher_questions(pairs, seed),
        policy=context.path(policy),
        trunk=context.path(trunk),
        seed=seed,
        on_progress=context.on_progress,
    )


@stage("preferences", version="4", libraries=TRAINING, isolated=True)
def student_preferences(
    out: Path, context: Context, *, policy: Artifact, pairs: int, seed: int
) -> dict[str, Any]:
    """Out: a few PREFERENCES among the policy's answers, labelled by the oracle."""
    from models.world.preferences import student_preferences as label

    return label(
        out,
        questions=generate.student_questions(pairs, seed),
        policy=context.path(policy),
        seed=seed,
        on_progress=context.on_progress,
    )


@stage("teacher", version="2", libraries=TRAINING, isolated=True)
def teacher(
    out: Path, context: Context, *, trunk: Artifact, preferences: Artifact, seed: int
) -> dict[str, Any]:
    """In: PREFERENCES. Out: the teacher reward model."""
    from models.world.models import train_teacher

    return train_teacher(
        out,
        trunk=context.path(trunk),
        preferences=context.store.table(preferences),
        runtime=context.runtime,
        seed=seed,
        on_progress=context.on_progress,
        checkpoints=context.scratch,
        tracking=context.tracking,
    )


@stage("student", version="2", libraries=TRAINING, isolated=True)
def student(
    out: Path, context: Context, *, tokenizer: Artifact, preferences: Artifact, seed: int
) -> dict[str, Any]:
    """In: PREFERENCES. Out: the student reward model before any round."""
    from models.world.models import train_student

    return train_student(
        out,
        tokenizer=context.path(tokenizer),
        preferences=context.store.table(preferences),
        runtime=context.runtime,
        seed=seed,
        on_progress=context.on_progress,
        checkpoints=context.scratch,
        tracking=context.tracking,
    )
