"""The world's splits: demonstrations, preference prompts, and the prompts of the loop.

Which split a question belongs to follows from a digest of its key, so the splits are disjoint by
question, whatever their sizes and however a question is worded.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from data.errors import InputError
from data.recipes.recipe import WorldConfig
from data.schemas import COMPLETIONS, PROMPTS
from data.world.answers import GOOD, MIXED, Quality, draw_answer
from data.world.questions import FAMILIES, Question

Conversation = list[dict[str, str]]
# Upper bound of each split's share of the questions.
SPLITS = {"train": 0.45, "preference": 0.65, "pool": 0.90, "dev": 0.93, "test": 1.0}

# Demonstrations dwell on what a small model is slow to learn.
_LESSONS = (*FAMILIES, "arithmetic", "listing", "sorting", "counting", "arithmetic", "extraction")
_MAX_DRAWS = 2_000  # tries for one more new question before a family counts as used up


@dataclass(frozen=True)
class World:
    """Everything the bootstrap starts from, and the prompt tables of the loop."""

    lessons: list[Conversation]  # good answers, from which the shared trunk learns the tasks
    demonstrations: list[Conversation]  # answers of mixed quality, for the policy
    teacher_questions: list[Question]  # four pairs of each
    student_questions: list[Question]  # one pair of each
    pool: pa.Table  # PROMPTS
    dev: pa.Table  # PROMPTS
    test: pa.Table  # PROMPTS


def generate_world(config: WorldConfig) -> World:
    """Deterministic in `config`; families take turns, so that each has an equal share."""
    seed = config.seed
    return World(
        lessons=lessons(config.lessons, seed),
        demonstrations=demonstrations(config.policy_examples, seed),
        teacher_questions=teacher_questions(config.teacher_pairs, seed),
        student_questions=student_questions(config.student_pairs, seed),
        pool=prompt_table("pool", config.prompts, seed),
        dev=prompt_table("dev", config.dev_prompts, seed),
        test=prompt_table("test", config.test_prompts, seed),
    )


def lessons(n: int, seed: int) -> list[Conversation]:
    """Good answers, from which the shared trunk learns the tasks."""
    rng = _rng("lessons", seed)
    asked = draw_questions("train", n, seed, False, _LESSONS)
    return [_conversation(question, GOOD, rng) for question in asked]


def further_lessons(n: int, known: int, seed: int) -> list[Conversation]:
    """The `n` good answers that follow the `known` ones of `lessons`."""
    return lessons(known + n, seed)[known:]


def demonstrations(n: int, seed: int) -> list[Conversation]:
    """Answers of mixed quality, for the policy."""
    rng = _rng("answers", seed)
    asked = draw_questions("train", n, seed + 1, False, _LESSONS)
    return [_conversation(question, MIXED, rng) for question in asked]


def teacher_questions(pairs: int, seed: int) -> list[Question]:
    """Questions for the teacher's pairs, four pairs of each."""
    return list(draw_questions("preference", pairs // 4, seed, unique=False))


def student_questions(pairs: int, seed: int) -> list[Question]:
    """Questions for the student's pairs, one pair of each."""
    return list(draw_questions("preference", pairs, seed + 1, unique=False))


def prompt_table(split: str, n: int, seed: int) -> pa.Table:
    """PROMPTS of `n` different questions of a split; dataset is the family."""
    rows = [
        {
            "prompt_id": prompt_id(question),
            "messages": [{"role": "user", "content": question.prompt}],
            "dataset": question.family,
        }
        for question in draw_questions(split, n, seed, unique=True)
    ]
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def written_answers(split: str, n: int, seed: int, asked: set[str], source: str) -> pa.Table:
    """COMPLETIONS: a good answer to each prompt of `prompt_table(split, n, seed)` in `asked`."""
    rng = _rng(f"people-{split}", seed)
    rows = []
    for question in draw_questions(split, n, seed, unique=True):
        text = draw_answer(question, GOOD, rng)
        if prompt_id(question) in asked:
            rows.append(
                {
                    "completion_id": f"{prompt_id(question)}/{source}/0",
                    "prompt_id": prompt_id(question),
                    "sample": 0,
                    "completion": text,
                    "finish_reason": "stop",
                    "n_tokens": None,
                }
            )
    return pa.Table.from_pylist(rows, schema=COMPLETIONS)


def prompt_id(question: Question) -> str:
    return f"{question.family}-{_digest(question.prompt)[:16]}"


def draw_questions(
    split: str, n: int, seed: int, unique: bool, turns: Sequence[str] = tuple(FAMILIES)
) -> Iterator[Question]:
    """`n` questions of a split, the families in turn; `unique`: no wording twice."""
    rng = _rng(split, seed)
    families = [FAMILIES[name] for name in turns]
    seen: set[str] = set()
    for i in range(n):
        for _ in range(_MAX_DRAWS):
            question = families[i % len(families)](rng)
            if split_of(question) == split and not (unique and question.prompt in seen):
                break
        else:
            raise InputError(
                f"world: the {split} split has no {n} different questions "
                f"({families[i % len(families)].__name__} runs out); ask for fewer prompts"
            )
        seen.add(question.prompt)
        yield question


def split_of(question: Question) -> str:
    share = int(_digest(question.key)[:8], 16) / 0x1_0000_0000
    return next(split for split, bound in SPLITS.items() if share < bound)


def _conversation(question: Question, quality: Quality, rng: random.Random) -> Conversation:
    return [
        {"role": "user", "content": question.prompt},
        {"role": "assistant", "content": draw_answer(question, quality, rng)},
    ]


def _rng(purpose: str, seed: int) -> random.Random:
    return random.Random(f"{purpose}-{seed}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
